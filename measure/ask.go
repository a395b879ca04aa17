package measure

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Query is a PromQL expression whose value decisions need.
type Query struct {
	Text   string
	Source string // name of who answers it; "" is Weir's own history
}

// Key is the name that a policy reads the answer under.
func (q Query) Key() string { return QueryPrefix + q.Text }

// QueryPrefix begins the names of answers among the metrics of a pool.
const QueryPrefix = "query:"

// Source answers queries.
type Source interface {
	// Query evaluates promql, which must give one number, at a moment. known is false when there is no such series, or its value is
	// not a number: neither is an error, nor 0.
	Query(ctx context.Context, promql string, at time.Time) (value float64, known bool, err error)
}

// AskEvery is the time between two evaluations of a query. After three of them without an answer its value is unknown.
const AskEvery = 5 * time.Second

// staleAfter is how old an answer may be.
const staleAfter = 3 * AskEvery

// Asker evaluates the queries of all pools beside the loops that decide, so that no slow answer holds up a decision. The methods of a
// nil Asker do nothing.
type Asker struct {
	sources map[string]Source
	log     *slog.Logger

	ctx  context.Context
	asks sync.WaitGroup

	mu    sync.Mutex
	pools map[string][]Query
	asked map[Query]*asked
}

// asked is one query that somebody needs.
type asked struct {
	cancel context.CancelFunc

	// Guarded by the asker's lock.
	value float64
	at    time.Time // of the last answer; zero: none yet
	known bool
	why   string // it is not known, in words
	count int    // of evaluations
	told  string // the reason that was logged last; "" when there was none since the last answer
}

// NewAsker returns an Asker that works until ctx ends; Wait waits for that. sources are those that a query may name.
func NewAsker(ctx context.Context, sources map[string]Source, log *slog.Logger) *Asker {
	return &Asker{ctx: ctx, sources: sources, log: log, pools: map[string][]Query{}, asked: map[Query]*asked{}}
}

// Wait returns when nothing is evaluated any more, after the context has ended.
func (a *Asker) Wait() {
	if a != nil {
		a.asks.Wait()
	}
}

// Watch makes qs the queries of a pool; none for a pool that is gone. What other pools ask, too, is evaluated once.
func (a *Asker) Watch(pool string, qs []Query) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ctx.Err() != nil {
		return
	}
	if len(qs) == 0 {
		delete(a.pools, pool)
	} else {
		a.pools[pool] = slices.Clone(qs)
	}
	wanted := map[Query]bool{}
	for _, qs := range a.pools {
		for _, q := range qs {
			wanted[q] = true
		}
	}
	for q, one := range a.asked {
		if !wanted[q] {
			one.cancel()
			delete(a.asked, q)
		}
	}
	for q := range wanted {
		if a.asked[q] == nil {
			ctx, cancel := context.WithCancel(a.ctx)
			one := &asked{cancel: cancel, why: "it has not been evaluated yet"}
			a.asked[q] = one
			a.asks.Go(func() { a.ask(ctx, q, one) })
		}
	}
}

// ask evaluates one query until ctx ends.
func (a *Asker) ask(ctx context.Context, q Query, one *asked) {
	t := time.NewTicker(AskEvery)
	defer t.Stop()
	for {
		a.once(ctx, q, one)
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// once evaluates a query and keeps the answer. That nothing is known is said once, and again when that has changed.
func (a *Asker) once(ctx context.Context, q Query, one *asked) {
	source := a.sources[q.Source]
	if source == nil {
		a.note(q, one, 0, false, true, fmt.Sprintf("there is no source %q of queries", q.Source))
		return
	}
	limited, cancel := context.WithTimeout(ctx, AskEvery)
	v, known, err := source.Query(limited, q.Text, time.Now())
	cancel()
	switch {
	case ctx.Err() != nil:
	case err != nil:
		a.note(q, one, 0, false, false, err.Error())
	case !known:
		a.note(q, one, 0, false, true, "there is no such series, or its value is not a number")
	default:
		a.note(q, one, v, true, true, "")
	}
}

// note keeps an answer. said is whether the source itself says that it does not know: then what it said before is not true any more,
// while a source that is out of reach for a moment may yet be.
func (a *Asker) note(q Query, one *asked, v float64, known, said bool, why string) {
	a.mu.Lock()
	one.count++
	// What is about to be measured for the first time is not there yet: a source that just does not know has a second chance.
	warn := !known && reason(why) != one.told && (!said || one.count > 1)
	again := known && one.told != ""
	if known {
		one.told = ""
	} else if warn {
		one.told = reason(why)
	}
	one.known, one.why = known, why
	if known {
		one.value, one.at = v, time.Now()
	} else if said {
		one.at = time.Time{}
	}
	a.mu.Unlock()
	switch {
	case again:
		a.log.Info("a query has an answer again", "query", q.Text, "source", sourceName(q.Source), "value", v)
	case warn:
		a.log.Warn("a query has no answer; policies treat it as unknown", "query", q.Text, "source", sourceName(q.Source), "why", why)
	}
}

// reason is the beginning of a reason, without what differs from one time to the next, such as a port.
func reason(why string) string {
	head, _, _ := strings.Cut(why, ":")
	return head
}

func sourceName(s string) string {
	if s == "" {
		return "history"
	}
	return s
}

// Into adds the answers of a pool's queries to its metrics. What is unknown, or too old, is left out.
func (a *Asker) Into(metrics map[string]float64, pool string, now time.Time) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, q := range a.pools[pool] {
		if one := a.asked[q]; one != nil && !one.at.IsZero() && now.Sub(one.at) <= staleAfter {
			metrics[q.Key()] = one.value
		}
	}
}

// Answer is how a query stands.
type Answer struct {
	Query
	Value float64
	Known bool
	At    time.Time // of the last answer, zero when there never was one
	Why   string    // it has no answer now, "" when it has
}

// Answers returns how the queries of a pool stand, in the order of their text.
func (a *Asker) Answers(pool string, now time.Time) []Answer {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	distinct := map[Query]Answer{}
	for _, q := range a.pools[pool] {
		if one := a.asked[q]; one != nil {
			fresh := !one.at.IsZero() && now.Sub(one.at) <= staleAfter
			distinct[q] = Answer{Query: q, Value: one.value, Known: fresh, At: one.at, Why: one.why}
		}
	}
	out := slices.Collect(maps.Values(distinct))
	slices.SortFunc(out, func(x, y Answer) int { return strings.Compare(x.Text+"\x00"+x.Source, y.Text+"\x00"+y.Source) })
	return out
}
