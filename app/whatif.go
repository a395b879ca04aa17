package app

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/measure"
	"github.com/weirlb/weir/sim"
	"github.com/weirlb/weir/trace"
)

// What a question may cost a Weir that has other work.
const (
	whatIfTime     = 2 * time.Minute
	whatIfRequests = 5_000_000
	whatIfPoints   = 600 // of a curve
)

// WhatIf runs the traffic of a pool's past under its policy as it is configured and under another one. It takes one processor, and one question at a time. It
// implements admin.Wonderer.
func (a *App) WhatIf(ctx context.Context, q admin.Question, progress func(float64)) (*admin.WhatIf, error) {
	now, other, err := a.alternatives(q)
	if err != nil {
		return nil, err
	}
	select {
	case a.wondering <- struct{}{}:
		defer func() { <-a.wondering }()
	default:
		return nil, errors.New("another what-if is being answered; ask again when it is done")
	}
	r, err := a.Recorded(ctx, q.Pool, q.From, q.To)
	if err != nil {
		return nil, err
	}
	n := r.Arrivals()
	if n > whatIfRequests {
		return nil, admin.Mistake{Err: fmt.Errorf("%d requests came in that time, and the page tries at most %d; ask for a shorter time, or use weir replay --last", n, whatIfRequests)}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, whatIfTime, fmt.Errorf("it takes more than %v; ask for a shorter time, or use weir replay --last", whatIfTime))
	defer cancel()
	var runs []*sim.Result
	var judge sim.Options
	for i, c := range []*config.Pool{now, other} {
		o := Simulation(q.Pool, c)
		Begin(&o, r, r.Boots)
		o.Name, o.Seed, o.Price = [...]string{"as configured", "alternative"}[i], cmp.Or(q.Seed, 1), priceOf(now)
		o.Step = max((r.To.Sub(r.From) / whatIfPoints).Round(time.Second), time.Second)
		o.Terse = true
		if i == 0 {
			judge = o
		}
		o.Promise = judge.Promise
		progress(float64(i) / 2)
		run, err := wonder(ctx, o, r, func(done float64) { progress((float64(i) + done) / 2) })
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	out := &admin.WhatIf{
		Pool: q.Pool, From: r.From, To: r.To, Requests: n, Promise: judge.Promise.Seconds(), Price: judge.Price,
		Gaps: append([]trace.Gap{}, r.Gaps...), Notes: notesOn(q, r, now, other),
	}
	if out.Runs, err = runsOf(runs); err != nil {
		return nil, err
	}
	for _, run := range runs {
		out.Curves = append(out.Curves, whatIfCurve(run, r.From))
	}
	if c, ok := a.measured(ctx, r); ok {
		out.Curves = append(out.Curves, c)
	}
	return out, nil
}

// alternatives are the pool as it is configured, and with the policy of the question.
func (a *App) alternatives(q admin.Question) (now, other *config.Pool, err error) {
	lp, err := a.pool(q.Pool)
	if err != nil {
		return nil, nil, err
	}
	a.mu.Lock()
	c := a.cfg
	a.mu.Unlock()
	now = lp.config()
	if now.Scale == nil || c.Pools[q.Pool] == nil {
		return nil, nil, admin.Mistake{Err: fmt.Errorf("pool %s has fixed targets and does not scale, so there is no policy to change", q.Pool)}
	}
	if other, err = c.WithScale(q.Pool, "policy", []byte(q.Policy)); err != nil {
		return nil, nil, admin.Mistake{Err: err}
	}
	if errs := checkQueries("", other, c.Metrics); len(errs) > 0 {
		return nil, nil, admin.Mistake{Err: errs}
	}
	return now, other, nil
}

// wonder is one run. It ends soon after ctx does.
func wonder(ctx context.Context, o sim.Options, r *admin.Recorded, progress func(float64)) (*sim.Result, error) {
	span := float64(r.To.Sub(r.From))
	n := 0
	run, err := sim.Run(ctx, o, func(yield func(sim.Request) bool) {
		for q := range Arrivals(r.Requests(trace.RebuildOptions{Seed: o.Seed})) {
			if n++; n%256 == 0 {
				if ctx.Err() != nil {
					return
				}
				progress(float64(q.At) / span)
			}
			if !yield(q) {
				return
			}
		}
	})
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return run, err
}

// priceOf is what an instance costs in an hour where types have no prices: 1; and 0 where they have.
func priceOf(c *config.Pool) float64 {
	if mixOf(c) != nil {
		return 0
	}
	return 1
}

// notesOn says how far to believe it.
func notesOn(q admin.Question, r *admin.Recorded, pools ...*config.Pool) []string {
	notes := []string{"The requests are rebuilt from counts: as many as came in each few seconds, at random within them, with service times drawn from those measured around them."}
	if !q.From.IsZero() && r.From.Sub(q.From) > time.Minute {
		notes = append(notes, fmt.Sprintf("The history begins at %s, and so does this.", r.From.Local().Format(time.DateTime)))
	}
	if len(r.Services) == 0 {
		notes = append(notes, "The history has no service times of that time; every request is taken to need 1 s.")
	}
	if len(r.Boots) == 0 {
		notes = append(notes, "No boot has been measured; every one is taken to need 10 s.")
	}
	if n := len(r.Gaps); n > 0 {
		var all time.Duration
		for _, g := range r.Gaps {
			all += g.Span
		}
		notes = append(notes, fmt.Sprintf("Of %v the history knows nothing (%d times Weir did not run or could not write); no request is taken to have come then.", all.Round(time.Second), n))
	}
	for _, p := range pools {
		for _, one := range p.Scale.Policies {
			if t := one.Target; t != nil && (t.Query != "" || !simulated[t.Metric]) {
				notes = append(notes, fmt.Sprintf("A policy goes by %s, which the simulator does not know: it has no say here.", cmp.Or(t.Metric, t.Query)))
			}
		}
	}
	return notes
}

// simulated are the metrics that a policy finds in the simulator as in production.
var simulated = map[string]bool{
	config.MetricCPUUtilization: true, config.MetricQueueDepth: true, config.MetricInFlight: true, config.MetricRequestsPerSecond: true,
}

func runsOf(runs []*sim.Result) (json.RawMessage, error) {
	var b bytes.Buffer
	var all struct{ Runs json.RawMessage }
	if err := sim.WriteJSON(&b, runs); err != nil {
		return nil, err
	}
	err := json.Unmarshal(b.Bytes(), &all)
	return all.Runs, err
}

func whatIfCurve(run *sim.Result, from time.Time) admin.WhatIfCurve {
	c := admin.WhatIfCurve{Policy: run.Policy}
	for _, p := range run.Curve {
		c.Time = append(c.Time, float64(from.Add(p.At).UnixMilli())/1000)
		c.Instances = append(c.Instances, float64(p.Instances))
		c.Wait = append(c.Wait, new(p.WaitMax.Seconds()))
	}
	return c
}

// measured is what the history has of the same time.
func (a *App) measured(ctx context.Context, r *admin.Recorded) (admin.WhatIfCurve, bool) {
	c := admin.WhatIfCurve{Policy: "measured"}
	step := max((r.To.Sub(r.From) / whatIfPoints).Round(time.Second), time.Second)
	of := "{pool=" + strconv.Quote(r.Pool) + "}"
	instances, err := a.History(ctx, "sum(weir_instances"+of+")", r.From, r.To, step)
	if err != nil || len(instances) == 0 {
		return c, false
	}
	waits, err := a.History(ctx, "max(weir_wait_seconds{quantile=\"0.95\",pool="+strconv.Quote(r.Pool)+"})", r.From, r.To, step)
	if err != nil {
		waits = nil
	}
	at := map[int64]measure.Point{}
	for _, p := range waits {
		at[p.Time.UnixMilli()] = p
	}
	for _, p := range instances {
		c.Time = append(c.Time, float64(p.Time.UnixMilli())/1000)
		c.Instances = append(c.Instances, p.Value)
		var wait *float64
		if w, ok := at[p.Time.UnixMilli()]; ok {
			wait = new(w.Value)
		}
		c.Wait = append(c.Wait, wait)
	}
	return c, true
}

// Policy is a pool's scale block as the file has it. It implements admin.Wonderer.
func (a *App) Policy(pool string) (*admin.WhatIfNow, error) {
	lp, err := a.pool(pool)
	if err != nil {
		return nil, err
	}
	now := &admin.WhatIfNow{Pool: pool}
	if lp.config().Scale == nil {
		now.Why = "the pool has fixed targets and does not scale"
		return now, nil
	}
	src, err := os.ReadFile(a.o.Config)
	if err == nil {
		now.Policy, err = config.ScaleText(src, pool)
	}
	if err != nil {
		now.Why = "the text of the policy could not be read: " + err.Error()
	}
	return now, nil
}
