package load

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// burst is n arrivals at the start.
func burst(n int) []Arrival { return make([]Arrival, n) }

func run(t *testing.T, o Options) *Result {
	t.Helper()
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Total.Done + r.Total.Failed + r.Total.Aborted; r.Total.Outstanding != 0 || r.Total.Sent != got {
		t.Errorf("%+v does not add up", r.Total.Counts)
	}
	return r
}

// one runs n requests of one kind at once.
func one(t *testing.T, n int, k Kind) *Result {
	t.Helper()
	return run(t, Options{Streams: []Stream{{Kind: k, Arrivals: slices.Values(burst(n))}}})
}

func TestRunSendsEachKindByItsOwnSchedule(t *testing.T) {
	t.Parallel()
	var gets, posts atomic.Int64
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			body, _ := io.ReadAll(r.Body)
			if string(body) != "7 tokens" || r.Header.Get("X-Key") != "v" || r.Host != "api.test" {
				http.Error(w, "bad request", http.StatusBadRequest)
			}
			posts.Add(1)
			return
		}
		gets.Add(1)
		fmt.Fprint(w, "hello")
	})
	var snapshots []Snapshot
	r := run(t, Options{
		Seed: 3,
		Streams: []Stream{
			{Kind: Kind{Name: "get", URL: url}, Arrivals: Phases(1, false, Constant(100, 1200*time.Millisecond)), Length: 1200 * time.Millisecond},
			{Kind: Kind{
				Name: "post", URL: url, Headers: map[string]string{"X-Key": "v", "Host": "api.test"},
				Body: func(_ int, a Arrival) []byte { return fmt.Appendf(nil, "%d tokens", a.Input) },
			}, Arrivals: slices.Values([]Arrival{{Input: 7}, {At: time.Second, Input: 7}})},
		},
		Progress: func(s Snapshot) { snapshots = append(snapshots, s) },
	})
	if gets.Load() != 120 || posts.Load() != 2 {
		t.Errorf("the server saw %d GETs and %d POSTs, want 120 and 2", gets.Load(), posts.Load())
	}
	if r.Total.Done != 122 || r.Total.Status[200] != 122 || r.Kinds[0].Bytes != 120*5 || r.Seed != 3 {
		t.Errorf("total %+v, status %v, %d bytes", r.Total.Counts, r.Total.Status, r.Kinds[0].Bytes)
	}
	if first := r.Kinds[0].Series[0]; first.Sent < 90 || first.Sent > 101 {
		t.Errorf("%d GETs in the first second, want about 100", first.Sent)
	}
	last := snapshots[len(snapshots)-1]
	if len(snapshots) < 2 || !last.Final || last.Done != 122 || last.Kinds[1].Name != "post" || last.Kinds[1].Done != 2 || last.Length != 1200*time.Millisecond {
		t.Errorf("%d snapshots, the last is %+v", len(snapshots), last)
	}
}

// A server that answers nothing until the 101st request has come stalls for half a second at 200 requests per second. A generator that
// waits for answers would see one slow request; open loop, the k-th has waited since its own moment, so a tenth of all waited 0.4 s or more.
func TestAStallCountsInEveryRequestItHeldUp(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var n atomic.Int64
	url := serve(t, func(http.ResponseWriter, *http.Request) {
		if n.Add(1) == 101 {
			close(release)
		}
		<-release
	})
	r := run(t, Options{Streams: []Stream{{Kind: Kind{URL: url}, Arrivals: Phases(1, false, Constant(200, time.Second))}}})
	l := r.Total.Latency
	if l.Count != 200 || l.P90 < 395*time.Millisecond || l.Max < 495*time.Millisecond {
		t.Errorf("count %d, p90 %v, max %v; want 200, 0.4 s and 0.5 s at least", l.Count, l.P90, l.Max)
	}
}

func TestLatencyCountsFromTheIntendedMoment(t *testing.T) {
	t.Parallel()
	url := serve(t, func(http.ResponseWriter, *http.Request) {})
	r := run(t, Options{Streams: []Stream{{Kind: Kind{URL: url}, Arrivals: slices.Values([]Arrival{{At: -2 * time.Second}})}}})
	if r.Total.Latency.Min < 1990*time.Millisecond || r.Total.Late.Min < 1990*time.Millisecond {
		t.Errorf("a request sent two seconds late has a latency of %v and was %v late", r.Total.Latency.Min, r.Total.Late.Min)
	}
}

func TestMaxOutstandingDrops(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	url := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	r := run(t, Options{MaxOutstanding: 3, Streams: []Stream{{Kind: Kind{URL: url}, Arrivals: func(yield func(Arrival) bool) {
		for range 10 {
			yield(Arrival{})
		}
		close(release) // not before all ten had their moment
	}}}})
	if r.Total.Sent != 3 || r.Total.Done != 3 || r.Total.Dropped != 7 {
		t.Errorf("%+v; want 3 done, 7 dropped", r.Total.Counts)
	}
	var b strings.Builder
	if err := r.WriteTable(&b); err != nil || !strings.Contains(b.String(), "!!  7 requests were dropped") {
		t.Errorf("the table does not say so: %v\n%s", err, b.String())
	}
}

func TestAnInterruptedRunGivesUpAndReports(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var n atomic.Int64
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if n.Add(1) == 5 {
			cancel()
		}
		<-r.Context().Done()
	})
	r, err := Run(ctx, Options{Streams: []Stream{{Kind: Kind{URL: url}, Arrivals: slices.Values(append(burst(5), Arrival{At: time.Hour}))}}})
	if err != nil || !r.Interrupted || r.Total.Aborted != 5 || r.Total.Failed != 0 {
		t.Errorf("%+v, interrupted %v, %v; want 5 aborted", r.Total.Counts, r.Interrupted, err)
	}
}

func TestFailuresHaveClasses(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/503", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "queue\x1b[2J full", http.StatusServiceUnavailable)
	})
	mux.HandleFunc("/hang", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/reset", func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}
	})
	mux.HandleFunc("/close", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("/garbage", func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			fmt.Fprint(c, "what is HTTP\r\n\r\n")
			c.Close()
		}
	})
	url := serve(t, mux.ServeHTTP)
	for class, k := range map[string]Kind{
		"status 503":               {URL: url + "/503"},
		"timeout":                  {URL: url + "/hang", Timeout: 50 * time.Millisecond},
		"cut":                      {URL: url + "/cut"},
		"reset":                    {URL: url + "/reset"},
		"closed without an answer": {URL: url + "/close"},
		"bad answer":               {URL: url + "/garbage"},
		"refused":                  {URL: "http://" + closed.Addr().String()},
		"tls":                      {URL: strings.Replace(url, "http:", "https:", 1)},
		"unknown host":             {URL: "http://no.such.host.invalid/"},
	} {
		r := one(t, 2, k)
		if r.Total.Failed != 2 || r.Total.Errors[class] != 2 || r.Total.FailedLatency.Count != 2 || r.Total.Latency.Count != 0 {
			t.Errorf("%s: %+v, errors %v %v", class, r.Total.Counts, r.Total.Errors, r.Total.Examples)
		}
		if strings.Contains(r.Total.Examples[class], "\x1b") {
			t.Errorf("%s: the example steers terminals: %q", class, r.Total.Examples[class])
		}
	}
}

// A kept-alive connection that breaks under a request is a failure: the generator must not hide it by sending the request again.
func TestNothingIsSentTwice(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var n atomic.Int64
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				br := bufio.NewReader(c)
				for {
					if _, err := http.ReadRequest(br); err != nil || n.Add(1) > 1 {
						return
					}
					fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				}
			}()
		}
	}()
	r := run(t, Options{Streams: []Stream{{
		Kind:     Kind{URL: "http://" + l.Addr().String()},
		Arrivals: slices.Values([]Arrival{{}, {At: 300 * time.Millisecond}}),
	}}})
	if n.Load() != 2 || r.Total.Done != 1 || r.Total.Failed != 1 {
		t.Errorf("the server saw %d requests, %+v %v; want 2, one done, one failed", n.Load(), r.Total.Counts, r.Total.Examples)
	}
}

func TestConnectionsAreKept(t *testing.T) {
	t.Parallel()
	var opened atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(w, r.Body); err != nil || r.TransferEncoding != nil {
			http.Error(w, "bad body", http.StatusBadRequest)
		}
	}))
	s.Config.ConnState = func(_ net.Conn, c http.ConnState) {
		if c == http.StateNew {
			opened.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	r := run(t, Options{Streams: []Stream{
		{Kind: Kind{Name: "a", URL: s.URL}, Arrivals: Phases(0, false, Constant(50, time.Second))},
		{Kind: Kind{Name: "b", Method: "PUT", URL: s.URL, Body: func(int, Arrival) []byte { return []byte("x") }}, Arrivals: Phases(0, false, Constant(50, time.Second))},
	}})
	if r.Total.Done != 100 || opened.Load() > 50 {
		t.Errorf("%d of 100 done over %d connections", r.Total.Done, opened.Load())
	}
}

func TestRunRefusesWhatItCannotSend(t *testing.T) {
	some := slices.Values(burst(1))
	for want, o := range map[string]Options{
		"at least one stream": {},
		"not a whole URL":     {Streams: []Stream{{Kind: Kind{URL: "localhost:8080"}, Arrivals: some}}},
		"no arrivals":         {Streams: []Stream{{Kind: Kind{URL: "http://a/"}}}},
		"timeout":             {Streams: []Stream{{Kind: Kind{URL: "http://a/", Timeout: -1}, Arrivals: some}}},
		"header":              {Streams: []Stream{{Kind: Kind{URL: "http://a/", Headers: map[string]string{"a": "b\r\nc: d"}}, Arrivals: some}}},
		"method":              {Streams: []Stream{{Kind: Kind{URL: "http://a/", Method: "NO WAY"}, Arrivals: some}}},
		"two streams":         {Streams: []Stream{{Kind: Kind{URL: "http://a/"}, Arrivals: some}, {Kind: Kind{URL: "http://a/"}, Arrivals: some}}},
		"outstanding":         {MaxOutstanding: -1, Streams: []Stream{{Kind: Kind{URL: "http://a/"}, Arrivals: some}}},
	} {
		if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}
