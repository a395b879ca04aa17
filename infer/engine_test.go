package infer

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// testEngine is an engine on an emulated device with round numbers: 10ms a token, 1ms a token of a prompt, and each
// further sequence of a batch adds a tenth.
func testEngine(ctx context.Context) *engine {
	return &engine{
		ctx: ctx, dev: newDevice(true), tokenTime: 10 * time.Millisecond, prefillTime: time.Millisecond,
		batchCost: 0.1, onTokens: func(int, int) {},
	}
}

func testSequence(ctx context.Context, m *charModel, prompt, tokens int) *sequence {
	return &sequence{
		ctx: ctx, sampler: m.sampler(1, 0.7), prompt: []rune(strings.Repeat("a", prompt)),
		maxTokens: tokens, minTokens: tokens, release: func() {},
		out: make(chan string, tokens+1), started: make(chan struct{}),
	}
}

// collect returns when each piece of a sequence came.
func collect(s *sequence, since time.Time) (times []time.Duration) {
	for range s.out {
		times = append(times, time.Since(since))
	}
	return times
}

func TestEngineTimesOfOneSequence(t *testing.T) {
	m := trainChars(corpus)
	synctest.Test(t, func(t *testing.T) {
		e, start := testEngine(t.Context()), time.Now()
		s := testSequence(t.Context(), m, 30, 3)
		e.add(s)
		got := collect(s, start)
		// The prompt's 30 ms and the first token's 10, then 10 each.
		for i, want := range []time.Duration{40, 50, 60} {
			if got[i] != want*time.Millisecond {
				t.Errorf("token %d came after %v, want %dms", i, got[i], want)
			}
		}
		if s.reason != "length" || s.written != 3 || s.read != 30 {
			t.Errorf("ended by %q after reading %d and writing %d", s.reason, s.read, s.written)
		}
	})
}

// Four sequences that write at once take 10 ms * (1 + 0.1*3) a step, not four times as long as one.
func TestEngineBatchesWithContention(t *testing.T) {
	m := trainChars(corpus)
	synctest.Test(t, func(t *testing.T) {
		e, start := testEngine(t.Context()), time.Now()
		e.dev.turn <- struct{}{}
		seqs := make([]*sequence, 4)
		for i := range seqs {
			seqs[i] = testSequence(t.Context(), m, 1, 5)
			e.active = append(e.active, seqs[i])
		}
		e.looping = true
		go e.loop()
		<-e.dev.turn
		var wg sync.WaitGroup
		for _, s := range seqs {
			wg.Go(func() {
				got := collect(s, start)
				// Four tokens of prompts are in the first step.
				if want := 4*time.Millisecond + 5*13*time.Millisecond; got[4] != want {
					t.Errorf("the last token came after %v, want %v", got[4], want)
				}
			})
		}
		wg.Wait()
	})
}

// A sequence joins while others write, and a long prompt does not hold the others up longer than a chunk of it takes.
func TestEngineReadsLongPromptsInChunks(t *testing.T) {
	m := trainChars(corpus)
	synctest.Test(t, func(t *testing.T) {
		e, start := testEngine(t.Context()), time.Now()
		short := testSequence(t.Context(), m, 1, 10)
		e.add(short)
		time.Sleep(12 * time.Millisecond) // into the second step
		long := testSequence(t.Context(), m, 1000, 1)
		e.add(long)
		var wg sync.WaitGroup
		wg.Go(func() { collect(long, start) })
		var last, gap time.Duration
		for _, at := range collect(short, start) {
			gap, last = max(gap, at-last), at
		}
		if want := (prefillChunk + 10) * time.Millisecond; gap != want {
			t.Errorf("the longest gap is %v, want %v", gap, want)
		}
		wg.Wait()
	})
}

// A sequence whose client leaves is out of the batch at the next step, and its neighbours are quicker for it.
func TestEngineDropsWhoLeft(t *testing.T) {
	m := trainChars(corpus)
	synctest.Test(t, func(t *testing.T) {
		e, start := testEngine(t.Context()), time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		leaver, stayer := testSequence(ctx, m, 0, 100), testSequence(t.Context(), m, 0, 6)
		e.add(stayer)
		e.add(leaver)
		go func() {
			time.Sleep(35 * time.Millisecond)
			cancel()
		}()
		got := collect(stayer, start)
		last := got[5] - got[4]
		if last != 10*time.Millisecond {
			t.Errorf("the last step, alone, took %v, want 10ms", last)
		}
		synctest.Wait()
		if leaver.written > 4 || e.looping || e.cached.Load() != 0 {
			t.Errorf("who left wrote %d tokens; looping %v, cached %d", leaver.written, e.looping, e.cached.Load())
		}
	})
}
