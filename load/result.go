package load

import (
	"io"
	"time"
)

// Result is what a run came to.
type Result struct {
	Title       string
	Start       time.Time
	Elapsed     time.Duration
	Seed        uint64
	Interrupted bool // the context ended before the schedule did

	Total  KindResult   // over all kinds
	Kinds  []KindResult // in the order of the streams
	Series []Second     // over all kinds, by the second of the run
}

// KindResult is what became of one kind.
type KindResult struct {
	Name string `json:"name"`
	Counts
	Events int64 `json:"events"` // of streams, [DONE] not counted
	Bytes  int64 `json:"bytes"`  // of bodies received

	Status map[int]int64    `json:"status"`           // answers by HTTP status
	Errors map[string]int64 `json:"errors,omitempty"` // failures by class

	Latency       Quantiles `json:"latency"`        // of done requests, from the intended start to the last byte
	FailedLatency Quantiles `json:"failed_latency"` // of failed requests, from the intended start to the failure
	TTFT          Quantiles `json:"ttft"`           // of streams, from the intended start to the first token
	Gap           Quantiles `json:"gap"`            // between the events of a stream
	Late          Quantiles `json:"late"`           // from the intended to the real start: the generator's own delay
}

// Quantiles of a set of times, to three significant digits.
type Quantiles struct {
	Count                                    int64
	Min, Mean, P50, P90, P95, P99, P999, Max time.Duration
}

// Second is one second of a run.
type Second struct {
	Second         int
	Counts                       // of this second; Outstanding is as at its end
	P50, P95, P99  time.Duration // latency of those done in this second
	TTFT50, TTFT95 time.Duration // time to first token of the streams whose first token came in this second
}

// WriteJSON writes the result as one JSON object; times are in milliseconds.
func (r *Result) WriteJSON(w io.Writer) error { return nil }

// WriteTable writes the result for a terminal, failures first.
func (r *Result) WriteTable(w io.Writer) error { return nil }

// WriteHTML writes the result as a page with plots that needs nothing but itself.
func (r *Result) WriteHTML(w io.Writer) error { return nil }
