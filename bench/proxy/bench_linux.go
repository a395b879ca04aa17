package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/weirlb/weir/bench/internal/load"
	"github.com/weirlb/weir/bench/internal/procstat"
)

// bench is a whole measurement: every scenario, round and candidate.
type bench struct {
	*env
	candidates []candidate
	scenarios  []scenario
	results    results
	refused    []string // measurements given up, with the reason
	noisy      []string // measurements kept although noisy
	inARow     int      // last measurements that were noisy at every try
	done       int
	began      time.Time
}

func newBench(e *env) *bench {
	b := &bench{env: e, results: make(results), began: time.Now()}
	for _, name := range e.only {
		i := slices.IndexFunc(candidates, func(c candidate) bool { return c.name == name })
		b.candidates = append(b.candidates, candidates[i])
	}
	for _, name := range e.settings.scenarios {
		i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == name })
		b.scenarios = append(b.scenarios, scenarios[i])
	}
	return b
}

// run measures A B C, A B C and so on, so that a slow minute of the machine
// meets all candidates alike.
func (b *bench) run(ctx context.Context) error {
	for _, s := range b.scenarios {
		for round := range b.rounds {
			for _, c := range b.candidates {
				if !s.can(c.name) {
					continue
				}
				if err := b.cell(ctx, s, c, round); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// hopeless is after how many measurements in a row, each refused for noise at
// every try, the machine is taken to stay as it is.
const hopeless = 3

// cell measures one candidate in one round, again when it is refused.
func (b *bench) cell(ctx context.Context, s scenario, c candidate, round int) error {
	where := fmt.Sprintf("%s, round %d of %d, %s", s.name, round+1, b.rounds, c.name)
	result, verdict, err := b.try(ctx, s, c, where)
	if err != nil {
		return err
	}
	if verdict.noise {
		b.inARow++
	} else {
		b.inARow = 0
	}
	switch {
	case verdict.reason == "":
		b.results.put(s.name, c.name, round, result)
	case verdict.noise && b.keepNoisy:
		b.results.put(s.name, c.name, round, result)
		b.noisy = append(b.noisy, where+": "+verdict.reason)
	case b.inARow == hopeless:
		return fmt.Errorf("this machine is too busy to measure on; the last of %d measurements in a row that were refused is %s: %s (quieten it, or keep noise with -keep-noisy)",
			hopeless, where, verdict.reason)
	default:
		b.refused = append(b.refused, where+": "+verdict.reason)
	}
	b.done++
	b.progress(where, s, result, verdict)
	return nil
}

// try measures until a measurement counts or the tries are used up, and
// returns the last with its verdict.
func (b *bench) try(ctx context.Context, s scenario, c candidate, where string) (load.Result, verdict, error) {
	tries := b.tries
	if b.inARow >= hopeless {
		tries = 1 // noise is kept, and waiting for less of it has not helped
	}
	for {
		result, verdict, err := b.measure(ctx, c, s)
		tries--
		if err != nil || verdict.reason == "" || verdict.final || tries == 0 {
			return result, verdict, err
		}
		b.say("%s: refused: %s; trying again", where, verdict.reason)
		if err := b.awaitQuiet(ctx); err != nil {
			return result, verdict, err
		}
	}
}

func (b *bench) progress(where string, s scenario, r load.Result, v verdict) {
	total := 0
	for _, s := range b.scenarios {
		for _, c := range b.candidates {
			if s.can(c.name) {
				total += b.rounds
			}
		}
	}
	left := time.Since(b.began) / time.Duration(b.done) * time.Duration(total-b.done)
	what := v.reason
	if r.Units > 0 {
		what = fmt.Sprintf("%.2f", s.metrics[0].Value(r))
		if v.reason != "" {
			what += " (noisy: " + v.reason + ")"
		}
	}
	b.say("[%d/%d, %v left] %s: %s", b.done, total, left.Round(time.Second), where, what)
}

// say reports progress on stderr, where it stays apart from the tables.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

// awaitQuiet waits until nothing runs on the proxy's core, at most ten seconds.
func (b *bench) awaitQuiet(ctx context.Context) error {
	const glance = 500 * time.Millisecond
	apart := procstat.InterruptsApart()
	before, err := procstat.ReadCores(b.proxyCore)
	if err != nil {
		return err
	}
	for range 20 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(glance):
		}
		after, err := procstat.ReadCores(b.proxyCore)
		if err != nil {
			return err
		}
		if float64(after[0].Since(before[0]).Work(apart)) < b.limits.foreign*float64(glance) {
			return nil
		}
		before = after
	}
	return nil
}
