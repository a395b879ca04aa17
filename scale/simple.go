package scale

import (
	"encoding/json"
	"time"

	"github.com/weirlb/weir/alarm"
)

// SimpleOptions is a SimpleScaling policy.
type SimpleOptions struct {
	Name       string // for the record; without one, the metric
	Signal     Signal
	Rule       alarm.Rule
	Adjustment Adjustment
	Cooldown   time.Duration // after a change of the capacity is complete
}

// SimpleScaling is simple scaling as of an Auto Scaling group: when the alarm goes off, one adjustment; then nothing until every instance
// that the change launched is ready, and the cooldown after that has passed. A change by anyone counts, so that two of these policies
// wait for each other. Schedules, people and the replacement of unhealthy instances do not wait.
type SimpleScaling struct {
	o     SimpleOptions
	watch watch
	now   simpleState
}

// simpleState is what a SimpleScaling carries over.
type simpleState struct {
	Watch   watchState `json:"watch"`
	Seen    time.Time  `json:"seen,omitzero"`    // the newest observation
	Desired int        `json:"desired"`          // of it
	Changed bool       `json:"changed"`          // the capacity has changed since there is a policy
	Busy    time.Time  `json:"busy,omitzero"`    // when a change was last seen to be under way
	Waiting bool       `json:"waiting,omitzero"` // it still is
}

// NewSimple returns a SimpleScaling without history.
func NewSimple(o SimpleOptions) *SimpleScaling {
	return &SimpleScaling{o: o, watch: newWatch(o.Signal, o.Rule)}
}

// Name is "simple" and the metric or the name.
func (s *SimpleScaling) Name() string { return named("simple", s.o.Name, s.o.Signal.Metric) }

// Propose takes a sample, and acts when a period ends while the alarm is on and no cooldown holds it back.
func (s *SimpleScaling) Propose(obs *Observation) Proposal {
	p := Proposal{Policy: s.Name(), Desired: obs.Desired}
	v, known := s.o.Signal.read(obs, 0)
	ended := s.watch.sample(obs.Time, v, known)
	s.follow(obs)
	if hold(obs, &s.watch, ended, s.o.Signal.Metric, &p) {
		return p
	}
	newest, _ := s.watch.series.Newest()
	var buf [256]byte
	why := words(buf[:0]).text(s.o.Signal.Metric).text(" ").num(newest).text(" is ").text(s.o.Rule.String())
	left := s.o.Cooldown - obs.Time.Sub(s.now.Busy)
	switch {
	case s.now.Waiting:
		p.Why = obs.say(why.text("; waits until the last change is complete"))
	case s.now.Changed && left > 0:
		p.Why = obs.say(why.text("; cooldown for another ").span(left))
	default:
		p.apply(obs, s.o.Adjustment, obs.Desired, 0, s.o.Adjustment.explain(why.text(": "), obs.Desired))
		return p
	}
	p.Neutral = s.o.Adjustment.change(obs.Desired) < 0
	return p
}

// follow keeps track of changes of the capacity. One that was decided on the last observation is seen on this one.
func (s *SimpleScaling) follow(obs *Observation) {
	n := &s.now
	if !n.Seen.IsZero() && obs.Desired != n.Desired {
		n.Changed, n.Busy = true, n.Seen
	}
	n.Waiting = false
	limit := obs.Boot.warmUpLimit()
	for i := range obs.Instances {
		in := &obs.Instances[i]
		if in.coming() && (in.Started.IsZero() || obs.Time.Sub(in.Started) < limit) && n.Changed {
			n.Waiting, n.Busy = true, obs.Time
		}
	}
	n.Seen, n.Desired = obs.Time, obs.Desired
}

// SaveState implements Stateful.
func (s *SimpleScaling) SaveState() ([]byte, error) {
	state := s.now
	state.Watch = s.watch.save()
	return json.Marshal(state)
}

// RestoreState implements Stateful.
func (s *SimpleScaling) RestoreState(b []byte) error {
	var state simpleState
	if err := json.Unmarshal(b, &state); err != nil {
		return err
	}
	s.now = state
	s.watch.restore(state.Watch)
	return nil
}
