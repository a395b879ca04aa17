package sim

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weirlb/weir/fleet/plan"
	"github.com/weirlb/weir/scale"
)

// Baseline is what a pool could be scaled by instead, with the settings that its own users would try.
type Baseline struct {
	Name  string
	About string                      // one line for people
	Tries func(Options) []Alternative // the search for its best settings
}

// Alternative is one setting of a baseline.
type Alternative struct {
	Setting string // in the baseline's own words
	Options Options
}

// Baselines are those that a run can be compared with, in the order of their mention. Each stands on the same pool, queue and balancing as Weir
// itself, which is more than its users have, on the same types, zones and spot markets, and has what Weir does with notices: the comparison is of scaling alone.
func Baselines() []Baseline {
	return []Baseline{
		{"static", "a fixed number of instances", staticTries},
		{"hpa-cpu", "Kubernetes' HPA on utilization: every 15 s, on metrics 30 to 45 s old", hpaTries},
		{"keda-queue", "KEDA on the requests that wait and run: polled every 30 s, then its HPA every 15 s", kedaTries},
		{"knative", "Knative's KPA on concurrency: every 2 s, with its panic window", knativeTries},
		{"asg-target", "EC2 Auto Scaling, target tracking on utilization: one-minute points, 3 of 3 to grow, 15 of 15 to shrink", asgTries},
	}
}

// Named returns the baselines of these names.
func Named(names []string) ([]Baseline, error) {
	all := Baselines()
	var out []Baseline
	for _, n := range names {
		i := slices.IndexFunc(all, func(b Baseline) bool { return b.Name == n })
		if i < 0 {
			var known []string
			for _, b := range all {
				known = append(known, b.Name)
			}
			return nil, fmt.Errorf("%q is no baseline; write one or more of %s", n, strings.Join(known, ", "))
		}
		out = append(out, all[i])
	}
	return out, nil
}

// tuningPart is the part of a trace that a baseline is tuned on.
const tuningPart = 0.25

// Tune finds the alternative that costs least on the first part of the trace among those that keep the promise for at least the part kept of
// the requests; when none does, the one that keeps it for most.
func Tune(ctx context.Context, b Baseline, o Options, requests []Request, kept float64) (Alternative, error) {
	tries := b.Tries(o)
	if len(tries) == 1 {
		return tries[0], nil
	}
	part := requests[:max(1, int(tuningPart*float64(len(requests))))]
	results := make([]*Result, len(tries))
	errs := make([]error, len(tries))
	var all sync.WaitGroup
	for w := range runtime.GOMAXPROCS(0) { // each run is its own world; which of them runs where changes nothing
		all.Go(func() {
			for i := w; i < len(tries); i += runtime.GOMAXPROCS(0) {
				results[i], errs[i] = Run(ctx, tries[i].Options, slices.Values(part))
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return Alternative{}, err
	}
	best := 0
	for i, r := range results {
		if better(r, results[best], kept) {
			best = i
		}
	}
	return tries[best], nil
}

func better(a, b *Result, kept float64) bool {
	aKeeps, bKeeps := a.Kept >= kept, b.Kept >= kept
	switch {
	case aKeeps && bKeeps:
		return a.Cost < b.Cost
	case aKeeps != bKeeps:
		return aKeeps
	}
	return a.Kept > b.Kept
}

// staticTries are all numbers of instances up to the pool's max, about a tenth apart.
func staticTries(o Options) (tries []Alternative) {
	for n := 1; n <= max(o.Scale.Max, 1); n = max(n+1, int(math.Ceil(float64(n)*1.1))) {
		s := plainly(o, nil)
		s.Desired, s.Scale.Min, s.Scale.Max = n, n, n
		tries = append(tries, Alternative{fmt.Sprintf("%d instances", n), s})
	}
	return tries
}

// plainly is o without any of Weir's own clamps and warm pool, scaled by one policy, which every run makes anew; nil is none.
func plainly(o Options, policy func() scale.Policy) Options {
	o.Scale, o.Forecast = scale.Options{Max: o.Scale.Max, OwnTiming: true}, nil
	o.Policy, o.Warm = policy, plan.WarmPool{}
	return o
}

// lagged makes the alternative in which one policy scales at least so many instances, with the delay of its own metrics.
func lagged(o Options, setting string, least int, l Lagged, policy func() (scale.Policy, error)) Alternative {
	s := plainly(o, func() scale.Policy {
		p, err := policy()
		if err != nil {
			panic(err) // the settings are this package's own
		}
		fresh := l
		fresh.Policy = p
		return &fresh
	})
	s.Scale.Min, s.Desired = least, max(s.Desired, least)
	return Alternative{setting, s}
}

// hpaTries are utilizations to hold.
func hpaTries(o Options) (tries []Alternative) {
	lag := Lagged{Period: 15 * time.Second, Delay: 30 * time.Second, Sync: 15 * time.Second}
	for _, v := range []int{20, 35, 50, 65, 80} {
		for _, least := range leasts(o) {
			tries = append(tries, lagged(o, fmt.Sprintf("%d %% utilization, min %d", v, least), least, lag, func() (scale.Policy, error) {
				return scale.NewHPA(scale.HPAOptions{
					MinReplicas: &least, MaxReplicas: max(o.Scale.Max, least),
					Metrics: []scale.HPAMetric{{Type: scale.HPAResource, Name: scale.CPUUtilization, TargetType: scale.HPAUtilization, AverageUtilization: v}},
				})
			}))
		}
	}
	return tries
}

// kedaTries are requests, waiting and running, for each instance.
func kedaTries(o Options) (tries []Alternative) {
	lag := Lagged{Period: 15 * time.Second, Delay: 15 * time.Second, Sync: time.Second} // KEDA polls by itself
	for _, part := range []float64{0.3, 0.5, 0.7, 0.85, 1} {
		for _, least := range append([]int{0}, leasts(o)...) {
			threshold := part * float64(max(o.Slots, 1))
			tries = append(tries, lagged(o, fmt.Sprintf("%.3g requests each, min %d", threshold, least), least, lag, func() (scale.Policy, error) {
				return scale.NewKEDA(scale.KEDAOptions{
					MinReplicaCount: least, MaxReplicaCount: max(o.Scale.Max, least),
					Triggers: []scale.KEDATrigger{{Type: "queue", Threshold: threshold}},
				})
			}))
		}
	}
	return tries
}

// knativeTries are utilizations of an instance's slots to aim for. Its queue-proxies report each second.
func knativeTries(o Options) (tries []Alternative) {
	lag := Lagged{Period: time.Second, Delay: time.Second, Sync: time.Second}
	for _, v := range []float64{0.3, 0.5, 0.7, 0.85, 1} {
		for _, least := range append([]int{0}, leasts(o)...) {
			a := lagged(o, fmt.Sprintf("%g of the slots, min %d", v, least), least, lag, func() (scale.Policy, error) {
				return scale.NewKnative(scale.KnativeOptions{TargetUtilization: v, MinScale: least, MaxScale: max(o.Scale.Max, least)})
			})
			a.Options.Lag, a.Options.Quiet = 2*time.Second, 2*time.Second // it averages over what it has seen
			tries = append(tries, a)
		}
	}
	return tries
}

// asgTries are utilizations to track.
func asgTries(o Options) (tries []Alternative) {
	lag := Lagged{Period: time.Minute, Delay: time.Minute, Sync: time.Minute}
	for _, v := range []float64{20, 35, 50, 65, 80} {
		for _, least := range leasts(o) {
			a := lagged(o, fmt.Sprintf("%g %% utilization, min %d", v, least), least, lag, func() (scale.Policy, error) {
				return &tracking{Metric: scale.CPUUtilization, Value: v, low: 0.7}, nil
			})
			a.Options.Warm = o.Warm // it has them, too
			tries = append(tries, a)
		}
	}
	return tries
}

// leasts are minimum sizes that users would try: some keep a floor under a policy that is too slow.
func leasts(o Options) []int {
	out := []int{1}
	for _, n := range []int{2, 4, 8, 16, 32} {
		if n <= o.Scale.Max/2 {
			out = append(out, n)
		}
	}
	return out
}

// tracking is AWS's target tracking on an average of the ready instances, looked at once a minute: out when three points in a row are above the
// target, in when fifteen are below low times the target.
type tracking struct {
	Metric string
	Value  float64
	low    float64

	high, quiet int
}

func (t *tracking) Name() string { return "asg " + t.Metric }

func (t *tracking) Propose(obs *scale.Observation) scale.Proposal {
	p := scale.Proposal{Policy: t.Name(), Desired: obs.Desired}
	sum, n, warming := 0.0, 0, false
	for i := range obs.Instances {
		in := &obs.Instances[i]
		switch v, known := in.Metrics[t.Metric]; {
		case in.State != "ready":
			warming = warming || in.State != "draining"
		case known:
			sum += v
			n++
		}
	}
	if n == 0 {
		p.Abstain, p.Why = true, "no data"
		return p
	}
	average := sum / float64(n)
	t.high, t.quiet = streak(t.high, average > t.Value), streak(t.quiet, average < t.low*t.Value)
	wanted := int(math.Ceil(float64(n) * average / t.Value))
	switch {
	case t.high >= 3:
		p.Desired = max(obs.Desired, wanted)
	case t.quiet >= 15 && !warming:
		p.Desired = min(obs.Desired, max(wanted, 1))
	}
	p.Why = fmt.Sprintf("%.1f on average of %d", average, n)
	return p
}

func streak(n int, goesOn bool) int {
	if !goesOn {
		return 0
	}
	return n + 1
}
