package l7

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/route"
)

// exchanged sends pieces, each after another client was served, and returns the answer with its body.
func exchanged(t *testing.T, p *proxy, pieces ...string) (*http.Response, string) {
	t.Helper()
	c, r := dial(t, p.addr)
	defer c.Close()
	for i, piece := range pieces {
		if i > 0 {
			until(t, "another client was served", func() bool {
				resp, err := http.Get(p.url)
				if err == nil {
					resp.Body.Close()
				}
				return err == nil
			})
		}
		send(t, c, piece)
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func TestBodiesMayNotGrow(t *testing.T) { onBoth(t, testBodiesMayNotGrow) }

func testBodiesMayNotGrow(t *testing.T) {
	p := front(t, 0, named(t, "one"))
	p.site(func(s *Site) { s.MaxBody = 100 })
	chunk := func(n int) string { return fmt.Sprintf("%x\r\n%s\r\n", n, strings.Repeat("x", n)) }
	const chunked = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
	sized := func(n int) string { return fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", n) }
	for _, reads := range []bool{false, true} {
		if reads { // for what the body says
			p.leadTo(&Destination{Pool: p.pool, Key: Key{From: ByJSON, Name: "model"}})
		}
		for _, c := range []struct {
			name   string
			pieces []string
			want   int
		}{
			{"by its length", []string{sized(101)}, 413},
			{"as much as it may", []string{sized(100), strings.Repeat("x", 100)}, 200},
			{"chunks with the head", []string{chunked + chunk(50) + chunk(51) + "0\r\n\r\n"}, 413},
			{"chunks after the head", []string{chunked + chunk(40), chunk(40), chunk(40)}, 413},
			{"chunks, few", []string{chunked + chunk(40), chunk(40) + "0\r\n\r\n"}, 200},
		} {
			resp, body := exchanged(t, p, c.pieces...)
			if resp.StatusCode != c.want || (c.want == 413) != strings.Contains(body, `"code":"limits.body"`) || (c.want == 413) != resp.Close {
				t.Errorf("%s, read %v: %d, close %v, %s", c.name, reads, resp.StatusCode, resp.Close, body)
			}
		}
	}
	p.site(func(s *Site) { s.To[0].MaxBody = 1000 })
	if resp, _ := exchanged(t, p, sized(101)+strings.Repeat("x", 101)); resp.StatusCode != 200 {
		t.Errorf("the route's own limit: %d", resp.StatusCode)
	}
	until(t, "all slots are free", func() bool { return p.pool.Stats(time.Now()).InFlight == 0 })
	if n := p.pool.Stats(time.Now()).Targets[0].Target.Failures(); n != 0 {
		t.Errorf("the target is blamed %d times", n)
	}
}

func TestBodiesMustCome(t *testing.T) { onBoth(t, testBodiesMustCome) }

func testBodiesMustCome(t *testing.T) {
	p := front(t, 0, named(t, "one"))
	const head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nbegun"
	for _, reads := range []bool{false, true} {
		if reads {
			p.leadTo(&Destination{Pool: p.pool, Key: Key{From: ByJSON, Name: "model"}})
		}
		p.site(func(s *Site) { s.BodyTimeout, s.BodyRate = 50*time.Millisecond, 0 })
		resp, body := exchanged(t, p, head)
		if resp.StatusCode != 408 || !resp.Close || !strings.Contains(body, `"code":"timeouts.body"`) {
			t.Errorf("a pause, read %v: %d %s", reads, resp.StatusCode, body)
		}
		// No pause is too long, but all together the body comes too slowly.
		p.site(func(s *Site) { s.BodyTimeout, s.BodyRate = 200*time.Millisecond, 1<<30 })
		c, r := dial(t, p.addr)
		send(t, c, head)
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for tk := time.NewTicker(20 * time.Millisecond); ; {
				select {
				case <-tk.C:
					if _, err := io.WriteString(c, "x"); err != nil {
						return
					}
				case <-stop:
					return
				}
			}
		}()
		resp, err := http.ReadResponse(r, nil)
		close(stop)
		<-stopped
		if err != nil || resp.StatusCode != 408 {
			t.Errorf("a crawl, read %v: %v, %v", reads, resp, err)
		}
		c.Close()
		// What comes at its rate may take longer than a pause. A busy machine may spoil some tries, not all.
		p.site(func(s *Site) { s.BodyTimeout, s.BodyRate = 300*time.Millisecond, 10 })
		status := 0
		for range 5 {
			if status = trickled(t, p); status == 200 {
				break
			}
		}
		if status != 200 {
			t.Errorf("in time, read %v: %d", reads, status)
		}
	}
	until(t, "all slots are free", func() bool { return p.pool.Stats(time.Now()).InFlight == 0 })
	if n := p.pool.Stats(time.Now()).Targets[0].Target.Failures(); n != 0 {
		t.Errorf("the target is blamed %d times", n)
	}
}

// trickled sends a body in many pieces, for 400 ms at least, and returns the answer's status.
func trickled(t *testing.T, p *proxy) int {
	t.Helper()
	c, r := dial(t, p.addr)
	defer c.Close()
	send(t, c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 80\r\n\r\n")
	tk := time.NewTicker(10 * time.Millisecond)
	defer tk.Stop()
	for range 40 {
		<-tk.C
		if _, err := io.WriteString(c, "xx"); err != nil {
			break
		}
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return 0
	}
	return resp.StatusCode
}

func TestRequestsOfOneClientAtATime(t *testing.T) { onBoth(t, testRequestsOfOneClientAtATime) }

func testRequestsOfOneClientAtATime(t *testing.T) {
	addr, began, _ := cancelled(t, false)
	p := front(t, 0, addr)
	keys, err := admit.NewKeys(32, 64)
	if err != nil {
		t.Fatal(err)
	}
	two, err := admit.NewClients(2)
	if err != nil {
		t.Fatal(err)
	}
	p.site(func(s *Site) { s.Keys, s.Requests, s.Trusted = keys, two, networks("127.0.0.0/8") })
	begin := func(client string) func() {
		c, _ := dial(t, p.addr)
		send(t, c, "GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: "+client+"\r\n\r\n")
		<-began
		return func() { c.Close() }
	}
	leave := begin("192.0.2.1")
	begin("192.0.2.1")
	begin("192.0.2.2")
	resp, body := do(t, "GET", p.url+"/", "X-Forwarded-For", "192.0.2.1")
	if resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" || !strings.Contains(body, `"code":"limits.clients"`) {
		t.Errorf("the third at a time: %d %s", resp.StatusCode, body)
	}
	leave()
	key := keys.Network(netip.MustParseAddr("192.0.2.1"))
	until(t, "the first has left", func() bool { return two.Count(key) == 1 })
	begin("192.0.2.1")
}

func TestListenersHaveAnEnd(t *testing.T) { onBoth(t, testListenersHaveAnEnd) }

func testListenersHaveAnEnd(t *testing.T) {
	p := front(t, 0, named(t, "one"))
	p.site(func(s *Site) { s.MaxConns = 1 })
	c, r := dial(t, p.addr)
	send(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v, %v", resp, err)
	}
	_, r = dial(t, p.addr)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); resp.StatusCode != 503 || !resp.Close || resp.Header.Get("Retry-After") == "" || !strings.Contains(string(b), "limits.connections") {
		t.Errorf("%d, close %v, %s, %v", resp.StatusCode, resp.Close, b, err)
	}
	c.Close()
	until(t, "a place is free", func() bool { return p.l.Connections() == 0 })
	if resp, _ := do(t, "GET", p.url+"/", "Connection", "close"); resp.StatusCode != 200 {
		t.Errorf("%d", resp.StatusCode)
	}
}

func TestChallengesAreAnswered(t *testing.T) { onBoth(t, testChallengesAreAnswered) }

func testChallengesAreAnswered(t *testing.T) {
	p := front(t, 0, named(t, "one"))
	p.site(func(s *Site) {
		s.Challenge = func(host, path string) ([]byte, bool) {
			return []byte("token.key"), host == "a.example" && path == challengePath+"token"
		}
	})
	resp, body := do(t, "GET", p.url+challengePath+"token", "Host", "a.example")
	if resp.StatusCode != 200 || body != "token.key" || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("%d %q, %v", resp.StatusCode, body, resp.Header)
	}
	for _, ask := range [][2]string{{"a.example", "other"}, {"b.example", "token"}} { // somebody else's: a target's
		if _, body := do(t, "GET", p.url+challengePath+ask[1], "Host", ask[0]); body != "one" {
			t.Errorf("%v: %q", ask, body)
		}
	}
}

func TestWhoMaySayWhomARequestComesFrom(t *testing.T) { onBoth(t, testWhoMaySayWhomARequestComesFrom) }

func testWhoMaySayWhomARequestComesFrom(t *testing.T) {
	got := make(chan http.Header, 1)
	p := front(t, 0, serve(t, func(w http.ResponseWriter, r *http.Request) { got <- r.Header }))
	edits, err := route.NewRequestEdits([]route.Edit{
		{Op: route.Set, Name: "X-Client", Value: "{client_ip} {method} {uri} {scheme} {header.x-a}"}, {Op: route.Set, Name: "X-Request-Id", Value: "{request_id}"},
		{Op: route.Remove, Name: "X-Internal-*"}, {Op: route.Add, Name: "X-A", Value: "more"},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.site(func(s *Site) { s.To[0].Request = edits })
	headers := []string{"X-Forwarded-For", "192.0.2.7, 127.0.0.9", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "outside", "X-A", "b", "X-Internal-Secret", "1"}
	for _, c := range []struct {
		trusted *admit.Networks
		want    map[string]string
	}{
		{nil, map[string]string{"X-Forwarded-Proto": "http", "X-Client": "127.0.0.1 GET /p?q=1 http b"}},
		{networks("10.0.0.0/8"), map[string]string{"X-Forwarded-Proto": "http", "X-Client": "127.0.0.1 GET /p?q=1 http b"}},
		{networks("127.0.0.0/8"), map[string]string{
			"X-Forwarded-For": "192.0.2.7, 127.0.0.9, 127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "outside", "X-Client": "192.0.2.7 GET /p?q=1 http b",
		}},
	} {
		p.site(func(s *Site) { s.Trusted = c.trusted })
		do(t, "GET", p.url+"/p?q=1", headers...)
		h := <-got
		for name, want := range c.want {
			if v := h.Get(name); v != want {
				t.Errorf("%s: %q, want %q", name, v, want)
			}
		}
		if len(h.Get("X-Request-Id")) != 16 || h.Get("X-Internal-Secret") != "" || strings.Join(h["X-A"], ",") != "b,more" {
			t.Errorf("edited: %v", h)
		}
		if name := "X-Forwarded-Host"; c.want[name] == "" && h.Get(name) != p.addr {
			t.Errorf("%s: %q", name, h.Get(name))
		}
	}
}

func TestAnswersOfWeirItself(t *testing.T) { onBoth(t, testAnswersOfWeirItself) }

func testAnswersOfWeirItself(t *testing.T) {
	p := front(t, 0, named(t, "one"))
	redirect, err := route.NewRedirect("http://new.example{path}?was={query}", 301)
	if err != nil {
		t.Fatal(err)
	}
	empty, err := route.Respond{Status: 204}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	bad, err := route.Rewrite{Regexp: "^/bad(.*)$", Replace: "$1"}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	table, err := route.New([]route.Route{
		{Path: "/moved"}, {Path: "/empty"}, {Path: "/bad*"}, {Host: "*.example.com", Path: "/x"},
		{Path: "/x", Query: []route.Condition{{Name: "v", Values: []string{"2"}}}}, {Path: "/x", Cookies: []route.Condition{{Name: "beta"}}}, {Path: "/x"},
	})
	if err != nil {
		t.Fatal(err)
	}
	other := func(name string) *Destination {
		return &Destination{Pool: poolOf(t, pool.Options{}, 0, named(t, name))}
	}
	p.site(func(s *Site) {
		one := s.To[0]
		to := func(d *Destination, w *route.Rewriter) *Route {
			r := *one
			r.Pools, r.Rewrite = []*Destination{d}, w
			return &r
		}
		s.Routes = table
		s.To = []*Route{
			{Redirect: redirect}, {Respond: empty}, to(one.Pools[0], bad), to(other("host"), nil), to(other("query"), nil), to(other("cookie"), nil), one,
		}
	})
	for want, ask := range map[string][]string{
		"host": {"/x?v=2", "Host", "a.b.example.com:80"}, "query": {"/x?a=1&v=2", "Host", "example.com"}, "cookie": {"/x?v=3", "Cookie", "a=b; beta=1"}, "one": {"/x"},
	} {
		if _, body := do(t, "GET", p.url+ask[0], ask[1:]...); body != want {
			t.Errorf("%v: %s, want %s", ask, body, want)
		}
	}
	// All on one connection, which lives on: what is refused is refused once.
	c, r := dial(t, p.addr)
	for _, ask := range []struct {
		method, path string
		status       int
		header, want string
	}{
		{"GET", "/moved?a=b", 301, "Location", "http://new.example/moved?was=a=b"},
		{"GET", "/empty", 204, "Content-Length", ""},
		{"HEAD", "/empty", 204, "Content-Length", ""},
		{"GET", "/badly", 500, "Content-Type", "application/json"},
		{"HEAD", "/badly", 500, "Content-Type", "application/json"},
		{"GET", "/none", 404, "Content-Type", "application/json"},
		{"POST", "/badly", 500, "Content-Type", "application/json"},
		{"GET", "/x", 200, "X-Body", "0"},
	} {
		send(t, c, ask.method+" "+ask.path+" HTTP/1.1\r\nHost: x\r\n\r\n")
		req, _ := http.NewRequest(ask.method, p.url, nil)
		resp, err := http.ReadResponse(r, req)
		if err != nil {
			t.Fatalf("%v: %v", ask, err)
		}
		io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != ask.status || resp.Header.Get(ask.header) != ask.want || resp.Close {
			t.Errorf("%v: %d, %q, close %v", ask, resp.StatusCode, resp.Header.Get(ask.header), resp.Close)
		}
	}
	// HTTP/1.0 knows no connections that live on.
	c, r = dial(t, p.addr)
	send(t, c, "GET /none HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n")
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 404 || !resp.Close {
		t.Fatalf("HTTP/1.0: %+v, %v", resp, err)
	}
	io.Copy(io.Discard, resp.Body)
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("HTTP/1.0: the connection is open: %v", err)
	}
}
