package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// TraceOptions say which requests are traced, and where their spans go.
type TraceOptions struct {
	Endpoint string            // of an OTLP receiver, as a URL; http: without TLS
	Protocol string            // http (protobuf over HTTP) or grpc
	Headers  map[string]string // that go with each export, such as a token
	Sample   float64           // share of the traces that begin here, 0 to 1; a caller's decision is followed
	Service  string            // service.name; empty means weir
	Version  string            // service.version
	Query    bool              // show queries; they are often private
	Queue    int               // spans that may wait to be exported; what comes beyond is dropped and counted; 0 means 4,096

	Log *slog.Logger // hears when spans cannot be exported; nil: nobody does
}

// Tracer makes one span of each request that is traced, when it has ended. A span is handed to a goroutine that exports batches:
// no request waits for the receiver. All methods may be called from any goroutine, and on nil, where they do nothing.
type Tracer struct {
	o        TraceOptions
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	closed   atomic.Bool

	waiting  atomic.Int64
	exported atomic.Uint64
	dropped  atomic.Uint64
	failed   atomic.Uint64
}

// NewTracer starts a tracer; Close ends it. It connects when there is something to export, so a receiver that is down is no error.
func NewTracer(o TraceOptions) (*Tracer, error) {
	if !(o.Sample >= 0 && o.Sample <= 1) {
		return nil, fmt.Errorf("tracing: sample is %v; write a number from 0 (none) to 1 (all)", o.Sample)
	}
	if o.Service == "" {
		o.Service = "weir"
	}
	if o.Queue <= 0 {
		o.Queue = 4096
	}
	out, err := newExporter(o)
	if err != nil {
		return nil, err
	}
	about, err := resource.New(context.Background(), resource.WithTelemetrySDK(), resource.WithHost(),
		resource.WithAttributes(semconv.ServiceName(o.Service), semconv.ServiceVersion(o.Version)), resource.WithFromEnv())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, fmt.Errorf("tracing: %w; look at OTEL_RESOURCE_ATTRIBUTES in the environment", err)
	}
	t := &Tracer{o: o}
	t.provider = sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(&exporter{SpanExporter: out, t: t}, sdktrace.WithMaxQueueSize(o.Queue)),
		sdktrace.WithIDGenerator(given{}),
		sdktrace.WithSampler(sdktrace.AlwaysSample()), // only what is sampled becomes a span at all
		sdktrace.WithResource(about),
	)
	t.tracer = t.provider.Tracer("github.com/weirlb/weir", trace.WithInstrumentationVersion(o.Version), trace.WithSchemaURL(semconv.SchemaURL))
	return t, nil
}

func newExporter(o TraceOptions) (sdktrace.SpanExporter, error) {
	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("tracing: endpoint %q is not a URL; write one such as http://localhost:4318", o.Endpoint)
	}
	var client otlptrace.Client
	switch o.Protocol {
	case "http":
		if u.Path == "" || u.Path == "/" {
			u.Path = "/v1/traces"
		}
		client = otlptracehttp.NewClient(otlptracehttp.WithEndpointURL(u.String()), otlptracehttp.WithHeaders(o.Headers))
	case "grpc":
		client = otlptracegrpc.NewClient(otlptracegrpc.WithEndpointURL(u.String()), otlptracegrpc.WithHeaders(o.Headers))
	default:
		return nil, fmt.Errorf("tracing: %q is not a protocol; write http or grpc", o.Protocol)
	}
	e, err := otlptrace.New(context.Background(), client)
	if err != nil {
		return nil, fmt.Errorf("tracing: %s: %w", o.Endpoint, err)
	}
	return e, nil
}

// Start places a request in its trace, by the values of its headers traceparent and tracestate as [Continue] wants them. It allocates
// nothing.
func (t *Tracer) Start(a *Access, parent, state []byte) {
	if t != nil {
		a.Trace = Continue(parent, state, [3]uint64{rand.Uint64(), rand.Uint64(), rand.Uint64()}, t.o.Sample)
	}
}

// End makes a span of a request that has ended, if its trace is sampled.
func (t *Tracer) End(a *Access) {
	if t == nil || !a.Trace.Sampled {
		return
	}
	if n := t.waiting.Add(1); n > int64(t.o.Queue) || t.closed.Load() {
		t.waiting.Add(-1)
		t.dropped.Add(1)
		return
	}
	t.span(a)
}

func (t *Tracer) span(a *Access) {
	ctx := context.WithValue(context.Background(), placeKey{}, &a.Trace)
	if a.Trace.Parent != [8]byte{} {
		ctx = trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: a.Trace.ID, SpanID: a.Trace.Parent, TraceFlags: trace.FlagsSampled,
		}))
	}
	method := method(a.Method)
	name := method
	if name == otherMethod {
		name = "HTTP"
	}
	if a.Route != "" {
		name += " " + a.Route
	}
	_, s := t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(a.Start), trace.WithAttributes(t.attributes(a, method)...))
	events(s, a)
	if a.Spoilt() {
		s.SetStatus(codes.Error, clean(a.Error))
		s.SetAttributes(semconv.ErrorTypeKey.String(errorType(a)))
	}
	s.End(trace.WithTimestamp(a.Start.Add(a.Total)))
}

// events are the moments of a request's way.
func events(s trace.Span, a *Access) {
	granted := a.Start.Add(a.Queue)
	if a.Queue > 0 {
		s.AddEvent("queue", trace.WithTimestamp(a.Start))
	}
	if a.Target != "" {
		s.AddEvent("grant", trace.WithTimestamp(granted))
	}
	if a.FirstByte > 0 {
		s.AddEvent("first_byte", trace.WithTimestamp(granted.Add(a.FirstByte)))
	}
	s.AddEvent("end", trace.WithTimestamp(a.Start.Add(a.Total)))
}

// attributes are those of OpenTelemetry's conventions for HTTP servers, and Weir's own.
func (t *Tracer) attributes(a *Access, method string) []attribute.KeyValue {
	scheme := "http"
	if a.TLS != "" {
		scheme = "https"
	}
	kv := make([]attribute.KeyValue, 0, 24)
	kv = append(kv, semconv.HTTPRequestMethodKey.String(method), semconv.URLScheme(scheme), semconv.URLPath(clean(a.Path)),
		semconv.HTTPRequestBodySize(int(a.BytesIn)), semconv.HTTPResponseBodySize(int(a.BytesOut)),
		attribute.Float64("weir.queue.wait", a.Queue.Seconds()), attribute.Int("weir.attempts", a.Attempts))
	text := func(key attribute.Key, value string) {
		if value != "" {
			kv = append(kv, key.String(value))
		}
	}
	if method == otherMethod {
		text(semconv.HTTPRequestMethodOriginalKey, clean(a.Method))
	}
	if t.o.Query {
		text(semconv.URLQueryKey, clean(a.Query))
	}
	if a.Status != 0 {
		kv = append(kv, semconv.HTTPResponseStatusCode(a.Status))
	}
	if a.Client.IsValid() {
		kv = append(kv, semconv.ClientAddress(a.Client.String()))
	}
	host, port := splitHost(clean(a.Host))
	text(semconv.ServerAddressKey, host)
	if port != 0 {
		kv = append(kv, semconv.ServerPort(port))
	}
	if version, ok := strings.CutPrefix(a.Protocol, "HTTP/"); ok {
		kv = append(kv, semconv.NetworkProtocolName("http"), semconv.NetworkProtocolVersion(strings.TrimSuffix(version, ".0")))
	}
	text(semconv.TLSProtocolVersionKey, strings.TrimPrefix(a.TLS, "TLS "))
	text(semconv.UserAgentOriginalKey, clean(a.UserAgent))
	text("weir.route", a.Route)
	text("weir.pool", a.Pool)
	text("weir.target", a.Target)
	text("weir.request_id", clean(a.RequestID))
	text("weir.tenant", clean(a.Tenant))
	text("weir.refused", a.Refused)
	if a.ClientLeft {
		kv = append(kv, attribute.Bool("weir.client_left", true))
	}
	return kv
}

// clean makes a string that OTLP takes: one byte that is not UTF-8 would lose the whole batch.
func clean[T []byte | string](v T) string { return strings.ToValidUTF8(string(v), "\ufffd") }

const otherMethod = "_OTHER" // the conventions' word for a method that only the client knows

var methods = [...]string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE", "QUERY"}

func method(b []byte) string {
	for _, m := range methods {
		if string(b) == m {
			return m
		}
	}
	return otherMethod
}

func splitHost(s string) (host string, port int) {
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		return strings.Trim(s, "[]"), 0
	}
	port, err = strconv.Atoi(p)
	if err != nil || port < 0 || port > 65535 {
		port = 0
	}
	return host, port
}

func errorType(a *Access) string {
	switch {
	case a.Refused != "":
		return a.Refused
	case a.Cut:
		return "cut"
	case a.Status != 0:
		return strconv.Itoa(a.Status)
	}
	return otherMethod // so named for errors too
}

// Close exports what waits, as long as ctx lets it.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil || t.closed.Swap(true) {
		return nil
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("tracing: the last spans are lost: %w; is there a receiver at %s?", err, t.o.Endpoint)
	}
	return nil
}

// SpanCounts is what became of the spans since the tracer was started.
type SpanCounts struct {
	Exported uint64
	Dropped  uint64 // the queue was full
	Failed   uint64 // the receiver did not take them
}

// Counts says what became of the spans.
func (t *Tracer) Counts() SpanCounts {
	if t == nil {
		return SpanCounts{}
	}
	return SpanCounts{Exported: t.exported.Load(), Dropped: t.dropped.Load(), Failed: t.failed.Load()}
}

// exporter counts what goes out, and says so when that begins to fail.
type exporter struct {
	sdktrace.SpanExporter
	t       *Tracer
	failing bool // of the one goroutine that exports
}

// ExportSpans implements [sdktrace.SpanExporter]. It reports errors itself: the SDK would print them.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	begin := time.Now()
	err := e.SpanExporter.ExportSpans(ctx, spans)
	n := len(spans)
	e.t.waiting.Add(int64(-n))
	if err == nil {
		e.t.exported.Add(uint64(n))
		e.failing = false
		return nil
	}
	e.t.failed.Add(uint64(n))
	if !e.failing && e.t.o.Log != nil {
		e.t.o.Log.Error("tracing: spans are lost until the receiver takes them again", "endpoint", e.t.o.Endpoint, "tried", time.Since(begin), "error", err)
	}
	e.failing = true
	return nil
}

// placeKey is the key of the Trace in the context that [given] reads.
type placeKey struct{}

// given is the generator of the ids that a span already has: the target was told them long before the span is made.
type given struct{}

// NewIDs implements [sdktrace.IDGenerator].
func (given) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	p := ctx.Value(placeKey{}).(*Trace)
	return p.ID, p.Span
}

// NewSpanID implements [sdktrace.IDGenerator].
func (given) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	return ctx.Value(placeKey{}).(*Trace).Span
}
