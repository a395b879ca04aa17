package l7

import (
	"context"
	"crypto/tls"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	orcadata "github.com/cncf/xds/go/xds/data/orca/v3"
	orcaservice "github.com/cncf/xds/go/xds/service/orca/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/orca"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/route"
)

// grpcServer starts gRPC's interoperability server, with TLS if config is not nil.
func grpcServer(t *testing.T, config *tls.Config) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	opts := []grpc.ServerOption{orca.CallMetricsServerOption(nil), grpc.ChainUnaryInterceptor(withName)}
	if config != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(config)))
	}
	s := grpc.NewServer(opts...)
	load := orca.NewServerMetricsRecorder()
	testgrpc.RegisterTestServiceServer(s, interop.NewTestServer(interop.NewTestServerOptions{MetricsRecorder: load}))
	orcaservice.RegisterOpenRcaServiceServer(s, outOfBand{of: load})
	go s.Serve(ln)
	t.Cleanup(s.Stop)
	return ln.Addr().String()
}

// withName has the server say who it is when asked, which the one of gRPC's tests does not.
func withName(ctx context.Context, req any, _ *grpc.UnaryServerInfo, do grpc.UnaryHandler) (any, error) {
	answer, err := do(ctx, req)
	if r, ok := answer.(*testgrpc.SimpleResponse); ok && req.(*testgrpc.SimpleRequest).GetFillServerId() {
		r.ServerId = "the only one"
	}
	return answer, err
}

// outOfBand reports load out of band. gRPC's own service does it every 30 s at most.
type outOfBand struct {
	orcaservice.UnimplementedOpenRcaServiceServer
	of orca.ServerMetricsRecorder
}

func (o outOfBand) StreamCoreMetrics(_ *orcaservice.OrcaLoadReportRequest, to orcaservice.OpenRcaService_StreamCoreMetricsServer) error {
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		m := o.of.(orca.ServerMetricsProvider).ServerMetrics()
		r := &orcadata.OrcaLoadReport{CpuUtilization: max(m.CPUUtilization, 0), MemUtilization: max(m.MemUtilization, 0), Utilization: m.Utilization}
		if err := to.Send(r); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-to.Context().Done():
			return nil
		}
	}
}

// interops are gRPC's interoperability cases, but for those that need an account at Google.
var interops = []struct {
	name string
	do   func(context.Context, *grpc.ClientConn)
}{
	{"empty_unary", testCase(interop.DoEmptyUnaryCall)},
	{"large_unary", testCase(interop.DoLargeUnaryCall)},
	{"client_streaming", testCase(interop.DoClientStreaming)},
	{"server_streaming", testCase(interop.DoServerStreaming)},
	{"ping_pong", testCase(interop.DoPingPong)},
	{"empty_stream", testCase(interop.DoEmptyStream)},
	{"timeout_on_sleeping_server", testCase(interop.DoTimeoutOnSleepingServer)},
	{"cancel_after_begin", testCase(interop.DoCancelAfterBegin)},
	{"cancel_after_first_response", testCase(interop.DoCancelAfterFirstResponse)},
	{"custom_metadata", testCase(interop.DoCustomMetadata)},
	{"status_code_and_message", testCase(interop.DoStatusCodeAndMessage)},
	{"special_status_message", testCase(interop.DoSpecialStatusMessage)},
	{"unimplemented_method", interop.DoUnimplementedMethod},
	{"unimplemented_service", func(ctx context.Context, c *grpc.ClientConn) {
		interop.DoUnimplementedService(ctx, testgrpc.NewUnimplementedServiceClient(c))
	}},
	{"pick_first_unary", func(ctx context.Context, c *grpc.ClientConn) {
		interop.DoPickFirstUnary(ctx, testgrpc.NewTestServiceClient(c))
	}},
	{"orca_oob", func(ctx context.Context, c *grpc.ClientConn) {
		interop.DoORCAOOBTest(ctx, testgrpc.NewTestServiceClient(c))
	}},
	{"orca_per_rpc", func(ctx context.Context, c *grpc.ClientConn) {
		interop.DoORCAPerRPCTest(ctx, testgrpc.NewTestServiceClient(c))
	}},
}

func testCase(do func(context.Context, testgrpc.TestServiceClient, ...grpc.CallOption)) func(context.Context, *grpc.ClientConn) {
	return func(ctx context.Context, c *grpc.ClientConn) { do(ctx, testgrpc.NewTestServiceClient(c)) }
}

// TestGRPC runs them; what fails ends the process, which is how they are made.
func TestGRPC(t *testing.T) {
	a := newAuthority(t)
	for _, c := range []struct {
		name   string
		tls    bool // on both sides
		client credentials.TransportCredentials
	}{
		{"plain", false, insecure.NewCredentials()},
		{"tls", true, credentials.NewTLS(&tls.Config{RootCAs: a.pool})},
	} {
		t.Run(c.name, func(t *testing.T) {
			var server *tls.Config
			if c.tls {
				server = a.server(t, "h2")
			}
			p := front(t, 0, grpcServer(t, server))
			p.site(func(s *Site) {
				d := *s.To[0].Pools[0]
				d.H2 = true
				if c.tls {
					d.TLS = &tls.Config{RootCAs: a.pool, NextProtos: []string{"h2"}}
				}
				s.To[0].Pools = []*Destination{&d}
			})
			addr := p.addr
			if c.tls {
				_, addr = p.door(t, ServeOptions{TLS: handshaker{a.server(t, "h2")}, H2: true})
			}
			channel := func() *grpc.ClientConn {
				conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(c.client),
					grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"test_backend_metrics_load_balancer":{}}]}`))
				if err != nil {
					t.Fatal(err)
				}
				return conn
			}
			conn := channel()
			defer conn.Close()
			for _, i := range interops {
				t.Run(i.name, func(t *testing.T) {
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
					defer cancel()
					i.do(ctx, conn)
					idle(t, p, 1) // load is reported until the channel closes
				})
			}
			conn.Close()
			idle(t, p, 0)
			t.Run("rpc_soak", func(t *testing.T) {
				conn := channel()
				defer conn.Close()
				soak(t, addr, func() (*grpc.ClientConn, func()) { return conn, func() {} })
			})
			t.Run("channel_soak", func(t *testing.T) {
				soak(t, addr, func() (*grpc.ClientConn, func()) {
					conn := channel()
					return conn, func() { conn.Close() }
				})
			})
			idle(t, p, 0)
		})
	}
}

// idle waits until all but so many slots are free.
func idle(t *testing.T, p *proxy, but int) {
	t.Helper()
	until(t, "every slot is free again", func() bool { return p.pool.Stats(time.Now()).InFlight <= but })
}

// soak calls again and again, on what channel returns each time. It ends the process when a call fails.
func soak(t *testing.T, addr string, channel func() (*grpc.ClientConn, func())) {
	interop.DoSoakTest(t.Context(), interop.SoakTestConfig{
		RequestSize: 271828, ResponseSize: 314159, ServerAddr: addr, NumWorkers: 4, Iterations: 40,
		PerIterationMaxAcceptableLatency: 10 * time.Second, OverallTimeout: time.Minute, ChannelForTest: channel,
	})
}

// TestGRPCIsToldWhyInItsWords holds Weir's own errors to gRPC's mapping of them.
func TestGRPCIsToldWhyInItsWords(t *testing.T) {
	gate := make(chan struct{})
	defer close(gate)
	held := serve(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); <-gate })
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	only := func(r route.Route) *route.Table {
		r.Pool = "api"
		table, err := route.New([]route.Route{r})
		if err != nil {
			t.Fatal(err)
		}
		return table
	}
	for _, c := range []struct {
		name    string
		target  string
		change  func(*Site)
		code    codes.Code
		message string
		wait    string // before another try
	}{
		{"no route", held, func(s *Site) { s.Routes = only(route.Route{Host: "other.example"}) }, codes.Unimplemented, "no route matches", ""},
		{"a method that is not offered", held, func(s *Site) { s.Routes = only(route.Route{Methods: []string{"PUT"}}) }, codes.Unknown, "it takes PUT", ""},
		{"an address that may not", held, func(s *Site) { s.Access = admit.NewAccess(nil, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}) }, codes.PermissionDenied, "this address", ""},
		{"a body that is too large", held, func(s *Site) { s.MaxBody = 3 }, codes.Unknown, "larger than allowed", ""},
		{"a silent target", held, func(s *Site) { s.To[0].FirstByte = 50 * time.Millisecond }, codes.Unavailable, "nothing for 50ms", ""},
		{"no target", dead.Addr().String(), func(*Site) {}, codes.Unavailable, "", ""},
		{"a full pool", "", func(s *Site) { s.To[0].Queue = 20 * time.Millisecond }, codes.Unavailable, "no slot became free within 20ms", "1000"},
		{"a deadline", "", func(s *Site) { s.To[0].Deadline.After = 20 * time.Millisecond }, codes.DeadlineExceeded, "before the request's deadline", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			addrs := []string{c.target}
			if c.target == "" {
				addrs = nil // and nobody gets a slot
			}
			p := front(t, 1, addrs...)
			p.site(c.change)
			defer ticking(t, p.pool)()
			conn, err := grpc.NewClient(p.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			var head, trailer metadata.MD
			err = conn.Invoke(ctx, "/a.B/C", wrapperspb.String("hello"), new(emptypb.Empty), grpc.Header(&head), grpc.Trailer(&trailer))
			if s := status.Convert(err); s.Code() != c.code || !strings.Contains(s.Message(), c.message) {
				t.Errorf("%v, want %v and %q", err, c.code, c.message)
			}
			if got := strings.Join(trailer.Get("grpc-retry-pushback-ms"), ","); got != c.wait {
				t.Errorf("try again after %q ms, want %q", got, c.wait)
			}
			if len(head) > 0 {
				t.Errorf("the answer is not trailers alone: %v", head)
			}
		})
	}
}

// A target that keeps to the time that the client gave ends the call when the client does. Whoever is heard first says the same.
func TestATargetThatEndsACallInTime(t *testing.T) {
	p := front(t, 0, serve(t, func(http.ResponseWriter, *http.Request) {
		time.Sleep(5 * time.Millisecond) // the call's time
		panic(http.ErrAbortHandler)
	}))
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{Protocols: &protocols}}
	defer client.CloseIdleConnections()
	for timeout, want := range map[string]string{"4m": "4", "4000u": "4", "1H": "14", "": "14", "soon": "14"} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+p.addr+"/a.B/C", strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/grpc")
		if timeout != "" {
			r.Header.Set("Grpc-Timeout", timeout)
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if got := answer.Header.Get("Grpc-Status"); got != want {
			t.Errorf("a time of %q: status %s, %s; want %s", timeout, got, answer.Header.Get("Grpc-Message"), want)
		}
	}
}

func TestTimeoutsOfGRPC(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"1H": time.Hour, "2M": 2 * time.Minute, "3S": 3 * time.Second, "4m": 4 * time.Millisecond, "5u": 5 * time.Microsecond, "6n": 6, "99999999H": math.MaxInt64,
		"": -1, "1": -1, "S": -1, "123456789S": -1, "-1S": -1, "1s": -1, "1.5S": -1, "+1S": -1,
	} {
		if got, ok := grpcTimeout([]byte(in)); ok != (want >= 0) || ok && got != want {
			t.Errorf("%q is %v, %v; want %v", in, got, ok, want)
		}
	}
}

func TestMessagesOfGRPC(t *testing.T) {
	for in, want := range map[string]string{"a b~": "a b~", "100%": "100%25", "\r\nü\x00": "%0D%0A%C3%BC%00"} {
		if got := string(appendPercent(nil, in)); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestWhatIsGRPC(t *testing.T) {
	for in, want := range map[string]bool{
		"application/grpc": true, "application/grpc+proto": true, "application/grpc; a=b": true, "application/grpc-web": false, "application/json": false, "": false,
	} {
		if got := isGRPC(&http.Request{Header: http.Header{"Content-Type": {in}}}); got != want {
			t.Errorf("%q: %v", in, got)
		}
	}
}
