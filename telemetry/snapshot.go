// Package telemetry shows Weir's own numbers to Prometheus: what is counted, under which name and in which unit.
package telemetry

// DurationBounds are the upper bounds, in seconds, of the buckets of every histogram: from a cached answer to an image that took
// minutes, about a factor of two to two and a half apart.
var DurationBounds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300}

// Snapshot is all that is shown, at one moment. Counts are since the start of the process and never fall.
type Snapshot struct {
	Version   string // of Weir
	Listeners []Listener
	Pools     []Pool
}

// Listener is one address that Weir accepts on.
type Listener struct {
	Address     string
	Connections int // open now
}

// Pool is one pool.
type Pool struct {
	Name string

	Received  uint64 // requests that came in
	Answers2  uint64 // answered with a status of 1xx to 3xx
	Answers4  uint64
	Answers5  uint64
	Broken    uint64 // given to a target and not answered whole
	Full      uint64 // refused by queue.limit
	TimedOut  uint64 // refused by queue.timeout
	Cancelled uint64 // the client left first
	Retries   uint64

	Latency Histogram // arrival to end
	Wait    Histogram // arrival to slot

	Waiting    int // requests in the queue
	InFlight   int
	Slots      int // in rotation; 0 means without limit
	FailedOpen bool

	Targets []Target
	Fleet   *Fleet // nil when the pool has no instances of its own
}

// Target is one target of a pool. A pool's instances are not among them: they come and go, and a name for each would fill
// Prometheus with series that never speak again.
type Target struct {
	ID       string
	Up       bool // may be given requests
	InFlight int
}

// Fleet is what a pool's instances do.
type Fleet struct {
	Instances        map[string]int // by state; a state that is absent counts as 0
	Desired          int
	Grown, Shrunk    uint64  // decisions that asked for more instances than before, and for fewer
	BootP50, BootP90 float64 // seconds from launch to ready, of the latest boots
	Boots            int     // how many of them were measured; 0 leaves the quantiles out
}

// Histogram counts durations: Counts[i] were at most [DurationBounds][i], each count including those before it.
type Histogram struct {
	Counts []uint64
	Count  uint64  // of all, also those over the last bound
	Sum    float64 // seconds
}
