// Package scale decides how many instances a pool should have. Everything here is a pure function of an
// observation, the state carried over and the time: no clock, no I/O, no log.
package scale

import "time"

// Names of the metrics that the policies of this package read.
const (
	QueueDepth        = "queue_depth"
	InFlight          = "in_flight"
	RequestsPerSecond = "requests_per_second"
	ArrivalTrend      = "arrival_trend"
	OldestWait        = "oldest_wait"
	IdleSeconds       = "idle_seconds"
	RateWindow        = "rate_window"
	CPUUtilization    = "cpu_utilization"
)

// DefaultRateWindow is the number of seconds that requests_per_second is taken to cover when the observation does not say.
const DefaultRateWindow = 10.0

// Observation is all that a decision may depend on besides the state carried over.
type Observation struct {
	Time      time.Time  `json:"time"`
	Desired   int        `json:"desired"`             // the capacity desired until now, in instances
	Instances []Instance `json:"instances,omitempty"` // all that are pending, starting, warming, ready, unhealthy or draining

	// Metrics are the pool's own numbers by name. A metric that is not known is absent, never 0.
	// queue_depth: requests waiting; in_flight: requests running; requests_per_second: arrivals over the last seconds;
	// arrival_trend: change of that rate, requests/s per second; oldest_wait: seconds the oldest waiting request has waited;
	// idle_seconds: seconds since the pool last had a request waiting or running;
	// rate_window: seconds that requests_per_second was counted over, [DefaultRateWindow] when absent.
	Metrics map[string]float64 `json:"metrics,omitempty"`

	Slots   int    `json:"slots,omitempty"`  // slots of one instance; 0 means without limit
	Service Sample `json:"service,omitzero"` // measured service times, seconds
	Boot    Sample `json:"boot,omitzero"`    // measured boots, launch to ready, seconds

	Prepared int    `json:"prepared,omitempty"` // instances of the warm pool that can be woken; they are not among Instances
	Wake     Sample `json:"wake,omitzero"`      // measured times from waking one until it is ready, seconds

	Budget   *Budget `json:"budget,omitempty"`   // what money allows at this moment; nil: as [Options] has it
	Forecast *Curve  `json:"forecast,omitempty"` // what the predict policy reads; nil: there is none

	said []string // in the decision before; see say
}

// Instance is one instance as a policy sees it.
type Instance struct {
	ID       string             `json:"id"`
	State    string             `json:"state"`            // as in package fleet: pending, starting, warming, ready, unhealthy, draining
	Started  time.Time          `json:"started,omitzero"` // when its launch began
	Ready    time.Time          `json:"ready,omitzero"`   // when it became ready
	InFlight int                `json:"in_flight,omitempty"`
	Woken    bool               `json:"woken,omitempty"`  // it comes from the warm pool, and has not been ready since
	Type     string             `json:"type,omitempty"`   // of the machine
	Market   string             `json:"market,omitempty"` // on_demand or spot
	Zone     string             `json:"zone,omitempty"`
	Metrics  map[string]float64 `json:"metrics,omitempty"` // cpu_utilization in percent of one core, memory_bytes, …

	// What the hpa policy reads besides; without them State, Started and Ready say enough.

	Phase          string             `json:"phase,omitempty"`          // as a pod's: Pending, Running, Succeeded or Failed; empty goes by State
	ReadyCondition Condition          `json:"ready_condition,omitzero"` // whether it passes its readiness check, and since when; empty goes by State
	Sampled        time.Time          `json:"sampled,omitzero"`         // when Metrics were measured; zero: at the time of the observation
	SampleWindow   float64            `json:"sample_window,omitempty"`  // seconds before Sampled that Metrics cover
	Requests       map[string]float64 `json:"requests,omitempty"`       // what it has been given of a resource: cpu in cores, memory in bytes
}

// Condition is a readiness check's result and its last change, as the Ready condition of a pod.
type Condition struct {
	Status         string    `json:"status"`                   // True, False or Unknown
	LastTransition time.Time `json:"last_transition,omitzero"` // when Status last changed
}

// Sample sums up a measured distribution. Count 0 means that nothing was measured yet.
type Sample struct {
	Count int     `json:"count"`
	Mean  float64 `json:"mean"`
	SD    float64 `json:"sd"` // standard deviation
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
}

// Policy is one rule that proposes a desired capacity. Propose must not keep obs. A policy may carry state of its
// own from one call to the next; calls are in the order of obs.Time.
type Policy interface {
	Name() string // as the decision record shows it, for instance "target queue_depth"
	Propose(obs *Observation) Proposal
}

// Stateful is a Policy that carries state from one call to the next which must survive a restart. The Decider keeps it in its own State, by
// the policy's name, as JSON. A state that RestoreState refuses is forgotten.
type Stateful interface {
	Policy
	SaveState() ([]byte, error) // JSON; nil when there is nothing to keep
	RestoreState([]byte) error
}

// Proposal is what one policy asks for, with its arithmetic.
type Proposal struct {
	Policy  string `json:"policy"`
	Desired int    `json:"desired"`           // meaningful when Abstain is false
	Abstain bool   `json:"abstain,omitempty"` // the policy has nothing to go by (missing data); it neither grows nor shrinks, and lets nobody shrink
	Neutral bool   `json:"neutral,omitempty"` // the policy knows its data and asks for nothing now; with AWS's combination it has no vote
	Floor   bool   `json:"floor,omitempty"`   // Desired only raises what the others ask for, and never lowers it
	Max     int    `json:"max,omitempty"`     // with Floor: the pool's max is at least this while the proposal stands
	Demoted bool   `json:"demoted,omitempty"` // the policy only says what it would do, because its forecasts were worse than reacting
	Why     string `json:"why"`               // the arithmetic in words: "ceil(12 waiting / 5 each) = 3"
}

// Decision is one recorded step of the autoscaler.
type Decision struct {
	Time      time.Time  `json:"time"`
	Pool      string     `json:"pool,omitempty"`
	Previous  int        `json:"previous"`
	Desired   int        `json:"desired"`
	Proposals []Proposal `json:"proposals,omitempty"` // not to be written to: the next decision may share them
	Bound     string     `json:"bound,omitempty"`     // which clamp bound the result: "min", "max", "scale_in_window", "manual", …; see the Bound constants
	Why       string     `json:"why"`                 // one sentence for people
}

// Change is by how many instances the decision changed the capacity, in whichever direction.
func (d *Decision) Change() int { return max(d.Desired-d.Previous, d.Previous-d.Desired) }
