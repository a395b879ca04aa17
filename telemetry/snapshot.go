// Package telemetry shows what Weir does: a line in the access log and a span for each request, and numbers for Prometheus, with
// what is counted, under which name and in which unit.
package telemetry

// DurationBounds are the upper bounds, in seconds, of the buckets of every histogram: from a cached answer to an image that took
// minutes, about a factor of two to two and a half apart.
var DurationBounds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300}

// ServiceBounds are those of the service times alone, six to a decade (the E6 series of IEC 60063, 1.5 times the one before) from a millisecond to
// eleven minutes: traffic is drawn from them again when a replay is made of what was counted.
var ServiceBounds = []float64{
	.001, .0015, .0022, .0033, .0047, .0068, .01, .015, .022, .033, .047, .068, .1, .15, .22, .33, .47, .68,
	1, 1.5, 2.2, 3.3, 4.7, 6.8, 10, 15, 22, 33, 47, 68, 100, 150, 220, 330, 470, 680,
}

// Snapshot is all that is shown, at one moment. Counts are since the start of the process and never fall.
type Snapshot struct {
	Version   string // of Weir
	Listeners []Listener
	Routes    []Route
	Pools     []Pool

	Limited   map[string]uint64 // requests refused, by the rate limit that refused them: its name, never a client's
	AccessLog *AccessCounts     // nil when there is none
	Spans     *SpanCounts       // nil when nothing is traced

	// TargetSeries is how many targets are shown one by one; those beyond it are summed up as target="other" in their pool.
	// 0 means 1,000. A target that is shown stays shown while it is there.
	TargetSeries int
}

// Listener is one address that Weir accepts on.
type Listener struct {
	Address     string
	Connections int // open now

	Accepted        uint64 // connections
	Handshakes      uint64 // of TLS, that succeeded
	HandshakeErrors uint64
	TLS             bool // false leaves the handshakes out
}

// Route is one route, under its name in the config. Requests are counted when they end.
type Route struct {
	Name string

	Answers2          uint64 // answered whole with a status of 1xx or 2xx
	Answers3          uint64
	Answers4          uint64
	Answers5          uint64
	Broken            uint64 // not answered whole
	Cancelled         uint64 // the client left first
	Duration          Histogram
	BytesIn, BytesOut uint64 // of the requests' and the answers' bodies
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
	Hedges    uint64 // requests sent to a second target because the first took long
	Mirrored  uint64 // copies of other pools' requests that came in

	Latency Histogram // arrival to end
	Wait    Histogram // arrival to slot
	Service Histogram // slot to end, of what a target answered; by ServiceBounds

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

	Requests uint64 // that it was given
	Failures uint64 // that it refused, broke or answered 5xx
}

// Fleet is what a pool's instances do.
type Fleet struct {
	Instances        map[string]int // by state; a state that is absent counts as 0
	Desired          int
	Grown, Shrunk    uint64  // decisions that asked for more instances than before, and for fewer
	BootP50, BootP90 float64 // seconds from launch to ready, of the latest boots
	Cost             *Cost   // nil: nothing has a price
	Remedies         []RemedyCount
	Spot             *Spot // nil when its provider takes nothing back
	Boots            int   // how many of them were measured; 0 leaves the quantiles out
}

// Spot is what became of instances that were taken back.
type Spot struct {
	Interruptions, Rebalances uint64 // notices
	Drained                   uint64 // instances that were gone in time
	Cut                       uint64 // requests in flight on instances as they were taken
}

// RemedyCount is how often a remedy was begun for instances that failed a check.
type RemedyCount struct {
	Check, Remedy string
	N             uint64
}

// Cost is what a pool's instances cost, in the currency of the config's prices. Months are those of UTC.
type Cost struct {
	PerHour, OnDemandPerHour float64 // of what runs now, and if all of it were on demand
	Month, MonthOnDemand     float64 // to date
}

// Histogram counts durations: Counts[i] were at most [DurationBounds][i], or [ServiceBounds][i], each count including those before it.
type Histogram struct {
	Counts []uint64
	Count  uint64  // of all, also those over the last bound
	Sum    float64 // seconds
}
