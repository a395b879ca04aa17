package telemetry

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"
)

// Trace is a request's place in a trace, as W3C Trace Context has it (https://www.w3.org/TR/trace-context/). The zero Trace is
// none.
type Trace struct {
	ID      [16]byte
	Span    [8]byte // this request in Weir, the parent of what the target makes of it
	Parent  [8]byte // the caller's span; zero when the trace began here
	Sampled bool    // the span is exported
	Random  bool    // the caller's word that the last seven bytes of ID are random; it is passed on

	// DropState says that the caller's tracestate must not be forwarded: it is malformed, or its trace is not continued.
	DropState bool
}

// Valid says that there is a trace.
func (t *Trace) Valid() bool { return t.ID != [16]byte{} }

// Continue finds a request's place. parent and state are the values of its headers traceparent and tracestate, nil when it has none;
// several tracestates are to be joined by commas, and of several traceparents none counts. A traceparent that is
// malformed begins a new trace, as if there were none.
//
// A caller's decision to sample is followed. New traces are sampled by ratio, from 0 (none) to 1 (all), judged by the id alone, so
// that others with the same ratio come to the same verdict. chance is 24 random bytes.
func Continue(parent, state []byte, chance [3]uint64, ratio float64) Trace {
	t, ok := ParseTraceparent(parent)
	if ok {
		t.DropState = len(state) > 0 && !ValidTracestate(state)
	} else {
		t = Trace{DropState: len(state) > 0}
		binary.BigEndian.PutUint64(t.ID[:8], chance[0])
		binary.BigEndian.PutUint64(t.ID[8:], chance[1])
		if !t.Valid() {
			t.ID[15] = 1 // zero means none
		}
		t.Sampled = sampled(t.ID, ratio)
	}
	binary.BigEndian.PutUint64(t.Span[:], max(chance[2], 1))
	return t
}

// sampled is the rule of OpenTelemetry's TraceIdRatioBased sampler, as its SDKs have it.
func sampled(id [16]byte, ratio float64) bool {
	if ratio >= 1 {
		return true
	}
	return binary.BigEndian.Uint64(id[8:])>>1 < uint64(max(ratio, 0)*(1<<63))
}

const (
	flagSampled = 1
	flagRandom  = 2

	traceparentLen = len("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
)

// ParseTraceparent reads the value of a traceparent header: the trace's id, the caller as Parent, and the flags. False:
// it is malformed.
func ParseTraceparent(b []byte) (t Trace, ok bool) {
	if len(b) < traceparentLen || b[2] != '-' || b[35] != '-' || b[52] != '-' {
		return Trace{}, false
	}
	var version, flags [1]byte
	if !unhex(version[:], b[:2]) || !unhex(t.ID[:], b[3:35]) || !unhex(t.Parent[:], b[36:52]) || !unhex(flags[:], b[53:55]) {
		return Trace{}, false
	}
	switch {
	case version[0] == math.MaxUint8, t.ID == [16]byte{}, t.Parent == [8]byte{}:
		return Trace{}, false
	case len(b) > traceparentLen && (version[0] == 0 || b[traceparentLen] != '-'): // later versions may say more
		return Trace{}, false
	}
	t.Sampled, t.Random = flags[0]&flagSampled != 0, flags[0]&flagRandom != 0
	return t, true
}

// unhex decodes lower-case digits.
func unhex(dst, src []byte) bool {
	for _, c := range src {
		if c >= 'A' && c <= 'F' {
			return false
		}
	}
	_, err := hex.Decode(dst, src)
	return err == nil
}

// AppendTraceparent appends the value of the traceparent header that goes to the target.
func AppendTraceparent(dst []byte, t *Trace) []byte {
	flags := byte(0)
	if t.Sampled {
		flags |= flagSampled
	}
	if t.Random {
		flags |= flagRandom
	}
	dst = hex.AppendEncode(append(dst, "00-"...), t.ID[:])
	dst = hex.AppendEncode(append(dst, '-'), t.Span[:])
	return append(dst, '-', '0', '0'+flags)
}

// maxMembers is how many members a tracestate may have.
const maxMembers = 32

// ValidTracestate says whether b, the value of a tracestate header, is well-formed.
func ValidTracestate(b []byte) bool {
	var keys [maxMembers][]byte
	n := 0
	for more := true; more; {
		var member []byte
		member, b, more = bytes.Cut(b, []byte{','})
		member = bytes.Trim(member, " \t")
		if len(member) == 0 {
			continue // an empty member means nothing, and is allowed
		}
		key, value, ok := bytes.Cut(member, []byte{'='})
		if !ok || n == maxMembers || !stateKey(key) || !stateValue(value) {
			return false
		}
		for _, k := range keys[:n] {
			if bytes.Equal(k, key) {
				return false
			}
		}
		keys[n] = key
		n++
	}
	return true
}

func stateKey(b []byte) bool {
	if len(b) == 0 || len(b) > 256 {
		return false
	}
	for i, c := range b {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case i > 0 && (c == '_' || c == '-' || c == '*' || c == '/' || c == '@'):
		default:
			return false
		}
	}
	return true
}

// stateValue checks a value that was trimmed of spaces.
func stateValue(b []byte) bool {
	for _, c := range b {
		if c < 0x20 || c > 0x7e || c == '=' {
			return false
		}
	}
	return len(b) > 0 && len(b) <= 256
}
