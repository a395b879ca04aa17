package pool

import (
	"maps"
	"math"
	"time"

	"github.com/weirlb/weir/health"
)

// Override is what an operator wants of one target, whatever the config says. nil leaves a value as it is configured.
type Override struct {
	Weight *int
	Slots  *int
	Drain  *bool // false also keeps the target's own agent from draining it
}

// Override sets what an operator wants of the target with that ID, in place of what was wanted before; the zero value clears it. It outlives
// reloads, and the target's leaving and coming back. It reports whether the pool has such a target now.
func (p *Pool) Override(id string, o Override, now time.Time) bool {
	tx := p.begin(now)
	defer tx.commit()
	if o == (Override{}) {
		delete(p.overrides, id)
	} else {
		p.overrides[id] = o
	}
	m := p.byID[id]
	if m == nil {
		return false
	}
	m.override = o
	tx.changed(m)
	return true
}

// Overrides returns what operators want of targets, by ID.
func (p *Pool) Overrides() map[string]Override {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.overrides)
}

// Reported takes what the agent on the target with that ID says of it. What a report does not mention stays as an earlier one said. It
// reports whether the pool has such a target.
func (p *Pool) Reported(id string, r health.Word, now time.Time) bool {
	tx := p.begin(now)
	defer tx.commit()
	m := p.byID[id]
	if m == nil {
		return false
	}
	if next := m.report.Next(r); next != m.report {
		m.report = next
		tx.changed(m)
	}
	return true
}

// apply gives the target the weight, share and slots that all of these add up to.
func (m *member) apply() {
	m.t.Override(m.override.Weight, m.override.Slots)
	part, ceiling := 1.0, m.report.Slots
	if m.ramp.on {
		part = m.ramp.part
		if n := m.t.Slots(); n > 0 {
			n = max(1, int(math.Ceil(float64(n)*part)))
			if ceiling == 0 || n < ceiling {
				ceiling = n
			}
		}
	}
	if m.report.Weighs {
		part *= float64(m.report.Percent) / 100
	}
	m.t.SetRamp(part)
	m.t.SetCeiling(ceiling)
}
