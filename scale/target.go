package scale

import (
	"encoding/json"
	"time"

	"github.com/weirlb/weir/alarm"
)

// Target keeps a metric at Value per instance, as AWS target tracking and an HPA do, and acts on every observation. [Tracking] takes the
// same at the pace of AWS.
//
// queue_depth, in_flight and requests_per_second are totals of the pool, so desired = ceil(total / Value), at whatever
// size the pool is now; so is any other metric with Total. in_flight counts the waiting requests too: slots bound how many run, and a
// pool whose slots are all taken would otherwise never look busier than it is.
//
// Any other metric is a level, as cpu_utilization is: desired = ceil(capacity * average / Value), where average and capacity
// are of the ready instances, or the level is one number of the whole pool. Those still warming carry no load, so their levels do
// not count (AWS: instance warmup); they are capacity in that the result is compared with all that is ready or coming. Two
// instances at twice the target ask for four whether or not the other two are loading already, never for eight.
// When some ready instances report nothing, the others may make the pool grow but not shrink.
type Target struct {
	Metric         string  // a name, or "query:" and a PromQL query
	Value          float64 // above 0; per instance, in the unit of the metric
	Total          bool    // the metric is a total of the pool, which its instances share
	DisableScaleIn bool    // never asks for less than there is
}

// Name is "target" and the metric.
func (t Target) Name() string { return "target " + t.Metric }

// Propose asks for the capacity at which the metric would be at its target value. It abstains when the metric is unknown.
func (t Target) Propose(obs *Observation) Proposal {
	p := Proposal{Policy: t.Name()}
	if !(t.Value > 0) {
		p.Abstain, p.Why = true, "the target value must be above 0"
		return p
	}
	if t.total() {
		t.proposeTotal(obs, &p)
	} else {
		t.proposeLevel(obs, &p)
	}
	t.onlyOut(obs, &p)
	return p
}

func (t Target) total() bool {
	return t.Total || t.Metric == QueueDepth || t.Metric == InFlight || t.Metric == RequestsPerSecond
}

// onlyOut takes the vote of a policy that may not scale in, unless it asks for more.
func (t Target) onlyOut(obs *Observation, p *Proposal) {
	if t.DisableScaleIn && !p.Abstain && p.Desired <= obs.Desired {
		p.Neutral = true
		p.Why += "; it does not scale in"
	}
}

// sum is the metric as a total of the pool.
func (t Target) sum(obs *Observation) (total float64, known bool) {
	total, known = obs.metric(t.Metric)
	if t.Metric == InFlight {
		if waiting, ok := obs.metric(QueueDepth); ok {
			total += waiting
		}
	}
	return total, known
}

// proposeTotal proposes for a metric of the whole pool.
func (t Target) proposeTotal(obs *Observation, p *Proposal) {
	total, known := t.sum(obs)
	if !known {
		p.Abstain, p.Why = true, t.Metric+" is unknown"
		return
	}
	var buf [128]byte
	why := words(buf[:0]).text("ceil(")
	switch t.Metric {
	case QueueDepth:
		why = why.num(total).text(" waiting")
	case RequestsPerSecond:
		why = why.num(total).text(" requests/s")
	case InFlight:
		running, _ := obs.metric(InFlight)
		why = why.text("(").num(running).text(" running + ").num(total - running).text(" waiting)")
	default:
		why = why.num(total).text(" in all")
	}
	p.Desired = ceil(total / t.Value)
	p.Why = obs.say(why.text(" / ").num(t.Value).text(" each) = ").int(p.Desired))
}

// average is the level of the ready instances that report it, or the pool's own, which counts for all of them.
func (t Target) average(obs *Observation, warmUp time.Duration) (average float64, ready, reporting int) {
	var sum float64
	for i := range obs.Instances {
		in := &obs.Instances[i]
		if !in.ready() || in.fresh(obs.Time, warmUp) {
			continue
		}
		ready++
		if v, ok := in.Metrics[t.Metric]; ok && v >= 0 && v < 1e18 {
			sum += v
			reporting++
		}
	}
	if reporting > 0 {
		return sum / float64(reporting), ready, reporting
	}
	if v, known := obs.metric(t.Metric); known {
		if len(obs.Instances) == 0 {
			ready = obs.Desired // an observation that lists none
		}
		return v, ready, ready
	}
	return 0, ready, 0
}

// proposeLevel proposes for a metric that each instance reports, or that is one level for all.
func (t Target) proposeLevel(obs *Observation, p *Proposal) {
	average, ready, reporting := t.average(obs, 0)
	_, coming := obs.capacity()
	if reporting == 0 {
		p.Abstain, p.Why = true, "no ready instance reports "+t.Metric
		return
	}
	p.Desired = ceil(float64(ready) * average / t.Value)

	var buf [256]byte
	why := words(buf[:0]).text("ceil(").int(ready).text(" ready x ").num(average).text(" average / ").num(t.Value)
	why = why.text(" each) = ").int(p.Desired)
	if coming > 0 {
		why = why.text(", compared with ").int(ready + coming).text(" ready or coming")
	}
	if silent := ready - reporting; silent > 0 {
		why = why.text("; ").int(silent).text(" of the ready report nothing")
		if p.Desired < ready+coming {
			p.Desired = ready + coming
			why = why.text(", so no fewer than now: ").int(p.Desired)
		}
	}
	p.Why = obs.say(why)
}

// The pace of AWS target tracking: the alarms that it makes.
const (
	trackingPeriod = time.Minute
	trackingOut    = 3  // points above the target, of as many
	trackingIn     = 15 // points below the low ratio of it, of as many
)

// Tracking is a Target at the pace of AWS target tracking: out when 3 of 3 one-minute points are above the value, in when 15 of 15 are below
// LowRatio of it, by ceil(capacity * metric / value), once for each point. Without data it does nothing and lets nobody scale in; while
// instances warm up they are capacity, they are not measured, and nothing is taken away.
type Tracking struct {
	o         TrackingOptions
	high, low watch
}

// TrackingOptions is a Tracking policy.
type TrackingOptions struct {
	Target
	LowRatio float64       // between 0 and 1: 0.9 as ECS has it, 0.7 as EC2; 0 is 0.9
	WarmUp   time.Duration // how long a ready instance still counts as warming
}

// NewTracking returns a Tracking without history.
func NewTracking(o TrackingOptions) *Tracking {
	if !(o.LowRatio > 0) {
		o.LowRatio = 0.9
	}
	s := Signal{Metric: o.Metric, Period: trackingPeriod}
	return &Tracking{
		o:    o,
		high: newWatch(s, alarm.Rule{Threshold: o.Value, Comparison: alarm.Above, Points: trackingOut}),
		low:  newWatch(s, alarm.Rule{Threshold: o.Value * o.LowRatio, Comparison: alarm.Below, Points: trackingIn}),
	}
}

// Propose takes a sample, and acts when a period ends while one of the two alarms is on.
func (t *Tracking) Propose(obs *Observation) Proposal {
	p := Proposal{Policy: t.Name(), Desired: obs.Desired}
	if !(t.o.Value > 0) {
		p.Abstain, p.Why = true, "the target value must be above 0"
		return p
	}
	warming := obs.warmingUp(t.o.WarmUp)
	base := max(0, obs.Desired-warming)
	v, known := t.level(obs, base)
	ended := t.high.sample(obs.Time, v, known)
	t.low.sample(obs.Time, v, known)
	newest, any := t.high.series.Newest()
	var buf [256]byte
	why := words(buf[:0])
	switch {
	case !any || !known && t.high.state != alarm.Alarm && t.low.state != alarm.Alarm:
		p.Abstain, p.Why = true, t.o.Metric+" is unknown"
	case t.high.state != alarm.Alarm && t.low.state != alarm.Alarm:
		p.Why = obs.say(why.text("at ").num(newest).text(" it is neither ").text(t.high.rule.String()).text(" nor ").text(t.low.rule.String()))
	case !ended || !t.high.series.Fresh():
		p.Why = obs.say(why.text("an alarm is on, and acts on its next point"))
	default:
		p.Desired = ceil(float64(base) * newest / t.o.Value)
		why = why.text("ceil(").int(base).text(" x ").num(newest).text(" / ").num(t.o.Value).text(") = ").int(p.Desired)
		switch {
		case warming > 0 && p.Desired < base:
			p.Desired = obs.Desired
			why = why.text(", and none goes while ").int(warming).text(" warm up")
		case warming > 0 && p.Desired < obs.Desired:
			p.Desired = obs.Desired
			why = why.text(", which with ").int(warming).text(" warming up are there already")
		}
		p.Why = obs.say(why)
	}
	t.o.onlyOut(obs, &p)
	return p
}

// Name is "target" and the metric.
func (t *Tracking) Name() string { return t.o.Name() }

// level is the metric per instance.
func (t *Tracking) level(obs *Observation, base int) (float64, bool) {
	if t.o.total() {
		total, known := t.o.sum(obs)
		return total / float64(max(1, base)), known
	}
	average, _, reporting := t.o.average(obs, t.o.WarmUp)
	return average, reporting > 0
}

// SaveState implements Stateful.
func (t *Tracking) SaveState() ([]byte, error) {
	return json.Marshal(stepState{t.high.save(), t.low.save()})
}

// RestoreState implements Stateful.
func (t *Tracking) RestoreState(b []byte) error {
	var state stepState
	if err := json.Unmarshal(b, &state); err != nil {
		return err
	}
	t.high.restore(state.High)
	t.low.restore(state.Low)
	return nil
}
