package pool

import (
	"math"
	"slices"
	"time"

	"github.com/weirlb/weir/target"
)

// A slow start ramps a target's share and slots in a straight line, as ALB and HAProxy do, from nothing, or as good as: one slot and a
// thousandth of the share are always left, or the target would never get a request to warm up with.
//
// As with ALB a target enters it only beside one that is warm already, and leaves it when it ends, when the target becomes unhealthy or is
// removed. Unlike ALB's it works with every algorithm and ends early when the target's own answers show that it is warm.
type ramp struct {
	on      bool
	start   time.Time
	part    float64 // of its share and slots
	answers int     // since the start
	quick   int     // of them, those that took no longer than answers of the pool usually do
}

const (
	proof   = 20              // answers that may end a slow start
	coldFor = 5 * time.Second // targets that become healthy within it start together: none is warm beside which another could start slowly
)

func (r *ramp) observe(quick bool) {
	if r.answers++; quick {
		r.quick++
	}
	if r.answers == 2*proof { // forget how it began
		r.answers, r.quick = proof, r.quick/2
	}
}

// proved says whether the target answers as fast as others: at least half of its answers take at most 1.2 times the usual median.
func (r *ramp) proved() bool { return r.answers >= proof && 2*r.quick >= r.answers }

// warm says whether a target is in rotation that does not start itself.
func (p *Pool) warm(now time.Time) bool {
	return p.o.SlowStart > 0 && slices.ContainsFunc(p.members, func(m *member) bool {
		return m.t.State() == target.Healthy && m.state(now) == target.Healthy && !m.ramp.on &&
			(m.answers >= proof || now.Sub(m.since) >= min(coldFor, p.o.SlowStart))
	})
}

// ramp begins or ends the slow start of a member whose state changes.
func (p *Pool) ramp(m *member, was, is target.State, warm bool, now time.Time) {
	if is == target.Healthy && was != target.Draining {
		m.answers = 0 // what it did before says little of what it does now
	}
	switch {
	case is != target.Healthy:
		p.unramp(m)
	case warm && was != target.Draining: // who comes back from a drain is warm still
		if !m.ramp.on {
			p.ramping = append(p.ramping, m)
		}
		m.ramp = ramp{on: true, start: now}
		m.warmUp(0)
		p.stepped = now
	}
}

func (p *Pool) unramp(m *member) {
	if m.ramp.on {
		m.ramp.on = false
		p.ramping = slices.DeleteFunc(p.ramping, func(x *member) bool { return x == m })
		m.warmUp(1)
	}
}

// warmUp sets the part of its share and slots that a target has.
func (m *member) warmUp(part float64) {
	m.ramp.part = part
	m.apply()
}

// step lets slow starts go on, ten times in their course but at most once a second.
func (p *Pool) step(now time.Time, a *answered) {
	if len(p.ramping) == 0 || now.Sub(p.stepped) < min(p.o.SlowStart/10, time.Second) {
		return
	}
	p.stepped = now
	p.ramping = slices.DeleteFunc(p.ramping, func(m *member) bool {
		part := 1.0
		if elapsed := now.Sub(m.ramp.start); elapsed < p.o.SlowStart && !m.ramp.proved() {
			part = elapsed.Seconds() / p.o.SlowStart.Seconds()
			if g := p.o.Aggression; g > 0 {
				part = math.Pow(part, 1/g)
			}
		}
		m.ramp.on = part < 1
		m.warmUp(part)
		return !m.ramp.on
	})
	p.tell(now, a)
}

// usual is the pool's median service time when it is needed to judge a target that starts slowly, 0 otherwise.
func (p *Pool) usual(m *member, now time.Time) time.Duration {
	if !m.ramp.on {
		return 0
	}
	return p.m.medianService(now)
}
