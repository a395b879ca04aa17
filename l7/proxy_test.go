package l7

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/route"
	"github.com/weirlb/weir/target"
)

// onBoth runs a test on both ways to drive an exchange.
func onBoth(t *testing.T, test func(*testing.T)) {
	t.Run("goroutine", test)
	t.Run("loop", test)
}

// proxy is an engine on loopback in front of one pool.
type proxy struct {
	e    *Engine
	l    *Listener
	pool *pool.Pool
	addr string
	url  string
}

// front starts a proxy in front of targets at addrs with so many slots each.
func front(t testing.TB, slots int, addrs ...string) *proxy {
	t.Helper()
	now := time.Now()
	p, err := pool.New("api", pool.Options{Balance: "least_connections", Limits: admit.Limits{Queue: 1000, Timeout: time.Minute}}, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		tg := target.New(a, a, 1, slots)
		Link(tg, 100, time.Minute)
		p.Add(tg, health.Status{State: target.Healthy}, now)
	}
	routes, err := route.New([]route.Route{{Pool: "api"}})
	if err != nil {
		t.Fatal(err)
	}
	site := &Site{
		Routes: routes, HeadTimeout: 10 * time.Second, KeepAlive: time.Minute,
		To: []*Route{{Pools: []*Destination{{Pool: p}}, Connect: time.Second, FirstByte: 10 * time.Second, Idle: 10 * time.Second}},
	}
	loops := 0
	if strings.Contains(t.Name(), "/loop") || os.Getenv("WEIR_LOOPS") != "" {
		loops = 2
	}
	e, err := NewEngine(loops)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := e.Serve(ln, site, ServeOptions{H2C: true})
	t.Cleanup(func() {
		e.Close()
		for _, s := range p.Stats(time.Now()).Targets {
			Unlink(s.Target)
		}
	})
	return &proxy{e: e, l: l, pool: p, addr: ln.Addr().String(), url: "http://" + ln.Addr().String()}
}

// site changes what the listener serves.
func (p *proxy) site(change func(*Site)) {
	s := *p.l.site.Load()
	r := *s.To[0]
	s.To = []*Route{&r}
	change(&s)
	p.l.SetSite(&s)
}

// serve starts a target.
func serve(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s.Listener.Addr().String()
}

// raw starts a target that speaks bytes: handle is called for each connection.
func raw(t testing.TB, handle func(net.Conn, *bufio.Reader)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(20 * time.Second))
				handle(c, bufio.NewReader(c))
			}()
		}
	}()
	return ln.Addr().String()
}

// readHead reads one request's head.
func readHead(r *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return b.String(), err
		}
		b.WriteString(line)
		if line == "\r\n" {
			return b.String(), nil
		}
	}
}

func dial(t testing.TB, addr string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c, bufio.NewReader(c)
}

func send(t testing.TB, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

// until polls for a condition that other goroutines bring about.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("did not happen: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func get(t testing.TB, url string) (int, string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

func TestForwardsWhatATargetNeedsToKnow(t *testing.T) { onBoth(t, testForwardsWhatATargetNeedsToKnow) }

func testForwardsWhatATargetNeedsToKnow(t *testing.T) {
	var got *http.Request
	p := front(t, 0, serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Clone(context.Background())
		w.Header().Set("X-Model", "m1")
		w.Header().Set("Connection", "X-Private")
		w.Header().Set("X-Private", "secret")
		io.WriteString(w, "hello")
	}))
	req, _ := http.NewRequest("GET", p.url+"/a/b?c=d", nil)
	req.Host = "api.example.com"
	req.Header.Set("X-Forwarded-For", "192.0.2.1")
	req.Header.Set("X-Forwarded-Proto", "https") // not to be believed
	req.Header.Set("Keep-Alive", "300")
	req.Header.Set("Te", "trailers")
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(r.Body)
	r.Body.Close()
	if string(b) != "hello" || r.StatusCode != 200 || r.Header.Get("X-Model") != "m1" {
		t.Errorf("answer %d %q %v", r.StatusCode, b, r.Header)
	}
	if r.Header.Get("X-Private") != "" {
		t.Error("a header that Connection names came through")
	}
	if got.Host != "api.example.com" || got.RequestURI != "/a/b?c=d" {
		t.Errorf("target saw %s %s", got.Host, got.RequestURI)
	}
	for k, want := range map[string]string{
		"X-Forwarded-For": "192.0.2.1, 127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "api.example.com",
		"Keep-Alive": "", "Te": "", "Via": "", "Forwarded": "",
	} {
		if v := got.Header.Get(k); v != want {
			t.Errorf("%s: %q, want %q", k, v, want)
		}
	}
}

func TestWritesForwardedAndViaWhenAsked(t *testing.T) { onBoth(t, testWritesForwardedAndViaWhenAsked) }

func testWritesForwardedAndViaWhenAsked(t *testing.T) {
	got := make(chan http.Header, 1)
	p := front(t, 0, serve(t, func(_ http.ResponseWriter, r *http.Request) { got <- r.Header.Clone() }))
	p.site(func(s *Site) { s.Forwarded, s.Via = true, true })
	r, err := http.Get(p.url)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	h := <-got
	if f := h.Get("Forwarded"); f != `for=127.0.0.1;host="`+p.addr+`";proto=http` {
		t.Errorf("Forwarded: %s", f)
	}
	if h.Get("Via") != "1.1 weir" || r.Header.Get("Via") != "1.1 weir" {
		t.Errorf("Via: %q to the target, %q to the client", h.Get("Via"), r.Header.Get("Via"))
	}
}

func TestBodiesOfEverySizeAndFraming(t *testing.T) { onBoth(t, testBodiesOfEverySizeAndFraming) }

func testBodiesOfEverySizeAndFraming(t *testing.T) {
	p := front(t, 0, serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		if r.URL.Path == "/flush" {
			w.(http.Flusher).Flush() // makes the answer chunked, and begin before the request has ended
		}
		io.Copy(w, r.Body)
	}))
	for _, size := range []int{0, 1, 100, 8000, 8192, 9000, 100_000, 3_000_000} {
		body := make([]byte, size)
		rand.Read(body)
		for _, chunked := range []bool{false, true} {
			for _, path := range []string{"/", "/flush"} {
				var rd io.Reader = bytes.NewReader(body)
				if chunked {
					rd = struct{ io.Reader }{rd} // hides the length
				}
				r, err := http.Post(p.url+path, "application/octet-stream", rd)
				if err != nil {
					t.Fatalf("size %d chunked %v: %v", size, chunked, err)
				}
				got, err := io.ReadAll(r.Body)
				r.Body.Close()
				if err != nil || !bytes.Equal(got, body) {
					t.Fatalf("size %d chunked %v %s: %d bytes back, %v", size, chunked, path, len(got), err)
				}
			}
		}
	}
}

func TestKeepAliveAndPipelining(t *testing.T) { onBoth(t, testKeepAliveAndPipelining) }

func testKeepAliveAndPipelining(t *testing.T) {
	var conns atomic.Int32
	addr := raw(t, func(c net.Conn, r *bufio.Reader) {
		conns.Add(1)
		for {
			h, err := readHead(r)
			if err != nil {
				return
			}
			path := strings.Fields(h)[1]
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(path), path)
		}
	})
	p := front(t, 0, addr)
	c, r := dial(t, p.addr)
	var all strings.Builder
	for i := range 50 {
		fmt.Fprintf(&all, "GET /%02d HTTP/1.1\r\nHost: x\r\n\r\n", i)
	}
	send(t, c, all.String())
	for i := range 50 {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		if want := fmt.Sprintf("/%02d", i); string(b) != want {
			t.Fatalf("answer %d is %q, want %q", i, b, want)
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections to the target, want 1", n)
	}
}

func TestHeadAndBodylessAnswersKeepTheConnection(t *testing.T) {
	onBoth(t, testHeadAndBodylessAnswersKeepTheConnection)
}

func testHeadAndBodylessAnswersKeepTheConnection(t *testing.T) {
	p := front(t, 0, serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(204)
		case "/304":
			w.WriteHeader(304)
		default:
			w.Header().Set("Content-Length", "5")
			io.WriteString(w, "hello")
		}
	}))
	c, r := dial(t, p.addr)
	for _, rq := range []struct {
		method, path string
		status       int
	}{{"HEAD", "/", 200}, {"GET", "/204", 204}, {"GET", "/304", 304}, {"GET", "/", 200}} {
		send(t, c, rq.method+" "+rq.path+" HTTP/1.1\r\nHost: x\r\n\r\n")
		req, _ := http.NewRequest(rq.method, "/", nil)
		resp, err := http.ReadResponse(r, req)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != rq.status {
			t.Fatalf("%s %s: %d", rq.method, rq.path, resp.StatusCode)
		}
	}
}

func TestEventsArriveAsTheyAreSent(t *testing.T) { onBoth(t, testEventsArriveAsTheyAreSent) }

func testEventsArriveAsTheyAreSent(t *testing.T) {
	step := make(chan struct{})
	p := front(t, 0, serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 5 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			<-step // the next event is sent only once the client has this one
		}
	}))
	r, err := http.Get(p.url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	br := bufio.NewReader(r.Body)
	for i := range 5 {
		line, err := br.ReadString('\n')
		if err != nil || line != fmt.Sprintf("data: %d\n", i) {
			t.Fatalf("event %d: %q %v", i, line, err)
		}
		br.ReadString('\n')
		step <- struct{}{}
	}
}

func TestExpectContinue(t *testing.T) { onBoth(t, testExpectContinue) }

func testExpectContinue(t *testing.T) {
	p := front(t, 0, serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			w.WriteHeader(413)
			return
		}
		b, _ := io.ReadAll(r.Body) // net/http sends 100 Continue here
		w.Write(b)
	}))
	c, r := dial(t, p.addr)
	send(t, c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	line, err := r.ReadString('\n')
	if err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q %v", line, err)
	}
	r.ReadString('\n')
	send(t, c, "hello")
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(resp.Body); string(b) != "hello" {
		t.Fatalf("%q", b)
	}
	// A refusal comes without the body being asked for, and ends the connection.
	send(t, c, "POST /no HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	resp, err = http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 413 || !resp.Close {
		t.Fatalf("%v %+v", err, resp)
	}
}

func TestInterimAndFinalAnswerInOneSegment(t *testing.T) {
	onBoth(t, testInterimAndFinalAnswerInOneSegment)
}

func testInterimAndFinalAnswerInOneSegment(t *testing.T) {
	p := front(t, 0, raw(t, func(c net.Conn, r *bufio.Reader) {
		readHead(r)
		io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	}))
	c, r := dial(t, p.addr)
	send(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	h, err := readHead(r)
	if err != nil || !strings.HasPrefix(h, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n") {
		t.Fatalf("%q %v", h, err)
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(resp.Body); string(b) != "ok" {
		t.Fatalf("%q", b)
	}
}

func TestAnswerThatEndsWithItsConnection(t *testing.T) {
	onBoth(t, testAnswerThatEndsWithItsConnection)
}

func testAnswerThatEndsWithItsConnection(t *testing.T) {
	p := front(t, 0, raw(t, func(c net.Conn, r *bufio.Reader) {
		readHead(r)
		io.WriteString(c, "HTTP/1.0 200 OK\r\n\r\nno length at all")
	}))
	r, err := http.Get(p.url)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r.Body)
	r.Body.Close()
	if err != nil || string(b) != "no length at all" || !r.Close {
		t.Fatalf("%q %v close=%v", b, err, r.Close)
	}
}

func TestHTTP10Client(t *testing.T) { onBoth(t, testHTTP10Client) }

func testHTTP10Client(t *testing.T) {
	p := front(t, 0, serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "a")
		w.(http.Flusher).Flush()
		io.WriteString(w, "b")
	}))
	c, r := dial(t, p.addr)
	send(t, c, "GET / HTTP/1.0\r\nHost: x\r\n\r\n")
	b, err := io.ReadAll(r)
	if err != nil || !bytes.HasSuffix(b, []byte("\r\n\r\nab")) || bytes.Contains(b, []byte("chunked")) {
		t.Fatalf("%q %v", b, err)
	}
}

func TestTrailersComeThrough(t *testing.T) { onBoth(t, testTrailersComeThrough) }

func testTrailersComeThrough(t *testing.T) {
	p := front(t, 0, serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "body "+r.Trailer.Get("X-In"))
		w.(http.Flusher).Flush()
		w.Header().Set("X-Sum", "42")
	}))
	req, _ := http.NewRequest("POST", p.url, struct{ io.Reader }{strings.NewReader("x")})
	req.Trailer = http.Header{"X-In": {"in"}}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(r.Body)
	r.Body.Close()
	if string(b) != "body in" || r.Trailer.Get("X-Sum") != "42" {
		t.Fatalf("%q %v", b, r.Trailer)
	}
}

func TestUpgradeBecomesATunnel(t *testing.T) { onBoth(t, testUpgradeBecomesATunnel) }

func testUpgradeBecomesATunnel(t *testing.T) {
	p := front(t, 0, raw(t, func(c net.Conn, r *bufio.Reader) {
		h, _ := readHead(r)
		if !strings.Contains(h, "Connection: upgrade\r\nUpgrade: websocket\r\n") {
			io.WriteString(c, "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n")
			return
		}
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello")
		io.Copy(c, r)
	}))
	c, r := dial(t, p.addr)
	send(t, c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\nearly")
	h, err := readHead(r)
	if err != nil || !strings.HasPrefix(h, "HTTP/1.1 101 ") || !strings.Contains(h, "Upgrade: websocket\r\n") {
		t.Fatalf("%q %v", h, err)
	}
	b := make([]byte, 10)
	if _, err := io.ReadFull(r, b); err != nil || string(b) != "helloearly" {
		t.Fatalf("%q %v", b, err)
	}
	send(t, c, "ping")
	if _, err := io.ReadFull(r, b[:4]); err != nil || string(b[:4]) != "ping" {
		t.Fatalf("%q %v", b, err)
	}
	c.(*net.TCPConn).CloseWrite()
	if _, err := r.ReadByte(); err != io.EOF {
		t.Fatalf("the tunnel did not end: %v", err)
	}
	until(t, "the slot is free", func() bool { return p.pool.Stats(time.Now()).InFlight == 0 })
}

func TestUnaskedUpgradeIsRefused(t *testing.T) { onBoth(t, testUnaskedUpgradeIsRefused) }

func testUnaskedUpgradeIsRefused(t *testing.T) {
	p := front(t, 0, raw(t, func(c net.Conn, r *bufio.Reader) {
		readHead(r)
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
	}))
	if s, _ := get(t, p.url); s != 502 {
		t.Fatalf("status %d", s)
	}
}

func TestMalformedRequestsAreAnsweredAndClosed(t *testing.T) {
	onBoth(t, testMalformedRequestsAreAnsweredAndClosed)
}

func testMalformedRequestsAreAnsweredAndClosed(t *testing.T) {
	p := front(t, 0, serve(t, func(w http.ResponseWriter, r *http.Request) { t.Error("a malformed request was forwarded") }))
	for _, c := range []struct {
		in     string
		status int
	}{
		{"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400},
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
		{"GET / HTTP/1.1\nHost: a\n\n\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\n\r\n", 400},
		{"\x16\x03\x01\x02\x00", 400},
		{"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
		{"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 501},
		{"GET /" + strings.Repeat("x", 9000) + " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
		{"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 40000) + "\r\n\r\n", 431},
		{"GET / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\n\r\n", 417},
	} {
		conn, r := dial(t, p.addr)
		send(t, conn, c.in)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Errorf("%.60q: %v", c.in, err)
			continue
		}
		b, err := io.ReadAll(resp.Body)
		if resp.StatusCode != c.status || !resp.Close || err != nil || !bytes.Contains(b, []byte(`"message"`)) {
			t.Errorf("%.60q: %d close=%v %s %v, want %d", c.in, resp.StatusCode, resp.Close, b, err, c.status)
		}
		if _, err := r.ReadByte(); err != io.EOF {
			t.Errorf("%.60q: the connection is still open", c.in)
		}
	}
}

func TestBadChunkAfterTheHeadIsNotForwarded(t *testing.T) {
	onBoth(t, testBadChunkAfterTheHeadIsNotForwarded)
}

func testBadChunkAfterTheHeadIsNotForwarded(t *testing.T) {
	var got bytes.Buffer
	done := make(chan struct{})
	p := front(t, 0, raw(t, func(c net.Conn, r *bufio.Reader) {
		io.Copy(&got, r)
		close(done)
	}))
	c, r := dial(t, p.addr)
	send(t, c, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
	until(t, "the first chunk is on its way", func() bool { return p.pool.Stats(time.Now()).InFlight == 1 })
	send(t, c, "zz\r\nGET /smuggled HTTP/1.1\r\n")
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 400 {
		t.Fatalf("%v %+v", err, resp)
	}
	<-done
	if strings.Contains(got.String(), "zz") || strings.Contains(got.String(), "smuggled") {
		t.Fatalf("forwarded: %q", got.String())
	}
}

func TestStaleConnectionIsTriedAgain(t *testing.T) { onBoth(t, testStaleConnectionIsTriedAgain) }

func testStaleConnectionIsTriedAgain(t *testing.T) {
	var n atomic.Int32
	p := front(t, 0, raw(t, func(c net.Conn, r *bufio.Reader) {
		readHead(r)
		n.Add(1)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		// closes although it did not say so
	}))
	for range 20 {
		if s, b := get(t, p.url); s != 200 || b != "ok" {
			t.Fatalf("%d %q", s, b)
		}
	}
	if n.Load() != 20 {
		t.Errorf("the target answered %d times, want 20", n.Load())
	}
}

func TestARefusingTargetIsNotTheLastWord(t *testing.T) {
	onBoth(t, testARefusingTargetIsNotTheLastWord)
}

func testARefusingTargetIsNotTheLastWord(t *testing.T) {
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	breaks := raw(t, func(c net.Conn, r *bufio.Reader) { readHead(r) }) // closes without an answer
	ok := serve(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	p := front(t, 0, dead.Addr().String(), breaks, ok)
	for i := range 20 {
		if s, _ := get(t, p.url); s != 200 {
			t.Fatalf("GET %d: %d", i, s)
		}
	}
	// A POST may go to another target only when none of its bytes were sent.
	p = front(t, 0, dead.Addr().String(), ok)
	for i := range 10 {
		r, err := http.Post(p.url, "text/plain", strings.NewReader("x"))
		if err != nil || r.StatusCode != 200 {
			t.Fatalf("POST %d: %v %v", i, r, err)
		}
		r.Body.Close()
	}
	p = front(t, 0, breaks)
	r, err := http.Post(p.url, "text/plain", strings.NewReader("x"))
	if err != nil || r.StatusCode != 502 {
		t.Fatalf("POST to a target that breaks: %v %v", r, err)
	}
	r.Body.Close()
}

func TestTargetThatSpeaksNonsense(t *testing.T) { onBoth(t, testTargetThatSpeaksNonsense) }

func testTargetThatSpeaksNonsense(t *testing.T) {
	for _, answer := range []string{
		"SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
		"HTTP/1.1 200 OK\r\nA: b\n\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		p := front(t, 0, raw(t, func(c net.Conn, r *bufio.Reader) {
			readHead(r)
			io.WriteString(c, answer)
		}))
		if s, b := get(t, p.url); s != 502 || !strings.Contains(b, "target_failed") {
			t.Errorf("%q: %d %s", answer, s, b)
		}
	}
}

func TestConnectionOutlivesAFailedUpload(t *testing.T) {
	onBoth(t, testConnectionOutlivesAFailedUpload)
}

// A target takes a whole body that came in pieces and breaks off: the client is told so, and may go on with its connection.
func testConnectionOutlivesAFailedUpload(t *testing.T) {
	p := front(t, 0, raw(t, func(c net.Conn, r *bufio.Reader) {
		if req, err := http.ReadRequest(r); err == nil {
			io.Copy(io.Discard, req.Body)
		}
	}))
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	in := bufio.NewReader(c)
	for i := range 3 {
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", 200<<10, strings.Repeat("x", 200<<10))
		r, err := http.ReadResponse(in, nil)
		if err != nil || r.StatusCode != 502 || r.Close {
			t.Fatalf("request %d: %+v %v", i, r, err)
		}
		io.Copy(io.Discard, r.Body)
	}
}

func TestNonsenseIsNotTheLastWord(t *testing.T) { onBoth(t, testNonsenseIsNotTheLastWord) }

// The client has seen nothing of an answer that breaks within its head, so another target may answer.
func testNonsenseIsNotTheLastWord(t *testing.T) {
	for _, answer := range []string{"SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n"} {
		odd := raw(t, func(c net.Conn, r *bufio.Reader) {
			readHead(r)
			io.WriteString(c, answer)
		})
		p := front(t, 0, odd, serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Header.Get("X-Word")) }))
		for range 4 {
			req, _ := http.NewRequest("GET", p.url, nil)
			req.Header.Set("X-Word", "whole")
			r, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatalf("%q: %v", answer, err)
			}
			b, _ := io.ReadAll(r.Body)
			r.Body.Close()
			if r.StatusCode != 200 || string(b) != "whole" {
				t.Errorf("%q: %d %s", answer, r.StatusCode, b)
			}
		}
	}
}

func TestCutAnswerLooksCut(t *testing.T) { onBoth(t, testCutAnswerLooksCut) }

func testCutAnswerLooksCut(t *testing.T) {
	for _, head := range []string{"Content-Length: 100\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"} {
		p := front(t, 0, raw(t, func(c net.Conn, r *bufio.Reader) {
			readHead(r)
			io.WriteString(c, "HTTP/1.1 200 OK\r\n"+head)
		}))
		r, err := http.Get(p.url)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(r.Body); err == nil {
			t.Errorf("a cut answer was read as whole: %q", b)
		}
		r.Body.Close()
		until(t, "the failure is counted", func() bool { return p.pool.Stats(time.Now()).Targets[0].Target.Failures() == 1 })
	}
}

// cancelled is a target that tells when its client leaves.
func cancelled(t *testing.T, head bool) (addr string, began, left chan time.Time) {
	began, left = make(chan time.Time, 10), make(chan time.Time, 10)
	addr = serve(t, func(w http.ResponseWriter, r *http.Request) {
		if head {
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, "data: 1\n\n")
			w.(http.Flusher).Flush()
		}
		began <- time.Now()
		<-r.Context().Done()
		left <- time.Now()
	})
	return addr, began, left
}

// TestAClientThatLeavesFreesItsSlotAtOnce leaves before the head of the answer and in the middle of a stream, at once and after
// a while. The target must see it within 100 ms; a busy machine may spoil one try, not five.
func TestAClientThatLeavesFreesItsSlotAtOnce(t *testing.T) {
	onBoth(t, testAClientThatLeavesFreesItsSlotAtOnce)
}

func testAClientThatLeavesFreesItsSlotAtOnce(t *testing.T) {
	for _, streaming := range []bool{false, true} {
		for _, settled := range []bool{false, true} { // leaving at once, or after the watcher has seen the exchange
			best := time.Hour
			for range 5 {
				if best = min(best, leave(t, streaming, settled)); best < 100*time.Millisecond {
					break
				}
			}
			if best >= 100*time.Millisecond {
				t.Errorf("streaming=%v settled=%v: the target saw it after %v", streaming, settled, best)
			}
		}
	}
}

// leave has a client leave and returns after how long its target saw that.
func leave(t *testing.T, streaming, settled bool) time.Duration {
	t.Helper()
	addr, began, left := cancelled(t, streaming)
	p := front(t, 1, addr)
	c, _ := dial(t, p.addr)
	send(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-began
	if settled && len(p.e.loops) == 0 {
		until(t, "the exchange is watched", func() bool {
			p.e.mu.Lock()
			defer p.e.mu.Unlock()
			for c := range p.e.conns {
				return c.(*conn).watched.Load() != 0
			}
			return false
		})
	}
	at := time.Now()
	c.Close()
	var seen time.Duration
	select {
	case when := <-left:
		seen = when.Sub(at)
	case <-time.After(10 * time.Second):
		t.Fatal("the target never saw the client leave")
	}
	until(t, "the slot is free", func() bool { return p.pool.Stats(time.Now()).InFlight == 0 })
	if s := p.pool.Stats(time.Now()); s.Cancelled != 1 || s.Targets[0].Target.Failures() != 0 {
		t.Errorf("%d cancelled, %d failures; want 1 and 0", s.Cancelled, s.Targets[0].Target.Failures())
	}
	return seen
}

func TestAClientThatLeavesTheQueueIsForgotten(t *testing.T) {
	onBoth(t, testAClientThatLeavesTheQueueIsForgotten)
}

func testAClientThatLeavesTheQueueIsForgotten(t *testing.T) {
	addr, began, _ := cancelled(t, false)
	p := front(t, 1, addr)
	first, _ := dial(t, p.addr)
	send(t, first, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-began
	second, _ := dial(t, p.addr)
	send(t, second, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	until(t, "the second waits", func() bool { return p.pool.Stats(time.Now()).Waiting == 1 })
	second.Close()
	until(t, "the queue is empty", func() bool { return p.pool.Stats(time.Now()).Waiting == 0 })
	if s := p.pool.Stats(time.Now()); s.Cancelled != 1 || s.InFlight != 1 {
		t.Errorf("%+v", s)
	}
}

func TestRequestsWaitForASlotInOrder(t *testing.T) { onBoth(t, testRequestsWaitForASlotInOrder) }

func testRequestsWaitForASlotInOrder(t *testing.T) {
	release := make(chan struct{})
	var running, most atomic.Int32
	p := front(t, 2, serve(t, func(w http.ResponseWriter, r *http.Request) {
		n := running.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-release
		running.Add(-1)
	}))
	done := make(chan error, 10)
	for range 10 {
		go func() {
			r, err := http.Get(p.url)
			if err == nil {
				r.Body.Close()
			}
			done <- err
		}()
	}
	until(t, "eight wait", func() bool { s := p.pool.Stats(time.Now()); return s.Waiting == 8 && running.Load() == 2 })
	for range 10 {
		release <- struct{}{}
	}
	for range 10 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if most.Load() != 2 {
		t.Errorf("%d ran at once, want 2", most.Load())
	}
}

func TestAFullQueueAnswersWhichLimitAndWhenToComeBack(t *testing.T) {
	onBoth(t, testAFullQueueAnswersWhichLimitAndWhenToComeBack)
}

func testAFullQueueAnswersWhichLimitAndWhenToComeBack(t *testing.T) {
	addr, began, _ := cancelled(t, false)
	p := front(t, 1, addr)
	if err := p.pool.Configure(pool.Options{Balance: "least_connections", Limits: admit.Limits{Queue: 0}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	c, _ := dial(t, p.addr)
	send(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-began
	r, err := http.Get(p.url)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(r.Body)
	r.Body.Close()
	if r.StatusCode != 503 || r.Header.Get("Retry-After") == "" || !bytes.Contains(b, []byte(`"code":"queue.limit"`)) {
		t.Errorf("%d %v %s", r.StatusCode, r.Header, b)
	}
}

func TestTimeouts(t *testing.T) { onBoth(t, testTimeouts) }

func testTimeouts(t *testing.T) {
	block := make(chan struct{})
	defer close(block)
	p := front(t, 0, serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stream" {
			io.WriteString(w, "x")
			w.(http.Flusher).Flush()
		}
		select {
		case <-block:
		case <-r.Context().Done():
		}
	}))
	p.site(func(s *Site) {
		s.HeadTimeout, s.KeepAlive = 100*time.Millisecond, 100*time.Millisecond
		s.To[0].FirstByte, s.To[0].Idle = 100*time.Millisecond, 100*time.Millisecond
	})
	if s, b := get(t, p.url); s != 504 || !strings.Contains(b, "timeouts.first_byte") {
		t.Errorf("no first byte: %d %s", s, b)
	}
	r, err := http.Get(p.url + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r.Body); err == nil {
		t.Error("an idle stream was not cut")
	}
	r.Body.Close()
	c, br := dial(t, p.addr)
	send(t, c, "GET / HTTP/1.1\r\nHo")
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != 408 {
		t.Errorf("slow head: %v %v", resp, err)
	}
	_, br = dial(t, p.addr)
	if _, err := br.ReadByte(); err != io.EOF {
		t.Errorf("an idle connection was not closed: %v", err)
	}
}

func TestShutdownLetsStreamsFinish(t *testing.T) { onBoth(t, testShutdownLetsStreamsFinish) }

func testShutdownLetsStreamsFinish(t *testing.T) {
	step := make(chan struct{})
	p := front(t, 0, serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "a")
		w.(http.Flusher).Flush()
		<-step
		io.WriteString(w, "b")
	}))
	const n = 50
	results := make(chan string, n)
	for range n {
		go func() {
			r, err := http.Get(p.url)
			if err != nil {
				results <- err.Error()
				return
			}
			defer r.Body.Close()
			b, err := io.ReadAll(r.Body)
			if err != nil {
				results <- err.Error()
				return
			}
			results <- string(b)
		}()
	}
	idle, idleReader := dial(t, p.addr)
	until(t, "all streams run", func() bool { return p.pool.Stats(time.Now()).InFlight == n })
	done := make(chan error, 1)
	go func() { done <- p.e.Shutdown(context.Background()) }()
	if _, err := idleReader.ReadByte(); err == nil {
		t.Error("an idle connection stayed")
	}
	idle.Close()
	until(t, "new connections are refused", func() bool {
		c, err := net.Dial("tcp", p.addr)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	select {
	case err := <-done:
		t.Fatalf("shut down with streams open: %v", err)
	default:
	}
	close(step)
	for range n {
		if s := <-results; s != "ab" {
			t.Errorf("stream ended with %q", s)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestShutdownHasADeadline(t *testing.T) { onBoth(t, testShutdownHasADeadline) }

func testShutdownHasADeadline(t *testing.T) {
	addr, began, _ := cancelled(t, true)
	p := front(t, 0, addr)
	c, _ := dial(t, p.addr)
	send(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-began
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := p.e.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestLargeHeads(t *testing.T) { onBoth(t, testLargeHeads) }

func testLargeHeads(t *testing.T) {
	p := front(t, 0, serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Back", r.Header.Get("X-Big"))
		io.Copy(w, r.Body)
	}))
	big := strings.Repeat("v", 20000)
	for range 3 {
		req, _ := http.NewRequest("POST", p.url, strings.NewReader("body"))
		req.Header.Set("X-Big", big)
		r, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(r.Body)
		r.Body.Close()
		if r.Header.Get("X-Back") != big || string(b) != "body" {
			t.Fatalf("%d bytes of header back, body %q", len(r.Header.Get("X-Back")), b)
		}
	}
}
