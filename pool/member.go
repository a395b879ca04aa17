package pool

import (
	"slices"
	"time"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/target"
)

// member is one target with what its checks, its own word and its answers showed.
type member struct {
	t        *target.Target
	checked  health.Status
	ejection health.Ejection
	report   health.Report // by its agent
	override Override
	draining bool
	since    time.Time // of the target's state

	gone    bool // removed
	rotates bool // in rotation
	marked  bool // in the pool's marked
	out     bool // counted as ejected
	parks   bool // in the pool's parking
	parked  admit.Side

	ramp      ramp
	answers   int
	latency   float64 // seconds, mean of the last few dozen answers
	firstByte float64
}

// state is what a member's checks, answers and drain add up to.
func (m *member) state(now time.Time) target.State {
	drain := m.draining || m.report.Drain
	if m.override.Drain != nil {
		drain = m.draining || *m.override.Drain
	}
	switch {
	case drain:
		return target.Draining
	case m.checked.State == target.Healthy && m.report.Down:
		return target.Unhealthy
	case m.checked.State == target.Healthy && m.ejection.Ejected(now):
		return target.Ejected
	}
	return m.checked.State
}

// recent is over how many answers a target's means are taken.
const recent = 32

// observe counts an answer of the target. usual is what answers usually take, 0 when nobody knows.
func (m *member) observe(o Outcome, took, usual time.Duration) {
	if m.ramp.on {
		m.ramp.observe(!o.Failed && took <= usual*6/5)
	}
	if o.Failed {
		return
	}
	m.answers++
	part := 1 / float64(min(m.answers, recent))
	m.latency += (took.Seconds() - m.latency) * part
	if o.FirstByte > 0 {
		m.firstByte += (o.FirstByte.Seconds() - m.firstByte) * part
	}
}

// Tx is a change of a pool's members while nothing else happens to the pool. It is valid within Update.
type Tx struct {
	p      *Pool
	now    time.Time
	stale  bool // something changed
	urgent bool // a target must not be given anything from now on
}

// Update changes any number of members at once, for the price of one. The pool stands still meanwhile: change must be quick.
func (p *Pool) Update(now time.Time, change func(*Tx)) {
	p.mu.Lock()
	tx := Tx{p: p, now: now}
	change(&tx)
	tx.urgent = tx.urgent || tx.stale
	tx.commit()
}

// commit ends a change: it frees the pool's lock.
func (tx *Tx) commit() {
	p := tx.p
	var a answered
	p.stale = p.stale || tx.stale
	if tx.urgent {
		p.rotate(tx.now, &a)
	} else if tx.stale {
		p.settle(tx.now, &a)
	}
	p.mu.Unlock()
	a.tell()
}

// Add puts a target into the pool, with what is known of its health. A target without checks is added as healthy.
func (tx *Tx) Add(t *target.Target, s health.Status) {
	p := tx.p
	m := &member{t: t, checked: s, since: tx.now, override: p.overrides[t.ID]}
	t.SetState(target.Initial)
	t.SetIndex(len(p.members))
	p.members = append(p.members, m)
	p.byID[t.ID] = m
	m.apply()
	tx.stale = true
}

// Remove takes a target out of the pool. What is in flight on it goes on.
func (tx *Tx) Remove(t *target.Target) {
	p := tx.p
	m := p.member(t)
	if m == nil {
		return
	}
	m.gone = true
	if p.byID[t.ID] == m {
		delete(p.byID, t.ID)
	}
	tx.stale, tx.urgent = true, true
}

// Drain gives a target nothing new, or, with on false, takes that back. What is in flight goes on.
func (tx *Tx) Drain(t *target.Target, on bool) {
	if m := tx.p.member(t); m != nil {
		m.draining = on
		tx.changed(m)
	}
}

// Checked reports what a target's active checks showed.
func (tx *Tx) Checked(t *target.Target, s health.Status) {
	m := tx.p.member(t)
	if m == nil {
		return
	}
	m.checked = s
	if s.State == target.Healthy && s.Failures == 0 && m.marked {
		tx.p.eject(m, m.ejection.Pass(), tx.now)
	}
	if m.state(tx.now) != t.State() {
		tx.stale = true
	}
}

// Target is the target with that ID, and whether the pool has it.
func (tx *Tx) Target(id string) (*target.Target, bool) {
	if m := tx.p.byID[id]; m != nil {
		return m.t, true
	}
	return nil, false
}

// Targets yields all targets. Those that were removed just now are not among them.
func (tx *Tx) Targets(yield func(*target.Target) bool) {
	for _, m := range tx.p.members {
		if !m.gone && !yield(m.t) {
			return
		}
	}
}

// changed notes that a member's own word or the operator's has changed.
func (tx *Tx) changed(m *member) {
	m.apply()
	tx.stale = true
	tx.urgent = tx.urgent || m.state(tx.now) == target.Draining
}

func (p *Pool) begin(now time.Time) *Tx {
	p.mu.Lock()
	return &Tx{p: p, now: now}
}

// Add puts one target into the pool, see Tx.Add.
func (p *Pool) Add(t *target.Target, s health.Status, now time.Time) {
	tx := p.begin(now)
	tx.Add(t, s)
	tx.commit()
}

// Remove takes one target out of the pool, see Tx.Remove.
func (p *Pool) Remove(t *target.Target, now time.Time) {
	tx := p.begin(now)
	tx.Remove(t)
	tx.commit()
}

// Drain gives one target nothing new, see Tx.Drain.
func (p *Pool) Drain(t *target.Target, on bool, now time.Time) {
	tx := p.begin(now)
	tx.Drain(t, on)
	tx.commit()
}

// Checked reports what one target's checks showed, see Tx.Checked. In a pool of many targets it may take effect some milliseconds later.
func (p *Pool) Checked(t *target.Target, s health.Status, now time.Time) {
	tx := p.begin(now)
	tx.Checked(t, s)
	tx.commit()
}

// Expect tells how many instances are on their way. While there are any, the pool does not fail open: what comes is better than what failed.
func (p *Pool) Expect(n int, now time.Time) {
	tx := p.begin(now)
	tx.stale = (n > 0) != (p.expected > 0)
	p.expected = n
	tx.commit()
}

// Member is the target with that ID, and whether the pool has it: a reload carries it over.
func (p *Pool) Member(id string) (*target.Target, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return (&Tx{p: p}).Target(id)
}

// member is the member that t is, nil when t is not in the pool.
func (p *Pool) member(t *target.Target) *member {
	if i := t.Index(); i < len(p.members) && p.members[i].t == t && !p.members[i].gone {
		return p.members[i]
	}
	return nil
}

// many is from how many targets on changes are gathered, a microsecond a target long, before rotation is made anew: that costs about as much.
const many = 256

// settle makes rotation anew unless that was done only just now, and says whether it did: Tick does it later then.
func (p *Pool) settle(now time.Time, a *answered) bool {
	if n := len(p.members); n > many && now.Sub(p.rotated) < time.Duration(n)*time.Microsecond {
		return false
	}
	p.rotate(now, a)
	return true
}

// rotateAndTell ends a change of membership: it frees the pool's lock.
func (p *Pool) rotateAndTell(now time.Time) {
	var a answered
	p.rotate(now, &a)
	p.mu.Unlock()
	a.tell()
}

// rotate works out who is in rotation and hands free slots to who waits. It costs about a microsecond for ten targets.
func (p *Pool) rotate(now time.Time, a *answered) {
	p.forget(now)
	warm := p.warm(now)
	healthy, fresh, all := 0, 0, 0
	for _, m := range p.members {
		s := m.state(now)
		if was := m.t.State(); s != was {
			m.t.SetState(s)
			m.since = now
			p.ramp(m, was, s, warm, now)
		}
		switch s {
		case target.Draining:
			continue
		case target.Healthy:
			healthy++
		case target.Initial:
			fresh++
		}
		all++
	}
	// While a target has not had its first check, or a fleet launches another, there is hope without guessing: hold instead of failing open.
	hope := fresh > 0 || p.o.Elastic && p.expected > 0
	p.open = !hope && all > 0 && p.o.FailOpen > 0 && health.FailOpen(healthy, all, min(p.o.FailOpen, all))
	p.rotation = make([]*target.Target, 0, all)
	for _, m := range p.members {
		s := m.t.State()
		m.rotates = s == target.Healthy || p.open && s != target.Draining
		if m.rotates {
			p.rotation = append(p.rotation, m.t)
		}
	}
	for _, m := range p.parking {
		for !m.rotates && m.parked.Len() > 0 { // their session is lost: any target will do
			p.queue.Loosen(m.parked.First())
		}
	}
	p.stale, p.rotated = false, now
	p.tell(now, a)
}

// tell tells the picker who is in rotation and with what shares and slots, and hands free slots to who waits.
func (p *Pool) tell(now time.Time, a *answered) {
	p.limit = 0
	unlimited := false
	for _, t := range p.rotation {
		n := t.Limit()
		p.limit += n
		unlimited = unlimited || n == 0
	}
	if unlimited {
		p.limit = 0
	}
	p.print = p.fingerprint()
	p.picker.Set(p.rotation)
	p.dispatch(nil, now, a)
}

// forget drops the members that were removed.
func (p *Pool) forget(now time.Time) {
	gone := func(m *member) bool { return m.gone }
	if !slices.ContainsFunc(p.members, gone) {
		return
	}
	for _, m := range p.members {
		if m.gone {
			m.rotates = false
			p.eject(m, health.Ejection{}, now)
			m.ramp.on = false
		}
	}
	p.members = slices.DeleteFunc(p.members, gone)
	p.marked = slices.DeleteFunc(p.marked, gone)
	p.ramping = slices.DeleteFunc(p.ramping, gone)
	for i, m := range p.members {
		m.t.SetIndex(i)
	}
}

// eject sets a member's ejection and counts it.
func (p *Pool) eject(m *member, x health.Ejection, now time.Time) {
	m.ejection = x
	if out := x.Ejected(now); out != m.out {
		m.out = out
		if out {
			p.ejected++
		} else {
			p.ejected--
		}
	}
	if !m.marked && x != (health.Ejection{}) {
		m.marked = true
		p.marked = append(p.marked, m)
	}
}

// sweep lets ejections end, and forgives and forgets once in an interval.
func (p *Pool) sweep(now time.Time) {
	p.queue.Sweep(now)
	if len(p.marked) == 0 {
		return
	}
	sweep := p.o.Ejector.Enabled() && now.Sub(p.swept) >= p.o.Ejector.Interval
	if sweep {
		p.swept = now
	}
	p.marked = slices.DeleteFunc(p.marked, func(m *member) bool {
		x := m.ejection
		if sweep {
			x = p.o.Ejector.Sweep(x, now)
		}
		p.eject(m, x, now)
		p.stale = p.stale || m.state(now) != m.t.State()
		m.marked = x != (health.Ejection{})
		return !m.marked
	})
}

// look notices, once a second, weights and slots that were changed on the targets themselves.
func (p *Pool) look(now time.Time, a *answered) {
	if now.Sub(p.printed) < time.Second {
		return
	}
	p.printed = now
	if !p.stale && p.fingerprint() != p.print {
		p.tell(now, a)
	}
}

func (p *Pool) fingerprint() uint64 {
	h := uint64(len(p.rotation))
	for _, t := range p.rotation {
		h = (h ^ uint64(t.Share())<<32 ^ uint64(t.Limit())) * 0x9e3779b97f4a7c15
	}
	return h
}
