package plan

import (
	"fmt"
	"slices"
)

// launchMix launches up to n as the mix has it: one action for each placement.
func (p *plan) launchMix(n int) {
	var live []Placement
	for _, group := range [][]*Instance{p.coming, p.ready} {
		for _, one := range group {
			live = append(live, one.Placement)
		}
	}
	placed := p.in.Mix.Place(n, p.in.Desired+p.in.Moves.Surge+p.renewing, live, p.in.Refused, p.in.Offers, p.in.Now)
	for len(placed) > 0 {
		first := placed[0]
		rest := slices.DeleteFunc(slices.Clone(placed), func(one Placement) bool { return one == first })
		p.do(Launch{N: len(placed) - len(rest), As: first, Why: fmt.Sprintf("%s, as %s", p.whyLaunch(), first)})
		placed = rest
	}
}

// nextOut takes the ready instance that a scale-in ends next out of p.ready, which is sorted. With a mix it is, of the
// idlest, one of the market that has more than its share, so that a scale-in does not end the on-demand base, and of those one of the zone that has
// most, so that the zones stay balanced.
func (p *plan) nextOut() *Instance {
	i := 0
	if p.in.Mix != nil {
		demand := 0
		for _, one := range p.ready {
			if one.Market != Spot {
				demand++
			}
		}
		spot := demand <= p.in.Mix.OnDemandOf(p.in.Desired)
		inZone, most := fullest(p.ready), -1
		for j, one := range p.ready {
			if one.InFlight == p.ready[0].InFlight && !one.Protected && (one.Market == Spot) == spot && inZone(one.Zone) > most {
				i, most = j, inZone(one.Zone)
			}
		}
	}
	one := p.ready[i]
	p.ready = slices.Delete(p.ready, i, i+1)
	return one
}

func (p Placement) String() string {
	s := p.Type + "/" + p.Market
	if p.Zone != "" {
		s += "/" + p.Zone
	}
	return s
}
