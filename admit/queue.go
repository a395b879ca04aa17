package admit

import (
	"math/bits"
	"time"
)

// Request is what a queue needs to know of a request.
type Request struct {
	Arrived  time.Time
	Deadline time.Time     // no use after it; zero: none
	Priority int           // higher ones are served first and shed last; what is beyond MinPriority and MaxPriority counts as these
	Tenant   uint64        // whose share it counts for; 0: nobody's, who are one tenant together
	Service  time.Duration // how long it is expected to take; 0: unknown
}

// The range of priorities.
const (
	MinPriority = -128
	MaxPriority = 127
)

// Entry is one request's place in a Line. It belongs to whoever embeds it, so that queueing allocates nothing. The zero value waits nowhere.
type Entry struct {
	Owner any // what the entry stands for; set once by who queues it

	flow    *flow
	number  uint64        // of its arrival
	order   node          // among what it may be served before and after
	expiry  node          // among all whose waiting ends some time
	youth   node          // among those of its flow, as they began to wait
	ends    time.Duration // when its waiting ends, since the epoch; never is never
	waits   bool
	charged float64 // seconds that its tenant was charged in advance
}

const never = time.Duration(1<<63 - 1)

// Line is a pool's queue: what waits for its slots, in the order in which it gets them. Higher priorities come first; among equals the tenants take turns by the slot-seconds they
// have had (start-time fair queueing, Goyal et al. 1996, charged in advance by the expected service time and corrected by the measured one);
// a tenant's own requests are served in the order of the Rule.
//
// All operations are O(log n), and O(1) while requests have neither priorities nor tenants and are served as they came. Like all of
// this package it locks nothing and reads no clock.
type Line struct {
	rule    Rule
	epoch   time.Time
	levels  [256]*level // by priority - MinPriority
	ready   priorities  // levels with requests that any slot is good for
	waiting priorities  // levels with requests
	expiry  sequence
	n       int
	free    int    // of them, those that any slot is good for
	numbers uint64 // given out
	tenants int    // flows beside nobody's
	spare   []*flow
	swept   time.Time
}

// priorities is a set of priorities.
type priorities [4]uint64

func (s *priorities) add(i int)    { s[i>>6] |= 1 << (i & 63) }
func (s *priorities) remove(i int) { s[i>>6] &^= 1 << (i & 63) }

// highest and lowest are -1 for an empty set.
func (s *priorities) highest() int {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] != 0 {
			return i<<6 + bits.Len64(s[i]) - 1
		}
	}
	return -1
}

func (s *priorities) lowest() int {
	for i, w := range s {
		if w != 0 {
			return i<<6 + bits.TrailingZeros64(w)
		}
	}
	return -1
}

// NewLine returns an empty queue that counts time from epoch.
func NewLine(r Rule, epoch time.Time) *Line { return &Line{rule: r, epoch: epoch} }

func (q *Line) since(t time.Time) time.Duration { return t.Sub(q.epoch) }

// Len is how many requests wait.
func (q *Line) Len() int { return q.n }

// Free is how many requests wait that any slot is good for.
func (q *Line) Free() int { return q.free }

// Tenants is how many tenants the queue knows; those that were not here lately are forgotten.
func (q *Line) Tenants() int { return q.tenants }

// Arrive gives a request its number in the order of arrivals, which it keeps when it has to wait a second time.
func (q *Line) Arrive(e *Entry) {
	q.numbers++
	e.number = q.numbers
}

// Side is a part of the queue whose requests only some slots are good for: those that wait for one target, or that
// some targets have failed. The zero value is empty.
type Side struct{ s sequence }

// Take lets a request that waits in the side stand aside for a moment, so that First is the next one; Put takes it back.
func (s *Side) Take(e *Entry) { s.s.remove(&e.order) }

// Put takes back what stood aside.
func (s *Side) Put(e *Entry) { s.s.push(&e.order) }

// Len is how many requests wait in it.
func (s *Side) Len() int { return s.s.len() }

// First is the most urgent request that waits in it, nil when there is none.
func (s *Side) First() *Entry { return owner(s.s.first()) }

func owner(n *node) *Entry {
	if n == nil {
		return nil
	}
	return n.entry
}

// Push lets a request wait: beside the others when side is not nil. until is when it leaves the side and waits for any slot, zero for never.
// Expired tells.
func (q *Line) Push(e *Entry, r *Request, side *Side, until time.Time) {
	l := q.level(r.Priority)
	f := l.flow(q, r.Tenant)
	if f.waiting() == 0 {
		f.served = max(f.served, l.served) // what it did not use while it was away is not saved up
	}
	e.flow, e.waits = f, true
	e.order = node{entry: e, rank: int8(l.index + MinPriority), key: q.rule.key(r, q.epoch), seq: e.number}
	e.expiry = node{entry: e, seq: e.number}
	e.youth = node{entry: e}
	e.ends = q.ends(r)
	q.n++
	f.pushYouth(&e.youth)
	f.lengthened()
	q.waiting.add(l.index)
	if side != nil {
		side.s.push(&e.order)
		if !until.IsZero() {
			q.expire(e, min(e.ends, q.since(until)))
			return
		}
	} else {
		q.join(e)
	}
	q.expire(e, e.ends)
}

// ends is when the waiting of r ends, since the epoch.
func (q *Line) ends(r *Request) time.Duration {
	ends := never
	if q.rule.Timeout > 0 {
		ends = q.since(r.Arrived) + q.rule.Timeout
	}
	if !r.Deadline.IsZero() {
		ends = min(ends, q.since(r.Deadline))
	}
	return ends
}

// Again gives a request that waits the place that the rule gives it now, after Configure.
func (q *Line) Again(e *Entry, r *Request) {
	until := never
	if e.expiry.in != nil {
		if e.expiry.key < int64(e.ends) {
			until = time.Duration(e.expiry.key)
		}
		q.expiry.remove(&e.expiry)
	}
	where := e.order.in
	own := where == &e.flow.order
	q.leave(e)
	e.order.key = q.rule.key(r, q.epoch)
	if own {
		q.join(e)
	} else {
		where.push(&e.order)
	}
	e.ends = q.ends(r)
	q.expire(e, min(e.ends, until))
}

func (q *Line) expire(e *Entry, at time.Duration) {
	if at != never {
		e.expiry.key = int64(at)
		q.expiry.push(&e.expiry)
	}
}

// join puts e among those that any slot is good for.
func (q *Line) join(e *Entry) {
	f := e.flow
	if f.order.len() == 0 {
		f.level.ready.push(turn{f})
		q.ready.add(f.level.index)
	}
	f.order.push(&e.order)
	q.free++
}

// leave takes the order node out, wherever it is.
func (q *Line) leave(e *Entry) {
	f := e.flow
	own := e.order.in == &f.order
	e.order.in.remove(&e.order)
	if !own {
		return
	}
	q.free--
	if f.order.len() == 0 {
		l := f.level
		l.ready.remove(f.pos)
		if len(l.ready) == 0 {
			q.ready.remove(l.index)
		}
	}
}

// Loosen lets a request that waited in a side wait for any slot, in the place that its arrival gives it.
func (q *Line) Loosen(e *Entry) {
	q.leave(e)
	q.join(e)
	if e.expiry.in != nil {
		q.expiry.remove(&e.expiry)
	}
	q.expire(e, e.ends)
}

// Remove takes a request out that waits no longer. Who gives it a slot calls Start then, or else Forget.
func (q *Line) Remove(e *Entry) {
	q.leave(e)
	if e.expiry.in != nil {
		q.expiry.remove(&e.expiry)
	}
	f := e.flow
	f.youth.remove(&e.youth)
	f.shortened()
	e.waits = false
	q.n--
	if len(f.level.longest) == 0 {
		q.waiting.remove(f.level.index)
	}
}

// Waits says whether the request waits.
func (e *Entry) Waits() bool { return e.waits }

// First is the most urgent of the requests that any slot is good for, nil when there is none.
func (q *Line) First() *Entry {
	i := q.ready.highest()
	if i < 0 {
		return nil
	}
	return q.levels[i].ready[0].order.first().entry
}

// Before says whether a is served before b, when a slot is good for both.
func (q *Line) Before(a, b *Entry) bool {
	if a.order.rank == b.order.rank && a.flow != b.flow && a.flow.served != b.flow.served {
		return a.flow.served < b.flow.served
	}
	return a.order.before(&b.order)
}

// Expired is a request whose waiting ends by now, and whether only its waiting in a side does; nil when there is none. The caller removes it
// or loosens it before it asks again.
func (q *Line) Expired(now time.Time) (e *Entry, loose bool) {
	n := q.expiry.first()
	if n == nil || n.key > int64(q.since(now)) {
		return nil, false
	}
	return n.entry, n.key < int64(n.entry.ends)
}

// Over says whether the request's waiting has ended by now.
func (q *Line) Over(e *Entry, now time.Time) bool { return e.ends <= q.since(now) }

// Shed is the request that is to be refused so that a new one can wait, nil when the new one is the least important itself. It is the youngest one
// of the lowest priority, if that is lower than the new one's; with equal ones, the youngest of the tenant that has most requests waiting, if the
// new one's tenant has fewer even with it.
func (q *Line) Shed(r *Request) *Entry {
	i := q.waiting.lowest()
	if i < 0 {
		return nil
	}
	mine, l := levelOf(r.Priority), q.levels[i]
	if i > mine {
		return nil
	}
	f := l.longest[0].flow
	if i == mine {
		have := 0
		if own := l.find(r.Tenant); own != nil {
			have = own.waiting()
		}
		if f.waiting() <= have+1 {
			return nil
		}
	}
	return f.youth.last.entry
}

// Waiting is how many requests of each priority wait, the highest first.
func (q *Line) Waiting(yield func(priority, n int) bool) {
	for i := len(q.levels) - 1; i >= 0; i-- {
		if l := q.levels[i]; l != nil && len(l.longest) > 0 {
			n := 0
			for _, f := range l.longest {
				n += f.waiting()
			}
			if !yield(i+MinPriority, n) {
				return
			}
		}
	}
}

// All yields every request that waits, in no order. The queue must not change meanwhile.
func (q *Line) All(yield func(*Entry) bool) {
	for _, l := range q.levels {
		if l == nil {
			continue
		}
		for _, f := range l.longest {
			for n := f.youth.first; n != nil; n = n.next {
				if !yield(n.entry) {
					return
				}
			}
		}
	}
}

// Heads yields the longest waiting request of each tenant and priority.
func (q *Line) Heads(yield func(*Entry) bool) {
	for _, l := range q.levels {
		if l == nil {
			continue
		}
		for _, f := range l.longest {
			if !yield(f.youth.first.entry) {
				return
			}
		}
	}
}

// Configure changes the rule. What waits keeps its old one: the caller pushes it again when the rule has changed.
func (q *Line) Configure(r Rule) { q.rule = r }

// Rule is the queue's rule.
func (q *Line) Rule() Rule { return q.rule }
