//go:build unix

package load

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// serverEnv makes the test binary a server, in a process of its own so that its CPU does not count as the generator's.
const serverEnv = "WEIR_LOAD_TEST_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(serverEnv) == "" {
		os.Exit(m.Run())
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/stream" {
			fmt.Fprint(w, "ok")
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for range 50 {
			fmt.Fprint(w, `data: {"choices":[{"delta":{"content":"word "}}]}`+"\n\n")
		}
		fmt.Fprint(w, "data: [DONE]\n\n")
	}))
	fmt.Println(s.URL)
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent ends
}

// BenchmarkRun measures the CPU that the generator takes for a request, over runs of a second.
func BenchmarkRun(b *testing.B) {
	server := exec.Command(os.Args[0])
	server.Env = append(os.Environ(), serverEnv+"=1")
	stdin, err := server.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := server.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { stdin.Close(); _ = server.Wait() }()
	var url string
	if _, err := fmt.Fscanln(stdout, &url); err != nil || !strings.HasPrefix(url, "http://") {
		b.Fatalf("the server said %q: %v", url, err)
	}
	for _, c := range []struct {
		name string
		rate float64
		kind Kind
	}{
		{"get/2000 per s", 2000, Kind{URL: url}},
		{"get/5000 per s", 5000, Kind{URL: url}},
		{"stream of 50/200 per s", 200, Kind{URL: url + "/stream", Stream: true}},
	} {
		b.Run(c.name, func(b *testing.B) {
			var requests int64
			before := cpu(b)
			var late time.Duration
			for b.Loop() {
				r, err := Run(b.Context(), Options{Streams: []Stream{{Kind: c.kind, Arrivals: Phases(1, true, Constant(c.rate, time.Second))}}})
				if err != nil || r.Total.Done != r.Total.Sent {
					b.Fatalf("%+v: %v", r, err)
				}
				requests += r.Total.Sent
				late = max(late, r.Total.Late.P99)
			}
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(requests), "cpu-µs/request")
			b.ReportMetric(float64(late.Microseconds()), "late-p99-µs")
		})
	}
}

// cpu is the time that this process has had a processor.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
