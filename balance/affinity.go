package balance

import (
	"fmt"
	"slices"
	"time"

	"github.com/weirlb/weir/target"
)

// affinity sends a request to a target that has its key ready, such as the checkpoint or LoRA that it needs loaded: one of those that
// began a request of that key last. It yields when waiting there takes longer than a switch elsewhere: the requests ahead, each as long
// as requests were measured to take, against those ahead on the least loaded target and the cost of a switch. So a hot key spreads
// over as many targets as its load is worth. Of equally loaded targets, the one that was used longest ago switches. Requests without
// a key go by least connections.
type affinity struct {
	least
	keep  int
	costs switchCosts
	ready []ready            // of each seat
	homes map[uint64][]int32 // the seats with a free slot that have a key ready

	key     uint64 // of the last pick, until Began
	picked  *target.Target
	now     time.Time // of the last pick
	homely  int       // for Why: targets with a free slot and the key ready
	ahead   time.Duration
	yielded bool
}

// maxLoaded is the most keys that one target keeps ready.
const maxLoaded = 64

// ready is what one target has ready, and how its last switch went.
type ready struct {
	keys     []home    // latest first
	switched time.Time // when the first request after the last switch was given its slot
	warm     time.Time // when that request ended; zero: not yet
	open     bool      // its keys are in homes
}

// home is one key that a target has ready, and where the target stands in homes of that key.
type home struct {
	key uint64
	pos int32
}

func newAffinity(o Options) Picker {
	return &affinity{keep: o.Loaded, costs: switchCosts{given: o.SwitchCost}, homes: map[uint64][]int32{}}
}

func (p *affinity) Set(rotation []*target.Target) {
	p.least.Set(rotation)
	p.ready = carry(p.ready, p.least.from, zero[ready])
	clear(p.homes)
	for i, t := range rotation {
		p.ready[i].open = false
		p.open(int32(i), t.Free())
	}
}

func (p *affinity) Pick(r *Request) *target.Target {
	p.key, p.now, p.homely, p.yielded = r.Key, r.Now, len(p.homes[r.Key]), false
	p.picked = p.choose(r)
	return p.picked
}

func (p *affinity) choose(r *Request) *target.Target {
	_, idlest := p.first(r)
	if idlest == nil || r.Key == 0 {
		return p.least.Pick(r)
	}
	if t := p.home(r); t != nil {
		if p.ahead = p.wait(t); p.ahead <= p.wait(idlest)+p.costs.of() {
			return t
		}
		p.yielded = true
	}
	return p.least.Pick(r)
}

// home is the least loaded target with a free slot that has the key ready, of a few drawn when there are many.
func (p *affinity) home(r *Request) (best *target.Target) {
	h := p.homes[r.Key]
	start := below(r.Chance, len(h))
	for k := range min(len(h), reach+len(r.Skip)) {
		if t := p.targets[h[(start+k)%len(h)]]; r.usable(t) && (best == nil || crowding(t) < crowding(best)) {
			best = t
		}
	}
	return best
}

// wait is how long what t has in flight takes: t works on as many as it has slots at a time, on one when they are without limit,
// and a weight of 2 is twice as fast.
func (p *affinity) wait(t *target.Target) time.Duration {
	turns := crowding(t) * weight / float64(max(slots(t), 1))
	return time.Duration(turns * float64(p.costs.service()))
}

func (p *affinity) Began(t *target.Target) {
	i := p.update(t)
	if i != none {
		if y := &p.ready[i]; p.key != 0 && t == p.picked && (len(y.keys) == 0 || y.keys[0].key != p.key) {
			p.open(i, false)
			p.load(y)
		}
		p.open(i, t.Free())
	}
	p.key = 0
}

// load notes that a target gets the key ready, as the latest.
func (p *affinity) load(y *ready) {
	at := slices.IndexFunc(y.keys, func(h home) bool { return h.key == p.key })
	switch {
	case at < 0:
		y.switched, y.warm = p.now, time.Time{}
		if at = len(y.keys); at < p.keep {
			y.keys = append(y.keys, home{})
		} else {
			at--
		}
		fallthrough
	case at > 0:
		copy(y.keys[1:at+1], y.keys[:at])
		y.keys[0] = home{key: p.key}
	}
}

func (p *affinity) Done(t *target.Target, o Outcome) {
	i := p.update(t)
	if i == none {
		return
	}
	if o.Failed {
		p.open(i, false)
	}
	p.learn(&p.ready[i], o)
	p.open(i, t.Free())
}

// learn measures a request: the first after a switch, one that followed, or one that came while the target switched, which tells nothing.
func (p *affinity) learn(y *ready, o Outcome) {
	switch began := o.Now.Add(-o.Took); {
	case len(y.keys) == 0:
	case y.warm.IsZero() && began.Equal(y.switched):
		switch {
		case o.Failed:
			y.keys = slices.Delete(y.keys, 0, 1) // whatever it was, it is not known to be ready
		case !o.Cancelled:
			y.warm = o.Now
			p.costs.first.add(o.response())
		}
	case !y.warm.IsZero() && !began.Before(y.warm) && !o.Failed && !o.Cancelled:
		p.costs.next.add(o.response())
		p.costs.took.add(o.Took)
	}
}

// open puts a target into homes of its keys, or takes it out.
func (p *affinity) open(i int32, in bool) {
	y := &p.ready[i]
	if y.open == in {
		return
	}
	y.open = in
	for k := range y.keys {
		h := &y.keys[k]
		list := p.homes[h.key]
		if in {
			h.pos = int32(len(list))
			p.homes[h.key] = append(list, i)
			continue
		}
		last := list[len(list)-1]
		list[h.pos] = last
		for k, other := range p.ready[last].keys {
			if other.key == h.key {
				p.ready[last].keys[k].pos = h.pos
			}
		}
		if list = list[:len(list)-1]; len(list) == 0 {
			delete(p.homes, h.key)
		} else {
			p.homes[h.key] = list
		}
	}
}

// Why implements Explainer.
func (p *affinity) Why(t *target.Target) string {
	cost := p.costs.of().Round(time.Millisecond)
	switch {
	case p.key == 0:
		return "no key; " + p.least.Why(t)
	case p.yielded:
		return fmt.Sprintf("affinity: %s of work ahead where the key is ready, a switch costs %s; %s", p.ahead.Round(time.Millisecond), cost, p.least.Why(t))
	case p.homely == 0:
		return "affinity: no target with a free slot has the key ready; " + p.least.Why(t)
	}
	return fmt.Sprintf("affinity: has the key ready, as %d targets with a free slot have; %d in flight, a switch costs %s", p.homely, t.InFlight(), cost)
}

// switchCosts measures what a switch costs: how much longer the first request after one takes to its first byte than those that
// follow. Until both were measured a few times it is what the user gave.
type switchCosts struct {
	given       time.Duration
	first, next mean // to the first byte
	took        mean // to the end, of those that follow
}

// enough is how many measurements say more than the user.
const enough = 3

func (c *switchCosts) of() time.Duration {
	if c.first.n < enough || c.next.n < enough {
		return c.given
	}
	return max(0, c.first.value-c.next.value)
}

func (c *switchCosts) service() time.Duration {
	if c.took.n == 0 {
		return guess
	}
	return c.took.value
}

// mean is that of all values at first and then mostly of the last 20.
type mean struct {
	value time.Duration
	n     int
}

func (m *mean) add(d time.Duration) {
	m.n = min(m.n+1, 20)
	m.value += (d - m.value) / time.Duration(m.n)
}
