package load

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/weirlb/weir/bench/internal/procstat"
)

// The ways to load a proxy.
const (
	Saturated = "saturated" // every connection sends its next request as soon as it has an answer
	Rate      = "rate"      // requests leave at their times, whether the proxy keeps up or not
	SSE       = "sse"       // every connection reads an endless stream of events
	TLS       = "tls"       // as Saturated, over TLS
	Handshake = "handshake" // a connection with a full TLS handshake for every request
	HTTP2     = "http2"     // h2load: every connection has ten requests under way, over TLS
	Hold      = "hold"      // every connection has one request open, and memory is what counts
)

var modes = []string{Saturated, Rate, SSE, TLS, Handshake, HTTP2, Hold}

// Options say what to send where and what to watch meanwhile.
type Options struct {
	Mode  string
	Port  int    // of the proxy, on 127.0.0.1
	Path  string // with its query
	Body  int    // bytes; POST when more than 0, else GET
	Conns int
	Rate  float64 // requests per second, for Rate
	// WarmUp passes before anything is counted. Hold waits as long with all
	// requests open before it reads the memory.
	WarmUp time.Duration
	For    time.Duration // how long is counted
	PIDs   []int         // the proxy's processes
	// TargetPIDs are the target's processes, which share the load's core.
	TargetPIDs []int
	// ProxyCores and LoadCore are watched for steal and for foreign work. The
	// load's core may be one of the proxy's; then foreign work is that on all of them.
	ProxyCores []int
	LoadCore   int
}

func (o Options) validate() error {
	switch {
	case !slices.Contains(modes, o.Mode):
		return fmt.Errorf("mode %q: want one of %s", o.Mode, strings.Join(modes, ", "))
	case o.Conns < 1 || o.Port < 1 || o.Port > math.MaxUint16 || o.Path == "" || o.Body < 0:
		return errors.New("a port, a path and at least one connection are needed")
	case o.Mode == Rate && (o.Rate <= 0 || o.Rate > 1e6):
		return fmt.Errorf("rate %v: want more than 0 and at most 1000000 requests per second", o.Rate)
	case o.For <= 0 || o.WarmUp < 0:
		return errors.New("the time to count must be more than 0")
	}
	return nil
}

// Result is what one run measured. Units are requests answered, or events for
// SSE, within the counted time.
type Result struct {
	Units   int64         `json:"units"`
	Elapsed time.Duration `json:"elapsed_ns"`
	CPU     time.Duration `json:"cpu_ns"` // user and system time of the proxy's processes
	// Steal is the share of all cores' time that the hypervisor gave to others.
	Steal float64 `json:"steal"`
	// Foreign is the share of the proxy's cores that other processes used, and
	// LoadForeign that of the load's core, 0 when that is one of the proxy's. The kernel counts the core in ticks
	// and the processes exactly, so both may be a little below 0.
	Foreign     float64 `json:"foreign"`
	LoadForeign float64 `json:"load_foreign"`
	// NotOK and Errors count answers other than 2xx and broken connections or
	// answers, from the first connection on.
	NotOK      int64  `json:"not_ok"`
	Errors     int64  `json:"errors"`
	FirstError string `json:"first_error,omitempty"`
	// Median and P99 are the latency: of requests from when they were sent or,
	// for Rate, should have been; of events from when the target sent them.
	Median time.Duration `json:"median_ns"`
	P99    time.Duration `json:"p99_ns"`
	// Before and After are the proxy's memory without and with the held requests.
	Before procstat.Memory `json:"before"`
	After  procstat.Memory `json:"after"`
	// Extra is what a measurement of more than one run found, by the keys of its rows.
	Extra map[string]float64 `json:"extra,omitempty"`
}

// PerUnit returns the proxy's CPU time per unit in µs.
func (r Result) PerUnit() float64 {
	return float64(r.CPU) / float64(r.Units) / float64(time.Microsecond)
}
