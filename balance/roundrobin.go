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

// roundRobin goes round, by weigh: as nginx does with few targets, in virtual time with many. Either way a target without a
// free slot gains nothing while it has none.
type roundRobin struct {
	weigh func(*target.Target) int

	nginx   smooth // with few targets
	many    bool
	choice  // with many; the due time of who is out is relative to the clock
	strides []uint64
}

func (p *roundRobin) Set(rotation []*target.Target) {
	if p.many = len(rotation) > few; !p.many {
		p.choice, p.strides = choice{}, nil
		p.nginx.set(rotation, p.weigh)
		return
	}
	p.nginx = smooth{}
	out := make([]bool, len(p.targets))
	for i := range out {
		out[i] = !p.rank.contains(int32(i))
	}
	from := p.sit(rotation)
	marks := carry(p.rank.marks, from, func(i int) mark {
		return mark{due: p.clock + stride(p.weigh(rotation[i]))}
	})
	out = carry(out, from, zero[bool])
	before := carry(p.strides, from, func(i int) uint64 { return stride(p.weigh(rotation[i])) })
	p.strides = make([]uint64, len(rotation))
	for i, t := range rotation {
		m, now := &marks[i], stride(p.weigh(t))
		p.strides[i] = now
		if out[i] {
			m.due += p.clock
		}
		if now != before[i] {
			// A target whose share grows does not sit out the wait of its small one.
			rest := float64(int64(m.due-p.clock)) / float64(before[i])
			m.due = p.clock + uint64(int64(rest*float64(now)))
		}
		if !t.Free() {
			m.due -= p.clock
		}
	}
	p.rank.reset(marks, func(i int) bool { return rotation[i].Free() })
}

func (p *roundRobin) Pick(r *Request) *target.Target {
	if !p.many {
		return p.nginx.turn(r.usable, p.weigh)
	}
	i, t := p.first(r)
	if t != nil {
		p.take(i, p.strides[i])
	}
	return t
}

func (p *roundRobin) Began(t *target.Target) { p.update(t) }

func (p *roundRobin) Done(t *target.Target, o Outcome) {
	if p.many {
		if i := p.seat(t); i != none && o.Failed {
			p.rank.marks[i].due += p.strides[i] // it sits one turn out
			p.rank.place(i, p.rank.contains(i))
		}
	} else if o.Failed {
		p.nginx.fail(t)
	}
	p.update(t)
}

func (p *roundRobin) update(t *target.Target) {
	i := none
	if p.many {
		i = p.seat(t)
	}
	if i == none || p.rank.contains(i) == t.Free() {
		return
	}
	if t.Free() {
		p.rank.marks[i].due += p.clock
	} else {
		p.rank.marks[i].due -= p.clock
	}
	p.rank.place(i, t.Free())
}

// Why implements Explainer.
func (p *roundRobin) Why(t *target.Target) string {
	n := len(p.nginx.shares)
	if p.many {
		n = len(p.targets)
	}
	return fmt.Sprintf("its turn: share %d, %d targets in rotation", p.weigh(t), n)
}
