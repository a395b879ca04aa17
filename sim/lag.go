package sim

import (
	"maps"
	"time"

	"github.com/weirlb/weir/scale"
)

// Lagged shows a policy the metrics as a monitoring system in between would: sampled every Period, Delay late, and asks it only every Sync.
// Instances, their states and their number are not delayed: what a controller asks its own API for is fresh.
type Lagged struct {
	Policy scale.Policy
	Period time.Duration // between two samples; each holds the newest values of its time
	Delay  time.Duration // until a sample can be read
	Sync   time.Duration // between two looks of the policy

	samples []sample // the oldest first
	last    scale.Proposal
	next    time.Time
	seen    scale.Observation
}

type sample struct {
	at        time.Time
	metrics   map[string]float64
	instances map[string]map[string]float64
}

// Name is that of the policy.
func (l *Lagged) Name() string { return l.Policy.Name() }

// Propose repeats what the policy said last until its next look.
func (l *Lagged) Propose(obs *scale.Observation) scale.Proposal {
	if n := len(l.samples); n == 0 || obs.Time.Sub(l.samples[n-1].at) >= l.Period {
		l.sample(obs)
	}
	if obs.Time.Before(l.next) {
		return l.last
	}
	l.next = obs.Time.Add(l.Sync)
	for len(l.samples) > 1 && !l.samples[1].at.After(obs.Time.Add(-l.Delay)) {
		l.samples = l.samples[1:]
	}
	l.seen = *obs
	l.seen.Instances = append([]scale.Instance(nil), obs.Instances...)
	s := l.samples[0]
	old := !s.at.After(obs.Time.Add(-l.Delay))
	if l.seen.Metrics = nil; old {
		l.seen.Metrics = s.metrics
	}
	for i := range l.seen.Instances {
		in := &l.seen.Instances[i]
		if in.Metrics = nil; old {
			in.Metrics = s.instances[in.ID]
		}
	}
	l.last = l.Policy.Propose(&l.seen)
	return l.last
}

func (l *Lagged) sample(obs *scale.Observation) {
	s := sample{at: obs.Time, metrics: maps.Clone(obs.Metrics), instances: make(map[string]map[string]float64, len(obs.Instances))}
	for i := range obs.Instances {
		if in := &obs.Instances[i]; len(in.Metrics) > 0 {
			s.instances[in.ID] = maps.Clone(in.Metrics)
		}
	}
	l.samples = append(l.samples, s)
}
