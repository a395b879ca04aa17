package telemetry

import (
	"encoding/hex"
	"math"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const (
	exampleID     = "4bf92f3577b34da6a3ce929d0e0e4736" // of the specification
	exampleParent = "00f067aa0ba902b7"
	example       = "00-" + exampleID + "-" + exampleParent + "-01"
)

// The cases are those of the W3C's own test suite (w3c/trace-context, test/test.py).
func TestTraceparent(t *testing.T) {
	for value, want := range map[string]bool{
		example: true,
		"00-" + exampleID + "-" + exampleParent + "-00":                  true,
		"00-" + exampleID + "-" + exampleParent + "-ff":                  true,
		"01-" + exampleID + "-" + exampleParent + "-01":                  true,
		"cc-" + exampleID + "-" + exampleParent + "-01":                  true,
		"cc-" + exampleID + "-" + exampleParent + "-01-what-the-future":  true,
		"cc-" + exampleID + "-" + exampleParent + "-01.what-the-future":  false,
		"00-" + exampleID + "-" + exampleParent + "-01-what-the-future":  false,
		"00-" + exampleID + "-" + exampleParent + "-01-":                 false,
		"ff-" + exampleID + "-" + exampleParent + "-01":                  false,
		".0-" + exampleID + "-" + exampleParent + "-01":                  false,
		"0-" + exampleID + "-" + exampleParent + "-01":                   false,
		"000-" + exampleID + "-" + exampleParent + "-01":                 false,
		"00-" + strings.Repeat("0", 32) + "-" + exampleParent + "-01":    false,
		"00-" + exampleID + "-" + strings.Repeat("0", 16) + "-01":        false,
		"00-" + strings.ToUpper(exampleID) + "-" + exampleParent + "-01": false,
		"00-" + exampleID + "-" + strings.ToUpper(exampleParent) + "-01": false,
		"00-" + exampleID[1:] + "-" + exampleParent + "-01":              false,
		"00-" + exampleID + "0-" + exampleParent + "-01":                 false,
		"00-." + exampleID[1:] + "-" + exampleParent + "-01":             false,
		"00-" + exampleID + "-." + exampleParent[1:] + "-01":             false,
		"00-" + exampleID + "-" + exampleParent + "-.0":                  false,
		"00-" + exampleID + "-" + exampleParent + "-1":                   false,
		"00_" + exampleID + "-" + exampleParent + "-01":                  false,
		"00-" + exampleID + "_" + exampleParent + "-01":                  false,
		"00-" + exampleID + "-" + exampleParent + "_01":                  false,
		"": false,
	} {
		got, ok := ParseTraceparent([]byte(value))
		if ok != want {
			t.Errorf("%s: %v", value, ok)
		}
		if ok && (hex.EncodeToString(got.ID[:]) != exampleID || hex.EncodeToString(got.Parent[:]) != exampleParent) {
			t.Errorf("%s: read as %+v", value, got)
		}
	}
}

func TestTracestate(t *testing.T) {
	var many []string
	for i := range maxMembers {
		many = append(many, "k"+strings.Repeat("a", i)+"=1")
	}
	for value, want := range map[string]bool{
		"": true, "foo=1": true, "foo=1,bar=2": true, "foo=1 \t , \t bar=2,": true, ",": true, "foo=1,,bar=2": true,
		"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE": true, "tenant@vendor=x": true, "a_-*/=1": true, "0a=1": true,
		strings.Repeat("z", 256) + "=1": true, strings.Repeat("z", 257) + "=1": false,
		"foo=" + strings.Repeat("v", 256): true, "foo=" + strings.Repeat("v", 257): false,
		"foo=": false, "=1": false, "foo": false, "foo=1=2": false, "Foo=1": false, "foo =1": false, "_foo=1": false, "foo=\x01": false,
		"foo=é": false, "foo=1,foo=1": false, "foo=a b": true,
		strings.Join(many, ","): true, strings.Join(append(many, "z=1"), ","): false,
	} {
		if got := ValidTracestate([]byte(value)); got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
}

func TestWhereATraceContinues(t *testing.T) {
	chance := [3]uint64{0x0102030405060708, 0x090a0b0c0d0e0f10, 0x1112131415161718}
	for _, c := range []struct {
		name, parent, state string
		ratio               float64
		want                string // what the target is told
		dropState, sampled  bool
	}{
		{"sampled by the caller", example, "a=1", 0, "00-" + exampleID + "-1112131415161718-01", false, true},
		{"not sampled by the caller", example[:53] + "00", "a=1", 1, "00-" + exampleID + "-1112131415161718-00", false, false},
		{"random", example[:53] + "03", "", 0, "00-" + exampleID + "-1112131415161718-03", false, true},
		{"flags of tomorrow", example[:53] + "fd", "", 0, "00-" + exampleID + "-1112131415161718-01", false, true},
		{"a version of tomorrow", "cc" + example[2:] + "-x", "", 0, "00-" + exampleID + "-1112131415161718-01", false, true},
		{"a bad state", example, "A=1", 0, "00-" + exampleID + "-1112131415161718-01", true, true},
		{"no parent", "", "", 1, "00-0102030405060708090a0b0c0d0e0f10-1112131415161718-01", false, true},
		{"no parent, no sample", "", "a=1", 0, "00-0102030405060708090a0b0c0d0e0f10-1112131415161718-00", true, false},
		{"a bad parent", "ff" + example[2:], "a=1", 1, "00-0102030405060708090a0b0c0d0e0f10-1112131415161718-01", true, true},
	} {
		got := Continue([]byte(c.parent), []byte(c.state), chance, c.ratio)
		if s := string(AppendTraceparent(nil, &got)); s != c.want || got.DropState != c.dropState || got.Sampled != c.sampled {
			t.Errorf("%s: %s, %+v", c.name, s, got)
		}
	}
	if got := Continue(nil, nil, [3]uint64{}, 0); !got.Valid() || got.Span == [8]byte{} {
		t.Errorf("chance that is all zero makes no trace: %+v", got)
	}
}

// The verdict on an id is that of OpenTelemetry's own sampler.
func FuzzSample(f *testing.F) {
	f.Add(uint64(1)<<63, .5)
	f.Add(uint64(math.MaxUint64), 1.)
	f.Add(uint64(0), 1e-9)
	f.Fuzz(func(t *testing.T, low uint64, ratio float64) {
		if !(ratio >= 0 && ratio <= 1) {
			return
		}
		got := Continue(nil, nil, [3]uint64{1, low, 1}, ratio)
		theirs := sdktrace.TraceIDRatioBased(ratio).ShouldSample(sdktrace.SamplingParameters{TraceID: got.ID})
		if want := theirs.Decision == sdktrace.RecordAndSample; got.Sampled != want {
			t.Errorf("%x at %v: %v, want %v", got.ID, ratio, got.Sampled, want)
		}
	})
}

// What OpenTelemetry accepts means the same here, and of version 00 with the flags that it knows, nothing else is accepted.
func FuzzTraceparent(f *testing.F) {
	f.Add(example)
	f.Add("cc" + example[2:] + "-x")
	f.Fuzz(func(t *testing.T, value string) {
		got, ok := ParseTraceparent([]byte(value))
		ctx := propagation.TraceContext{}.Extract(t.Context(), propagation.MapCarrier{"traceparent": value})
		theirs := trace.SpanContextFromContext(ctx)
		if theirs.IsValid() && (!ok || got.ID != theirs.TraceID() || got.Parent != theirs.SpanID() || got.Sampled != theirs.IsSampled()) {
			t.Errorf("%q: %+v, %v; want %+v", value, got, ok, theirs)
		}
		if !ok {
			return
		}
		if value[:2] == "00" && value[53] == '0' && value[54] < '4' && !theirs.IsValid() {
			t.Errorf("%q was accepted", value)
		}
		again, ok := ParseTraceparent(AppendTraceparent(nil, &Trace{ID: got.ID, Span: got.Parent, Sampled: got.Sampled, Random: got.Random}))
		if !ok || again != got {
			t.Errorf("%q: forwarded as %+v", value, again)
		}
	})
}

// What OpenTelemetry reads, which knows the first edition's keys, is forwarded.
func FuzzTracestate(f *testing.F) {
	f.Add("foo=1,bar=2")
	f.Add("a@b=1 ,\t c=")
	f.Fuzz(func(t *testing.T, value string) {
		if _, err := trace.ParseTraceState(value); err == nil && !ValidTracestate([]byte(value)) {
			t.Errorf("%q is refused", value)
		}
	})
}

func BenchmarkContinue(b *testing.B) {
	parent, state := []byte(example), []byte("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		t := Continue(parent, state, [3]uint64{1, 2, 3}, .1)
		out = AppendTraceparent(out[:0], &t)
	}
}
