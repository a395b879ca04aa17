package infer

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// prefillChunk is the most tokens of prompts one step of the batch reads. A long prompt is read in several steps, so
// that the sequences beside it go on and a client that leaves is noticed.
const prefillChunk = 512

// engine writes all running chat sequences as one batch: a sequence joins at the next step and leaves when it ends,
// without waiting for the others (continuous batching, Yu et al. 2022, "Orca").
type engine struct {
	ctx         context.Context // the server's life
	dev         *device
	tokenTime   time.Duration
	prefillTime time.Duration // of one token of a prompt
	batchCost   float64       // share of tokenTime each sequence after the first adds
	onTokens    func(read, written int)

	cached atomic.Int64 // tokens of the running sequences that the device holds

	mu      sync.Mutex
	active  []*sequence // guarded by mu
	looping bool        // guarded by mu; the loop lives while there are sequences
}

// sequence is one chat request in the batch.
type sequence struct {
	ctx       context.Context
	sampler   *charSampler
	prompt    []rune
	maxTokens int
	minTokens int // tokens before the end of the text is allowed
	stop      stopper
	release   func() // gives the slot back

	out chan string // text as it is written; closed at the end; has room for all of it

	started chan struct{} // closed when a prompt that is not empty has been read

	// What follows belongs to the engine until out is closed.
	read    int    // tokens of the prompt
	written int    // tokens of the answer
	reason  string // why it ended: "stop" or "length"
	err     error  // why it could not go on
}

// add puts a sequence into the batch.
func (e *engine) add(s *sequence) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.active = append(e.active, s)
	if !e.looping {
		e.looping = true
		go e.loop()
	}
}

func (e *engine) loop() {
	follows := false
	for {
		batch := e.batch()
		if batch == nil {
			return
		}
		p := planStep(batch)
		err := e.dev.run(e.ctx, step{
			cost: e.cost(p), units: len(p.writers), follows: follows,
			work: func(context.Context) { p.compute() },
		})
		follows = true
		if err != nil {
			for _, s := range batch {
				s.err = err
				e.end(s)
			}
			continue
		}
		p.markRead()
		e.onTokens(p.reads, len(p.writers))
		for i, s := range p.writers {
			if s.accept(p.tokens[i]) {
				e.end(s)
			}
		}
	}
}

// batch returns the sequences whose clients are still there, or nil, and the loop over, when there are none.
func (e *engine) batch() []*sequence {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.active = slices.DeleteFunc(e.active, func(s *sequence) bool { return s.ctx.Err() != nil })
	var tokens int
	for _, s := range e.active {
		tokens += s.read + s.written
	}
	e.cached.Store(int64(tokens))
	if len(e.active) == 0 {
		e.active, e.looping = nil, false
		return nil
	}
	return slices.Clone(e.active)
}

// end takes a sequence out of the batch and lets its handler know.
func (e *engine) end(s *sequence) {
	e.mu.Lock()
	if i := slices.Index(e.active, s); i >= 0 {
		e.active = slices.Delete(e.active, i, i+1)
	}
	e.mu.Unlock()
	s.release()
	close(s.out)
}

// cost is the time of a step on the emulated device: every token of a prompt, and one decoding step that each further
// sequence makes a little longer.
func (e *engine) cost(p stepPlan) time.Duration {
	cost := time.Duration(p.reads) * e.prefillTime
	if k := len(p.writers); k > 0 {
		cost += time.Duration(float64(e.tokenTime) * (1 + e.batchCost*float64(k-1)))
	}
	return cost
}

// stepPlan is what one step of the batch does.
type stepPlan struct {
	readers []*sequence
	upTo    []int       // for each reader, how far its prompt will be read
	reads   int         // tokens of prompts that are read
	writers []*sequence // write one token each; a sequence that finishes its prompt is among them
	tokens  []rune      // for each writer, its token, once computed
}

// planStep shares the step between prompts, oldest first, and the sequences that write.
func planStep(batch []*sequence) stepPlan {
	var p stepPlan
	budget := prefillChunk
	for _, s := range batch {
		left := len(s.prompt) - s.read
		take := min(left, budget)
		if take > 0 {
			p.readers = append(p.readers, s)
			p.upTo = append(p.upTo, s.read+take)
			p.reads += take
			budget -= take
		}
		if take == left {
			p.writers = append(p.writers, s)
		}
	}
	return p
}

// compute reads and writes with the model.
func (p *stepPlan) compute() {
	for i, s := range p.readers {
		for _, r := range s.prompt[s.read:p.upTo[i]] {
			s.sampler.read(r)
		}
	}
	for _, s := range p.writers {
		p.tokens = append(p.tokens, s.sampler.next(s.written >= s.minTokens))
	}
}

// markRead records what the step has read, once its time on the device is over.
func (p *stepPlan) markRead() {
	for i, s := range p.readers {
		s.read = p.upTo[i]
		if s.read == len(s.prompt) {
			close(s.started)
		}
	}
}

// accept takes the next token in and reports whether the sequence has ended.
func (s *sequence) accept(token rune) (ended bool) {
	s.written++
	if token == endOfText {
		s.reason = "stop"
		s.send(s.stop.rest())
		return true
	}
	text, stopped := s.stop.push(string(token))
	s.send(text)
	switch {
	case stopped:
		s.reason = "stop"
		return true
	case s.written >= s.maxTokens:
		s.reason = "length"
		s.send(s.stop.rest())
		return true
	}
	return false
}

func (s *sequence) send(text string) {
	if text != "" {
		s.out <- text // never blocks: out has room for every token
	}
}

// stopper holds text back while it may be the beginning of a stop string. The zero value stops at nothing.
type stopper struct {
	stops []string
	held  string
}

// push adds text and returns what may be shown. When a stop string is complete it returns what came before it and
// true.
func (s *stopper) push(text string) (show string, stopped bool) {
	s.held += text
	for _, stop := range s.stops {
		if i := strings.Index(s.held, stop); i >= 0 {
			return s.held[:i], true
		}
	}
	cut := len(s.held)
	for i := range s.held {
		if slices.ContainsFunc(s.stops, func(stop string) bool { return strings.HasPrefix(stop, s.held[i:]) }) {
			cut = i
			break
		}
	}
	show, s.held = s.held[:cut], s.held[cut:]
	return show, false
}

// rest returns what is still held back.
func (s *stopper) rest() string {
	rest := s.held
	s.held = ""
	return rest
}
