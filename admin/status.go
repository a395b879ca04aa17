package admin

import (
	"time"

	"github.com/weirlb/weir/fleet/plan"
	"github.com/weirlb/weir/money"
	"github.com/weirlb/weir/scale"
)

// Status is all of Weir at one moment, as GET /v1/status answers. Names that end in _s are seconds, in _bytes bytes.
type Status struct {
	Version    string     `json:"version"`
	PID        int        `json:"pid"`
	Generation int        `json:"generation"` // how many upgrades led to this process; 0: it was started anew
	Started    time.Time  `json:"started"`
	Time       time.Time  `json:"time"` // of this look
	Listeners  []Listener `json:"listeners"`
	Pools      []Pool     `json:"pools"`
	Leaving    []Leaving  `json:"leaving,omitempty"`
}

// Leaving is a process that an upgrade has replaced and that finishes what it has in flight.
type Leaving struct {
	PID         int       `json:"pid"`
	Connections int       `json:"connections"`       // of clients
	InFlight    int       `json:"in_flight"`         // requests on targets
	Deadline    time.Time `json:"deadline,omitzero"` // when what is left is cut
}

// Upgrade is the result of one.
type Upgrade struct {
	PID        int     `json:"pid"` // of the new process
	Generation int     `json:"generation"`
	Leaving    Leaving `json:"leaving"` // the process that answers
}

// Listener is one address that Weir accepts on.
type Listener struct {
	Address     string `json:"address"`
	Connections int    `json:"connections"` // open now
	Accepted    uint64 `json:"accepted"`    // since this process serves there
	TLS         bool   `json:"tls,omitempty"`

	FailedHandshakes uint64 `json:"failed_handshakes,omitempty"` // of those accepted
}

// Pool is one pool.
type Pool struct {
	Name        string `json:"name"`
	Balance     string `json:"balance"`
	Concurrency int    `json:"concurrency"` // slots of one target; 0 means without limit
	Queue       Queue  `json:"queue"`
	InFlight    int    `json:"in_flight"`
	Slots       int    `json:"slots"`       // of all targets in rotation; 0 means without limit
	FailedOpen  bool   `json:"failed_open"` // no target is healthy, so all are tried

	Rates   Rates     `json:"rates"`
	Wait    Quantiles `json:"wait_s"`    // arrival to slot, of the last minute
	Latency Quantiles `json:"latency_s"` // arrival to end, of the last minute
	Totals  Totals    `json:"totals"`    // since Weir started

	Targets []Target `json:"targets"` // of the file, and those of ready instances

	// Of pools that scale. Instances may outlive a pool's scale for a moment, while they drain.
	Scale           *Scale          `json:"scale"`
	Instances       []Instance      `json:"instances"`
	Boot            *Boot           `json:"boot_s,omitempty"`
	WarmPool        *WarmPool       `json:"warm_pool,omitempty"` // nil when the pool keeps none
	Forecast        string          `json:"forecast,omitempty"`  // the metric that a predict policy forecasts; "" without
	Version         int             `json:"version,omitempty"`   // of the template that new instances are launched from
	Refresh         *plan.Refresh   `json:"refresh,omitempty"`   // under way, or the last one
	Cost            *money.Report   `json:"cost,omitempty"`      // nil without prices
	LaunchesBlocked *Blocked        `json:"launches_blocked,omitempty"`
	LastDecision    *scale.Decision `json:"last_decision,omitempty"`
}

// Queue is what a pool holds.
type Queue struct {
	Depth      int     `json:"depth"`
	Limit      int     `json:"limit"`
	OldestWait float64 `json:"oldest_wait_s"`
}

// Rates are a pool's traffic over the last seconds.
type Rates struct {
	Requests float64 `json:"requests_per_second"` // that came in
	Answers  float64 `json:"answers_per_second"`
}

// Quantiles sum up durations, in seconds. All are 0 when there were none.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
}

// Totals are counts since Weir started. Every request that came in is in flight, waiting, or in one of the others.
type Totals struct {
	Requests            uint64 `json:"requests"`
	OK                  uint64 `json:"ok"`                    // 1xx to 3xx
	ClientErrors        uint64 `json:"client_errors"`         // 4xx
	ServerErrors        uint64 `json:"server_errors"`         // 5xx
	Broken              uint64 `json:"broken"`                // no whole answer
	RefusedQueueLimit   uint64 `json:"refused_queue_limit"`   // the queue was full
	RefusedQueueTimeout uint64 `json:"refused_queue_timeout"` // waited too long
	Cancelled           uint64 `json:"cancelled"`             // the client left
	Retries             uint64 `json:"retries"`
}

// Failed counts the requests that were not served as they should be: answered 5xx, broken or refused.
func (t Totals) Failed() uint64 {
	return t.ServerErrors + t.Broken + t.RefusedQueueLimit + t.RefusedQueueTimeout
}

// Target is one address that takes a pool's traffic.
type Target struct {
	ID       string    `json:"id"`
	Address  string    `json:"address"`
	State    string    `json:"state"` // initial, healthy, unhealthy, ejected, draining
	Reason   string    `json:"reason,omitempty"`
	Since    time.Time `json:"since"` // of the state
	Weight   int       `json:"weight"`
	Slots    int       `json:"slots"` // 0 means without limit
	InFlight int       `json:"in_flight"`
	Requests uint64    `json:"requests"`
	Failures uint64    `json:"failures"`

	Overridden bool `json:"overridden,omitempty"` // by hand: weight, slots or drain
}

// Scale is how large a pool that scales should be, in instances.
type Scale struct {
	Min     int     `json:"min"`
	Max     int     `json:"max"`
	Desired int     `json:"desired"`
	Ready   int     `json:"ready"`
	Loading int     `json:"loading"`          // pending, starting and warming
	Manual  *Manual `json:"manual,omitempty"` // set when a person set the capacity

	Warm      int `json:"warm,omitempty"`      // in the warm pool
	Preparing int `json:"preparing,omitempty"` // on their way there
	Standby   int `json:"standby,omitempty"`   // taken out of service by hand

	Grace Grace `json:"grace"`
}

// WarmPool is how many instances are prepared beside those that serve.
type WarmPool struct {
	State     string `json:"state"`        // stopped, hibernated or running
	Prepared  int    `json:"prepared"`     // in the warm pool
	Preparing int    `json:"preparing"`    // on their way there
	Wanted    int    `json:"wanted"`       // that there should be now
	Min       int    `json:"min"`          // that are kept at any capacity
	Most      int    `json:"max_prepared"` // prepared and serving together, above which no more are prepared than Min
	Reuse     bool   `json:"reuse"`        // scale-in sends instances back to it
}

// Grace is how long after its launch an instance that fails its checks is not replaced.
type Grace struct {
	Seconds float64 `json:"for_s"`
	Why     string  `json:"why"` // configured, or learned from which boots
}

// Manual is a capacity set by hand.
type Manual struct {
	Desired int       `json:"desired"`
	Until   time.Time `json:"until,omitzero"` // absent: until it is taken back
}

// Instance is one instance of a pool.
type Instance struct {
	ID       string    `json:"id"`
	State    string    `json:"state"` // pending, pending:wait, starting, warming, ready, unhealthy, draining, terminating:wait, stopping, warm, standby
	Since    time.Time `json:"since"` // of the state
	Launched time.Time `json:"launched,omitzero"`
	Address  string    `json:"address,omitempty"`
	Ref      string    `json:"ref,omitempty"`     // how its provider names it
	Version  int       `json:"version,omitempty"` // of the template it was launched from
	Type     string    `json:"type,omitempty"`    // of its machine
	Market   string    `json:"market,omitempty"`  // on_demand or spot
	Zone     string    `json:"zone,omitempty"`
	ETA      float64   `json:"eta_s,omitempty"` // until it should be ready; 0 when it is, or nothing is known
	InFlight int       `json:"in_flight"`
	Slots    int       `json:"slots"`                 // 0 means without limit
	CPU      float64   `json:"cpu_percent,omitempty"` // of one core: 150 is one and a half
	Memory   uint64    `json:"memory_bytes,omitempty"`
	Adopted  bool      `json:"adopted,omitempty"` // an earlier Weir launched it
	Why      string    `json:"why,omitempty"`     // of the state
	Spare    bool      `json:"spare,omitempty"`   // belongs to the warm pool

	Protected bool       `json:"protected,omitempty"` // from scale-in
	Hooks     []HookWait `json:"hooks,omitempty"`     // that it waits for

	Notice  *plan.Notice `json:"notice,omitempty"`  // that its provider takes it back, or may
	Failing []string     `json:"failing,omitempty"` // which of its checks fail, when it is unhealthy and they have names
	Remedy  *Remedy      `json:"remedy,omitempty"`  // what is being done about it
}

// Remedy is what is being done for an unhealthy instance.
type Remedy struct {
	Remedy string    `json:"remedy"` // scale_up, reload, replace or restart
	Check  string    `json:"check"`  // that fails
	Since  time.Time `json:"since"`
	Why    string    `json:"why"`
}

// Boot sums up how long launches took to be ready, in seconds.
type Boot struct {
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	Count int     `json:"count"`
}

// Blocked says that no instance is launched for a while, after launches that failed.
type Blocked struct {
	Until time.Time `json:"until"`
	Why   string    `json:"why"`
}
