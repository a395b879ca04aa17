package sim

import (
	"cmp"
	"math"
	"math/rand/v2"
	"time"

	"github.com/weirlb/weir/fleet/plan"
)

// Oracle is a lower bound of what any schedule costs, even one that knows the future: every request keeps a slot busy for its service time, so the
// instances together run at least for the sum of the services divided by the slots of one, and that much longer as full batches are slower. Boots, model switches and
// the time between two requests come on top for everybody; no schedule is below this.
func Oracle(o Options, requests []Request) *Result {
	o = o.whole()
	o.Name = "oracle"
	r := newResult(o)
	var work time.Duration
	for _, q := range requests {
		d := cmp.Or(q.Service, o.Service(q))
		work += d
		r.waited(0, 0)
		r.answered(d)
		r.Span = max(r.Span, q.At+d)
	}
	r.Requests, r.Kept = len(requests), 1
	r.InstanceHours = work.Hours() * o.slowness(o.Slots) / float64(o.Slots)
	r.Cost = r.InstanceHours * cheapest(o)
	return r
}

// cheapest is the least that an instance costs in an hour.
func cheapest(o Options) float64 {
	price := math.Inf(1)
	if o.Mix != nil {
		for _, market := range []string{plan.OnDemand, plan.Spot} {
			for _, as := range o.Mix.Placements(market) {
				price = min(price, o.Mix.Price(as))
			}
		}
	}
	if math.IsInf(price, 1) {
		return o.Price
	}
	return price
}

// Clairvoyant is a schedule that is told what will come: every instance is ready when its first request begins, and between two requests it ends and
// boots again where that is cheaper than to idle. Its boots cost as much as anybody's. Each request goes to the first instance that has a slot at
// once, or within the promise: the cheaper of the two. So the promise is kept for all, and the cheapest schedule of all lies between the
// Oracle and this.
func Clairvoyant(o Options, requests []Request) *Result {
	r := foreseen(o, requests, 0)
	if o.Promise > 0 {
		if late := foreseen(o, requests, o.Promise); late.Cost < r.Cost {
			r = late
		}
	}
	return r
}

// foreseen is the schedule in which a request waits no longer than patience.
func foreseen(o Options, requests []Request, patience time.Duration) *Result {
	o = o.whole()
	o.Name = "clairvoyant"
	r := newResult(o)
	e := &engine{o: o, result: r}
	rng := rand.New(rand.NewPCG(o.Seed, 0x66757475))
	var free slots
	var instances []*instance
	var until []time.Duration // by instance: when its last request ends
	spent := time.Duration(0)
	for i := range requests {
		q := &request{Request: requests[i], e: e}
		slot := free.first(q.At + patience)
		begin := max(q.At, free.at(slot))
		n := slot / o.Slots
		boots := n == len(instances)
		if boots {
			instances, until = append(instances, &instance{e: e}), append(until, begin)
			spent += o.Boot(rng)
			r.ColdStarts++
		} else if gap := begin - until[n]; gap > 0 {
			if boot := o.Boot(rng); boot < gap {
				instances[n].models, instances[n].blocks = nil, prefixes{}
				spent += boot
				r.ColdStarts++
			} else {
				spent += gap
			}
			until[n] = begin
		}
		end := begin + time.Duration(float64(instances[n].service(q))*o.slowness(o.Slots)) // as if the others were never free
		free.set(slot, end)
		spent += max(0, end-until[n])
		until[n] = max(until[n], end)
		r.waited(begin, begin-q.At)
		r.answered(end - q.At)
		r.Span = max(r.Span, end)
	}
	r.Requests, r.Launches = len(requests), r.ColdStarts
	if len(requests) > 0 {
		r.Kept = float64(r.kept) / float64(len(requests))
	}
	r.InstanceHours = spent.Hours()
	r.Cost = r.InstanceHours * cheapest(o)
	return r
}

// slots are when each of any number of slots is free, in a tree whose nodes know the least of what is below them.
type slots struct {
	least []time.Duration // the root is 1; the leaves are the second half
}

// first is the lowest slot that is free at a time.
func (s *slots) first(at time.Duration) int {
	if len(s.least) == 0 {
		s.least = make([]time.Duration, 2)
	}
	if s.least[1] > at {
		s.grow()
	}
	i, half := 1, len(s.least)/2
	for i < half {
		if i *= 2; s.least[i] > at {
			i++
		}
	}
	return i - half
}

func (s *slots) at(slot int) time.Duration { return s.least[len(s.least)/2+slot] }

func (s *slots) set(slot int, free time.Duration) {
	i := len(s.least)/2 + slot
	s.least[i] = free
	for i /= 2; i > 0; i /= 2 {
		s.least[i] = min(s.least[2*i], s.least[2*i+1])
	}
}

// grow doubles them.
func (s *slots) grow() {
	leaves := s.least[len(s.least)/2:]
	wider := slots{make([]time.Duration, 2*len(s.least))}
	copy(wider.least[len(s.least):], leaves)
	for i := len(s.least) - 1; i > 0; i-- {
		wider.least[i] = min(wider.least[2*i], wider.least[2*i+1])
	}
	*s = wider
}
