package load_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirlb/weir/bench/internal/load"
	"github.com/weirlb/weir/bench/internal/origin"
)

// options load this process: that is where the servers of these tests run.
func options(mode string, port int, path string) load.Options {
	return load.Options{
		Mode: mode, Port: port, Path: path, Conns: 4, Rate: 200,
		WarmUp: 50 * time.Millisecond, For: 200 * time.Millisecond, PIDs: []int{os.Getpid()}, ProxyCores: []int{0},
	}
}

func target(t *testing.T) (port int) {
	t.Helper()
	server, err := origin.Listen(1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return server.Ports()[0]
}

func TestModes(t *testing.T) {
	port := target(t)
	for _, test := range []struct {
		mode, path  string
		body        int
		least, most int64
	}{
		{load.Saturated, "/predict", 0, 10, 1 << 40},
		{load.Saturated, "/predict", 4096, 10, 1 << 40},
		// 40 were due; the test machine may be late, but none may be made up.
		{load.Rate, "/predict", 0, 10, 60},
		// 4 streams with an event every 10 ms for 200 ms.
		{load.SSE, "/sse?n=1000&ms=10", 0, 20, 120},
		{load.Hold, "/hold?ms=400", 0, 4, 4},
	} {
		o := options(test.mode, port, test.path)
		o.Body = test.body
		if test.mode == load.Hold {
			o.For = 20 * time.Second
		}
		r, err := load.Run(o)
		if err != nil {
			t.Fatalf("%s: %v", test.mode, err)
		}
		if r.NotOK+r.Errors > 0 || r.Units < test.least || r.Units > test.most || r.CPU <= 0 || r.Median <= 0 {
			t.Errorf("%s: %+v; want %d to %d units", test.mode, r, test.least, test.most)
		}
	}
}

func TestFailuresAreCounted(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch n := asked.Add(1); {
		case n%3 == 0:
			w.WriteHeader(http.StatusServiceUnavailable)
		case n%3 == 1:
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(server.Close)
	r, err := load.Run(options(load.Saturated, server.Listener.Addr().(*net.TCPAddr).Port, "/"))
	if err != nil {
		t.Fatal(err)
	}
	if r.NotOK == 0 || r.Errors == 0 || r.FirstError == "" {
		t.Errorf("got %+v; want answers that are not 2xx and broken connections", r)
	}
}

func TestNothingToLoad(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	if _, err := load.Run(options(load.Saturated, port, "/")); err == nil || !strings.Contains(err.Error(), "connecting to 127.0.0.1") {
		t.Errorf("loading a closed port: %v", err)
	}
	if _, err := load.Run(options("fast", port, "/")); err == nil {
		t.Error("an unknown mode ran")
	}
}
