// Package target holds the value every other package passes around: one address that takes traffic,
// with its weight, its slots and what is in flight on it.
package target

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// State says whether a target may be given requests, and if not, why.
type State uint32

// The states of a target. Only Healthy targets are in rotation, unless the pool fails open.
const (
	Initial   State = iota // has not passed its first health check yet
	Healthy                // takes requests
	Unhealthy              // failed its health checks
	Ejected                // taken out for a while by what its own answers showed
	Draining               // finishes what is in flight and takes nothing new
)

var stateNames = [...]string{"initial", "healthy", "unhealthy", "ejected", "draining"}

// String returns the state's name as the API, the log and the metrics show it.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("state(%d)", uint32(s))
}

// MarshalText writes the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a state's name.
func (s *State) UnmarshalText(b []byte) error {
	for i, n := range stateNames {
		if n == string(b) {
			*s = State(i)
			return nil
		}
	}
	return fmt.Errorf("%q is not a target state", b)
}

// Target is one address that takes traffic. Its identity never changes; its counters are written by the pool
// that owns it, under the pool's lock, and may be read by anyone.
type Target struct {
	ID   string // unique in its pool: the address of a static target, the instance's id otherwise
	Addr string // host:port

	// Link is what the data plane keeps for this target (its idle connections). It is set before the target
	// joins a pool and never changes.
	Link any

	mu         sync.Mutex // guards what the effective values are made of; nobody reads those below per request
	configured values
	override   values // -1: not overridden
	ramp       float64
	ceiling    int // of the slots, 0: none

	weight   atomic.Int32
	share    atomic.Int32
	slots    atomic.Int32
	limit    atomic.Int32
	inFlight atomic.Int32
	state    atomic.Uint32
	index    atomic.Int32
	requests atomic.Uint64
	failures atomic.Uint64
	report   atomic.Pointer[Report]
}

// Report is what a target said of its own load, in an answer's headers or when it was asked. Nothing here is ever 0 because it
// was not said: an Utilization that is negative or NaN is not known, and so is a whole report without At.
type Report struct {
	Utilization float64   // of what limits it, such as its GPU or KV cache: 0 idle, 1 full, more when overloaded
	InFlight    int       // requests it worked on, over all who send to it; 0: it did not say, or none
	Queue       int       // requests it held back, beside these
	At          time.Time // when it was said
}

// Known reports whether r says at now how loaded the target is, being at most maxAge old.
func (r Report) Known(now time.Time, maxAge time.Duration) bool {
	return !r.At.IsZero() && now.Sub(r.At) <= maxAge && r.Utilization >= 0 // not so when it is NaN
}

type values struct{ weight, slots int }

// New returns a target in the state Initial. Weight is relative, at least 1; slots 0 means without limit.
func New(id, addr string, weight, slots int) *Target {
	t := &Target{ID: id, Addr: addr, ramp: 1, override: values{-1, -1}}
	t.configured = values{max(weight, 1), max(slots, 0)}
	t.settle()
	return t
}

// settle works out the effective values; mu is held, or t is new.
func (t *Target) settle() {
	v := t.configured
	if t.override.weight >= 0 {
		v.weight = max(t.override.weight, 1)
	}
	if t.override.slots >= 0 {
		v.slots = t.override.slots
	}
	limit := v.slots
	if t.ceiling > 0 && (limit == 0 || t.ceiling < limit) {
		limit = t.ceiling
	}
	t.weight.Store(clamp(v.weight))
	t.share.Store(clamp(max(1, int(float64(v.weight)*1000*t.ramp))))
	t.slots.Store(clamp(v.slots))
	t.limit.Store(clamp(limit))
}

func clamp(n int) int32 { return int32(min(n, math.MaxInt32)) }

func (t *Target) set(change func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change()
	t.settle()
}

// Weight is the target's relative share, at least 1: the one that Override sets, or else the configured one.
func (t *Target) Weight() int { return int(t.weight.Load()) }

// SetWeight changes the configured relative share; values under 1 count as 1. A slow start goes on.
func (t *Target) SetWeight(n int) { t.set(func() { t.configured.weight = max(n, 1) }) }

// Share is the weight in thousandths as it counts now: less than a thousand times the weight while the target starts slowly, at least 1.
// It is what picking algorithms compare by.
func (t *Target) Share() int { return int(t.share.Load()) }

// SetRamp sets the part of its weight, over 0 to 1, that a target takes while it starts slowly or says itself that it can take no more.
func (t *Target) SetRamp(part float64) { t.set(func() { t.ramp = min(max(part, 0), 1) }) }

// Slots is how many requests the target may work on at a time by config or Override; 0 means without limit.
func (t *Target) Slots() int { return int(t.slots.Load()) }

// SetSlots changes the configured number of slots; values under 0 count as 0, without limit.
func (t *Target) SetSlots(n int) { t.set(func() { t.configured.slots = max(n, 0) }) }

// Limit is how many requests the target may work on now: its slots, or fewer while it starts slowly; 0 means without limit.
func (t *Target) Limit() int { return int(t.limit.Load()) }

// SetCeiling sets what Limit may at most be; 0 means what Slots says.
func (t *Target) SetCeiling(n int) { t.set(func() { t.ceiling = max(n, 0) }) }

// Override sets a weight and slots that count instead of the configured ones, whatever these become; nil takes that back.
func (t *Target) Override(weight, slots *int) {
	t.set(func() {
		t.override = values{-1, -1}
		if weight != nil {
			t.override.weight = max(*weight, 1)
		}
		if slots != nil {
			t.override.slots = max(*slots, 0)
		}
	})
}

// InFlight is the number of requests the target works on now.
func (t *Target) InFlight() int { return int(t.inFlight.Load()) }

// State is the target's state now.
func (t *Target) State() State { return State(t.state.Load()) }

// SetState is for the pool that owns the target.
func (t *Target) SetState(s State) { t.state.Store(uint32(s)) }

// Index is where the pool that owns the target keeps it; SetIndex is for that pool.
func (t *Target) Index() int { return int(t.index.Load()) }

// SetIndex is for the pool that owns the target.
func (t *Target) SetIndex(i int) { t.index.Store(int32(i)) }

// Free reports whether a slot is free now. It says nothing about the state.
func (t *Target) Free() bool {
	n := t.limit.Load()
	return n == 0 || t.inFlight.Load() < n
}

// Begin counts one request in; End counts it out. They are for the pool that owns the target.
func (t *Target) Begin() {
	t.inFlight.Add(1)
	t.requests.Add(1)
}

// End counts a request out; failed says that the target, not the client, spoilt it.
func (t *Target) End(failed bool) {
	t.inFlight.Add(-1)
	if failed {
		t.failures.Add(1)
	}
}

// Requests is how many requests the target was ever given, Failures how many of them it spoilt.
func (t *Target) Requests() uint64 { return t.requests.Load() }

// Failures is how many requests the target spoilt: refused, broken or answered 5xx.
func (t *Target) Failures() uint64 { return t.failures.Load() }

// SetReport keeps what the target said last. Anybody may call it at any time.
func (t *Target) SetReport(r Report) { t.report.Store(&r) }

// Report is what the target said last of its own load; the zero Report when it never did.
func (t *Target) Report() Report {
	if r := t.report.Load(); r != nil {
		return *r
	}
	return Report{}
}
