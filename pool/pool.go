// Package pool is the live heart of the data plane: the targets of one pool, their slots and one queue. A request
// takes a free slot or waits; the slot that becomes free next, wherever that is, goes to the oldest request. No target has a
// queue of its own, so the wait is that of the ideal single queue.
//
// A pool reads no clock: every method takes now, so that the simulator drives the same code with its own time.
package pool

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/balance"
	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/target"
)

// ErrNoOther says that a request failed on every target there is.
var ErrNoOther = errors.New("no other target to try")

// Options are what may be changed while the pool runs.
type Options struct {
	Balance  string       // an algorithm's name, see balance.Names
	Limits   admit.Limits // of the queue
	FailOpen int          // with fewer healthy targets than this, requests go to all; 0 never
	Ejector  health.Ejector
	Elastic  bool // its targets come and go with a fleet: with no target at all, requests are held for the next one

	// Wake, when set, is called when a request has to wait and none did before. It must not block.
	Wake func()
}

// Outcome is how a request on a target ended.
type Outcome struct {
	Status    int  // of the answer; 0 when there was none
	Failed    bool // the target spoilt it: refused, broke off, answered nonsense or 5xx
	Cancelled bool // the client left

	FirstByte time.Duration // from the slot to the answer's head; 0 when there was none
}

// Pool holds the targets, slots and queue of one pool. All methods may be called from any goroutine.
type Pool struct {
	Name string

	mu       sync.Mutex
	o        Options
	picker   balance.Picker
	members  []*member        // all targets
	rotation []*target.Target // those that may be given requests
	open     bool             // rotation holds unhealthy ones too, as too few are healthy
	queue    queue
	running  int
	lastBusy time.Time
	swept    time.Time
	m        meters
}

// member is one target with what its checks and its own answers showed.
type member struct {
	t        *target.Target
	checked  health.Status
	ejection health.Ejection
	draining bool
	since    time.Time // of the target's state
}

// New returns an empty pool. The error is that of an unknown algorithm.
func New(name string, o Options, now time.Time) (*Pool, error) {
	picker, err := balance.New(balance.Options{Name: o.Balance})
	if err != nil {
		return nil, fmt.Errorf("pool %s: %w", name, err)
	}
	return &Pool{Name: name, o: o, picker: picker, m: newMeters(), lastBusy: now}, nil
}

// Configure changes the options; targets, slots and what waits stay.
func (p *Pool) Configure(o Options, now time.Time) error {
	picker, err := balance.New(balance.Options{Name: o.Balance})
	if err != nil {
		return fmt.Errorf("pool %s: %w", p.Name, err)
	}
	p.mu.Lock()
	if o.Balance != p.o.Balance {
		p.picker = picker
	}
	p.o = o
	p.rotateAndTell(now)
	return nil
}

// Add puts a target into the pool, with what is known of its health. A target without checks is added as healthy.
func (p *Pool) Add(t *target.Target, s health.Status, now time.Time) {
	p.mu.Lock()
	p.members = append(p.members, &member{t: t, checked: s, since: now})
	p.rotateAndTell(now)
}

// Remove takes a target out of the pool. What is in flight on it goes on.
func (p *Pool) Remove(t *target.Target, now time.Time) {
	p.mu.Lock()
	p.members = slices.DeleteFunc(p.members, func(m *member) bool { return m.t == t })
	p.rotateAndTell(now)
}

// Drain gives a target nothing new, or, with on false, takes that back. What is in flight goes on.
func (p *Pool) Drain(t *target.Target, on bool, now time.Time) {
	p.mu.Lock()
	if m := p.member(t); m != nil {
		m.draining = on
	}
	p.rotateAndTell(now)
}

// Checked reports what a target's active checks showed.
func (p *Pool) Checked(t *target.Target, s health.Status, now time.Time) {
	p.mu.Lock()
	m := p.member(t)
	if m == nil {
		p.mu.Unlock()
		return
	}
	m.checked = s
	if s.State == target.Healthy && s.Failures == 0 {
		m.ejection = m.ejection.Pass()
	}
	p.rotateAndTell(now)
}

func (p *Pool) member(t *target.Target) *member {
	for _, m := range p.members {
		if m.t == t {
			return m
		}
	}
	return nil
}

// state is what a member's checks, answers and drain add up to.
func (m *member) state(now time.Time) target.State {
	switch {
	case m.draining:
		return target.Draining
	case m.checked.State == target.Healthy && m.ejection.Ejected(now):
		return target.Ejected
	}
	return m.checked.State
}

// rotate works out who is in rotation and hands free slots to who waits.
func (p *Pool) rotate(now time.Time, a *answered) {
	healthy, fresh, all := 0, 0, 0
	for _, m := range p.members {
		s := m.state(now)
		if s != m.t.State() {
			m.t.SetState(s)
			m.since = now
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
	// While a target has not had its first check there is hope without guessing: hold instead of failing open.
	p.open = fresh == 0 && all > 0 && p.o.FailOpen > 0 && health.FailOpen(healthy, all, min(p.o.FailOpen, all))
	p.rotation = p.rotation[:0:0]
	for _, m := range p.members {
		if s := m.t.State(); s == target.Healthy || p.open && s != target.Draining {
			p.rotation = append(p.rotation, m.t)
		}
	}
	p.picker.Set(p.rotation)
	p.dispatch(now, a)
}

// rotateAndTell ends a change of membership: it frees the pool's lock.
func (p *Pool) rotateAndTell(now time.Time) {
	var a answered
	p.rotate(now, &a)
	p.mu.Unlock()
	a.tell()
}

// Acquire asks for a slot. Run: the lease holds one now. Queue: it waits, and l.Ready will be called. Refuse: the
// error says why and the lease is idle again.
func (p *Pool) Acquire(l *Lease, now time.Time) (admit.Verdict, error) {
	p.mu.Lock()
	l.pool, l.arrived, l.err, l.target, l.skip = p, now, nil, nil, l.skip[:0]
	p.m.arrivals.Add(now, 1)
	p.m.requests++
	var t *target.Target
	// Those that wait although a slot is free wait for another target: they are not overtaken.
	before := p.queue.n - p.queue.picky
	if before == 0 {
		t = p.picker.Pick(&balance.Request{Now: now, Chance: rand.Uint64(), Key: l.Ask.Key, Prefix: l.Ask.Prefix})
	}
	switch p.o.Limits.Decide(t != nil, before) {
	case admit.Run:
		p.grant(l, t, now)
		p.mu.Unlock()
		return admit.Run, nil
	case admit.Queue:
		l.state = waiting
		p.queue.pushBack(l)
		first, wake := p.queue.n == 1, p.o.Wake
		p.mu.Unlock()
		if first && wake != nil {
			wake()
		}
		return admit.Queue, nil
	}
	p.m.refused[refusedFull]++
	err := p.full(now)
	p.mu.Unlock()
	return admit.Refuse, err
}

func (p *Pool) full(now time.Time) error {
	if len(p.rotation) == 0 && !p.o.Elastic && len(p.members) == 0 {
		return &admit.Refusal{Limit: "targets", Message: fmt.Sprintf("pool %s has no targets", p.Name)}
	}
	return admit.QueueFull(p.Name, p.o.Limits.Queue, p.slots(), p.m.meanService(now))
}

// grant gives l a slot of t. The pool's lock is held.
func (p *Pool) grant(l *Lease, t *target.Target, now time.Time) {
	t.Begin()
	p.picker.Began(t)
	p.running++
	l.state, l.target, l.granted = held, t, now
	p.m.wait.Observe(now, now.Sub(l.arrived))
}

// dispatch hands free slots to who waits, oldest first. The pool's lock is held.
func (p *Pool) dispatch(now time.Time, a *answered) {
	for l := p.queue.head; l != nil; {
		next := l.next
		t := p.picker.Pick(&balance.Request{Now: now, Chance: rand.Uint64(), Key: l.Ask.Key, Prefix: l.Ask.Prefix, Skip: l.skip})
		if t == nil {
			if len(l.skip) == 0 {
				return // no slot is free for anyone
			}
			l = next // it waits for a target that has not failed it; let others pass
			continue
		}
		p.queue.remove(l)
		p.grant(l, t, now)
		a.add(l)
		l = next
	}
}

// Release gives the slot back and hands it to the oldest request that waits. Releasing a lease that holds
// nothing does nothing, so that it can be deferred.
func (l *Lease) Release(o Outcome, now time.Time) {
	p := l.pool
	if p == nil || l.state != held {
		return
	}
	var a answered
	p.mu.Lock()
	p.end(l, o, now, &a)
	p.m.finish(l, o, now)
	p.dispatch(now, &a)
	p.mu.Unlock()
	a.tell()
}

// end takes the request off its target. The pool's lock is held.
func (p *Pool) end(l *Lease, o Outcome, now time.Time, a *answered) {
	t := l.target
	t.End(o.Failed)
	p.running--
	p.lastBusy = now
	l.state, l.target = idle, nil
	p.picker.Done(t, balance.Outcome{Now: now, Failed: o.Failed, Cancelled: o.Cancelled, FirstByte: o.FirstByte, Took: now.Sub(l.granted)})
	if o.Cancelled || !p.o.Ejector.Enabled() {
		return
	}
	if m := p.member(t); m != nil && (o.Failed || m.ejection.Failures > 0) {
		m.ejection = p.o.Ejector.Observe(m.ejection, !o.Failed, p.ejected(now), len(p.members), now)
		if m.state(now) != t.State() {
			p.rotate(now, a)
		}
	}
}

func (p *Pool) ejected(now time.Time) int {
	n := 0
	for _, m := range p.members {
		if m.ejection.Ejected(now) {
			n++
		}
	}
	return n
}

// Retry gives up the target that failed the request and asks for another one, before all who wait: this request
// has waited already. Verdicts are those of Acquire; ErrNoOther when every target in rotation failed it.
func (l *Lease) Retry(o Outcome, now time.Time) (admit.Verdict, error) {
	p := l.pool
	var a answered
	defer func() { a.tell() }() // after the unlock: deferred calls run last in, first out
	p.mu.Lock()
	defer p.mu.Unlock()
	l.skip = append(l.skip, l.target)
	p.end(l, o, now, &a)
	p.m.retries++
	if t := p.picker.Pick(&balance.Request{Now: now, Chance: rand.Uint64(), Key: l.Ask.Key, Prefix: l.Ask.Prefix, Skip: l.skip}); t != nil {
		p.grant(l, t, now)
		p.dispatch(now, &a)
		return admit.Run, nil
	}
	if !slices.ContainsFunc(p.rotation, func(t *target.Target) bool { return !slices.Contains(l.skip, t) }) {
		p.m.finish(l, o, now)
		p.dispatch(now, &a)
		return admit.Refuse, ErrNoOther
	}
	l.state = waiting
	p.queue.pushFront(l)
	p.dispatch(now, &a)
	return admit.Queue, nil
}

// Cancel takes a waiting lease out of the queue and reports true. It reports false when the lease did not wait any
// more: then Ready was or will be called, and what was granted has to be released.
func (l *Lease) Cancel(now time.Time) bool {
	p := l.pool
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.state != waiting {
		return false
	}
	p.queue.remove(l)
	l.state = idle
	p.lastBusy = now
	p.m.cancelled++
	return true
}

// Tick refuses who has waited too long and lets ejections end. Call it every few dozen milliseconds.
func (p *Pool) Tick(now time.Time) {
	p.mu.Lock()
	var a answered
	if timeout := p.o.Limits.Timeout; timeout > 0 {
		for l := p.queue.head; l != nil && now.Sub(l.arrived) >= timeout; l = p.queue.head {
			p.queue.remove(l)
			l.state = refused
			l.err = admit.QueueTimeout(p.Name, timeout, p.queue.n, p.slots(), p.m.meanService(now))
			p.m.refused[refusedTimeout]++
			p.lastBusy = now
			a.add(l)
		}
	}
	stale := false
	if sweep := p.o.Ejector.Enabled() && now.Sub(p.swept) >= p.o.Ejector.Interval; sweep {
		p.swept = now
		for _, m := range p.members {
			m.ejection = p.o.Ejector.Sweep(m.ejection, now)
		}
	}
	for _, m := range p.members {
		stale = stale || m.state(now) != m.t.State()
	}
	if stale {
		p.rotate(now, &a)
	}
	p.mu.Unlock()
	a.tell()
}

// slots is the number of slots in rotation; 0 when a target has no limit.
func (p *Pool) slots() int {
	n := 0
	for _, t := range p.rotation {
		if t.Slots() == 0 {
			return 0
		}
		n += t.Slots()
	}
	return n
}
