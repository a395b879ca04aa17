package infer

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of what a request may ask for.
const (
	maxSteps = 1000
	minSide  = 8
	maxSide  = 1024
	maxStops = 4
)

// imageRequest asks for a picture. Fields that are not known are ignored, as OpenAI's servers do.
type imageRequest struct {
	Prompt         string     `json:"prompt"`
	Steps          int        `json:"steps"`
	Size           imageSize  `json:"size"`
	Seed           *seedValue `json:"seed"`
	Checkpoint     string     `json:"checkpoint"`
	N              *int       `json:"n"`
	ResponseFormat string     `json:"response_format"`

	width, height int
	seed          uint64
}

// imageSize is "256x256", or one number for a square.
type imageSize struct{ width, height int }

func (z *imageSize) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), `"`)
	if text == "null" || text == "" || text == "auto" {
		return nil
	}
	w, h, both := strings.Cut(text, "x")
	if !both {
		h = w
	}
	var err1, err2 error
	z.width, err1 = strconv.Atoi(w)
	z.height, err2 = strconv.Atoi(h)
	if err1 != nil || err2 != nil {
		return fmt.Errorf("size %q is not understood; write for example \"256x256\"", text)
	}
	return nil
}

// seedValue is a whole number of either sign; equal numbers give equal answers.
type seedValue uint64

func (v *seedValue) UnmarshalJSON(b []byte) error {
	if n, err := strconv.ParseUint(string(b), 10, 64); err == nil {
		*v = seedValue(n)
		return nil
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return fmt.Errorf("seed %s is not a whole number of 64 bits", b)
	}
	*v = seedValue(uint64(n))
	return nil
}

// decodeImage reads and checks a request for a picture. draw gives a seed when the request names none.
func decodeImage(body []byte, steps int, draw func() uint64) (*imageRequest, error) {
	req := &imageRequest{Steps: steps, Size: imageSize{256, 256}}
	if err := decodeJSON(body, req); err != nil {
		return nil, err
	}
	req.width, req.height = req.Size.width, req.Size.height
	switch {
	case req.Steps < 1 || req.Steps > maxSteps:
		return nil, invalid("steps", "steps %d is out of range; give 1 to %d", req.Steps, maxSteps)
	case min(req.width, req.height) < minSide || max(req.width, req.height) > maxSide:
		return nil, invalid("size", "size %dx%d is out of range; give sides of %d to %d pixels",
			req.width, req.height, minSide, maxSide)
	case req.N != nil && *req.N != 1:
		return nil, invalid("n", "n %d is not supported; ask for one picture at a time", *req.N)
	case req.ResponseFormat != "" && req.ResponseFormat != "b64_json":
		return nil, invalid("response_format", "response_format %q is not supported; use b64_json", req.ResponseFormat)
	}
	req.seed = req.Seed.or(draw)
	return req, nil
}

func (v *seedValue) or(draw func() uint64) uint64 {
	if v == nil {
		return draw()
	}
	return uint64(*v)
}

// chatRequest asks for text, of either OpenAI interface.
type chatRequest struct {
	Messages            []chatMessage `json:"messages"`
	Prompt              oneOrMany     `json:"prompt"`
	MaxTokens           *int          `json:"max_tokens"`
	MaxCompletionTokens *int          `json:"max_completion_tokens"`
	MinTokens           int           `json:"min_tokens"`
	IgnoreEOS           bool          `json:"ignore_eos"`
	Temperature         *float64      `json:"temperature"`
	Seed                *seedValue    `json:"seed"`
	Stop                oneOrMany     `json:"stop"`
	Stream              bool          `json:"stream"`
	StreamOptions       struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	N *int `json:"n"`

	prompt      []rune
	maxTokens   int
	minTokens   int
	temperature float64
	seed        uint64
}

type chatMessage struct {
	Role    string      `json:"role"`
	Content messageText `json:"content"`
}

// messageText is a text, or a list of parts of which the text ones count.
type messageText string

func (t *messageText) UnmarshalJSON(b []byte) error {
	var text *string
	if json.Unmarshal(b, &text) == nil {
		if text != nil {
			*t = messageText(*text)
		}
		return nil
	}
	var parts []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	if err := json.Unmarshal(b, &parts); err != nil {
		return fmt.Errorf("content is neither a text nor a list of parts")
	}
	for _, p := range parts {
		if p.Type != "text" {
			return fmt.Errorf("content has a part of type %q; this model reads text only", p.Type)
		}
		*t += messageText(p.Text)
	}
	return nil
}

// oneOrMany is a text or a list of texts.
type oneOrMany []string

func (o *oneOrMany) UnmarshalJSON(b []byte) error {
	*o = nil
	var one *string
	if json.Unmarshal(b, &one) == nil {
		if one != nil {
			*o = oneOrMany{*one}
		}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(o))
}

// Tokens of an answer when the request does not say.
const (
	defaultChatTokens       = 256
	defaultCompletionTokens = 16 // OpenAI's default
)

// decodeChat reads and checks a request for text; chat tells the interface with messages from the one with a prompt.
func decodeChat(body []byte, chat bool, context int, draw func() uint64) (*chatRequest, error) {
	req := &chatRequest{}
	if err := decodeJSON(body, req); err != nil {
		return nil, err
	}
	if err := req.setPrompt(chat, context); err != nil {
		return nil, err
	}
	if err := req.setTokens(chat, context); err != nil {
		return nil, err
	}
	req.temperature = 0.7
	if req.Temperature != nil {
		req.temperature = *req.Temperature
	}
	switch {
	case req.temperature < 0 || req.temperature > 2:
		return nil, invalid("temperature", "temperature %g is out of range; give 0 to 2", req.temperature)
	case req.N != nil && *req.N != 1:
		return nil, invalid("n", "n %d is not supported; ask for one answer at a time", *req.N)
	case len(req.Stop) > maxStops:
		return nil, invalid("stop", "%d stop texts are too many; give up to %d", len(req.Stop), maxStops)
	}
	for _, stop := range req.Stop {
		if stop == "" || len(stop) > 256 {
			return nil, invalid("stop", "a stop text has %d bytes; give 1 to 256", len(stop))
		}
	}
	req.seed = req.Seed.or(draw)
	return req, nil
}

// setPrompt makes the text that is continued. A chat is laid out as the training text is.
func (req *chatRequest) setPrompt(chat bool, context int) error {
	var text string
	switch {
	case chat && len(req.Messages) == 0:
		return invalid("messages", "messages is missing; give at least one")
	case chat:
		var b strings.Builder
		for _, m := range req.Messages {
			switch m.Role {
			case "user":
				b.WriteString("Q: ")
			case "assistant":
				b.WriteString("A: ")
			case "system", "developer", "tool":
			default:
				return invalid("messages", "role %q is not known; use system, user or assistant", m.Role)
			}
			b.WriteString(string(m.Content))
			b.WriteByte('\n')
		}
		b.WriteString("A: ")
		text = b.String()
	case len(req.Prompt) > 1:
		return invalid("prompt", "%d prompts are too many; send one a request", len(req.Prompt))
	case len(req.Prompt) == 1:
		text = req.Prompt[0]
	}
	if n := utf8.RuneCountInString(text); n >= context {
		e := invalid("messages", "the prompt has %d tokens (one a character), and prompt and answer together may have %d",
			n, context)
		e.code = "context_length_exceeded"
		return e
	}
	req.prompt = []rune(text)
	return nil
}

// setTokens decides how long the answer may be.
func (req *chatRequest) setTokens(chat bool, context int) error {
	room := context - len(req.prompt)
	want := req.MaxTokens
	if req.MaxCompletionTokens != nil {
		want = req.MaxCompletionTokens
	}
	switch {
	case want == nil && chat:
		req.maxTokens = min(defaultChatTokens, room)
	case want == nil:
		req.maxTokens = min(defaultCompletionTokens, room)
	case *want < 1 || *want > room:
		e := invalid("max_tokens", "max_tokens %d is out of range; beside this prompt there is room for 1 to %d", *want, room)
		return e
	default:
		req.maxTokens = *want
	}
	req.minTokens = req.MinTokens
	if req.IgnoreEOS {
		req.minTokens = req.maxTokens
	}
	if req.minTokens < 0 || req.minTokens > req.maxTokens {
		return invalid("min_tokens", "min_tokens %d is out of range; give 0 to %d", req.minTokens, req.maxTokens)
	}
	return nil
}

// decodePredict reads a point to predict for. Without a body, or without an input in it, that is the middle.
func decodePredict(body []byte) ([]float64, error) {
	var req struct {
		Input []float64 `json:"input"`
	}
	if len(body) > 0 {
		if err := decodeJSON(body, &req); err != nil {
			return nil, err
		}
	}
	if req.Input == nil {
		return make([]float64, mlpInputs), nil
	}
	if len(req.Input) != mlpInputs {
		return nil, invalid("input", "input has %d numbers; give %d, for example [0.2,-0.4]", len(req.Input), mlpInputs)
	}
	for _, v := range req.Input {
		if math.Abs(v) > 1e6 {
			return nil, invalid("input", "input %g is out of range; give -1e6 to 1e6", v)
		}
	}
	return req.Input, nil
}

// decodeJSON reads one JSON object.
func decodeJSON(body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return invalid("", "the body is not the JSON that was expected: %v", err)
	}
	return nil
}
