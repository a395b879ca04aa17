package pool

import (
	"time"

	"github.com/weirlb/weir/admit"
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

	pool    *Pool
	state   leaseState
	target  *target.Target
	member  *member // that holds the target; nil when the pool has it no longer
	err     error
	skip    []*target.Target // targets that already failed this request
	arrived time.Time
	granted time.Time
	why     string
	entry   admit.Entry // in the queue
	next    *Lease      // to be told

	twin      *Lease // the other one of a hedged request, while it runs
	retried   bool   // at least once
	hedge     bool   // the second one of a hedged request
	extra     bool   // counts against the budget of retries
	uncounted bool   // the twin has finished the request
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
	Explain  bool      // Lease.Why is to say why it got its target; costs an allocation or two
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

// Arrived is when the request came to the pool.
func (l *Lease) Arrived() time.Time { return l.arrived }

// Granted is when the lease was given the slot it holds.
func (l *Lease) Granted() time.Time { return l.granted }

// Why says in a few words why the lease got its target; "" unless Ask.Explain asked for it.
func (l *Lease) Why() string { return l.why }

// begin makes a used lease a new one.
func (l *Lease) begin(p *Pool, arrived time.Time) {
	l.pool, l.arrived, l.err, l.target, l.member, l.skip = p, arrived, nil, nil, nil, l.skip[:0]
	l.why = ""
	l.state, l.twin, l.retried, l.hedge, l.extra, l.uncounted = idle, nil, false, false, false, false
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
