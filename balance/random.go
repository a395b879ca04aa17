package balance

import (
	"fmt"

	"github.com/weirlb/weir/target"
)

// twoChoices is Envoy's least_request (source/extensions/load_balancing_policies/least_request): of two different random targets the
// one with fewer requests in flight; where shares differ, turns by share/(in flight + 1), its active_request_bias of 1, with the in-flight count
// as it was at the target's last turn.
type twoChoices struct {
	choice // where shares differ
	free
	equal bool
	last  [2]int32 // the two that were compared, for Why
}

func (p *twoChoices) Set(rotation []*target.Target) {
	p.equal = true
	for _, t := range rotation {
		p.equal = p.equal && t.Share() == rotation[0].Share()
	}
	p.free.reset(rotation)
	p.rotate(rotation, (*target.Target).Share)
	p.settle()
}

func (p *twoChoices) Pick(r *Request) *target.Target {
	if !p.equal {
		i, t := p.first(r)
		if t != nil {
			p.take(i, t.InFlight()+1)
		}
		return t
	}
	n := len(p.list)
	a := p.from(below(r.Chance, n), r)
	if a == none {
		return nil
	}
	b := p.from(int(p.pos[a])+1+below(r.Chance<<32, n-1), r)
	p.last = [2]int32{a, b}
	if p.targets[b].InFlight() < p.targets[a].InFlight() {
		a = b
	}
	return p.targets[a]
}

// from returns the first usable target at or after a place in the list, which at most len(r.Skip) are not.
func (p *twoChoices) from(start int, r *Request) int32 {
	n := len(p.list)
	for k := range n {
		if i := p.list[(start+k)%n]; r.usable(p.targets[i]) {
			return i
		}
	}
	return none
}

func (p *twoChoices) Began(t *target.Target) { p.update(t) }

func (p *twoChoices) Done(t *target.Target, _ Outcome) { p.update(t) }

func (p *twoChoices) update(t *target.Target) {
	i := p.seat(t)
	if i == none {
		return
	}
	p.put(i, t.Free())
	if p.rank.contains(i) != t.Free() {
		p.place(i)
	}
}

// Why implements Explainer.
func (p *twoChoices) Why(t *target.Target) string {
	if !p.equal {
		return fmt.Sprintf("its turn: %d in flight of share %d", t.InFlight(), t.Share())
	}
	other := p.last[0]
	if p.targets[other] == t {
		other = p.last[1]
	}
	return fmt.Sprintf("two random choices: %d in flight, the other %s has %d", t.InFlight(), p.targets[other].ID, p.targets[other].InFlight())
}
