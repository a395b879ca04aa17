package sim

import (
	"container/heap"
	"math"
	"slices"
	"time"
)

// batch is what an instance works on at once when its requests slow each other down, as the sequences of a language model's continuous batch do: each
// further one makes a step longer by the part Options.Batch of what it takes alone (Yu et al. 2022, "Orca"). With a part of 1 it is processor
// sharing (Kleinrock 1967).
type batch struct {
	requests byEnd
	served   float64 // nanoseconds of its service time that a request has had which has been there since the batch was empty
	counted  time.Duration
	event    uint64 // that ends the first of them; what was planned before it comes to nothing
}

// slowness is how much longer n requests take than one alone.
func (o *Options) slowness(n int) float64 { return 1 + float64(o.Batch*float64(max(n, 1)-1)) }

// shares reports whether requests that run on the same instance slow each other down.
func (o *Options) shares() bool { return o.Batch > 0 && o.Slots > 1 }

// account lets time pass for what is in the batch.
func (b *batch) account(o *Options, now time.Duration) {
	if len(b.requests) > 0 {
		b.served += float64(now-b.counted) / o.slowness(len(b.requests))
	} else {
		b.served = 0
	}
	b.counted = now
}

// share has an instance work on a request beside those that it has.
func (e *engine) share(in *instance, q *request, service time.Duration) {
	b := &in.batch
	b.account(&e.o, e.now)
	q.end = b.served + float64(service)
	heap.Push(&b.requests, q)
	e.await(in)
}

// await plans the end of the request that will be answered first, if nothing changes.
func (e *engine) await(in *instance) {
	b := &in.batch
	if b.event = 0; len(b.requests) == 0 {
		return
	}
	left := math.Ceil(max(0, b.requests[0].end-b.served) * e.o.slowness(len(b.requests)))
	b.event = e.events.push(event{at: e.now + time.Duration(left), kind: shared, instance: in})
}

// shared ends the first request of a batch, unless the batch has changed since this was planned.
func (e *engine) shared(v event) {
	b := &v.instance.batch
	if b.event != v.n {
		return
	}
	b.account(&e.o, e.now)
	q := heap.Pop(&b.requests).(*request)
	e.await(v.instance)
	e.answer(q)
}

// clear takes all requests out.
func (b *batch) clear() []*request {
	all := b.requests
	*b = batch{}
	slices.SortFunc(all, func(x, y *request) int { return x.Arrived().Compare(y.Arrived()) })
	return all
}

// byEnd is a heap of requests, the one that ends first at its top.
type byEnd []*request

func (h byEnd) Len() int           { return len(h) }
func (h byEnd) Less(i, j int) bool { return h[i].end < h[j].end }
func (h byEnd) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *byEnd) Push(q any)        { *h = append(*h, q.(*request)) }

func (h *byEnd) Pop() any {
	last := len(*h) - 1
	q := (*h)[last]
	(*h)[last], *h = nil, (*h)[:last]
	return q
}
