// Package balance chooses one target for one request. A Picker is a pure function of the targets' counters and of
// what it was told before: it reads no clock, locks nothing and is called under its pool's lock.
package balance

import (
	"fmt"
	"slices"
	"time"

	"github.com/weirlb/weir/target"
)

// Picker is one balancing algorithm over one pool's rotation.
//
// Set replaces the targets in rotation, also when shares or slots changed; what is known of those that stay is kept. Pick returns a
// target that has a free slot and is not in r.Skip, or nil when there is none; it does not count the request in. Began tells that a
// request was counted in on t, Done that it was counted out and how it ended: between them nobody else changes t's counters.
type Picker interface {
	Set(rotation []*target.Target)
	Pick(r *Request) *target.Target
	Began(t *target.Target)
	Done(t *target.Target, o Outcome)
}

// Request is what a pick may depend on.
type Request struct {
	Now    time.Time
	Chance uint64           // uniformly random
	Key    uint64           // hash of what the pool hashes by (client, header, cookie, field of the body); 0: the request has none
	Prefix []uint64         // hashes of the prompt's ever longer prefixes, shortest first
	Skip   []*target.Target // targets that already failed this request
}

// Outcome is how a request on a target ended.
type Outcome struct {
	Now       time.Time
	Failed    bool          // the target spoilt it
	Cancelled bool          // the client left: it says nothing about the target
	FirstByte time.Duration // from the slot to the answer's head; 0 when there was none
	Took      time.Duration // from the slot to the end
}

func (r *Request) usable(t *target.Target) bool {
	return t.Free() && !slices.Contains(r.Skip, t)
}

// Options say which algorithm, and what its user may set. The zero value of each field but Name is its default.
// Options can be compared: the same options are the same algorithm.
type Options struct {
	Name        string        // one of Names
	BoundedLoad float64       // hash: what a target may carry, times the mean; over 1, by default 1.25
	MaxAge      time.Duration // least_utilization: a report that is older counts as missing; by default 10 s
	SwitchCost  time.Duration // affinity: what a request costs more on a target without its key, until that was measured; by default 10 s
	Memory      int           // prefix_affinity and affinity: how many prefixes or keys are remembered; by default 65,536
}

// Names lists the algorithms that New knows.
func Names() []string { return []string{"round_robin", "weighted_round_robin", "least_connections"} }

// New returns the algorithm that o names.
func New(o Options) (Picker, error) {
	switch o.Name {
	case "round_robin":
		return &roundRobin{weigh: func(*target.Target) int { return 1 }}, nil
	case "weighted_round_robin":
		return &roundRobin{weigh: (*target.Target).Weight}, nil
	case "least_connections":
		return &leastConnections{}, nil
	}
	return nil, fmt.Errorf("%q is not a balancing algorithm; there are %v", o.Name, Names())
}

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

// turn plays one round among the targets that in accepts; weight is the configured one.
func (s *smooth) turn(in func(*share) bool, weigh func(*target.Target) int) *target.Target {
	var best *share
	total := 0
	for i := range s.shares {
		x := &s.shares[i]
		if !in(x) {
			continue
		}
		x.current += x.effective
		total += x.effective
		if w := weigh(x.t); x.effective < w {
			x.effective++
		} else {
			x.effective = w
		}
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

type roundRobin struct {
	smooth
	weigh func(*target.Target) int
}

func (p *roundRobin) Set(rotation []*target.Target) { p.set(rotation, p.weigh) }

func (p *roundRobin) Pick(r *Request) *target.Target {
	return p.turn(func(x *share) bool { return r.usable(x.t) }, p.weigh)
}

func (p *roundRobin) Began(*target.Target) {}

func (p *roundRobin) Done(t *target.Target, o Outcome) {
	if o.Failed {
		p.fail(t)
	}
}

// leastConnections is nginx's least_conn: the smallest in-flight count per weight, compared by cross-multiplication;
// among the tied, and only among them, smooth weighted round robin.
type leastConnections struct {
	smooth
}

func (p *leastConnections) Set(rotation []*target.Target) {
	p.set(rotation, (*target.Target).Weight)
}

func (p *leastConnections) Pick(r *Request) *target.Target {
	best, tied := -1, 0
	var bf, bw int
	for i := range p.shares {
		t := p.shares[i].t
		if !r.usable(t) {
			continue
		}
		f, w := t.InFlight(), t.Weight()
		switch d := f*bw - bf*w; {
		case best < 0 || d < 0:
			best, bf, bw, tied = i, f, w, 1
		case d == 0:
			tied++
		}
	}
	if best < 0 {
		return nil
	}
	if tied == 1 {
		return p.shares[best].t
	}
	return p.turn(func(x *share) bool {
		return r.usable(x.t) && x.t.InFlight()*bw == bf*x.t.Weight()
	}, (*target.Target).Weight)
}

func (p *leastConnections) Began(*target.Target) {}

func (p *leastConnections) Done(t *target.Target, o Outcome) {
	if o.Failed {
		p.fail(t)
	}
}
