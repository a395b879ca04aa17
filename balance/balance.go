// Package balance chooses one target for one request. A Picker is a pure function of the targets' counters and of
// what it was told before: it reads no clock, locks nothing and is called under its pool's lock.
//
// Every pick costs at most about a microsecond with 10,000 targets in rotation, however few of them have a free slot:
// what an algorithm compares by is kept in order as requests begin and end, or a bounded number of targets is drawn.
// Targets are compared by target.Share, so that a target that starts slowly gets its part from every algorithm.
package balance

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weirlb/weir/target"
)

// Picker is one balancing algorithm over one pool's rotation.
//
// Set replaces the targets in rotation, also when shares or slots changed; what is known of those that stay is kept. Pick returns a
// target that has a free slot and is not in r.Skip, or nil when there is none; it does not count the request in. Began tells that a
// request was counted in on t, Done that it was counted out and how it ended: between them nobody else changes t's counters.
//
// Began follows the Pick of the same request, with no other Pick in between. A request that goes to t for another reason, such as its
// session, is told by Began alone.
type Picker interface {
	Set(rotation []*target.Target)
	Pick(r *Request) *target.Target
	Began(t *target.Target)
	Done(t *target.Target, o Outcome)
}

// Explainer is a Picker that can say why. All pickers of this package can.
type Explainer interface {
	// Why says in a few words why the last Pick returned t. It is to be called before anything else is.
	Why(t *target.Target) string
}

// Request is what a pick may depend on.
type Request struct {
	Now    time.Time
	Chance uint64           // uniformly random
	Key    uint64           // hash of what the pool hashes by (client, header, cookie, field of the body); 0: the request has none
	Prefix []uint64         // hashes of the prompt's ever longer prefixes, shortest first
	Skip   []*target.Target // targets that already failed this request
}

// Outcome is how a request on a target ended.
type Outcome struct {
	Now       time.Time
	Failed    bool          // the target spoilt it
	Cancelled bool          // the client left: it says nothing about the target
	FirstByte time.Duration // from the slot to the answer's head; 0 when there was none
	Took      time.Duration // from the slot to the end
}

// response is the time to the first byte, or to the end where that is not known.
func (o Outcome) response() time.Duration {
	if o.FirstByte > 0 {
		return o.FirstByte
	}
	return o.Took
}

func (r *Request) skips(t *target.Target) bool {
	return len(r.Skip) > 0 && slices.Contains(r.Skip, t)
}

func (r *Request) usable(t *target.Target) bool {
	return t.Free() && !r.skips(t)
}

// Options say which algorithm, and what its user may set. The zero value of each field but Name is its default.
// Options can be compared: the same options are the same algorithm.
type Options struct {
	Name        string        // one of Names
	BoundedLoad float64       // hash: what a target may carry, times the mean; at least 1, by default 1.25
	MaxAge      time.Duration // least_utilization: a report that is older counts as missing; by default 10 s
	SwitchCost  time.Duration // affinity: how much longer a request takes on a target without its key, until that was measured; by default 10 s
	Loaded      int           // affinity: how many keys a target keeps ready at a time; by default 1, at most 64
	Lead        int           // prefix_affinity: how many more requests in flight a favourite may have that knows the whole prompt; by default half its slots, 64 without a limit
	Memory      int           // prefix_affinity: how many prefixes are remembered, of 32 bytes each; by default 65,536
}

// The defaults of Options.
const (
	DefaultBoundedLoad = 1.25
	DefaultMaxAge      = 10 * time.Second
	DefaultSwitchCost  = 10 * time.Second
	DefaultLead        = 64
	DefaultMemory      = 1 << 16
)

// algorithms lists every algorithm in the order in which users are told of them.
var algorithms = []struct {
	name string
	make func(Options) Picker
}{
	{"round_robin", func(Options) Picker { return &roundRobin{weigh: ramp} }},
	{"weighted_round_robin", func(Options) Picker { return &roundRobin{weigh: (*target.Target).Share} }},
	{"least_connections", func(Options) Picker { return &leastConnections{} }},
	{"random_two_choices", func(Options) Picker { return &twoChoices{} }},
	{"hash", newHash},
	{"ip_hash", newHash},
	{"least_response_time", func(Options) Picker { return &peakEWMA{} }},
	{"prequal", func(Options) Picker { return &prequal{} }},
	{"least_utilization", func(o Options) Picker { return &leastUtilization{maxAge: o.MaxAge} }},
	{"prefix_affinity", newPrefix},
	{"affinity", newAffinity},
}

// Names lists the algorithms that New knows.
func Names() []string {
	names := make([]string, len(algorithms))
	for i, a := range algorithms {
		names[i] = a.name
	}
	return names
}

// New returns the algorithm that o names.
func New(o Options) (Picker, error) {
	switch {
	case o.BoundedLoad != 0 && !(o.BoundedLoad >= 1): // NaN too
		return nil, fmt.Errorf("a bounded load of %v times the mean leaves requests without a target; write at least 1, such as %v", o.BoundedLoad, DefaultBoundedLoad)
	case o.MaxAge < 0, o.SwitchCost < 0:
		return nil, fmt.Errorf("max age %v, switch cost %v: neither can be negative; leave it out for the default", o.MaxAge, o.SwitchCost)
	case o.Loaded < 0 || o.Loaded > maxLoaded:
		return nil, fmt.Errorf("a target cannot keep %d keys ready; write 1 to %d", o.Loaded, maxLoaded)
	case o.Lead < 0, o.Memory < 0:
		return nil, fmt.Errorf("lead %d, memory %d: neither can be negative; leave it out for the default", o.Lead, o.Memory)
	}
	o.BoundedLoad = cmp.Or(o.BoundedLoad, DefaultBoundedLoad)
	o.MaxAge = cmp.Or(o.MaxAge, DefaultMaxAge)
	o.SwitchCost = cmp.Or(o.SwitchCost, DefaultSwitchCost)
	o.Loaded = cmp.Or(o.Loaded, 1)
	o.Memory = cmp.Or(o.Memory, DefaultMemory)
	for _, a := range algorithms {
		if a.name == o.Name {
			return a.make(o), nil
		}
	}
	return nil, fmt.Errorf("%q is not a balancing algorithm; there are %s", o.Name, strings.Join(Names(), ", "))
}

// ramp is the part of its weight, in thousandths, that a target takes now.
func ramp(t *target.Target) int { return max(1, t.Share()/t.Weight()) }

// slots is how many requests t works on at a time once it has started, 0 without limit: what its share is of while it starts slowly.
func slots(t *target.Target) int { return cmp.Or(t.Slots(), t.Limit()) }
