package sim

import (
	"time"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/pool"
)

// request is one that waits or runs.
type request struct {
	pool.Lease
	Request
	e   *engine
	end float64 // of its service, as its instance's batch counts
	cut bool    // it was broken off, and what says that it is answered comes to nothing
}

// sweepEvery is how often the pool looks for what has waited too long, as in production.
const sweepEvery = 100 * time.Millisecond

func (e *engine) newRequest(r Request) *request {
	var q *request
	if n := len(e.free); n > 0 {
		q, e.free = e.free[n-1], e.free[:n-1]
	} else {
		q = &request{e: e}
		q.Ready = func(*pool.Lease) { e.ready(q) }
	}
	q.Request, q.cut = r, false
	q.Ask = pool.Ask{Key: r.Model, Prefix: r.Prefix, Priority: r.Priority, Tenant: r.Tenant}
	return q
}

// arrive lets a request ask for a slot.
func (e *engine) arrive(r Request) {
	e.now = r.At
	e.arrived++
	e.result.Requests++
	q := e.newRequest(r)
	switch v, err := e.pool.Acquire(&q.Lease, e.time(e.now)); v {
	case admit.Run:
		e.begin(q)
	case admit.Queue:
		e.result.drawn.waiting = max(e.result.drawn.waiting, e.result.Waiting())
		e.sweep()
	default:
		e.refused(q, err)
	}
	e.stir()
}

// ready is called when a request that waited is granted a slot or refused.
func (e *engine) ready(q *request) {
	if err := q.Err(); err != nil {
		e.refused(q, err)
		return
	}
	e.begin(q)
}

func (e *engine) refused(q *request, err error) {
	e.result.refused(e.now-q.At, err)
	e.free = append(e.free, q)
}

// begin has a target work on a request.
func (e *engine) begin(q *request) {
	in := q.Target().Link.(*instance)
	e.result.waited(e.now, e.now-q.At)
	in.begin(e.now)
	if service := in.service(q); e.o.shares() {
		e.share(in, q, service)
	} else {
		e.events.push(event{at: e.now + service, kind: answered, request: q})
	}
}

// answer ends a request.
func (e *engine) answer(q *request) {
	if q.cut {
		e.free = append(e.free, q)
		return
	}
	in := q.Target().Link.(*instance)
	in.end(e.now)
	e.result.answered(e.now - q.At)
	q.Release(pool.Outcome{Status: 200}, e.time(e.now))
	e.free = append(e.free, q)
	if in.draining && in.running == 0 {
		e.fleet.drained(in)
	}
	e.stir()
}

// cut breaks off what an instance still does when it is gone.
func (e *engine) cut(in *instance) {
	broken := in.batch.clear()
	for i := range e.events.heap {
		if q := e.events.heap[i].request; q != nil && !q.cut && q.Target().Link == any(in) {
			broken = append(broken, q)
		}
	}
	for _, q := range broken {
		q.cut = true
		in.end(e.now)
		e.result.cut(q.Granted().Sub(q.Arrived()))
		q.Release(pool.Outcome{Failed: true}, e.time(e.now))
	}
	e.stir()
}

// sweep has the pool look for what has waited too long as long as something waits.
func (e *engine) sweep() {
	if e.watching || e.result.Waiting() == 0 {
		return
	}
	e.watching = true
	e.events.push(event{at: e.now + sweepEvery, kind: swept})
}
