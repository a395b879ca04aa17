package plan

import (
	"fmt"
	"slices"
	"time"
)

// returnAfter is how long an instance runs on demand before spot takes its place: younger ones are often gone by themselves.
const returnAfter = 15 * time.Minute

// returnToSpot exchanges instances that stand in on demand for spot, when there is spot again: the spot instance is launched first, beyond Desired,
// for at most a tenth of Desired, at least one, at a time, and when it is ready one on demand is drained. It waits while
// anything else is to be done, and a refusal puts it off as it does any launch.
func (p *plan) returnToSpot() {
	p.returning = 0
	m := p.in.Mix
	if m == nil || !m.Return || p.in.Moves.Version != 0 || p.in.Waiting > 0 || len(p.noticed)+len(p.lost)+len(p.sick) > 0 || len(p.ready) < p.in.Desired {
		return
	}
	demand := func(one *Instance) bool { return one.Market != Spot }
	over := howMany(p.ready, demand) + howMany(p.coming, demand) - m.OnDemandOf(p.in.Desired)
	if over <= 0 {
		return
	}
	var dear []*Instance
	for _, one := range p.ready {
		if demand(one) && !one.Protected && passed(p.in.Now, one.born(), returnAfter) {
			dear = append(dear, one)
		}
	}
	dear = dear[:min(len(dear), over)]
	slices.SortFunc(dear, idlest)
	n := min(len(dear), max(0, len(p.ready)-p.in.Desired-p.in.Moves.Surge-p.renewing))
	for _, one := range dear[:n] {
		p.do(Drain{ID: one.ID, Why: fmt.Sprintf("it is on demand, and spot has taken its place: %d of %d desired are ready without it", len(p.ready)-n, p.in.Desired)})
	}
	p.ready = slices.DeleteFunc(p.ready, func(one *Instance) bool { return slices.Contains(dear[:n], one) })
	if howMany(p.coming, demand) == len(p.coming) && !m.open(p.in.Refused, p.in.Offers, p.in.Now) {
		return
	}
	leaving := n + howMany(p.draining, demand)
	p.returning = max(0, min(len(dear)-n, max(1, p.in.Desired/10)-leaving))
}

// open reports whether there may be spot to be had where none was taken back of late.
func (m *Mix) open(refused *Refusals, offers map[Placement]Offer, now time.Time) bool {
	return slices.ContainsFunc(m.Placements(Spot), func(at Placement) bool {
		offer, known := offers[at]
		return !now.Before(refused.Until(at)) && !refused.Avoids(at, now) && (!known || offer.Free > 0)
	})
}

func howMany(all []*Instance, is func(*Instance) bool) (n int) {
	for _, one := range all {
		if is(one) {
			n++
		}
	}
	return n
}
