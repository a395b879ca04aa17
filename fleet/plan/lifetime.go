package plan

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"time"
)

// Instances are replaced in the last tenth of the longest life, each from a point of its own on, so that those which were launched together do not
// go together; and from its last hundredth on at the latest, because a replacement takes its time.
const (
	lifetimeSpread = 0.1
	lifetimeSpare  = 0.01
)

// due is when an instance is to be replaced for its age: before most is over, by a part that its id decides.
func (i *Instance) due(most time.Duration) time.Time {
	h := fnv.New64a()
	h.Write([]byte(i.ID))
	early := lifetimeSpare + (lifetimeSpread-lifetimeSpare)*float64(h.Sum64()>>11)/(1<<53)
	return i.born().Add(most - time.Duration(early*float64(most)))
}

func (i *Instance) born() time.Time {
	if i.Born.IsZero() {
		return i.Started
	}
	return i.Born
}

// aged reports whether an instance is to be replaced for its age. Protected ones are not, as in EC2 Auto Scaling, and a refresh goes first.
func (p *plan) aged(one *Instance) bool {
	most := p.in.MaxLifetime
	if most == 0 || p.in.Moves.Version != 0 || one.Protected || one.born().IsZero() {
		return false
	}
	young := p.in.Now.Sub(one.born()) < most-time.Duration(lifetimeSpread*float64(most)) // most are, and need no more arithmetic
	return !young && !p.in.Now.Before(one.due(most))
}

// renew replaces ready instances for their age: a replacement is launched first, for at most a tenth of Desired, at least one, at a time, as in
// EC2 Auto Scaling, and when it is ready the instance that was due first is drained. So there are never fewer ready than without it.
func (p *plan) renew() {
	p.renewing = 0
	var aged []*Instance
	for _, one := range p.ready {
		if p.aged(one) {
			aged = append(aged, one)
		}
	}
	if len(aged) == 0 {
		return
	}
	slices.SortFunc(aged, func(a, b *Instance) int {
		return cmp.Or(a.due(p.in.MaxLifetime).Compare(b.due(p.in.MaxLifetime)), cmp.Compare(a.ID, b.ID))
	})
	n := min(len(aged), max(0, len(p.ready)-p.in.Desired-p.in.Moves.Surge))
	for _, one := range aged[:n] {
		p.do(Drain{ID: one.ID, Why: fmt.Sprintf("it has run for %v of at most %v", p.in.Now.Sub(one.born()).Round(time.Second), p.in.MaxLifetime)})
	}
	p.ready = slices.DeleteFunc(p.ready, func(one *Instance) bool { return slices.Contains(aged[:n], one) })
	leaving := n
	for _, one := range p.draining {
		if p.aged(one) {
			leaving++
		}
	}
	p.renewing = max(0, min(len(aged)-n, max(1, p.in.Desired/10)-leaving))
}
