package infer

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"
)

// usage counts a request's tokens, one a character.
type usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
}

// honesty is what an answer says beside OpenAI's fields.
type honesty struct {
	Device           string  `json:"device"`
	PromptPerplexity float64 `json:"prompt_perplexity,omitempty"` // of a character, under the model
}

// textAnswer is an answer, or a piece of one, of either interface.
type textAnswer struct {
	ID      string       `json:"id"`
	Object  string       `json:"object"`
	Created int64        `json:"created"`
	Model   string       `json:"model"`
	Choices []textChoice `json:"choices"`
	Usage   *usage       `json:"usage,omitempty"`
	Weir    *honesty     `json:"weir,omitempty"`
}

type textChoice struct {
	Index        int       `json:"index"`
	Text         *string   `json:"text,omitempty"`    // /v1/completions
	Message      *textPart `json:"message,omitempty"` // /v1/chat/completions, whole
	Delta        *textPart `json:"delta,omitempty"`   // /v1/chat/completions, a piece
	FinishReason *string   `json:"finish_reason"`
}

type textPart struct {
	Role    string  `json:"role,omitempty"`
	Content *string `json:"content,omitempty"`
}

func (s *Server) chatCompletions(c *call) error { return s.write(c, true) }
func (s *Server) completions(c *call) error     { return s.write(c, false) }

// write answers a request for text: it waits for a slot, joins the batch, and passes on what the batch writes.
func (s *Server) write(c *call, chat bool) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	req, err := decodeChat(body, chat, s.o.ContextLength, s.requestSeed)
	if err != nil {
		return err
	}
	if err := c.acquire(); err != nil {
		return err
	}
	c.stage = stagePrefill
	seq := &sequence{
		ctx: c.ctx, sampler: c.models.chars.sampler(req.seed, req.temperature), prompt: req.prompt,
		maxTokens: req.maxTokens, minTokens: req.minTokens, stop: stopper{stops: req.Stop}, release: c.release,
		out: make(chan string, req.maxTokens+1), started: make(chan struct{}),
	}
	s.engine.add(seq)
	t := &textCall{call: c, req: req, seq: seq, chat: chat, id: s.ids.Add(1), created: time.Now().Unix()}
	if req.Stream {
		return t.stream()
	}
	return t.whole()
}

// textCall is a chat request in the batch.
type textCall struct {
	*call
	req     *chatRequest
	seq     *sequence
	chat    bool
	id      uint64
	created int64
	last    time.Time // when the last text came
}

// next returns the next piece of text; ok is false once there is no more.
func (t *textCall) next() (text string, ok bool, err error) {
	started := t.seq.started
	if t.stage != stagePrefill {
		started = nil
	}
	for {
		select {
		case <-t.ctx.Done():
			return "", false, context.Cause(t.ctx)
		case <-started:
			started, t.stage = nil, stageGenerate
		case text, ok = <-t.seq.out:
			if !ok {
				return "", false, t.seq.err
			}
			t.stage = stageGenerate
			now := time.Now()
			if t.last.IsZero() {
				t.s.metrics.firstToken.Observe(now.Sub(t.start).Seconds())
			} else {
				t.s.metrics.tokenGap.Observe(now.Sub(t.last).Seconds())
			}
			t.last = now
			return text, true, nil
		}
	}
}

// whole answers with all the text at once.
func (t *textCall) whole() error {
	var b strings.Builder
	for {
		text, ok, err := t.next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		b.WriteString(text)
	}
	answer := t.answer(t.object(""))
	text := b.String()
	if t.chat {
		answer.Choices[0].Message = &textPart{Role: "assistant", Content: &text}
	} else {
		answer.Choices[0].Text = &text
	}
	answer.Choices[0].FinishReason = &t.seq.reason
	answer.Usage, answer.Weir = t.usage(), t.honesty()
	return t.sendJSON(answer)
}

// stream answers with an event for each piece of text (server-sent events, as OpenAI's interfaces use them).
func (t *textCall) stream() error {
	for n := 0; ; n++ {
		text, ok, err := t.next()
		if err != nil {
			return err
		}
		if err := t.cut(n); err != nil {
			return err
		}
		if !ok {
			return t.endStream(n == 0)
		}
		if err := t.event(t.piece(text, n == 0)); err != nil {
			return err
		}
	}
}

// cut is the reset fault, after n pieces.
func (t *textCall) cut(n int) error {
	if f := t.s.faults.get(); f.Reset && n >= f.ResetAfterTokens {
		return errReset
	}
	return nil
}

// piece is one chunk of a streamed answer. The first one of a chat carries the role.
func (t *textCall) piece(text string, first bool) *textAnswer {
	answer := t.answer(t.object(".chunk"))
	if !t.chat {
		answer.Choices[0].Text = &text
		return answer
	}
	delta := &textPart{}
	if first {
		delta.Role = "assistant"
	}
	if first || text != "" {
		delta.Content = &text
	}
	answer.Choices[0].Delta = delta
	return answer
}

func (t *textCall) endStream(empty bool) error {
	last := t.piece("", empty)
	last.Choices[0].FinishReason = &t.seq.reason
	last.Weir = t.honesty()
	if err := t.event(last); err != nil {
		return err
	}
	if t.req.StreamOptions.IncludeUsage {
		counts := t.answer(t.object(".chunk"))
		counts.Choices, counts.Usage = []textChoice{}, t.usage()
		if err := t.event(counts); err != nil {
			return err
		}
	}
	return t.frame([]byte("[DONE]"))
}

func (t *textCall) event(v *textAnswer) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding a piece of the answer: %w", err)
	}
	return t.frame(b)
}

// frame sends one event at once.
func (t *textCall) frame(data []byte) error {
	if !t.begun {
		h := t.w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-cache")
		t.loadReport()
		t.begun = true
	}
	b := make([]byte, 0, len(data)+8)
	b = append(b, "data: "...)
	b = append(b, data...)
	b = append(b, "\n\n"...)
	_, err := t.w.Write(b)
	if err == nil {
		err = http.NewResponseController(t.w).Flush()
	}
	if err != nil {
		return fmt.Errorf("sending a piece of the answer: %w", errClientLeft)
	}
	return nil
}

// object names the kind of answer, as OpenAI does.
func (t *textCall) object(chunk string) string {
	if t.chat {
		return "chat.completion" + chunk
	}
	return "text_completion"
}

func (t *textCall) answer(object string) *textAnswer {
	prefix := "cmpl-"
	if t.chat {
		prefix = "chatcmpl-"
	}
	return &textAnswer{
		ID: fmt.Sprint(prefix, t.id), Object: object, Created: t.created,
		Model: t.s.o.modelName(ModelChat), Choices: make([]textChoice, 1),
	}
}

func (t *textCall) usage() *usage {
	p, n := len(t.req.prompt), t.seq.written
	return &usage{PromptTokens: p, CompletionTokens: n, TotalTokens: p + n}
}

func (t *textCall) honesty() *honesty {
	h := &honesty{Device: t.s.o.Device}
	if n := len(t.req.prompt); n > 0 {
		h.PromptPerplexity = math.Exp(-t.seq.sampler.logProb / float64(n))
	}
	return h
}
