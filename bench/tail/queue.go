package main

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// queue is the ideal queue, driven: it hands requests to the first free of its targets, the fastest when there are several. It stands in the load generator
// itself, so what it loses against the computed ideal is what sockets and timers of this machine cost without any proxy.
type queue struct {
	before order

	mu      sync.Mutex
	free    []*target
	waiting []waiter
	gone    *target // was taken out while it worked
}

// waiter is one request that waits; turn has room for the target that it gets.
type waiter struct {
	job  job
	turn chan *target
}

// acquire waits for a target. Who gives up leaves its turn behind: only a run that ends does so.
func (q *queue) acquire(ctx context.Context, j job) (*target, error) {
	q.mu.Lock()
	if len(q.free) > 0 {
		best := 0
		for i, t := range q.free {
			if t.speed > q.free[best].speed {
				best = i
			}
		}
		t := q.free[best]
		q.free = slices.Delete(q.free, best, best+1)
		q.mu.Unlock()
		return t, nil
	}
	w := waiter{j, make(chan *target, 1)}
	q.waiting = append(q.waiting, w)
	q.mu.Unlock()
	select {
	case t := <-w.turn:
		return t, nil
	case <-ctx.Done():
		return nil, errors.New("cancelled in the queue")
	}
}

func (q *queue) release(t *target) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t == q.gone {
		q.gone = nil
		return
	}
	q.offer(t)
}

// offer gives t to who is next, or keeps it. The lock is held.
func (q *queue) offer(t *target) {
	if len(q.waiting) == 0 {
		q.free = append(q.free, t)
		return
	}
	next := 0
	for i, w := range q.waiting {
		if q.before(w.job, q.waiting[next].job) {
			next = i
		}
	}
	q.waiting[next].turn <- t
	q.waiting = slices.Delete(q.waiting, next, next+1)
}

// replace takes out one target, which finishes what it has, and puts in another.
func (q *queue) replace(out, in *target) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.free, out); i >= 0 {
		q.free = slices.Delete(q.free, i, i+1)
	} else {
		q.gone = out
	}
	q.offer(in)
}
