// Package target holds the value every other package passes around: one address that takes traffic,
// with its weight, its slots and what is in flight on it.
package target

import (
	"fmt"
	"sync/atomic"
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

	weight   atomic.Int32
	share    atomic.Int32
	slots    atomic.Int32
	inFlight atomic.Int32
	state    atomic.Uint32
	requests atomic.Uint64
	failures atomic.Uint64
}

// New returns a target in the state Initial. Weight is relative, at least 1; slots 0 means without limit.
func New(id, addr string, weight, slots int) *Target {
	t := &Target{ID: id, Addr: addr}
	t.SetWeight(weight)
	t.SetSlots(slots)
	return t
}

// Weight is the target's relative share, at least 1.
func (t *Target) Weight() int { return int(t.weight.Load()) }

// SetWeight changes the relative share; values under 1 count as 1.
func (t *Target) SetWeight(n int) {
	t.weight.Store(int32(max(n, 1)))
	t.SetRamp(1)
}

// Share is the weight in thousandths as it counts now: less than a thousand times the weight while the target starts slowly, at least 1.
// It is what picking algorithms compare by.
func (t *Target) Share() int { return int(t.share.Load()) }

// SetRamp sets the part of its weight, over 0 to 1, that a target takes while it starts slowly.
func (t *Target) SetRamp(part float64) {
	t.share.Store(max(1, int32(float64(t.weight.Load())*1000*min(part, 1))))
}

// Slots is how many requests the target may work on at a time; 0 means without limit.
func (t *Target) Slots() int { return int(t.slots.Load()) }

// SetSlots changes the number of slots; values under 0 count as 0, without limit.
func (t *Target) SetSlots(n int) { t.slots.Store(int32(max(n, 0))) }

// InFlight is the number of requests the target works on now.
func (t *Target) InFlight() int { return int(t.inFlight.Load()) }

// State is the target's state now.
func (t *Target) State() State { return State(t.state.Load()) }

// SetState is for the pool that owns the target.
func (t *Target) SetState(s State) { t.state.Store(uint32(s)) }

// Free reports whether a slot is free now. It says nothing about the state.
func (t *Target) Free() bool {
	n := t.slots.Load()
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
