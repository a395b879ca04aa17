package balance

import (
	"fmt"
	"slices"

	"github.com/weirlb/weir/target"
)

// few is up to how many targets round robin and least connections go in exactly nginx's order. Its turn is O(n), so with more
// targets they take turns in virtual time, which gives the same shares.
const few = 32

// weight is what one unit of weight counts in shares.
const weight = 1000

// share is one target's standing in smooth weighted round robin.
type share struct {
	t                  *target.Target
	current, effective int
}

// smooth is nginx's smooth weighted round robin (ngx_http_upstream_round_robin.c): every usable target gains its
// effective weight, the largest wins and pays the total. A failure takes the effective weight to 0 (weight/max_fails
// with max_fails 1) and each later turn gives one back.
type smooth struct {
	shares []share
}

func (s *smooth) set(rotation []*target.Target, weigh func(*target.Target) int) {
	old := s.shares
	s.shares = make([]share, 0, len(rotation))
	for _, t := range rotation {
		if i := slices.IndexFunc(old, func(x share) bool { return x.t == t }); i >= 0 {
			s.shares = append(s.shares, old[i])
			continue
		}
		s.shares = append(s.shares, share{t: t, effective: weigh(t)})
	}
}

func (s *smooth) fail(t *target.Target) {
	for i := range s.shares {
		if s.shares[i].t == t {
			s.shares[i].effective = 0
		}
	}
}

// turn plays one round among the targets that in accepts; weigh gives the configured weight.
func (s *smooth) turn(in func(*target.Target) bool, weigh func(*target.Target) int) *target.Target {
	var best *share
	total := 0
	for i := range s.shares {
		x := &s.shares[i]
		if !in(x.t) {
			continue
		}
		x.current += x.effective
		total += x.effective
		x.effective = min(x.effective+weight, weigh(x.t))
		if best == nil || x.current > best.current {
			best = x
		}
	}
	if best == nil {
		return nil
	}
	best.current -= total
	return best.t
}

// roundRobin goes round, by weigh: as nginx does with few targets, in virtual time with many.
type roundRobin struct {
	weigh func(*target.Target) int

	nginx  smooth // with few targets
	many   bool
	choice // with many
}

func (p *roundRobin) Set(rotation []*target.Target) {
	if p.many = len(rotation) > few; p.many {
		p.nginx = smooth{}
		p.rotate(rotation, p.weigh)
		p.settle()
		return
	}
	p.choice = choice{}
	p.nginx.set(rotation, p.weigh)
}

func (p *roundRobin) Pick(r *Request) *target.Target {
	if !p.many {
		return p.nginx.turn(r.usable, p.weigh)
	}
	i, t := p.first(r)
	if t != nil {
		p.take(i, 1)
	}
	return t
}

func (p *roundRobin) Began(t *target.Target) {
	if i := p.seat(t); i != none && p.rank.contains(i) != t.Free() {
		p.place(i)
	}
}

func (p *roundRobin) Done(t *target.Target, o Outcome) {
	if i := p.seat(t); i != none && o.Failed {
		p.rank.marks[i].due += p.strides[i] // it sits one turn out
		p.place(i)
		return
	}
	if o.Failed {
		p.nginx.fail(t)
	}
	p.Began(t)
}

// Why implements Explainer.
func (p *roundRobin) Why(t *target.Target) string {
	n := len(p.nginx.shares)
	if p.many {
		n = len(p.targets)
	}
	return fmt.Sprintf("its turn: share %d, %d targets in rotation", p.weigh(t), n)
}
