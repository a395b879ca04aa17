// Package admit decides whether a request runs at once, waits in its pool's queue or is refused, and what a refused
// client is told.
package admit

import (
	"fmt"
	"math"
	"time"
)

// Verdict is what becomes of a request that arrives at a pool.
type Verdict uint8

// The verdicts.
const (
	Run    Verdict = iota // a slot is free
	Queue                 // it waits
	Refuse                // the queue is full
)

// Limits bounds a pool's queue.
type Limits struct {
	Queue   int           // requests that may wait; 0 means that none may
	Timeout time.Duration // how long one may wait; 0 means without end
}

// Decide says what becomes of a request, given whether a slot is free for it and how many wait already. Who waits
// is served first: a free slot is no reason to overtake.
func (l Limits) Decide(free bool, waiting int) Verdict {
	switch {
	case free && waiting == 0:
		return Run
	case waiting < l.Queue:
		return Queue
	}
	return Refuse
}

// Refusal is the error of a request that was not given a target. It names the limit that refused it.
type Refusal struct {
	Limit      string        // the config key that bound: "queue.limit", "queue.timeout", …
	Message    string        // for people
	RetryAfter time.Duration // whole seconds, at least one; 0 when trying again is no use
	Status     int           // of the answer; 0 means 503
}

// Error is the message with the limit's name.
func (r *Refusal) Error() string { return r.Message + " (" + r.Limit + ")" }

// QueueFull is the refusal of a request that found the queue full.
func QueueFull(pool string, limit, slots int, service time.Duration) *Refusal {
	return &Refusal{
		Limit:      "queue.limit",
		Message:    fmt.Sprintf("pool %s: %d requests wait already and no more may", pool, limit),
		RetryAfter: RetryAfter(limit, slots, service),
	}
}

// QueueTimeout is the refusal of a request that waited as long as it may.
func QueueTimeout(pool string, timeout time.Duration, waiting, slots int, service time.Duration) *Refusal {
	return &Refusal{
		Limit:      "queue.timeout",
		Message:    fmt.Sprintf("pool %s: no slot became free within %v", pool, timeout),
		RetryAfter: RetryAfter(waiting, slots, service),
	}
}

// Shed is the refusal of a request that waited in a full queue until a more important one needed its place.
func Shed(pool string, limit, slots int, service time.Duration) *Refusal {
	return &Refusal{
		Limit:      "queue.limit",
		Message:    fmt.Sprintf("pool %s: %d requests wait already, and this one gave way to a more important one", pool, limit),
		RetryAfter: RetryAfter(limit, slots, service),
	}
}

// DeadlinePassed is the refusal of a request whose own deadline has passed before it was given a slot: its client has no use for an answer.
func DeadlinePassed(pool string) *Refusal {
	return &Refusal{
		Limit:   "deadline",
		Message: fmt.Sprintf("pool %s: no slot became free before the request's deadline", pool),
		Status:  504,
	}
}

// RetryAfter is an honest answer to "when should I come back": the time in which the slots work off what waits,
// rounded up to whole seconds, between one second and five minutes.
func RetryAfter(waiting, slots int, service time.Duration) time.Duration {
	if slots < 1 {
		slots = 1
	}
	s := math.Ceil(float64(waiting) * service.Seconds() / float64(slots))
	return time.Duration(min(max(s, 1), 300)) * time.Second
}
