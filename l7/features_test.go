package l7

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/balance"
	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/route"
	"github.com/weirlb/weir/session"
	"github.com/weirlb/weir/target"
)

// named starts a target that answers with its name, and what handler adds.
func named(t *testing.T, name string) string {
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Seen", r.Host+" "+r.URL.RequestURI())
		w.Header().Set("X-Body", fmt.Sprint(len(body)))
		fmt.Fprint(w, name)
	})
}

// poolOf makes a pool of targets.
func poolOf(t *testing.T, o pool.Options, slots int, addrs ...string) *pool.Pool {
	t.Helper()
	now := time.Now()
	if o.Balance == "" {
		o.Balance = "least_connections"
	}
	if o.Limits.Queue == 0 {
		o.Limits = admit.Limits{Queue: 100, Timeout: time.Minute}
	}
	p, err := pool.New("other", o, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		tg := target.New(a, a, 1, slots)
		Link(tg, 100, time.Minute)
		p.Add(tg, health.Status{State: target.Healthy}, now)
		t.Cleanup(func() { Unlink(tg) })
	}
	return p
}

func do(t *testing.T, method, url string, header ...string) (*http.Response, string) {
	t.Helper()
	var body io.Reader
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
			continue
		}
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func TestRoutesDoWhatTheySay(t *testing.T) { onBoth(t, testRoutesDoWhatTheySay) }

func testRoutesDoWhatTheySay(t *testing.T) {
	p := front(t, 0, named(t, "one"))
	other := &Destination{Pool: poolOf(t, pool.Options{}, 0, named(t, "two"))}
	redirect, err := route.NewRedirect("https://{host}/new{path}", 308)
	if err != nil {
		t.Fatal(err)
	}
	fixed, err := route.Respond{Status: 418, Body: []byte("short and stout")}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	rewrite, err := route.Rewrite{StripPrefix: "/api", AddPrefix: "/v2"}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	request, err := route.NewRequestEdits([]route.Edit{{Op: route.Set, Name: "Host", Value: "inner"}})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := route.NewResponseEdits([]route.Edit{{Op: route.Remove, Name: "X-Body"}, {Op: route.Set, Name: "X-Who", Value: "{client_ip} {path}"}})
	if err != nil {
		t.Fatal(err)
	}
	table, err := route.New([]route.Route{
		{Path: "/old/*"}, {Path: "/tea"}, {Path: "/api/*"}, {Path: "/only", Methods: []string{"POST"}},
		{Path: "/x", Headers: []route.Condition{{Name: "x-model", Values: []string{"sdxl*"}}}}, {Path: "/x"},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.site(func(s *Site) {
		one := s.To[0]
		to := func(change func(*Route)) *Route {
			r := *one
			change(&r)
			return &r
		}
		s.Routes = table
		s.Debug = admit.NewNetworks([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
		s.To = []*Route{
			{Name: "old", Redirect: redirect}, {Name: "tea", Respond: fixed},
			to(func(r *Route) { r.Rewrite, r.Request, r.Answer = rewrite, request, answer }),
			to(func(r *Route) { r.Name = "only" }),
			to(func(r *Route) { r.Pools = []*Destination{other} }), one,
		}
	})
	if resp, _ := do(t, "GET", p.url+"/old/a?b=c", "Host", "app.example:80"); resp.StatusCode != 308 || resp.Header.Get("Location") != "https://app.example/new/old/a" {
		t.Errorf("redirect: %d to %q", resp.StatusCode, resp.Header.Get("Location"))
	}
	if resp, body := do(t, "GET", p.url+"/tea"); resp.StatusCode != 418 || body != "short and stout" {
		t.Errorf("fixed: %d %q", resp.StatusCode, body)
	}
	if resp, body := do(t, "HEAD", p.url+"/tea"); resp.ContentLength != int64(len("short and stout")) || body != "" {
		t.Errorf("fixed, HEAD: length %d, %q", resp.ContentLength, body)
	}
	resp, body := do(t, "GET", p.url+"/api/things?n=1")
	if body != "one" || resp.Header.Get("X-Seen") != "inner /v2/things?n=1" || resp.Header.Get("X-Body") != "" || resp.Header.Get("X-Who") != "127.0.0.1 /api/things" {
		t.Errorf("rewritten: %q, %v", body, resp.Header)
	}
	if resp, _ := do(t, "GET", p.url+"/only"); resp.StatusCode != 405 || resp.Header.Get("Allow") != "POST" {
		t.Errorf("method: %d, Allow %q", resp.StatusCode, resp.Header.Get("Allow"))
	}
	if _, body := do(t, "GET", p.url+"/x", "X-Model", "sdxl-turbo"); body != "two" {
		t.Errorf("by header: %q", body)
	}
	if _, body := do(t, "GET", p.url+"/x"); body != "one" {
		t.Errorf("without the header: %q", body)
	}
	if resp, body := do(t, "GET", p.url+"/none"); resp.StatusCode != 404 || strings.Contains(body, "route only") {
		t.Errorf("no route: %d %s", resp.StatusCode, body)
	}
	if _, body := do(t, "GET", p.url+"/none", "X-Weir-Debug", "1"); !strings.Contains(body, "route only: ") {
		t.Errorf("no route, asked why: %s", body)
	}
	resp, _ = do(t, "GET", p.url+"/x", "X-Weir-Debug", "1")
	if resp.Header.Get("X-Weir-Pool") != "api" || resp.Header.Get("X-Weir-Target") == "" || !strings.Contains(resp.Header.Get("X-Weir-Why"), "least connections") || !strings.Contains(resp.Header.Get("Server-Timing"), "target;dur=") {
		t.Errorf("asked why: %v", resp.Header)
	}
}

func TestSplitsKeepTheirClients(t *testing.T) { onBoth(t, testSplitsKeepTheirClients) }

func testSplitsKeepTheirClients(t *testing.T) {
	p := front(t, 0, named(t, "one"))
	split, err := route.NewSplit([]route.Arm{{Name: "api", Weight: 50}, {Name: "other", Weight: 50}})
	if err != nil {
		t.Fatal(err)
	}
	other := &Destination{Pool: poolOf(t, pool.Options{}, 0, named(t, "two"))}
	p.site(func(s *Site) {
		r := s.To[0]
		r.Pools, r.Split, r.By = append(slices.Clone(r.Pools), other), split, Key{From: ByHeader, Name: "x-user"}
	})
	count := map[string]int{}
	for user := range 40 {
		_, first := do(t, "GET", p.url+"/", "X-User", fmt.Sprint(user))
		_, second := do(t, "GET", p.url+"/", "X-User", fmt.Sprint(user))
		if first != second {
			t.Errorf("user %d: %s, then %s", user, first, second)
		}
		count[first]++
	}
	if count["one"] < 8 || count["two"] < 8 { // 40 fair coins: under 8 once in 100,000
		t.Errorf("%v", count)
	}
}

func TestLimitsOfClients(t *testing.T) { onBoth(t, testLimitsOfClients) }

func testLimitsOfClients(t *testing.T) {
	p := front(t, 0, named(t, "one"))
	keys, err := admit.NewKeys(32, 64)
	if err != nil {
		t.Fatal(err)
	}
	rates, err := admit.NewRates(admit.Rate{Events: 1, Per: time.Hour, Burst: 2}, 100)
	if err != nil {
		t.Fatal(err)
	}
	p.site(func(s *Site) {
		s.Keys = keys
		s.To[0].Rates = []Rate{{By: Key{From: ByHeader, Name: "x-api-key"}, Limit: rates, Name: "1/h per x-api-key"}}
	})
	for i, want := range []int{200, 200, 429} {
		resp, _ := do(t, "GET", p.url+"/", "X-Api-Key", "a")
		if resp.StatusCode != want {
			t.Errorf("request %d: %d, want %d", i, resp.StatusCode, want)
		}
		if want == 429 && resp.Header.Get("Retry-After") == "" {
			t.Error("429 without Retry-After")
		}
	}
	if resp, _ := do(t, "GET", p.url+"/", "X-Api-Key", "b"); resp.StatusCode != 200 {
		t.Errorf("another key: %d", resp.StatusCode)
	}

	p.site(func(s *Site) {
		s.To[0].Rates = nil
		s.Access = admit.NewAccess(nil, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
	})
	if resp, _ := do(t, "GET", p.url+"/"); resp.StatusCode != 403 {
		t.Errorf("denied: %d, want 403", resp.StatusCode)
	}
	p.site(func(s *Site) {
		s.Trusted = admit.NewNetworks([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
	})
	if resp, _ := do(t, "GET", p.url+"/", "X-Forwarded-For", "192.0.2.9"); resp.StatusCode != 200 {
		t.Errorf("a client behind a trusted proxy: %d", resp.StatusCode)
	}

	conns, err := admit.NewClients(2)
	if err != nil {
		t.Fatal(err)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	until(t, "no connection is open", func() bool { return p.l.Connections() == 0 })
	p.site(func(s *Site) { s.Access, s.Trusted, s.Conns = nil, nil, conns })
	var open []net.Conn
	for range 2 {
		c, r := dial(t, p.addr)
		send(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 200 {
			t.Fatalf("%v, %v", resp, err)
		} else {
			io.Copy(io.Discard, resp.Body)
		}
		open = append(open, c)
	}
	c, r := dial(t, p.addr)
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := r.ReadByte(); err == nil {
		t.Error("a third connection is served")
	}
	open[0].Close()
	until(t, "a place is free", func() bool {
		c, r := dial(t, p.addr)
		defer c.Close()
		fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		resp, err := http.ReadResponse(r, nil)
		return err == nil && resp.StatusCode == 200
	})
}

func TestStickyCookies(t *testing.T) { onBoth(t, testStickyCookies) }

func testStickyCookies(t *testing.T) {
	p := front(t, 0, named(t, "one"), named(t, "two"), named(t, "three"))
	ring, err := session.NewRing(bytes.Repeat([]byte("k"), 32))
	if err != nil {
		t.Fatal(err)
	}
	st := &Sticky{Ring: ring, Cookie: session.Cookie{Name: "weir"}}
	if err := st.Cookie.Check(); err != nil {
		t.Fatal(err)
	}
	p.site(func(s *Site) {
		d := *s.To[0].Pools[0]
		d.Sticky = st
		s.To[0].Pools = []*Destination{&d}
	})
	resp, first := do(t, "GET", p.url+"/")
	cookies := resp.Cookies()
	if len(cookies) != 1 || cookies[0].Name != "weir" || !cookies[0].HttpOnly || cookies[0].MaxAge != 86400 {
		t.Fatalf("%v", cookies)
	}
	for range 10 {
		if _, got := do(t, "GET", p.url+"/", "Cookie", "a=b; weir="+cookies[0].Value); got != first {
			t.Fatalf("%s, then %s", first, got)
		}
	}
	seen := map[string]bool{}
	for range 30 {
		_, got := do(t, "GET", p.url+"/", "Cookie", "weir=forged"+cookies[0].Value)
		seen[got] = true
	}
	if len(seen) < 2 {
		t.Error("a forged cookie binds")
	}
}

// What a body says chooses the target also when it comes in pieces, or in chunks.
func TestAffinityByAFieldOfTheBody(t *testing.T) { onBoth(t, testAffinityByAFieldOfTheBody) }

func testAffinityByAFieldOfTheBody(t *testing.T) {
	p := front(t, 0)
	hashing := poolOf(t, pool.Options{Balance: "hash", Balancing: balance.Options{BoundedLoad: 100}}, 0, // nobody is too busy
		named(t, "one"), named(t, "two"), named(t, "three"), named(t, "four"))
	p.site(func(s *Site) {
		s.To[0].Pools = []*Destination{{Pool: hashing, Key: Key{From: ByJSON, Name: "model"}}}
	})
	ask := func(pieces ...string) string {
		t.Helper()
		c, r := dial(t, p.addr)
		defer c.Close()
		for _, piece := range pieces {
			send(t, c, piece)
			// Another connection is served meanwhile: the pieces do not come as one.
			if resp, _ := do(t, "GET", p.url+"/"); resp.StatusCode != 200 {
				t.Fatal(resp.Status)
			}
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		return string(b) + " " + resp.Header.Get("X-Body")
	}
	for _, model := range []string{"sdxl", "flux", "llama"} {
		body := fmt.Sprintf(`{"prompt":"a cat","model":%q}`, model)
		head := "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + fmt.Sprint(len(body)) + "\r\n\r\n"
		want := ask(head + body)
		if got := ask(head, body[:10], body[10:]); got != want {
			t.Errorf("%s in pieces: %s, want %s", model, got, want)
		}
		chunked := "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
		if got := ask(chunked, fmt.Sprintf("%x\r\n%s\r\n", 12, body[:12]), fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body)-12, body[12:])); got != want {
			t.Errorf("%s in chunks: %s, want %s", model, got, want)
		}
	}
}

func TestHeartbeats(t *testing.T) { onBoth(t, testHeartbeats) }

func testHeartbeats(t *testing.T) {
	release := make(chan struct{})
	fail := atomic.Bool{}
	p := front(t, 1, serve(t, func(w http.ResponseWriter, r *http.Request) {
		<-release
		if fail.Load() {
			http.Error(w, "out of memory", 500)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		if r.URL.Path == "/sized" {
			w.Header().Set("Content-Length", "9")
		}
		fmt.Fprint(w, "data: 1\n\n")
	}))
	p.site(func(s *Site) { s.To[0].Heartbeat = time.Millisecond })
	for _, path := range []string{"/", "/sized"} {
		req, _ := http.NewRequest("POST", p.url+path, strings.NewReader(`{"stream": true}`))
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("%s: %v", path, resp)
		}
		b := make([]byte, len(comment))
		if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != comment {
			t.Fatalf("%s: %q, %v", path, b, err)
		}
		release <- struct{}{}
		rest, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if got := strings.ReplaceAll(string(rest), comment, ""); err != nil || got != "data: 1\n\n" {
			t.Errorf("%s: %q, %v", path, rest, err)
		}
	}
	fail.Store(true)
	req, _ := http.NewRequest("GET", p.url+"/", nil)
	req.Header.Set("Accept", "text/event-stream")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	release <- struct{}{}
	rest, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || !strings.Contains(string(rest), "event: error\ndata: {") {
		t.Errorf("a target that fails: %q, %v", rest, err)
	}
	// Who wants no stream of events waits in silence, for the status that counts.
	go func() { release <- struct{}{} }()
	if resp, _ := do(t, "GET", p.url+"/"); resp.StatusCode != 500 {
		t.Errorf("without: %d", resp.StatusCode)
	}
}

func TestACutStreamOfEventsSaysSo(t *testing.T) { onBoth(t, testACutStreamOfEventsSaysSo) }

func testACutStreamOfEventsSaysSo(t *testing.T) {
	for name, head := range map[string]string{
		"chunked":     "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n",
		"until close": "Content-Type: text/event-stream\r\nContent-Length: 100\r\n\r\ndata: 1\n\n", // not to be mended: its length is known
		"no events":   "Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n",
	} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 4096))
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\n"+head)
			c.Close()
		}()
		p := front(t, 0, ln.Addr().String())
		resp, err := http.Get(p.url)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		ln.Close()
		if err == nil {
			t.Errorf("%s: the answer looks whole", name)
		}
		if got, want := strings.HasSuffix(string(b), cutEvent), name == "chunked"; got != want || !strings.HasPrefix(string(b), "data: 1\n\n") {
			t.Errorf("%s: %q", name, b)
		}
	}
}

func TestMirrors(t *testing.T) { onBoth(t, testMirrors) }

func testMirrors(t *testing.T) {
	copies := make(chan string, 10)
	hang := make(chan struct{})
	defer close(hang)
	shadow := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		copies <- r.Method + " " + r.URL.Path + " " + string(b)
		<-hang
	})
	p := front(t, 0, named(t, "one"))
	p.site(func(s *Site) {
		s.To[0].Mirror = &Mirror{To: &Destination{Pool: poolOf(t, pool.Options{}, 0, shadow)}, Percent: 100, MaxBody: 100}
	})
	for _, size := range []int{5, 200, 5} {
		resp, err := http.Post(p.url+"/m", "text/plain", strings.NewReader(strings.Repeat("x", size)))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(b) != "one" { // though the mirror hangs
			t.Errorf("%q", b)
		}
	}
	for range 2 {
		if got := <-copies; got != "POST /m xxxxx" {
			t.Errorf("%q", got)
		}
	}
	if sent, _ := p.e.Mirrored(); sent != 2 {
		t.Errorf("%d copies, want 2: one body was too large", sent)
	}
}

func TestHedging(t *testing.T) { onBoth(t, testHedging) }

func testHedging(t *testing.T) {
	var asked atomic.Int32
	left := make(chan struct{}, 2)
	slowOrNot := func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			<-r.Context().Done() // the first one to be asked says nothing
			left <- struct{}{}
			return
		}
		fmt.Fprint(w, "second")
	}
	p := front(t, 1, serve(t, slowOrNot), serve(t, slowOrNot))
	p.site(func(s *Site) { s.To[0].Hedge = 20 * time.Millisecond })
	if resp, body := do(t, "GET", p.url+"/"); resp.StatusCode != 200 || body != "second" {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
	select {
	case <-left:
	case <-time.After(10 * time.Second):
		t.Error("the slow one was not let go")
	}
	until(t, "both slots are free", func() bool { return p.pool.Stats(time.Now()).InFlight == 0 })
	if s := p.pool.Stats(time.Now()); s.Requests != 1 {
		t.Errorf("%d requests, want 1", s.Requests)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}
