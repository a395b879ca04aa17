package load

import (
	"encoding/json"
	"io"
	"math"
	"time"
)

// Result is what a run came to.
type Result struct {
	Title       string
	Start       time.Time
	Elapsed     time.Duration
	Seed        uint64
	Interrupted bool // the context ended before the last answer came

	Total KindResult   // over all kinds; its Name is empty
	Kinds []KindResult // in the order of the streams
}

// KindResult is what became of one kind.
type KindResult struct {
	Name string `json:"name,omitempty"`
	Counts
	Events int64 `json:"events"` // of streams, [DONE] not counted
	Bytes  int64 `json:"bytes"`  // of bodies received

	Status   map[int]int64     `json:"status"`             // answers by HTTP status
	Errors   map[string]int64  `json:"errors,omitempty"`   // failures by class, such as "refused" or "status 503"
	Examples map[string]string `json:"examples,omitempty"` // the first failure of each class in full

	Latency       Quantiles `json:"latency"`        // of done requests, from the intended start to the last byte
	FailedLatency Quantiles `json:"failed_latency"` // of failed requests, from the intended start to the failure
	TTFT          Quantiles `json:"ttft"`           // of streams, from the intended start to the first token
	Gap           Quantiles `json:"gap"`            // between the events of a stream
	Wait          Quantiles `json:"wait"`           // in a queue, where answers report it: Server-Timing: queue;dur=12.5 (milliseconds)
	Late          Quantiles `json:"late"`           // from the intended to the real start: the generator's own delay

	Series []Second `json:"series"` // by the second of the run; the last one may be shorter
}

// Quantiles of a set of times, to three significant digits. All are 0 when Count is.
type Quantiles struct {
	Count                                    int64
	Min, Mean, P50, P90, P95, P99, P999, Max time.Duration
}

// Second is one second of a run.
type Second struct {
	Second         int           `json:"second"` // from 0
	Counts                       // of this second; Outstanding is as at its end
	P50, P95, P99  time.Duration // latency of those done in this second
	TTFT50, TTFT95 time.Duration // of the streams whose first token came in this second
}

// ms is a time in milliseconds, to the microsecond.
func ms(d time.Duration) float64 { return math.Round(float64(d)/1e3) / 1e3 }

// MarshalJSON writes the times in milliseconds.
func (q Quantiles) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Count int64   `json:"count"`
		Min   float64 `json:"min_ms"`
		Mean  float64 `json:"mean_ms"`
		P50   float64 `json:"p50_ms"`
		P90   float64 `json:"p90_ms"`
		P95   float64 `json:"p95_ms"`
		P99   float64 `json:"p99_ms"`
		P999  float64 `json:"p999_ms"`
		Max   float64 `json:"max_ms"`
	}{q.Count, ms(q.Min), ms(q.Mean), ms(q.P50), ms(q.P90), ms(q.P95), ms(q.P99), ms(q.P999), ms(q.Max)})
}

// MarshalJSON writes the times in milliseconds.
func (s Second) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Second int `json:"second"`
		Counts
		P50    float64 `json:"p50_ms"`
		P95    float64 `json:"p95_ms"`
		P99    float64 `json:"p99_ms"`
		TTFT50 float64 `json:"ttft_p50_ms,omitzero"`
		TTFT95 float64 `json:"ttft_p95_ms,omitzero"`
	}{s.Second, s.Counts, ms(s.P50), ms(s.P95), ms(s.P99), ms(s.TTFT50), ms(s.TTFT95)})
}

// WriteJSON writes the result as one JSON object; times are in milliseconds.
func (r *Result) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(struct {
		Title       string       `json:"title"`
		Start       time.Time    `json:"start"`
		Elapsed     float64      `json:"elapsed_ms"`
		Seed        uint64       `json:"seed"`
		Interrupted bool         `json:"interrupted"`
		Total       KindResult   `json:"total"`
		Kinds       []KindResult `json:"kinds"`
	}{r.Title, r.Start, ms(r.Elapsed), r.Seed, r.Interrupted, r.Total, r.Kinds})
}
