package l7

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/route"
	"github.com/weirlb/weir/telemetry"
)

// entry is one line of an access log.
type entry map[string]any

func (l entry) number(field string) float64 { n, _ := l[field].(float64); return n }

// logged has a proxy log what it does from now on. The function returns the next n lines, in the order in which the requests came.
func logged(t *testing.T, p *proxy) func(n int) []entry {
	t.Helper()
	o := telemetry.DefaultAccess
	o.Path = filepath.Join(t.TempDir(), "access.log")
	log, err := telemetry.NewAccessLog(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	p.site(func(s *Site) { s.Log, s.To[0].Name = log, "main" })
	seen := 0
	return func(n int) []entry {
		t.Helper()
		seen += n
		// A client has its answer a moment before the exchange ends.
		until(t, "the lines are logged", func() bool {
			if err := log.Reopen(); err != nil { // which writes what waits
				t.Fatal(err)
			}
			return log.Counts().Written == uint64(seen)
		})
		var lines []entry
		until(t, "the lines are in the file", func() bool {
			lines = nil
			b, err := os.ReadFile(o.Path)
			if err != nil {
				t.Fatal(err)
			}
			for raw := range strings.Lines(string(b)) {
				var l entry
				if err := json.Unmarshal([]byte(raw), &l); err != nil {
					t.Fatalf("%q: %v", raw, err)
				}
				lines = append(lines, l)
			}
			return len(lines) == seen
		})
		slices.SortFunc(lines, func(a, b entry) int { return strings.Compare(a["time"].(string), b["time"].(string)) })
		return lines[seen-n:]
	}
}

// expect compares a line with some fields: a value, or nil for one that must be left out.
func (l entry) expect(t *testing.T, what string, want entry) {
	t.Helper()
	for field, v := range want {
		if got := l[field]; got != v {
			t.Errorf("%s: %s is %v, want %v; %v", what, field, got, v, l)
		}
	}
}

func TestTheAccessLogTellsWhatHappened(t *testing.T) { onBoth(t, testTheAccessLogTellsWhatHappened) }

func testTheAccessLogTellsWhatHappened(t *testing.T) {
	good := named(t, "hello")
	p := front(t, 0, good)
	lines := logged(t, p)
	p.site(func(s *Site) { s.MaxBody, s.To[0].Tenant = 100, Key{From: ByHeader, Name: "x-team"} })
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	do(t, "GET", p.url+"/a?secret=1", "User-Agent", "test/1", "Referer", "http://r/", "X-Request-Id", "id-1", "X-Team", "blue")
	resp, err := http.Post(p.url+"/b", "text/plain", strings.NewReader("0123456789"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	got := lines(2)
	got[0].expect(t, "GET", entry{
		"status": 200.0, "client": "127.0.0.1", "method": "GET", "host": p.addr, "path": "/a", "query": nil, "protocol": "HTTP/1.1", "tls": nil,
		"route": "main", "pool": "api", "target": good, "bytes_in": 0.0, "bytes_out": 5.0, "attempts": 1.0, "retries": nil, "user_agent": "test/1",
		"referer": "http://r/", "request_id": "id-1", "trace_id": nil, "tenant": "blue", "refused": nil, "error": nil, "cut_after": nil, "client_left": nil,
	})
	if l := got[0]; l.number("connect_ms") <= 0 || l.number("first_byte_ms") < l.number("connect_ms") || l.number("duration_ms") < l.number("first_byte_ms") {
		t.Errorf("GET: durations of %v", l)
	}
	got[1].expect(t, "POST", entry{"status": 200.0, "bytes_in": 10.0, "bytes_out": 5.0, "connect_ms": nil, "attempts": 1.0, "retries": nil, "tenant": nil})
	if id, _ := got[1]["request_id"].(string); !regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString(id) {
		t.Errorf("made up: request_id %q", id)
	}

	p.site(func(s *Site) { s.To[0].Tenant.Name = "authorization" })
	do(t, "GET", p.url+"/", "Authorization", "Bearer sesame")
	if resp, err := http.Post(p.url, "text/plain", strings.NewReader(strings.Repeat("x", 101))); err != nil || resp.StatusCode != 413 {
		t.Errorf("%v, %v", resp, err)
	}
	got = lines(2)
	got[0].expect(t, "a secret tenant", entry{"tenant": fmt.Sprintf("%x", sha256.Sum256([]byte("sesame")))[:16]})
	got[1].expect(t, "refused", entry{"status": 413.0, "refused": "limits.body", "attempts": 0.0, "pool": nil, "target": nil, "route": "main", "error": nil})

	p.site(func(s *Site) {
		routes, err := route.New([]route.Route{{Path: "/only", Pool: "api"}})
		if err != nil {
			t.Fatal(err)
		}
		s.Routes = routes
	})
	do(t, "GET", p.url+"/none")
	lines(1)[0].expect(t, "no route", entry{"status": 404.0, "refused": nil, "route": nil, "attempts": 0.0, "error": noRoute.message})
}

func TestTheAccessLogTellsWhatWentWrong(t *testing.T) {
	onBoth(t, testTheAccessLogTellsWhatWentWrong)
}

func testTheAccessLogTellsWhatWentWrong(t *testing.T) {
	// A target that cannot be reached, and another one.
	dead, good := closed(t), named(t, "hello")
	p := front(t, 0, dead, good)
	lines := logged(t, p)
	tried := false
	for range 2 { // the first request or the second is given to the dead one first
		do(t, "GET", p.url+"/")
		l := lines(1)[0]
		l.expect(t, "after a dead target", entry{"status": 200.0, "target": good})
		if l.number("attempts") == 2 {
			l.expect(t, "after a dead target", entry{"retries": 1.0})
			tried = true
		}
	}
	if !tried {
		t.Error("the dead target was never tried")
	}
	p = front(t, 0, dead)
	lines = logged(t, p)
	do(t, "GET", p.url+"/")
	l := lines(1)[0]
	l.expect(t, "a dead target alone", entry{"status": 502.0, "target": dead, "attempts": 1.0, "retries": nil, "refused": nil, "bytes_out": 0.0})
	if why, _ := l["error"].(string); !strings.Contains(why, "refused") {
		t.Errorf("a dead target alone: %v", l)
	}

	// One that closes its connection after each answer, without a word.
	p = front(t, 0, raw(t, func(c net.Conn, r *bufio.Reader) {
		readHead(r)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		readHead(r)
	}))
	lines = logged(t, p)
	do(t, "GET", p.url+"/")
	lines(1) // the connection was put by
	do(t, "GET", p.url+"/")
	lines(1)[0].expect(t, "on a fresh connection", entry{"status": 200.0, "attempts": 1.0, "retries": 1.0})

	// One that cuts its answer.
	cuts := raw(t, func(c net.Conn, r *bufio.Reader) {
		readHead(r)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
	})
	p = front(t, 0, cuts)
	lines = logged(t, p)
	if resp, err := http.Get(p.url); err == nil {
		io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	l = lines(1)[0]
	l.expect(t, "cut", entry{"status": 200.0, "target": cuts, "cut_after": 4.0, "bytes_out": 4.0, "client_left": nil})
	if l["error"] == nil {
		t.Errorf("cut: %v says no error", l)
	}

	// A client that leaves, and one whose target is silent.
	addr, began, _ := cancelled(t, false)
	p = front(t, 0, addr)
	lines = logged(t, p)
	c, _ := dial(t, p.addr)
	send(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-began
	c.Close()
	lines(1)[0].expect(t, "left", entry{"status": 0.0, "client_left": true, "target": addr, "attempts": 1.0})
	p.site(func(s *Site) { s.To[0].FirstByte = 20 * time.Millisecond })
	do(t, "GET", p.url+"/")
	lines(1)[0].expect(t, "silent", entry{"status": 504.0, "refused": "timeouts.first_byte", "target": addr})

	// Waiting for a slot.
	addr, began, _ = cancelled(t, false)
	p = front(t, 1, addr)
	if err := p.pool.Configure(pool.Options{Balance: "least_connections", Limits: admit.Limits{Queue: 0}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	lines = logged(t, p)
	c, _ = dial(t, p.addr)
	send(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-began
	do(t, "GET", p.url+"/")
	lines(1)[0].expect(t, "full", entry{"status": 503.0, "refused": "queue.limit", "pool": "api", "target": nil, "attempts": 0.0})
}

func TestWaitsAreLogged(t *testing.T) { onBoth(t, testWaitsAreLogged) }

func testWaitsAreLogged(t *testing.T) {
	release := make(chan struct{})
	p := front(t, 1, serve(t, func(w http.ResponseWriter, r *http.Request) { <-release }))
	lines := logged(t, p)
	p.site(func(s *Site) { s.To[0].Debug = true })
	answers := make(chan http.Header, 2)
	for i := range 2 {
		go func() {
			req, _ := http.NewRequest("GET", p.url, nil)
			req.Header.Set("X-Weir-Debug", "1")
			if resp, err := http.DefaultTransport.RoundTrip(req); err == nil {
				resp.Body.Close()
				answers <- resp.Header
			}
		}()
		until(t, "it is there", func() bool { s := p.pool.Stats(time.Now()); return s.InFlight+s.Waiting == i+1 })
	}
	until(t, "one waits", func() bool { return p.pool.Stats(time.Now()).Waiting == 1 })
	waited := time.Now()
	until(t, "a while has passed", func() bool { return time.Since(waited) > 20*time.Millisecond })
	release <- struct{}{}
	<-answers
	lines(1)
	release <- struct{}{}
	h := <-answers
	if d, err := time.ParseDuration(h.Get("X-Weir-Queue")); err != nil || d < 20*time.Millisecond || d > 10*time.Second {
		t.Errorf("X-Weir-Queue: %q", h.Get("X-Weir-Queue"))
	}
	if !strings.HasPrefix(h.Get("Server-Timing"), "queue;dur=") {
		t.Errorf("Server-Timing: %q", h.Get("Server-Timing"))
	}
	if l := lines(1)[0]; l.number("queue_ms") < 20 || l.number("duration_ms") < l.number("queue_ms") {
		t.Errorf("%v", l)
	}
}

func TestWhoIsToldWhy(t *testing.T) { onBoth(t, testWhoIsToldWhy) }

func testWhoIsToldWhy(t *testing.T) {
	p := front(t, 0, named(t, "one"))
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	told := []string{"X-Weir-Pool", "X-Weir-Target", "X-Weir-Why", "X-Weir-Queue", "Server-Timing"}
	for _, c := range []struct {
		name   string
		change func(*Site)
		header string
		want   bool
	}{
		{"nobody may", func(*Site) {}, "X-Weir-Debug", false},
		{"another network", func(s *Site) { s.Debug = networks("10.0.0.0/8") }, "X-Weir-Debug", false},
		{"this network", func(s *Site) { s.Debug = networks("127.0.0.0/8") }, "X-Weir-Debug", true},
		{"this network, not asked", func(s *Site) { s.Debug = networks("127.0.0.0/8") }, "X-Other", false},
		{"the route tells everyone", func(s *Site) { s.Debug, s.To[0].Debug = nil, true }, "X-Weir-Debug", true},
		{"the route, not asked", func(s *Site) {}, "X-Other", false},
	} {
		p.site(c.change)
		resp, _ := do(t, "GET", p.url+"/", c.header, "1")
		for _, h := range told {
			if got := resp.Header.Get(h); (got != "") != c.want {
				t.Errorf("%s: %s is %q", c.name, h, got)
			}
		}
	}
}

func networks(list ...string) *admit.Networks {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return admit.NewNetworks(out)
}

func TestTheLoadThatTargetsReport(t *testing.T) { onBoth(t, testTheLoadThatTargetsReport) }

func testTheLoadThatTargetsReport(t *testing.T) {
	header := make(chan [2]string, 1)
	p := front(t, 0, serve(t, func(w http.ResponseWriter, r *http.Request) {
		h := <-header
		w.Header().Set(h[0], h[1])
		if r.URL.Path == "/events" {
			w.Header().Set("Content-Type", "text/event-stream")
			time.Sleep(100 * time.Millisecond) // until comments were sent
		}
	}))
	p.leadTo(&Destination{Pool: p.pool, ORCA: "kv_cache_usage_perc"})
	tg := p.pool.Stats(time.Now()).Targets[0].Target
	for _, c := range []struct {
		path, name, value string
		want              float64
	}{
		{"/", "Endpoint-Load-Metrics", "TEXT named_metrics.kv_cache_usage_perc=0.25", 0.25},
		{"/", "Endpoint-Load-Metrics", `JSON {"named_metrics": {"kv_cache_usage_perc": 0.5}}`, 0.5},
		{"/", "X-Other", "1", 0.5},
		{"/", "Endpoint-Load-Metrics", "nonsense", 0.5},
		{"/events", "Endpoint-Load-Metrics", "TEXT named_metrics.kv_cache_usage_perc=0.75", 0.75},
	} {
		p.site(func(s *Site) { s.To[0].Heartbeat = time.Millisecond })
		header <- [2]string{c.name, c.value}
		do(t, "GET", p.url+c.path, "Accept", "text/event-stream")
		if got := tg.Report().Utilization; got != c.want {
			t.Errorf("%s: %v, want %v", c.value, got, c.want)
		}
	}
}

func TestTracesGoOn(t *testing.T) { onBoth(t, testTracesGoOn) }

func testTracesGoOn(t *testing.T) {
	got := make(chan http.Header, 1)
	p := front(t, 0, serve(t, func(w http.ResponseWriter, r *http.Request) { got <- r.Header }))
	const parent, id = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "4bf92f3577b34da6a3ce929d0e0e4736"
	do(t, "GET", p.url+"/", "Traceparent", parent, "Tracestate", "a=1")
	if h := <-got; h.Get("Traceparent") != parent || h.Get("Tracestate") != "a=1" {
		t.Errorf("without tracing: %v", h)
	}
	lines := logged(t, p)
	tracer, err := telemetry.NewTracer(telemetry.TraceOptions{Endpoint: "http://" + closed(t), Protocol: "http", Sample: 0})
	if err != nil {
		t.Fatal(err)
	}
	p.site(func(s *Site) { s.Tracer = tracer })
	valid := regexp.MustCompile(`^00-([0-9a-f]{32})-([0-9a-f]{16})-0[0-3]$`)
	for _, c := range []struct{ parent, state, wantState string }{{parent, "a=1", "a=1"}, {"00-nonsense-1-01", "a=1", ""}, {"", "", ""}} {
		do(t, "GET", p.url+"/", "Traceparent", c.parent, "Tracestate", c.state)
		h := <-got
		m := valid.FindStringSubmatch(h.Get("Traceparent"))
		if m == nil || len(h["Traceparent"]) != 1 || (m[1] == id) != (c.parent == parent) || m[2] == "00f067aa0ba902b7" || h.Get("Tracestate") != c.wantState {
			t.Errorf("%q: the target was told %v, %v", c.parent, h["Traceparent"], h["Tracestate"])
			continue
		}
		if l := lines(1)[0]; l["trace_id"] != m[1] {
			t.Errorf("logged as %v, want %s", l["trace_id"], m[1])
		}
	}
}

func TestRoutesAreCounted(t *testing.T) { onBoth(t, testRoutesAreCounted) }

func testRoutesAreCounted(t *testing.T) {
	p := front(t, 0, serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		var status int
		fmt.Sscanf(r.URL.Path, "/%d", &status)
		w.WriteHeader(status)
		if status == 200 {
			io.WriteString(w, "hello")
		}
	}))
	var meters telemetry.RouteMeters
	m := meters.Meter("main")
	p.site(func(s *Site) { s.To[0].Meter, s.MaxBody = m, 10 })
	for _, status := range []int{200, 200, 204, 302, 404, 500} {
		do(t, "GET", fmt.Sprintf("%s/%d", p.url, status))
	}
	for _, body := range []string{"12345", "too large to be let in"} {
		resp, err := http.Post(p.url+"/200", "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	until(t, "all are counted", func() bool { return m.Read().Duration.Count == 8 })
	got := m.Read()
	got.Duration = telemetry.Histogram{}
	want := telemetry.Route{Name: "main", Answers2: 4, Answers3: 1, Answers4: 2, Answers5: 1, BytesIn: 5, BytesOut: 15}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}
