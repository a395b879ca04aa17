package scale

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/weirlb/weir/alarm"
)

// StepOptions is a StepScaling policy.
type StepOptions struct {
	Name   string // for the record; without one, the metric
	Signal Signal
	Rule   alarm.Rule // its Threshold is what Steps are relative to; with Comparison empty, above and below are told apart by Steps
	Steps  []Step     // as CheckSteps wants them
	Type   AdjustmentType
	Min    int           // least change of a percentage, in instances
	WarmUp time.Duration // how long a ready instance still counts as warming
}

// StepScaling is step scaling as of an Auto Scaling group: when the alarm goes off, the step in which the newest point lies says what to do,
// once for each point. Instances that still warm up are capacity and are not counted in what a percentage is of, so that the same step does
// not act twice; and while any does, nothing is taken away.
type StepScaling struct {
	o         StepOptions
	high, low watch
	up, down  bool // which of the two are watched
}

// NewStep returns a StepScaling without history.
func NewStep(o StepOptions) *StepScaling {
	s := &StepScaling{o: o}
	high, low := o.Rule, o.Rule
	switch o.Rule.Comparison {
	case alarm.Above, alarm.AtLeast:
		s.up = true
	case alarm.Below, alarm.AtMost:
		s.down = true
	default:
		for _, step := range o.Steps {
			from, to := step.ends()
			s.up, s.down = s.up || to > 0, s.down || from < 0
		}
		high.Comparison, low.Comparison = alarm.AtLeast, alarm.Below
		if !s.up {
			low.Comparison = alarm.AtMost
		}
	}
	s.high, s.low = newWatch(o.Signal, high), newWatch(o.Signal, low)
	return s
}

// Name is "step" and the metric or the name.
func (s *StepScaling) Name() string { return named("step", s.o.Name, s.o.Signal.Metric) }

func named(kind, name, metric string) string {
	if name != "" {
		return kind + " " + name
	}
	return kind + " " + metric
}

// Propose takes a sample, and acts when a period ends while the alarm is on.
func (s *StepScaling) Propose(obs *Observation) Proposal {
	p := Proposal{Policy: s.Name(), Desired: obs.Desired}
	v, known := s.o.Signal.read(obs, s.o.WarmUp)
	ended := s.high.sample(obs.Time, v, known)
	s.low.sample(obs.Time, v, known)
	w := &s.high
	if s.down && (!s.up || s.high.state != alarm.Alarm) {
		w = &s.low
	}
	if hold(obs, w, ended, s.o.Signal.Metric, &p) {
		return p
	}
	newest, _ := w.series.Newest()
	offset := newest - s.o.Rule.Threshold
	i := slices.IndexFunc(s.o.Steps, func(step Step) bool {
		from, to := step.ends() // at the threshold itself, the alarm's side decides
		return step.holds(offset) && (w == &s.high && to > 0 || w == &s.low && from < 0)
	})
	if i < 0 {
		p.Neutral, p.Why = true, "no step holds "+inWords(newest)
		return p
	}
	warming := obs.warmingUp(s.o.WarmUp)
	base := max(0, obs.Desired-warming)
	a := Adjustment{s.o.Type, s.o.Steps[i].By, s.o.Min}
	var buf [256]byte
	why := words(buf[:0]).text(s.o.Signal.Metric).text(" ").num(newest).text(", ").num(offset).text(" from ").num(s.o.Rule.Threshold).text(": ")
	p.apply(obs, a, base, warming, a.explain(why, base))
	return p
}

// apply fills in what an adjustment of base asks for, given how many are warming up besides.
func (p *Proposal) apply(obs *Observation, a Adjustment, base, warming int, why words) {
	p.Desired = min(max(0, base+a.change(base)), mostInstances)
	switch {
	case warming == 0:
	case p.Desired < base:
		p.Desired = obs.Desired
		why = why.text(", and none goes while ").int(warming).text(" warm up")
	case p.Desired < obs.Desired:
		p.Desired = obs.Desired
		why = why.text(", which with ").int(warming).text(" warming up are there already")
	}
	p.Why = obs.say(why)
}

// hold fills in p when the alarm does not act now: it is off, or on and its next point is not there yet. It reports whether that is so.
func hold(obs *Observation, w *watch, ended bool, metric string, p *Proposal) bool {
	var buf [192]byte
	why := words(buf[:0])
	newest, known := w.series.Newest()
	switch {
	case w.state == alarm.InsufficientData || !known:
		p.Abstain, p.Why = true, metric+" is unknown"
	case w.state != alarm.Alarm:
		p.Neutral = true
		p.Why = obs.say(why.text(metric).text(" ").num(newest).text(" is not ").text(w.rule.String()))
	case !ended:
		// What grew the pool a moment ago must not let another policy shrink it before the next point.
		p.Neutral = w.rule.Comparison == alarm.Below || w.rule.Comparison == alarm.AtMost
		p.Why = obs.say(why.text(metric).text(" is ").text(w.rule.String()).text(", and acts on its next point"))
	default:
		return false
	}
	return true
}

func inWords(v float64) string { return string(words(nil).num(v)) }

// stepState is what a StepScaling carries over.
type stepState struct {
	High watchState `json:"high"`
	Low  watchState `json:"low"`
}

// SaveState implements Stateful.
func (s *StepScaling) SaveState() ([]byte, error) {
	return json.Marshal(stepState{s.high.save(), s.low.save()})
}

// RestoreState implements Stateful.
func (s *StepScaling) RestoreState(b []byte) error {
	var state stepState
	if err := json.Unmarshal(b, &state); err != nil {
		return err
	}
	s.high.restore(state.High)
	s.low.restore(state.Low)
	return nil
}
