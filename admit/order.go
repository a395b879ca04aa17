package admit

import (
	"cmp"
	"fmt"
	"time"
)

// Order is by what the requests of one priority and one tenant are served.
type Order uint8

// The orders.
const (
	FIFO          Order = iota // the one that came first
	Deadline                   // the one whose deadline is nearest
	ShortestFirst              // the one that is expected to take the shortest time
)

var orderNames = [...]string{"fifo", "deadline", "shortest_first"}

// Orders lists the names of the orders.
func Orders() []string { return orderNames[:] }

// ParseOrder reads an order's name; "" is fifo.
func ParseOrder(name string) (Order, error) {
	if name == "" {
		return FIFO, nil
	}
	for i, n := range orderNames {
		if n == name {
			return Order(i), nil
		}
	}
	return 0, fmt.Errorf("%q is not an order of a queue; there are %v", name, Orders())
}

// String is the order's name.
func (o Order) String() string { return orderNames[o] }

// What Rule's zero values mean.
const (
	DefaultAgeing   = 10
	DefaultPatience = 60 * time.Second
)

// Rule is how a queue orders what waits in it.
type Rule struct {
	Order Order

	// Ageing and MaxWait bound how long a request may be overtaken in the order shortest_first: no request goes before it that came more than
	// Ageing times its expected service time later, nor one that came MaxWait later. 0 means DefaultAgeing, and half of Timeout. Large values
	// come near to the shortest mean wait, small ones to fifo.
	//
	// In the order deadline MaxWait stands for the deadline of a request that has none, so that it is not overtaken for ever; 0 means
	// Timeout, or DefaultPatience when that is 0 too.
	Ageing  float64
	MaxWait time.Duration

	// Timeout is how long a request may wait; 0 means without end.
	Timeout time.Duration
}

// key is the number by which requests are ordered, the lowest first. None depends on the present, so that a queue never has to be sorted again:
// a request that waits gains on those that come later because their keys are counted from a later arrival.
func (r Rule) key(q *Request, epoch time.Time) int64 {
	switch r.Order {
	case Deadline:
		if !q.Deadline.IsZero() {
			return int64(q.Deadline.Sub(epoch))
		}
		return int64(q.Arrived.Sub(epoch) + cmp.Or(r.MaxWait, r.Timeout, DefaultPatience))
	case ShortestFirst:
		return int64(q.Arrived.Sub(epoch) + r.Overtaken(q.Service))
	}
	return 0 // all alike: the sequence number decides
}

// Overtaken is how much later than a request of that expected service time another one may come and still be served before it,
// in the order shortest_first.
func (r Rule) Overtaken(service time.Duration) time.Duration {
	ageing := r.Ageing
	if ageing <= 0 {
		ageing = DefaultAgeing
	}
	bound := time.Duration(min(ageing*float64(max(service, 0)), 1e15)) // under 12 days: no overflow
	if most := cmp.Or(r.MaxWait, r.Timeout/2); most > 0 {
		bound = min(bound, most)
	}
	return bound
}
