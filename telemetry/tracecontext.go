package telemetry

// Trace is a request's place in a trace (https://www.w3.org/TR/trace-context/). The zero Trace is none.
type Trace struct {
	ID      [16]byte
	Span    [8]byte // of this request in Weir, the parent of what the target makes of it
	Parent  [8]byte // the caller's span; zero when the trace began here
	Sampled bool    // the span is exported
	Random  bool    // the caller says that at least the last seven bytes of ID are random
}

// Valid says that there is a trace.
func (t *Trace) Valid() bool { return t.ID != [16]byte{} }
