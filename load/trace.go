package load

import (
	"io"
	"time"
)

// TraceOptions say which part of a trace to take and how to change it.
type TraceOptions struct {
	// From and To cut a part out of the trace, in the trace's own time from its first row. To 0 means to its end.
	From, To time.Duration

	// Speed divides the time between arrivals: 10 plays a trace in a tenth of its time. 0 means 1.
	Speed float64

	// Scale multiplies Input and Output; a request that had tokens keeps at least one. 0 means 1.
	Scale float64

	// Column names the column or field that holds the time. Empty means "timestamp", in any case.
	Column string
}

// ReadTrace reads recorded arrivals.
func ReadTrace(name string, r io.Reader, o TraceOptions) ([]Arrival, error) {
	return nil, nil
}
