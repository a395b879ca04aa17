package pool

import (
	"time"

	"github.com/weirlb/weir/target"
)

// Lease is one request's claim on a pool: it waits in the queue, then holds a slot of one target, then is released.
// The caller owns the memory and may use a lease again once it is released; the zero value is ready, so an
// exchange can embed one and nothing is allocated per request.
//
// A lease serves a blocked goroutine and an event loop alike: Ready is called once when a lease that had to
// wait is granted or refused, from whichever goroutine freed the slot and without the pool's lock. It must not block.
type Lease struct {
	Ready func(*Lease)
	Ask   Ask // what the request asks for; set before Acquire and not changed until Release

	pool       *Pool
	state      leaseState
	target     *target.Target
	err        error
	skip       []*target.Target // targets that already failed this request
	arrived    time.Time
	granted    time.Time
	next, prev *Lease // in the queue
}

// Ask is what a request asks of its pool. The zero value asks for the next free slot, like everyone else.
type Ask struct {
	Key      uint64    // what the pool hashes by, hashed; 0: none
	Prefix   []uint64  // hashes of the prompt's prefixes, see balance.Request
	Sticky   string    // ID of the target that has the client's session; "" when there is none
	Priority int       // higher ones are served first and shed last; 0 is the usual one
	Deadline time.Time // no use after it; zero: none
	Tenant   uint64    // hash of whom the share counts for; 0: nobody's
	Size     float64   // what predicts its service time, in the units of the field that the user named; 0: unknown
}

type leaseState uint8

const (
	idle leaseState = iota
	waiting
	held
	refused
)

// Target is the target whose slot the lease holds, nil while it holds none.
func (l *Lease) Target() *target.Target { return l.target }

// Err says why a lease that waited was refused; nil when it was granted. It is valid once Ready was called.
func (l *Lease) Err() error { return l.err }

// Arrived is when the request came to the pool, Granted when it was given its slot.
func (l *Lease) Arrived() time.Time { return l.arrived }

// Granted is when the lease was given the slot it holds.
func (l *Lease) Granted() time.Time { return l.granted }

// queue is a doubly linked list of waiting leases, oldest first.
type queue struct {
	head, tail *Lease
	n          int
	picky      int // of them, those that some target failed before: a free slot there is no use to them
}

func (q *queue) count(l *Lease, by int) {
	q.n += by
	if len(l.skip) > 0 {
		q.picky += by
	}
}

func (q *queue) pushBack(l *Lease) {
	l.prev, l.next = q.tail, nil
	if q.tail != nil {
		q.tail.next = l
	} else {
		q.head = l
	}
	q.tail = l
	q.count(l, 1)
}

func (q *queue) pushFront(l *Lease) {
	l.prev, l.next = nil, q.head
	if q.head != nil {
		q.head.prev = l
	} else {
		q.tail = l
	}
	q.head = l
	q.count(l, 1)
}

func (q *queue) remove(l *Lease) {
	if l.prev != nil {
		l.prev.next = l.next
	} else {
		q.head = l.next
	}
	if l.next != nil {
		l.next.prev = l.prev
	} else {
		q.tail = l.prev
	}
	l.next, l.prev = nil, nil
	q.count(l, -1)
}

// answered collects leases to be told once the pool's lock is free.
type answered struct{ first, last *Lease }

func (a *answered) add(l *Lease) {
	if a.last != nil {
		a.last.next = l
	} else {
		a.first = l
	}
	a.last = l
}

func (a *answered) tell() {
	for l := a.first; l != nil; {
		next := l.next
		l.next = nil // before Ready: the owner may use the lease again at once
		l.Ready(l)
		l = next
	}
}
