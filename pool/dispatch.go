package pool

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/balance"
	"github.com/weirlb/weir/target"
)

// pick chooses a target with a free slot for l, nil when there is none. The pool's lock is held.
func (p *Pool) pick(l *Lease, now time.Time) *target.Target {
	p.request = balance.Request{Now: now, Chance: p.chance(), Key: l.Ask.Key, Prefix: l.Ask.Prefix, Skip: l.skip}
	return p.picker.Pick(&p.request)
}

// chance is a random number. The pool's lock is held.
func (p *Pool) chance() uint64 {
	if p.o.Chance != nil {
		return p.o.Chance()
	}
	return rand.Uint64()
}

// favourite is the target that has l's session, nil when there is none in rotation.
func (p *Pool) favourite(l *Lease) *member {
	if l.Ask.Sticky == "" {
		return nil
	}
	if m := p.byID[l.Ask.Sticky]; m != nil && m.rotates {
		return m
	}
	return nil
}

// park is where requests wait for one target.
func (p *Pool) park(m *member) *admit.Side {
	if !m.parks {
		m.parks = true
		p.parking = append(p.parking, m)
	}
	return &m.parked
}

// grant gives l a slot of t, which p was asked to pick for l just now, or which has its session. The pool's lock is held.
func (p *Pool) grant(l *Lease, t *target.Target, now time.Time) {
	if l.Ask.Explain {
		l.why = p.why(l, t)
	}
	t.Begin()
	p.picker.Began(t)
	p.running++
	l.state, l.target, l.member, l.granted = held, t, p.member(t), now
	if l.Ask.Tenant != 0 || p.queue.Tenants() > 0 {
		r := p.ask(l)
		p.queue.Start(&l.entry, &r)
	} else {
		p.queue.Forget(&l.entry)
	}
	p.m.wait.Observe(now, now.Sub(l.arrived))
}

// why says in a few words why l gets a slot of t.
func (p *Pool) why(l *Lease, t *target.Target) string {
	if t.ID == l.Ask.Sticky {
		return "the session is there"
	}
	if picker, ok := p.picker.(balance.Explainer); ok {
		return picker.Why(t)
	}
	return p.o.Balance
}

// serve gives a slot of t to the request e, which waits.
func (p *Pool) serve(e *admit.Entry, t *target.Target, now time.Time, a *answered) {
	l := e.Owner.(*Lease)
	p.queue.Remove(e)
	p.grant(l, t, now)
	a.add(l)
}

// over refuses e, and says so, when its time is over: no slot is to go to a request that is no use any more.
func (p *Pool) over(e *admit.Entry, now time.Time, a *answered) bool {
	if e == nil || !p.queue.Over(e, now) {
		return false
	}
	p.expire(e, now, a)
	return true
}

// dispatch hands free slots to who waits, the most urgent first: those of freed, or with nil all there are. The pool's lock is held.
func (p *Pool) dispatch(freed *member, now time.Time, a *answered) {
	if p.queue.Len() == 0 {
		return
	}
	if freed != nil {
		p.unpark(freed, now, a)
	} else if len(p.parking) > 0 {
		p.parking = slices.DeleteFunc(p.parking, func(m *member) bool {
			p.unpark(m, now, a)
			m.parks = m.parked.Len() > 0
			return !m.parks
		})
	}
	p.spread(now, a)
}

// unpark hands free slots of m to those who wait for m, unless somebody who takes any slot is more urgent.
func (p *Pool) unpark(m *member, now time.Time, a *answered) {
	for m.parked.Len() > 0 && m.rotates && m.t.Free() {
		e, any := m.parked.First(), p.queue.First()
		if p.over(e, now, a) || p.over(any, now, a) {
			continue
		}
		if any != nil && p.queue.Before(any, e) {
			if t := p.pick(any.Owner.(*Lease), now); t != nil {
				p.serve(any, t, now, a)
				continue
			}
		}
		p.serve(e, m.t, now, a)
	}
}

// spread hands free slots to those who take any, or any but a few.
func (p *Pool) spread(now time.Time, a *answered) {
	var vain *target.Target // there is no slot for requests that this target alone has failed
	for {
		any, choosy := p.queue.First(), p.choosy.First()
		if p.over(any, now, a) || p.over(choosy, now, a) {
			continue
		}
		if choosy != nil && (any == nil || p.queue.Before(choosy, any)) {
			l := choosy.Owner.(*Lease)
			alone := len(l.skip) == 1
			if !alone || l.skip[0] != vain {
				if t := p.pick(l, now); t != nil {
					p.serve(choosy, t, now, a)
					continue
				}
			}
			if alone {
				vain = l.skip[0]
			}
			p.choosy.Take(choosy) // let others pass
			p.aside = append(p.aside, choosy)
			continue
		}
		if any == nil {
			break
		}
		t := p.pick(any.Owner.(*Lease), now)
		if t == nil {
			break // no slot is free for anyone
		}
		p.serve(any, t, now, a)
	}
	for i, e := range p.aside {
		p.choosy.Put(e)
		p.aside[i] = nil
	}
	p.aside = p.aside[:0]
}

// Retry gives up the target that failed the request and asks for another one, in the place in the queue that its arrival gives it: this
// request has waited already. Verdicts are those of Acquire. The error is ErrNoOther when every target in rotation failed it and ErrBudget
// when too many requests are tried again already; the request is over then.
func (l *Lease) Retry(o Outcome, now time.Time) (admit.Verdict, error) {
	p := l.pool
	var a answered
	p.mu.Lock()
	v, err := p.retry(l, o, now, &a)
	p.mu.Unlock()
	a.tell()
	return v, err
}

func (p *Pool) retry(l *Lease, o Outcome, now time.Time, a *answered) (admit.Verdict, error) {
	m, err := l.member, error(nil)
	l.skip = append(l.skip, l.target)
	switch {
	case !slices.ContainsFunc(p.rotation, func(t *target.Target) bool { return !slices.Contains(l.skip, t) }):
		err = ErrNoOther
		p.m.noOther++
	case !o.Unsent && !p.spend(l):
		err = ErrBudget
	}
	p.end(l, o, now, a)
	if err != nil {
		p.finish(l, o, now)
		p.dispatch(m, now, a)
		return admit.Refuse, err
	}
	p.m.retries++
	l.retried = true
	if t := p.pick(l, now); t != nil {
		p.grant(l, t, now)
		p.dispatch(m, now, a)
		return admit.Run, nil
	}
	r := p.ask(l)
	l.wait(&r, &p.choosy, time.Time{})
	p.dispatch(m, now, a)
	return admit.Queue, nil
}

// Hedge gives other a slot of a target that l has not tried, so that the same request can be sent there too. It never waits, never takes a slot
// that somebody waits for and spends the budget of retries; Refuse with ErrNoOther or ErrBudget when that is not to be had. Release the
// one that loses with Outcome.Cancelled: together both count as one request.
func (p *Pool) Hedge(l, other *Lease, now time.Time) (admit.Verdict, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.pool != p || l.state != held || l.twin != nil || p.queue.Free() > 0 {
		return admit.Refuse, ErrNoOther
	}
	other.begin(p, l.arrived)
	other.Ask = l.Ask
	if !p.spend(other) {
		return admit.Refuse, ErrBudget
	}
	other.skip = append(append(other.skip, l.skip...), l.target)
	t := p.pick(other, now)
	if t == nil {
		p.unspend(other)
		return admit.Refuse, ErrNoOther
	}
	p.m.hedges++
	other.hedge, other.twin, l.twin = true, l, other
	p.grant(other, t, now)
	return admit.Run, nil
}
