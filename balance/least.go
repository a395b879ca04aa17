package balance

import (
	"fmt"

	"github.com/weirlb/weir/target"
)

// least keeps a rotation in the order of in-flight requests per share; equals take turns by their shares. It is what
// least connections is with many targets, and what the other algorithms fall back to.
type least struct {
	choice
	inFlight int     // of all in rotation
	shares   int     // of all in rotation
	flights  []int32 // of each seat, as they are counted in inFlight
	from     []int32 // where the targets sat before the last Set, see seats.sit
}

func (p *least) Set(rotation []*target.Target) {
	p.from = p.rotate(rotation, (*target.Target).Share)
	p.inFlight, p.shares = 0, 0
	p.flights = make([]int32, len(rotation))
	for i, t := range rotation {
		p.rank.marks[i].key = crowding(t)
		p.flights[i] = int32(t.InFlight())
		p.inFlight += t.InFlight()
		p.shares += t.Share()
	}
	p.settle()
}

// crowding is what least connections compares by. Equal quotients are equal as floats, too.
func crowding(t *target.Target) float64 { return float64(flights(t)) / float64(t.Share()) }

// flights is what counts of a target's requests in flight. Without slots it is they, as in nginx, for whom all idle targets are equal. With slots
// the one that is asked for counts too, as in Envoy: weights say how fast targets are then, and of several that are idle the fastest
// one is the best, as it would be in the ideal single queue.
func flights(t *target.Target) int {
	n := t.InFlight()
	if t.Slots() > 0 {
		n++
	}
	return n
}

func (p *least) Pick(r *Request) *target.Target {
	i, t := p.first(r)
	if t != nil {
		p.take(i, 1)
	}
	return t
}

func (p *least) Began(t *target.Target) { p.update(t) }

func (p *least) Done(t *target.Target, _ Outcome) { p.update(t) }

// update brings t's place up to date and returns its seat, or none.
func (p *least) update(t *target.Target) int32 {
	i := p.seat(t)
	if i == none {
		return none
	}
	n := int32(t.InFlight())
	p.inFlight += int(n - p.flights[i])
	p.flights[i] = n
	p.rank.marks[i].key = crowding(t)
	p.place(i)
	return i
}

// Why implements Explainer.
func (p *least) Why(t *target.Target) string {
	return whyLeast(t, p.next(t))
}

func whyLeast(t, next *target.Target) string {
	s := fmt.Sprintf("least connections: %d in flight of share %d", t.InFlight(), t.Share())
	if next != nil {
		s += fmt.Sprintf(", next best %d of %d", next.InFlight(), next.Share())
	}
	return s
}

// leastConnections is nginx's least_conn: the smallest in-flight count per weight, compared by cross-multiplication;
// among the tied, and only among them, smooth weighted round robin. With many targets the tied take turns in virtual time.
type leastConnections struct {
	nginx smooth // with few targets
	many  bool
	least
}

func (p *leastConnections) Set(rotation []*target.Target) {
	if p.many = len(rotation) > few; p.many {
		p.nginx = smooth{}
		p.least.Set(rotation)
		return
	}
	p.least = least{}
	p.nginx.set(rotation, (*target.Target).Share)
}

func (p *leastConnections) Pick(r *Request) *target.Target {
	if p.many {
		return p.least.Pick(r)
	}
	best, tied := p.best(r)
	if tied < 2 {
		return best
	}
	f, w := flights(best), best.Share()
	return p.nginx.turn(func(t *target.Target) bool {
		return r.usable(t) && flights(t)*w == f*t.Share()
	}, (*target.Target).Share)
}

// best is the first with the fewest per share, and how many have as few.
func (p *leastConnections) best(r *Request) (best *target.Target, tied int) {
	var bf, bw int
	for i := range p.nginx.shares {
		t := p.nginx.shares[i].t
		if !r.usable(t) {
			continue
		}
		f, w := flights(t), t.Share()
		switch d := f*bw - bf*w; {
		case best == nil || d < 0:
			best, bf, bw, tied = t, f, w, 1
		case d == 0:
			tied++
		}
	}
	return best, tied
}

func (p *leastConnections) Done(t *target.Target, o Outcome) {
	if o.Failed && !p.many {
		p.nginx.fail(t)
	}
	p.least.Done(t, o)
}

// Why implements Explainer.
func (p *leastConnections) Why(t *target.Target) string {
	if p.many {
		return p.least.Why(t)
	}
	next, _ := p.best(&Request{Skip: []*target.Target{t}})
	return whyLeast(t, next)
}
