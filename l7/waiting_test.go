package l7

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/pool"
)

// wish is one request of a test of the queue's order.
type wish struct {
	name   string
	header []string
	body   string
}

// served has a pool learn what requests cost, and then, with its only slot taken, queue the asks in their order. It returns the order in
// which they were served.
func served(t *testing.T, o pool.Options, d Destination, change func(*Route), lessons, asks []wish) string {
	t.Helper()
	release, order := make(chan struct{}), make(chan string, len(asks)+1)
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if ms := r.Header.Get("X-Takes"); ms != "" {
			d, _ := time.ParseDuration(ms)
			time.Sleep(d)
			return
		}
		order <- strings.TrimPrefix(r.URL.Path, "/")
		<-release
	})
	p := front(t, 1)
	d.Pool = poolOf(t, o, 1, addr)
	p.site(func(s *Site) {
		s.To[0].Pools = []*Destination{&d}
		change(s.To[0])
	})
	done := make(chan error, len(asks)+1)
	begin := func(a wish) {
		method := "GET"
		if a.body != "" {
			method = "POST"
		}
		req, err := http.NewRequest(method, p.url+"/"+a.name, strings.NewReader(a.body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(a.header); i += 2 {
			req.Header.Set(a.header[i], a.header[i+1])
		}
		go func() {
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err == nil {
				resp.Body.Close()
			}
			done <- err
		}()
	}
	for _, a := range lessons {
		begin(a)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	begin(wish{name: "holds"})
	<-order
	for i, a := range asks {
		begin(a)
		until(t, "it waits", func() bool { return d.Stats(time.Now()).Waiting == i+1 })
	}
	var got []string
	for range asks {
		release <- struct{}{}
		got = append(got, <-order)
	}
	release <- struct{}{}
	for range len(asks) + 1 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	return strings.Join(got, " ")
}

func TestTheOrderOfTheQueue(t *testing.T) { onBoth(t, testTheOrderOfTheQueue) }

func testTheOrderOfTheQueue(t *testing.T) {
	plain := pool.Options{Balance: "least_connections", Limits: admit.Limits{Queue: 100, Timeout: time.Minute}}
	shortest := plain
	shortest.Order = admit.ShortestFirst
	deadline := plain
	deadline.Order = admit.Deadline
	none := func(*Route) {}
	learn := func(one, four wish) (lessons []wish) { // what costs one takes 10 ms
		one.header = append(one.header, "X-Takes", "10ms")
		four.header = append(four.header, "X-Takes", "40ms")
		for range 4 {
			lessons = append(lessons, one, four)
		}
		return lessons
	}
	cost := func(n string) []string { return []string{"X-Cost", n} }
	for _, c := range []struct {
		name   string
		o      pool.Options
		d      Destination
		change func(*Route)
		lessons,
		asks []wish
		want string
	}{
		{"first come", plain, Destination{}, none, nil, []wish{{name: "a"}, {name: "b"}, {name: "c"}}, "a b c"},
		{"by priority, which a header may not push beyond the bounds", plain, Destination{},
			func(r *Route) { r.Priority = Priority{Header: "x-priority", Default: 1, Max: 4} }, nil,
			[]wish{
				{name: "low", header: []string{"X-Priority", "-99"}}, {name: "default"}, {name: "nonsense", header: []string{"X-Priority", "urgent"}},
				{name: "four", header: []string{"X-Priority", "4"}}, {name: "huge", header: []string{"X-Priority", "100"}}, {name: "minus4", header: []string{"X-Priority", "-4"}},
			}, "four huge default nonsense low minus4"},
		{"the nearest deadline", deadline, Destination{}, func(r *Route) { r.Deadline = Deadline{Header: "x-deadline", After: 30 * time.Second} }, nil,
			[]wish{{name: "thirty"}, {name: "twenty", header: []string{"X-Deadline", "20s"}}, {name: "ten", header: []string{"X-Deadline", "10000"}}},
			"ten twenty thirty"},
		{"the shortest, by the product of fields", shortest, Destination{Size: Size{JSON: []string{"steps", "n"}}}, none,
			learn(wish{body: `{"steps":10,"n":1}`}, wish{body: `{"steps":10,"n":4}`}),
			[]wish{{name: "long", body: `{"steps":50,"n":4}`}, {name: "middle", body: `{"n":5,"steps":20}`}, {name: "short", body: `{"steps":50}`}},
			"short middle long"},
		{"the shortest, by a header", shortest, Destination{Size: Size{Header: "x-cost"}}, none,
			learn(wish{header: cost("1")}, wish{header: cost("4")}),
			[]wish{{name: "long", header: cost("30.5")}, {name: "short", header: cost("3")}, {name: "middle", header: cost("12")}},
			"short middle long"},
		{"the shortest, by the body", shortest, Destination{Size: Size{Bytes: true}}, none,
			learn(wish{body: strings.Repeat("x", 100)}, wish{body: strings.Repeat("x", 400)}),
			[]wish{{name: "long", body: strings.Repeat("x", 5000)}, {name: "short", body: strings.Repeat("x", 200)}, {name: "middle", body: strings.Repeat("x", 1000)}},
			"short middle long"},
	} {
		if got := served(t, c.o, c.d, c.change, c.lessons, c.asks); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	// Tenants take turns: the one with a single request is second at the latest.
	team := func(name string) wish { return wish{name: name, header: []string{"X-Team", name[:1]}} }
	got := served(t, plain, Destination{}, func(r *Route) { r.Tenant = Key{From: ByHeader, Name: "x-team"} }, nil,
		[]wish{team("a1"), team("a2"), team("a3"), team("a4"), team("b1")})
	at := func(name string) int { return strings.Index(got, name) / 3 }
	if at("b1") > 1 || at("a1") > at("a2") || at("a2") > at("a3") || at("a3") > at("a4") {
		t.Errorf("tenants: %s", got)
	}
}

func TestWhoWaitsTooLong(t *testing.T) { onBoth(t, testWhoWaitsTooLong) }

func testWhoWaitsTooLong(t *testing.T) {
	addr, began, _ := cancelled(t, false)
	p := front(t, 1, addr)
	c, _ := dial(t, p.addr)
	send(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-began
	stop := ticking(t, p.pool)
	defer stop()
	for _, c := range []struct {
		name   string
		change func(*Route)
		header string
		status int
		code   string
	}{
		{"a deadline in milliseconds", func(r *Route) { r.Deadline = Deadline{Header: "x-deadline"} }, "20", 504, "deadline"},
		{"a deadline as a duration", func(r *Route) { r.Deadline = Deadline{Header: "x-deadline", After: time.Minute} }, "20ms", 504, "deadline"},
		{"the route's deadline", func(r *Route) { r.Deadline = Deadline{After: 20 * time.Millisecond} }, "1h", 504, "deadline"},
		{"the route's time in the queue", func(r *Route) { r.Queue = 20 * time.Millisecond }, "", 503, "queue.timeout"},
		{"the shorter of both", func(r *Route) { r.Deadline, r.Queue = Deadline{After: time.Minute}, 20*time.Millisecond }, "", 503, "queue.timeout"},
	} {
		p.site(func(s *Site) {
			s.To[0].Deadline, s.To[0].Queue = Deadline{}, 0
			c.change(s.To[0])
		})
		resp, body := do(t, "GET", p.url+"/", "X-Deadline", c.header)
		if resp.StatusCode != c.status || !strings.Contains(body, `"code":"`+c.code+`"`) || (c.status == 503) != (resp.Header.Get("Retry-After") != "") {
			t.Errorf("%s: %d, Retry-After %q, %s", c.name, resp.StatusCode, resp.Header.Get("Retry-After"), body)
		}
	}
	if s := p.pool.Stats(time.Now()); s.Waiting != 0 || s.InFlight != 1 {
		t.Errorf("%d wait, %d in flight; want 0 and 1", s.Waiting, s.InFlight)
	}
}

// ticking does for a pool what the control loop does, until stop is called.
func ticking(t *testing.T, p *pool.Pool) (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for tk := time.NewTicker(5 * time.Millisecond); ; {
			select {
			case now := <-tk.C:
				p.Tick(now)
			case <-end:
				tk.Stop()
				return
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}

// waitingFor asks for events and returns the answer after its first comment has come.
func waitingFor(t *testing.T, p *proxy, path string) (*http.Response, *bufio.Reader) {
	t.Helper()
	req, _ := http.NewRequest("GET", p.url+path, nil)
	req.Header.Set("Accept", "text/event-stream")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	r := bufio.NewReader(resp.Body)
	if line, err := r.ReadString('\n'); err != nil || resp.StatusCode != 200 || line != ": ping\n" {
		t.Fatalf("%d %q, %v", resp.StatusCode, line, err)
	}
	r.ReadString('\n')
	return resp, r
}

// events reads the rest of a stream, without comments.
func events(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%q, %v", b, err)
	}
	return strings.ReplaceAll(string(b), comment, "")
}

func TestHeartbeatsInTheQueue(t *testing.T) { onBoth(t, testHeartbeatsInTheQueue) }

func testHeartbeatsInTheQueue(t *testing.T) {
	release := make(chan struct{})
	var running atomic.Int32
	p := front(t, 1, raw(t, func(c net.Conn, r *bufio.Reader) {
		for {
			head, err := readHead(r)
			if err != nil {
				return
			}
			running.Add(1)
			<-release
			switch strings.Fields(head)[1] {
			case "/chunked":
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n")
			case "/sized":
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 18\r\n\r\ndata: 1\n\ndata: 2\n\n")
			case "/close":
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\ndata: 2\n\n")
				return
			case "/cut": // in the middle of an event
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 100\r\n\r\ndata: 1\n\ndat")
				return
			case "/page":
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\n<p>1")
			default:
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			}
		}
	}))
	p.site(func(s *Site) { s.To[0].Heartbeat = time.Millisecond })
	for path, want := range map[string]string{
		"/chunked": "data: 1\n\ndata: 2\n\n", "/sized": "data: 1\n\ndata: 2\n\n", "/close": "data: 1\n\ndata: 2\n\n",
		"/page": "event: error\ndata: {",
	} {
		first := make(chan struct{})
		go func() { // takes the slot
			defer close(first)
			get(t, p.url+"/holds")
		}()
		until(t, "the slot is taken", func() bool { return running.Load() == 1 })
		_, r := waitingFor(t, p, path)
		if s := p.pool.Stats(time.Now()); s.Waiting != 1 {
			t.Errorf("%s: %d wait, want 1", path, s.Waiting)
		}
		release <- struct{}{}
		<-first
		release <- struct{}{}
		if got := events(t, r); !strings.HasPrefix(got, want) || len(got) > len(want) && path != "/page" {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
		until(t, "the slot is free", func() bool { return p.pool.Stats(time.Now()).InFlight == 0 })
		running.Store(0)
	}
	_, r := waitingFor(t, p, "/cut")
	release <- struct{}{}
	b, err := io.ReadAll(r)
	if got := strings.ReplaceAll(string(b), comment, ""); err == nil || got != "data: 1\n\ndat"+cutEvent {
		t.Errorf("cut: %q, %v", got, err)
	}
}

// A client that waits too long for a slot, with comments, is told so by an event; one that got none gets the status that counts.
func TestHeartbeatsOfWhoIsRefused(t *testing.T) { onBoth(t, testHeartbeatsOfWhoIsRefused) }

func testHeartbeatsOfWhoIsRefused(t *testing.T) {
	addr, began, _ := cancelled(t, false)
	p := front(t, 1, addr)
	p.site(func(s *Site) {
		s.To[0].Heartbeat, s.To[0].Deadline = time.Millisecond, Deadline{After: 500 * time.Millisecond}
	})
	defer ticking(t, p.pool)()
	c, _ := dial(t, p.addr)
	send(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-began
	_, r := waitingFor(t, p, "/")
	if got := events(t, r); !strings.HasPrefix(got, "event: error\ndata: {") || !strings.Contains(got, `"code":"deadline"`) || !strings.HasSuffix(got, "}\n\n") {
		t.Errorf("%q", got)
	}
	if resp, _ := do(t, "GET", p.url+"/"); resp.StatusCode != 504 {
		t.Errorf("who wants no events: %d", resp.StatusCode)
	}
}

// The comments do not begin the target's answer: another target may still give it.
func TestATargetThatDiesWhileItsClientIsKeptWaiting(t *testing.T) {
	onBoth(t, testATargetThatDiesWhileItsClientIsKeptWaiting)
}

func testATargetThatDiesWhileItsClientIsKeptWaiting(t *testing.T) {
	die := make(chan struct{})
	var first atomic.Bool
	handle := func(c net.Conn, r *bufio.Reader) {
		readHead(r)
		if !first.Swap(true) {
			<-die
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9\r\n\r\ndata: 1\n\n")
	}
	p := front(t, 1, raw(t, handle), raw(t, handle))
	p.site(func(s *Site) { s.To[0].Heartbeat = time.Millisecond })
	_, r := waitingFor(t, p, "/")
	close(die)
	if got := events(t, r); got != "data: 1\n\n" {
		t.Errorf("%q", got)
	}
}

func TestHedgesHaveBounds(t *testing.T) { onBoth(t, testHedgesHaveBounds) }

func testHedgesHaveBounds(t *testing.T) {
	var asked atomic.Int32
	both := make(chan struct{})
	breaks := func(c net.Conn, r *bufio.Reader) {
		readHead(r)
		if asked.Add(1) == 2 {
			close(both)
		}
		<-both
	}
	p := front(t, 1, raw(t, breaks), raw(t, breaks))
	p.site(func(s *Site) { s.To[0].Hedge = 5 * time.Millisecond })
	if resp, body := do(t, "GET", p.url+"/"); resp.StatusCode != 502 || !strings.Contains(body, "target_failed") {
		t.Errorf("both break: %d %s", resp.StatusCode, body)
	}
	s := p.pool.Stats(time.Now())
	if n := asked.Load(); n != 2 || s.InFlight != 0 || s.Requests != 1 || s.Broken != 1 || s.Hedges != 1 {
		t.Errorf("both break: %d asked, %d in flight, %d requests, %d broken, %d hedges; want 2, 0, 1, 1, 1", n, s.InFlight, s.Requests, s.Broken, s.Hedges)
	}
	for _, s := range s.Targets {
		if n := s.Target.Failures(); n != 1 {
			t.Errorf("both break: %d failures of one, want 1", n)
		}
	}

	// One breaks, the other answers.
	asked.Store(0)
	oneBreaks := func(c net.Conn, r *bufio.Reader) {
		readHead(r)
		if asked.Add(1) == 2 {
			return
		}
		for asked.Load() < 2 {
			time.Sleep(time.Millisecond)
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none")
	}
	p = front(t, 1, raw(t, oneBreaks), raw(t, oneBreaks))
	p.site(func(s *Site) { s.To[0].Hedge = 5 * time.Millisecond })
	if resp, body := do(t, "GET", p.url+"/"); resp.StatusCode != 200 || body != "one" {
		t.Errorf("the second breaks: %d %s", resp.StatusCode, body)
	}

	// No slot to spare: the request waits for its own.
	release := make(chan struct{})
	asked.Store(0)
	p = front(t, 1, serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		<-release
		fmt.Fprint(w, "late")
	}))
	p.site(func(s *Site) { s.To[0].Hedge = time.Millisecond })
	got := make(chan string, 1)
	go func() {
		_, body := get(t, p.url)
		got <- body
	}()
	until(t, "it was asked", func() bool { return asked.Load() == 1 })
	release <- struct{}{}
	if body := <-got; body != "late" || asked.Load() != 1 {
		t.Errorf("%q after %d", body, asked.Load())
	}
	// What may not be repeated is not asked twice.
	p = front(t, 1, named(t, "one"), named(t, "two"))
	p.site(func(s *Site) { s.To[0].Hedge = time.Nanosecond })
	for range 10 {
		if resp, _ := do(t, "POST", p.url+"/"); resp.StatusCode != 200 {
			t.Errorf("POST: %d", resp.StatusCode)
		}
	}
	if s := p.pool.Stats(time.Now()); s.Hedges != 0 {
		t.Errorf("%d hedges of POST", s.Hedges)
	}
}

func TestMirrorsNeverHoldUp(t *testing.T) { onBoth(t, testMirrorsNeverHoldUp) }

func testMirrorsNeverHoldUp(t *testing.T) {
	copies := make(chan *http.Request, 600)
	bodies := make(chan string, 600)
	hang := make(chan struct{})
	shadow := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		bodies <- string(b)
		copies <- r
		<-hang
	})
	p := front(t, 0, named(t, "one"))
	m := &Mirror{To: &Destination{Pool: poolOf(t, pool.Options{}, 0, shadow)}, Percent: 100, MaxBody: 64 << 10}
	p.site(func(s *Site) { s.To[0].Mirror = m })
	body := strings.Repeat("0123456789abcdef", 2000) // more than comes with the head
	for _, chunked := range []bool{false, true} {
		var rd io.Reader = strings.NewReader(body)
		if chunked {
			rd = struct{ io.Reader }{rd}
		}
		resp, err := http.Post(p.url+"/m?n=1", "text/plain", rd)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		select {
		case got := <-bodies:
			if r := <-copies; got != body || r.Method != "POST" || r.RequestURI != "/m?n=1" || r.Header.Get("Content-Type") != "text/plain" || r.Header.Get("X-Forwarded-For") != "127.0.0.1" {
				t.Errorf("chunked %v: the copy is %s %s with %d bytes, %v", chunked, r.Method, r.RequestURI, len(got), r.Header)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("chunked %v: no copy", chunked)
		}
	}
	// Beyond so many at a time there are no copies.
	for range maxMirrored + 20 {
		if resp, b := do(t, "GET", p.url+"/"); resp.StatusCode != 200 || b != "one" {
			t.Fatalf("%d %s", resp.StatusCode, b)
		}
	}
	if _, left := p.e.Mirrored(); left != 22 {
		t.Errorf("%d copies were left out, want 22", left)
	}
	close(hang)
	until(t, "the copies have ended", func() bool { return p.e.mirrors.running.Load() == 0 })
	if sent, _ := p.e.Mirrored(); sent != maxMirrored {
		t.Errorf("%d copies, want %d", sent, maxMirrored)
	}

	// A mirror that refuses, or is not there, changes nothing.
	for name, addr := range map[string]string{"closed": closed(t), "broken": breaking(t, new(atomic.Int32))} {
		p.site(func(s *Site) {
			s.To[0].Mirror = &Mirror{To: &Destination{Pool: poolOf(t, pool.Options{}, 0, addr)}, Percent: 100}
		})
		for range 5 {
			if resp, b := do(t, "GET", p.url+"/"); resp.StatusCode != 200 || b != "one" {
				t.Errorf("%s: %d %s", name, resp.StatusCode, b)
			}
		}
		until(t, "the copies have ended", func() bool { return p.e.mirrors.running.Load() == 0 })
	}

	before, _ := p.e.Mirrored()
	p.site(func(s *Site) { n := *m; n.Percent = 30; s.To[0].Mirror = &n })
	for range 200 {
		do(t, "GET", p.url+"/")
	}
	until(t, "the copies have ended", func() bool { return p.e.mirrors.running.Load() == 0 })
	if after, _ := p.e.Mirrored(); after-before < 30 || after-before > 90 { // 60 expected; beyond 4.6 standard deviations
		t.Errorf("%d of 200 were copied, want 60 or so", after-before)
	}
}
