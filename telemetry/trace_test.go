package telemetry

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	otlptrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// receiver takes spans by OTLP, over HTTP and gRPC.
type receiver struct {
	otlptrace.UnimplementedTraceServiceServer

	mu       sync.Mutex
	resource map[string]any
	spans    []*otlp.Span
	tokens   []string
	path     string
}

func (r *receiver) Export(ctx context.Context, m *otlptrace.ExportTraceServiceRequest) (*otlptrace.ExportTraceServiceResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	r.take(m, strings.Join(md.Get("x-token"), ","))
	return &otlptrace.ExportTraceServiceResponse{}, nil
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	b, err := io.ReadAll(req.Body)
	var m otlptrace.ExportTraceServiceRequest
	if err := errors.Join(err, proto.Unmarshal(b, &m)); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.path = req.URL.Path
	r.take(&m, req.Header.Get("X-Token"))
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (r *receiver) take(m *otlptrace.ExportTraceServiceRequest, token string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tokens = append(r.tokens, token)
	for _, rs := range m.GetResourceSpans() {
		r.resource = attributesOf(rs.GetResource().GetAttributes())
		for _, ss := range rs.GetScopeSpans() {
			r.spans = append(r.spans, ss.GetSpans()...)
		}
	}
}

func attributesOf(kvs []*common.KeyValue) map[string]any {
	out := map[string]any{}
	for _, kv := range kvs {
		switch v := kv.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			out[kv.GetKey()] = v.StringValue
		case *common.AnyValue_IntValue:
			out[kv.GetKey()] = v.IntValue
		case *common.AnyValue_DoubleValue:
			out[kv.GetKey()] = v.DoubleValue
		case *common.AnyValue_BoolValue:
			out[kv.GetKey()] = v.BoolValue
		default:
			out[kv.GetKey()] = v
		}
	}
	return out
}

// exportedTo starts a receiver and a tracer that exports to it, gives the tracer to use, and returns what arrived.
func exportedTo(t *testing.T, protocol string, use func(*Tracer)) *receiver {
	t.Helper()
	r := &receiver{}
	var endpoint string
	if protocol == "grpc" {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := grpc.NewServer()
		otlptrace.RegisterTraceServiceServer(s, r)
		go s.Serve(ln)
		defer s.Stop()
		endpoint = "http://" + ln.Addr().String()
	} else {
		s := httptest.NewServer(r)
		defer s.Close()
		endpoint = s.URL
	}
	tr, err := NewTracer(TraceOptions{
		Endpoint: endpoint, Protocol: protocol, Sample: 1, Service: "edge", Version: "1.2.3", Query: true, Headers: map[string]string{"x-token": "t0k"},
	})
	if err != nil {
		t.Fatal(err)
	}
	use(tr)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := errors.Join(tr.Close(ctx), tr.Close(ctx)); err != nil {
		t.Fatal(err)
	}
	if c := tr.Counts(); c != (SpanCounts{Exported: uint64(len(r.spans))}) {
		t.Errorf("counts %+v, %d spans arrived", c, len(r.spans))
	}
	return r
}

func TestASpanTellsTheWayOfItsRequest(t *testing.T) {
	for _, protocol := range []string{"http", "grpc"} {
		t.Run(protocol, func(t *testing.T) {
			r := exportedTo(t, protocol, func(tr *Tracer) {
				a := typical()
				a.Host = []byte("api.example.com:8443")
				a.Tenant = []byte("acme")
				tr.Start(a, []byte(example), nil)
				tr.End(a)
			})
			if len(r.spans) != 1 || r.tokens[0] != "t0k" {
				t.Fatalf("%d spans, tokens %q", len(r.spans), r.tokens)
			}
			if protocol == "http" && r.path != "/v1/traces" {
				t.Errorf("sent to %s", r.path)
			}
			if r.resource["service.name"] != "edge" || r.resource["service.version"] != "1.2.3" || r.resource["host.name"] == nil {
				t.Errorf("resource %v", r.resource)
			}
			s := r.spans[0]
			if s.GetName() != "POST chat" || s.GetKind() != otlp.Span_SPAN_KIND_SERVER || hex.EncodeToString(s.GetTraceId()) != exampleID ||
				hex.EncodeToString(s.GetParentSpanId()) != exampleParent || s.GetStatus().GetCode() != otlp.Status_STATUS_CODE_UNSET {
				t.Errorf("span %v", s)
			}
			if s.GetStartTimeUnixNano() != uint64(noon.UnixNano()) || s.GetEndTimeUnixNano() != uint64(noon.Add(1250*time.Millisecond).UnixNano()) {
				t.Errorf("from %d to %d", s.GetStartTimeUnixNano(), s.GetEndTimeUnixNano())
			}
			got, want := attributesOf(s.GetAttributes()), map[string]any{
				"http.request.method": "POST", "http.response.status_code": int64(200), "http.request.body.size": int64(512), "http.response.body.size": int64(20480),
				"url.scheme": "https", "url.path": "/v1/chat/completions", "url.query": "key=secret", "server.address": "api.example.com", "server.port": int64(8443),
				"client.address": "203.0.113.7", "network.protocol.name": "http", "network.protocol.version": "1.1", "tls.protocol.version": "1.3",
				"user_agent.original": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
				"weir.queue.wait":     .0123, "weir.attempts": int64(1), "weir.route": "chat", "weir.pool": "gpu", "weir.target": "10.0.0.1:9000",
				"weir.request_id": "01JNX9W6Y2Z8Q4", "weir.tenant": "acme",
			}
			if !maps.Equal(got, want) {
				t.Errorf("attributes\n%v, want\n%v", got, want)
			}
			var events []string
			for _, e := range s.GetEvents() {
				events = append(events, e.GetName()+" "+time.Duration(e.GetTimeUnixNano()-s.GetStartTimeUnixNano()).String())
			}
			if want := []string{"queue 0s", "grant 12.3ms", "first_byte 242.4ms", "end 1.25s"}; !slices.Equal(events, want) {
				t.Errorf("events %q, want %q", events, want)
			}
		})
	}
}

// The target and the receiver must hear the same id, or the trace falls apart.
func TestTheSpanIsTheOneThatTheTargetWasTold(t *testing.T) {
	var told string
	r := exportedTo(t, "http", func(tr *Tracer) {
		a := typical()
		tr.Start(a, nil, nil)
		told = string(AppendTraceparent(nil, &a.Trace))
		tr.End(a)
	})
	if got := "00-" + hex.EncodeToString(r.spans[0].GetTraceId()) + "-" + hex.EncodeToString(r.spans[0].GetSpanId()) + "-01"; got != told {
		t.Errorf("exported %s, told %s", got, told)
	}
	if p := r.spans[0].GetParentSpanId(); len(p) != 0 {
		t.Errorf("a root has the parent %x", p)
	}
}

func TestWhatASpanSaysOfFailure(t *testing.T) {
	cases := []struct {
		change  func(*Access)
		name    string
		isError bool
		kind    any
	}{
		{func(a *Access) { a.Status = 404 }, "POST chat", false, nil},
		{func(a *Access) { a.Status, a.Refused = 429, "limits.rate" }, "POST chat", false, nil},
		{func(a *Access) { a.Status, a.ClientLeft = 0, true }, "POST chat", false, nil},
		{func(a *Access) { a.Status, a.Error = 500, "bad \xff" }, "POST chat", true, "500"},
		{func(a *Access) { a.Status, a.Refused = 503, "queue.limit" }, "POST chat", true, "queue.limit"},
		{func(a *Access) { a.Cut = true }, "POST chat", true, "cut"},
		{func(a *Access) { a.Status, a.Method, a.Path = 0, []byte("F\xffO"), []byte("/\xff") }, "HTTP chat", true, "_OTHER"},
		{func(a *Access) { *a = Access{Start: noon, Status: 400} }, "HTTP", false, nil},
	}
	r := exportedTo(t, "http", func(tr *Tracer) {
		for _, c := range cases {
			a := typical()
			c.change(a)
			tr.Start(a, nil, nil)
			tr.End(a)
		}
	})
	if len(r.spans) != len(cases) {
		t.Fatalf("%d spans, want %d", len(r.spans), len(cases))
	}
	for i, c := range cases {
		s := r.spans[i]
		kv := attributesOf(s.GetAttributes())
		if s.GetName() != c.name || (s.GetStatus().GetCode() == otlp.Status_STATUS_CODE_ERROR) != c.isError || kv["error.type"] != c.kind {
			t.Errorf("case %d: %s, %v, %v", i, s.GetName(), s.GetStatus(), kv)
		}
	}
}

func TestWhatIsNotSampledIsNoSpan(t *testing.T) {
	r := exportedTo(t, "http", func(tr *Tracer) {
		a := typical()
		tr.Start(a, []byte(example[:53]+"00"), nil)
		if !a.Trace.Valid() {
			t.Error("the request has no trace")
		}
		tr.End(a)
	})
	if len(r.spans) > 0 {
		t.Errorf("%d spans", len(r.spans))
	}
}

// A receiver that does not answer costs spans, which are counted, and no time of a request.
func TestAStuckReceiverDropsSpans(t *testing.T) {
	stuck := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stuck }))
	defer s.Close()
	defer close(stuck)
	tr, err := NewTracer(TraceOptions{Endpoint: s.URL, Protocol: "http", Sample: 1, Queue: 100})
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		a := typical()
		tr.Start(a, nil, nil)
		tr.End(a)
	}
	if c := tr.Counts(); c != (SpanCounts{Dropped: 900}) {
		t.Errorf("%+v", c)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := tr.Close(ctx); err == nil || !strings.Contains(err.Error(), "is there a receiver at http://127.0.0.1") {
		t.Errorf("close: %v", err)
	}
}

func TestAReceiverThatRefusesIsToldOnce(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	var told bytes.Buffer
	tr, err := NewTracer(TraceOptions{Endpoint: s.URL + "/elsewhere", Protocol: "http", Sample: 1, Log: slog.New(slog.NewTextHandler(&told, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for range 1200 { // more than two batches
		a := typical()
		tr.Start(a, nil, nil)
		tr.End(a)
	}
	if err := tr.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if c := tr.Counts(); c != (SpanCounts{Failed: 1200}) {
		t.Errorf("%+v", c)
	}
	if n := strings.Count(told.String(), "spans are lost"); n != 1 || !strings.Contains(told.String(), "/elsewhere") {
		t.Errorf("told %d times:\n%s", n, &told)
	}
}

func TestTraceOptionsThatCannotBe(t *testing.T) {
	for _, c := range []struct {
		o    TraceOptions
		want string
	}{
		{TraceOptions{Endpoint: "localhost:4318", Protocol: "http"}, "write one such as http://localhost:4318"},
		{TraceOptions{Endpoint: "", Protocol: "http"}, "is not a URL"},
		{TraceOptions{Endpoint: "http://localhost:4318", Protocol: "udp"}, "write http or grpc"},
		{TraceOptions{Endpoint: "http://localhost:4318", Protocol: "http", Sample: 2}, "from 0 (none) to 1 (all)"},
	} {
		if _, err := NewTracer(c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.o, err)
		}
	}
}

func TestNoTracerTakesEverything(t *testing.T) {
	var tr *Tracer
	a := typical()
	before := a.Trace
	tr.Start(a, []byte(example), nil)
	tr.End(a)
	if err := tr.Close(t.Context()); err != nil || a.Trace != before || tr.Counts() != (SpanCounts{}) {
		t.Error(err)
	}
}

func TestWhatIsNotSampledAllocatesNothing(t *testing.T) {
	tr, err := NewTracer(TraceOptions{Endpoint: "http://127.0.0.1:1", Protocol: "http"})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close(t.Context())
	a, parent := typical(), []byte(example[:53]+"00")
	if n := testing.AllocsPerRun(100, func() {
		tr.Start(a, parent, nil)
		tr.End(a)
		tr.Start(a, nil, nil)
		tr.End(a)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSpan(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	defer s.Close()
	tr, err := NewTracer(TraceOptions{Endpoint: s.URL, Protocol: "http", Sample: 1, Queue: 1 << 16})
	if err != nil {
		b.Fatal(err)
	}
	a := typical()
	b.ReportAllocs()
	for b.Loop() {
		tr.Start(a, nil, nil)
		tr.span(a)
	}
	tr.Close(b.Context())
}
