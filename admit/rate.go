package admit

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"time"
)

// Rate is how much a client may use in the long run, and at once.
type Rate struct {
	Events float64       // per Per
	Per    time.Duration // one second, one minute, …
	Burst  float64       // how much may be used at once after a pause, at least 1; 0 means Events, but at least 1
}

// Rates is a token bucket per key, in bounded memory. It is the one thing on this floor that keeps state and locks: a
// limit is a memory, and what it decides depends on nothing but what it was asked before.
//
// It is the generic cell rate algorithm (ITU-T I.371): instead of tokens each key has the time at which its bucket will be full
// again, and a request is refused if that would come to lie more than a whole bucket ahead. A full bucket is thereby the same as
// none, so it is forgotten at no cost. Keys live on shelves of eight; when all places of one are taken, the one that is closest to full
// gives way, so that who used up his bucket is forgotten last.
type Rates struct {
	perEvent float64 // nanoseconds until one event is refilled
	bucket   int64   // nanoseconds until an empty bucket is full
	burst    float64
	mask     uint64
	shelves  []shelf
	locks    [64]paddedLock
}

// shelf holds keys whose hashes end alike, in two cache lines.
type shelf struct {
	keys [ways]uint64
	full [ways]int64 // when the bucket is full, nanoseconds since the epoch; in the past for what is free
}

const ways = 8

type paddedLock struct {
	sync.Mutex
	_ [56]byte // so that two locks share no cache line
}

// DefaultKeys is how many keys a Rates remembers when nothing else is said: 128 bytes for eight of them.
const DefaultKeys = 1 << 16

// NewRates returns full buckets for every key. keys is how many that are not full are remembered, rounded up; 0 means DefaultKeys.
func NewRates(r Rate, keys int) (*Rates, error) {
	if r.Burst == 0 {
		r.Burst = max(r.Events, 1)
	}
	if keys == 0 {
		keys = DefaultKeys
	}
	perEvent := float64(r.Per) / r.Events
	switch {
	case !(r.Events > 0) || r.Per <= 0:
		return nil, errors.New("a rate needs a number over 0 and a period, as in 10 per second")
	case !(perEvent >= 1):
		return nil, fmt.Errorf("%v per %v is more than can be counted; leave the rate out to have none", r.Events, r.Per)
	case !(r.Burst >= 1):
		return nil, fmt.Errorf("burst %v: it must be at least 1, or no request would ever pass", r.Burst)
	case !(perEvent*r.Burst < float64(maxRefill)):
		return nil, fmt.Errorf("a burst of %v at %v per %v takes %v days to refill; the most is %v", r.Burst, r.Events, r.Per,
			math.Round(perEvent*r.Burst/24/float64(time.Hour)), maxRefill)
	case keys < 0 || keys > 1<<28:
		return nil, fmt.Errorf("%d keys: it must be from 1 to %d", keys, 1<<28)
	}
	n := 1
	for n*ways < keys {
		n *= 2
	}
	return &Rates{
		perEvent: perEvent, burst: r.Burst, bucket: max(1, int64(perEvent*r.Burst)), mask: uint64(n - 1), shelves: make([]shelf, n),
	}, nil
}

// maxRefill bounds how long a bucket takes to fill, so that times can be counted in nanoseconds.
const maxRefill = 366 * 24 * time.Hour

// Allow takes cost events from a key's bucket if they are there. If not, retryAfter says when they will be, provided that nobody else
// takes them. A cost over the burst is taken as the burst: such a request passes when the bucket is full. A cost of 0 or less
// asks without taking.
func (r *Rates) Allow(key uint64, now time.Time, cost float64) (ok bool, retryAfter time.Duration) {
	need := r.bucket
	if cost < r.burst {
		need = int64(max(cost, 0) * r.perEvent)
	}
	at := now.UnixNano()
	place := scatter(key) & r.mask
	s, lock := &r.shelves[place], &r.locks[place%uint64(len(r.locks))]
	lock.Lock()
	defer lock.Unlock()

	i, known := s.find(key, at)
	full := at
	if known {
		// A clock that was set back must not lock anybody out for longer than a bucket takes to fill.
		full = min(max(s.full[i], at), at+r.bucket)
	}
	if wait := full + need - at - r.bucket; wait > 0 {
		return false, time.Duration(wait)
	}
	if need > 0 {
		s.keys[i], s.full[i] = key, full+need
	}
	return true, 0
}

// find returns the place of a key, or the one that it may take: a free one, or that of the fullest bucket.
func (s *shelf) find(key uint64, now int64) (i int, known bool) {
	for j := range s.keys {
		if s.keys[j] == key && s.full[j] > now {
			return j, true
		}
		if s.full[j] < s.full[i] {
			i = j
		}
	}
	return i, false
}

// scatter spreads keys over places: the finalizer of splitmix64.
func scatter(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// TooFast is the refusal of a request over a rate. limit is its config key, such as "rate_limit".
func TooFast(limit string, retryAfter time.Duration) *Refusal {
	return &Refusal{
		Limit:      limit,
		Message:    "too many requests from this client",
		RetryAfter: wholeSeconds(retryAfter),
		Status:     429,
	}
}

// wholeSeconds rounds up to at least one.
func wholeSeconds(d time.Duration) time.Duration {
	return max(1, (d+time.Second-1)/time.Second) * time.Second
}
