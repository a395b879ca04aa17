package l7

import (
	"context"
	"crypto/tls"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/orca"
)

// grpcServer starts gRPC's interoperability server, with TLS if config is not nil.
func grpcServer(t *testing.T, config *tls.Config) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	opts := []grpc.ServerOption{orca.CallMetricsServerOption(nil)}
	if config != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(config)))
	}
	s := grpc.NewServer(opts...)
	testgrpc.RegisterTestServiceServer(s, interop.NewTestServer(interop.NewTestServerOptions{MetricsRecorder: orca.NewServerMetricsRecorder()}))
	go s.Serve(ln)
	t.Cleanup(s.Stop)
	return ln.Addr().String()
}

// interops are gRPC's interoperability cases, but for those that need an account at Google, a service config of theirs, or a service
// that reports load out of band.
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
			conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(c.client),
				grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"test_backend_metrics_load_balancer":{}}]}`))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for _, i := range interops {
				t.Run(i.name, func(t *testing.T) {
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
					defer cancel()
					i.do(ctx, conn)
					until(t, "the slot is free again", func() bool { return p.pool.Stats(time.Now()).InFlight == 0 })
				})
			}
		})
	}
}
