// Package load is an open-loop load generator for HTTP and for answers streamed as server-sent events.
//
// Open loop means that a request starts when its schedule says so, whether or not earlier ones were answered, and that its latency
// counts from that intended moment. A server that stalls for ten seconds so shows up as ten seconds in every request that should have
// been sent meanwhile, instead of as one slow request and a pause (Tene's "coordinated omission").
package load

import (
	"context"
	"crypto/tls"
	"iter"
	"net"
	"net/http"
	"time"
)

// Arrival is one request to be made.
type Arrival struct {
	// At is when it starts, from the start of the run.
	At time.Duration

	// Input and Output are the tokens of its prompt and of its answer, 0 where the schedule does not know them.
	Input, Output int
}

// Kind is one sort of request.
type Kind struct {
	// Name stands in progress, tables and plots. Kinds of one run need different names.
	Name string

	// Method is GET when empty and Body is nil, POST when empty and Body is not.
	Method string

	// URL is absolute, http or https.
	URL string

	// Headers are added to each request; "Host" sets the host.
	Headers map[string]string

	// Body makes the body of the i-th request of this stream, from 0. Nil sends none. It is called from the goroutine of each request,
	// so it has to be safe for concurrent use.
	Body func(i int, a Arrival) []byte

	// Change, when set, changes the i-th request before it is sent: its path, its headers. The request is its own to change, but its
	// body and its context stay as they are. It has to be safe for concurrent use as well.
	Change func(req *http.Request, i int, a Arrival)

	// Stream says that answers are server-sent events that end with "data: [DONE]", as OpenAI's API sends them. An answer that ends
	// without it counts as cut, which is a failure.
	Stream bool

	// Timeout bounds a request from the moment it is sent to the last byte of its answer. 0 means one minute.
	Timeout time.Duration
}

// Stream is a kind of request and when they arrive.
type Stream struct {
	Kind Kind

	// Arrivals are in order of At. Phases makes them, slices.Values does from a trace, and Split deals those of one out to several.
	Arrivals iter.Seq[Arrival]

	// Length is how long the arrivals last, for progress only. 0 means unknown.
	Length time.Duration
}

// Options say what Run does.
type Options struct {
	// Title heads the report.
	Title string

	// Streams run at once, each by its own arrivals.
	Streams []Stream

	// MaxOutstanding bounds the requests in flight over all streams. A request that finds that many is not sent but counted as
	// dropped. 0 means 20,000.
	MaxOutstanding int

	// Progress is called each second, and once more at the end, from one goroutine. It must not block for long. Nil means none.
	Progress func(Snapshot)

	// Dial opens connections. Nil means TCP, with a limit of ten seconds.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// TLS is for https URLs. Nil means the system's roots.
	TLS *tls.Config

	// Seed is noted in the result, for whoever wants the same arrivals again.
	Seed uint64
}

// Counts say what became of requests. Sent = Done + Failed + Aborted + Outstanding; dropped ones were never sent.
type Counts struct {
	Sent        int64 `json:"sent"`
	Done        int64 `json:"done"`    // answered whole, with a status below 400
	Failed      int64 `json:"failed"`  // refused, reset, cut, timed out, or a status from 400
	Dropped     int64 `json:"dropped"` // not sent, because MaxOutstanding was reached
	Aborted     int64 `json:"aborted"` // given up because the run was interrupted
	Outstanding int64 `json:"outstanding"`
}

// Snapshot is how a run stands.
type Snapshot struct {
	Elapsed time.Duration
	Length  time.Duration // of the longest stream; 0 means unknown
	Final   bool          // the last one: everything ended

	KindSnapshot                // over all kinds; its Name is empty
	Kinds        []KindSnapshot // in the order of the streams
}

// KindSnapshot is how one kind stands.
type KindSnapshot struct {
	Name string
	Counts

	// Of the last second: requests sent and answered per second, failures, and the latency of those answered (0 when there were none).
	SentRate, DoneRate float64
	RecentFailed       int64
	P50, P95, P99      time.Duration
}
