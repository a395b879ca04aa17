package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// restart serves on an address that was just given up.
func restart(t *testing.T, addr string, h http.Handler) *httptest.Server {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		l, err := net.Listen("tcp", addr)
		if err == nil {
			srv := httptest.NewUnstartedServer(h)
			srv.Listener.Close()
			srv.Listener = l
			srv.Start()
			return srv
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

type request struct {
	method, path, body string
	header             map[string]string
	host               string
}

// do sends a request over real loopback HTTP and returns the answer with its body.
func do(t *testing.T, srv *httptest.Server, r request) (*http.Response, string) {
	t.Helper()
	if r.method == "" {
		r.method = "GET"
	}
	q, err := http.NewRequestWithContext(t.Context(), r.method, srv.URL+r.path, strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range r.header {
		q.Header.Set(k, v)
	}
	q.Host = r.host
	client := &http.Client{Transport: srv.Client().Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	a, err := client.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return a, string(b)
}

func serve(t *testing.T, o Options) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(New(o))
	t.Cleanup(srv.Close)
	return srv
}

func TestAnswers(t *testing.T) {
	h := newHouse()
	h.decisions = sampleDecisions(time.Now())
	srv := serve(t, Options{Source: h, Operator: h, Keeper: h, Version: "1.2.3"})
	for _, c := range []struct {
		request
		status int
		want   string // in the body
	}{
		{request{path: "/healthz"}, 200, "ok"},
		{request{path: "/v1/version"}, 200, `{"version":"1.2.3"}`},
		{request{path: "/v1/status"}, 200, `"queue":{"depth":`},
		{request{path: "/metrics"}, 200, `weir_requests_total{code="5xx",pool="chat"} 2`},
		{request{path: "/v1/history"}, 200, `{"times":[],"pools":{}}`},
		{request{path: "/v1/history?for=soon"}, 400, `write 30s or 5m`},
		{request{path: "/v1/decisions?limit=1"}, 200, `"previous":8,"desired":8`},
		{request{path: "/v1/decisions?changed=true&limit=1"}, 200, `"previous":5,"desired":8`},
		{request{path: "/v1/decisions?pool=chat"}, 200, `{"decisions":[]}`},
		{request{path: "/v1/decisions?pool=nobody"}, 404, `there is no pool`},
		{request{path: "/v1/decisions?limit=0"}, 400, `limit`},
		{request{path: "/v1/decisions?from=yesterday"}, 400, `Unix seconds`},
		{request{path: "/v1/journal"}, 200, `{"events":[]}`},
		{request{path: "/v1/journal?type=spot,hook&limit=5&pool=images"}, 200, `{"events":[]}`},
		{request{path: "/v1/journal?type=spto"}, 400, `there are spot, capacity, remedy`},
		{request{path: "/v1/journal?limit=5001"}, 400, `from 1 to 5000`},
		{request{path: "/v1/journal?pool=nobody"}, 404, `there is no pool`},
		{request{path: "/v1/explain?pool=images"}, 200, "stay at 8"},
		{request{path: "/v1/explain?pool=images"}, 200, "16 waiting * 1.9 s / 9.2 s boot = 8"},
		{request{path: "/v1/explain?pool=images&at=" + fmt.Sprint(time.Now().Add(-270*time.Second).Unix())}, 200, "grow from 2 to 5"},
		{request{path: "/v1/explain?pool=api"}, 404, "makes none"},
		{request{path: "/v1/explain"}, 404, "there is no pool"},
		{request{path: "/nothing"}, 404, `"code":"not_found"`},
		{request{path: "/package.json"}, 404, `"code":"not_found"`},
		{request{method: "PUT", path: "/v1/status"}, 405, `it knows GET, HEAD`},
		{request{method: "POST", path: "/v1/pools/images/scale", body: `{"desired":-1}`}, 400, `0 or more`},
		{request{method: "POST", path: "/v1/pools/images/scale", body: `{"for":"1h"}`}, 400, `0 or more`},
		{request{method: "POST", path: "/v1/pools/images/scale", body: `{"desired":1,"for":"later"}`}, 400, `write \"30m\"`},
		{request{method: "POST", path: "/v1/pools/images/scale", body: `{"desired":1,"until":3}`}, 400, `until`},
		{request{method: "POST", path: "/v1/pools/images/scale", body: `three`}, 400, `the body is not`},
		{request{method: "PATCH", path: "/v1/pools/api/targets/a", body: `{}`}, 400, `nothing is to be changed`},
		{request{method: "PATCH", path: "/v1/pools/api/targets/a", body: `{"weight":0}`}, 400, `from 1 to 65535`},
		{request{method: "PATCH", path: "/v1/pools/api/targets/a", body: `{"slots":-1}`}, 400, `or more`},
		{request{method: "PATCH", path: "/v1/pools/api/targets/a", body: `{"wight":1}`}, 400, `wight`},
		{request{method: "POST", path: "/v1/upgrade", body: `{"binary":"/tmp/x"}`}, 400, `set admin.token`},
		{request{path: "/v1/pools/images/instances/x/logs"}, 501, `no logs`},
		{request{path: "/"}, 200, `<title>Weir</title>`},
		{request{path: "/main.js"}, 200, `import`},
	} {
		a, body := do(t, srv, c.request)
		if a.StatusCode != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s %s answered %d %.300q, want %d with %q", c.method, c.path, a.StatusCode, body, c.status, c.want)
		}
		if c.status >= 400 {
			var e struct {
				Error struct{ Message, Type, Code string }
			}
			if err := json.Unmarshal([]byte(body), &e); err != nil || e.Error.Message == "" || e.Error.Type == "" || e.Error.Code == "" {
				t.Errorf("%s %s: the error is not one: %s", c.method, c.path, body)
			}
		}
	}
}

func TestWhatIsAskedIsDone(t *testing.T) {
	h := newHouse()
	srv := serve(t, Options{Source: h, Operator: h, Keeper: h})
	for _, r := range []request{
		{method: "POST", path: "/v1/pools/api/targets/10.0.0.1:9000/drain"},
		{method: "DELETE", path: "/v1/pools/api/targets/10.0.0.1%3A9000/drain"},
		{method: "POST", path: "/v1/pools/images/scale", body: `{"desired":3,"for":"30m"}`},
		{method: "POST", path: "/v1/pools/images/scale", body: `{"desired":0}`},
		{method: "DELETE", path: "/v1/pools/images/scale"},
		{method: "POST", path: "/v1/reload"},
		{method: "PATCH", path: "/v1/pools/api/targets/10.0.0.1:9000", body: `{"weight":3,"drain":false}`},
		{method: "DELETE", path: "/v1/pools/api/targets/10.0.0.1:9000"},
		{method: "POST", path: "/v1/upgrade"},
	} {
		if a, body := do(t, srv, r); a.StatusCode != 200 {
			t.Errorf("%s %s answered %d %s", r.method, r.path, a.StatusCode, body)
		}
	}
	want := []string{
		"drain api 10.0.0.1:9000 true", "drain api 10.0.0.1:9000 false",
		"scale images 3 30m0s", "scale images 0 0s", "scale images -1 0s", "reload",
		`override api 10.0.0.1:9000 {"Weight":3,"Slots":null,"Drain":false} false`,
		`override api 10.0.0.1:9000 {"Weight":null,"Slots":null,"Drain":null} true`, "upgrade ",
	}
	if !slices.Equal(h.asked, want) {
		t.Errorf("asked for %q, want %q", h.asked, want)
	}
	h.refusal = fmt.Errorf("pool x: %w", ErrNotFound)
	if a, _ := do(t, srv, request{method: "POST", path: "/v1/pools/x/scale", body: `{"desired":1}`}); a.StatusCode != 404 {
		t.Errorf("a pool that is not there answered %d", a.StatusCode)
	}
	h.refusal = errors.New("weir.yaml:3:1: no")
	if a, body := do(t, srv, request{method: "POST", path: "/v1/reload"}); a.StatusCode != 409 || !strings.Contains(body, "weir.yaml:3:1") {
		t.Errorf("a file with a mistake answered %d %s", a.StatusCode, body)
	}
}

func TestOnlyLoopbackNamesWithoutAToken(t *testing.T) {
	srv := serve(t, Options{Source: newHouse()})
	for host, status := range map[string]int{
		"127.0.0.1": 200, "127.0.0.1:9090": 200, "localhost:1": 200, "LocalHost": 200, "[::1]:80": 200, "[::1]": 200, "weir.localhost": 200, "127.9.9.9": 200,
		"evil.example": 403, "evil.example:9090": 403, "127.0.0.1.evil.example": 403, "localhost.evil.example": 403, "10.0.0.1": 403, "notlocalhost": 403,
	} {
		if a, _ := do(t, srv, request{path: "/v1/status", host: host}); a.StatusCode != status {
			t.Errorf("Host: %s answered %d, want %d", host, a.StatusCode, status)
		}
	}
}

func TestTheTokenOpens(t *testing.T) {
	srv := serve(t, Options{Source: newHouse(), Token: "open; sesame=1"})
	for _, c := range []struct {
		request
		status int
	}{
		{request{path: "/v1/status"}, 401},
		{request{path: "/healthz"}, 401},
		{request{path: "/v1/status", header: map[string]string{"Authorization": "Bearer wrong"}}, 401},
		{request{path: "/v1/status", header: map[string]string{"Authorization": "Basic open; sesame=1"}}, 401},
		{request{path: "/v1/status?token=open%3B+sesame%3D1"}, 401},
		{request{path: "/?token=wrong"}, 401},
		{request{path: "/v1/status", header: map[string]string{"Authorization": "bearer open; sesame=1"}, host: "weir.example"}, 200},
	} {
		if a, _ := do(t, srv, c.request); a.StatusCode != c.status {
			t.Errorf("%s %v answered %d, want %d", c.path, c.header, a.StatusCode, c.status)
		}
	}
	a, _ := do(t, srv, request{path: "/?token=open%3B+sesame%3D1"})
	cookies := a.Cookies()
	if a.StatusCode != 303 || a.Header.Get("Location") != "/" || len(cookies) != 1 {
		t.Fatalf("the page with the token answered %d %v", a.StatusCode, a.Header)
	}
	c := cookies[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || strings.Contains(c.Value, "sesame") {
		t.Errorf("the cookie is %v", c)
	}
	if a, _ := do(t, srv, request{path: "/v1/status", header: map[string]string{"Cookie": c.Name + "=" + c.Value}}); a.StatusCode != 200 {
		t.Errorf("the cookie answered %d", a.StatusCode)
	}
}

func TestForeignPagesChangeNothing(t *testing.T) {
	h := newHouse()
	srv := serve(t, Options{Source: h, Operator: h, Keeper: h})
	for _, header := range []map[string]string{{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"}} {
		if a, _ := do(t, srv, request{method: "POST", path: "/v1/reload", header: header}); a.StatusCode != 403 {
			t.Errorf("%v answered %d", header, a.StatusCode)
		}
	}
	if len(h.asked) > 0 {
		t.Errorf("it asked for %q", h.asked)
	}
	a, _ := do(t, srv, request{path: "/"})
	if csp := a.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("the page's policy is %q", csp)
	}
}

func TestLogsStreamAndEnd(t *testing.T) {
	began := make(chan struct{})
	logs := func(ctx context.Context, pool, instance string, lines int, follow bool, w io.Writer) error {
		if instance == "gone" {
			return fmt.Errorf("instance %s: %w", instance, ErrNotFound)
		}
		fmt.Fprintf(w, "%s %s %d %v\n", pool, instance, lines, follow)
		if follow {
			close(began)
			<-ctx.Done()
		}
		return ctx.Err()
	}
	s := New(Options{Source: newHouse(), Logs: logs})
	srv := httptest.NewServer(s)
	defer srv.Close()
	if a, body := do(t, srv, request{path: "/v1/pools/chat/instances/a/logs?lines=7"}); a.StatusCode != 200 || body != "chat a 7 false\n" {
		t.Errorf("answered %d %q", a.StatusCode, body)
	}
	if a, _ := do(t, srv, request{path: "/v1/pools/chat/instances/gone/logs"}); a.StatusCode != 404 {
		t.Errorf("an instance that is not there answered %d", a.StatusCode)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-began
		cancel()
	}()
	go s.Run(ctx)
	if _, body := do(t, srv, request{path: "/v1/pools/chat/instances/a/logs?follow=true"}); body != "chat a 100 true\n" {
		t.Errorf("following wrote %q", body)
	}
}

// listen reads events until the stream ends, and sends each as "name data".
func listen(t *testing.T, srv *httptest.Server, path, lastID string) <-chan string {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), "GET", srv.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		q.Header.Set("Last-Event-ID", lastID)
	}
	a, err := srv.Client().Do(q)
	if err != nil {
		t.Fatal(err)
	}
	out := make(chan string, 1000)
	go func() {
		defer close(out)
		defer a.Body.Close()
		var name, id string
		for sc := bufio.NewScanner(a.Body); sc.Scan(); {
			if v, ok := strings.CutPrefix(sc.Text(), "event: "); ok {
				name, id = v, ""
			} else if v, ok := strings.CutPrefix(sc.Text(), "id: "); ok {
				id = v
			} else if v, ok := strings.CutPrefix(sc.Text(), "data: "); ok {
				out <- strings.TrimSpace(name + " " + id + " " + v)
			}
		}
	}()
	return out
}

func next(t *testing.T, c <-chan string) string {
	t.Helper()
	select {
	case e := <-c:
		return e
	case <-time.After(10 * time.Second):
		t.Fatal("no event within 10 s")
		return ""
	}
}

func TestEventsAreHeardOnceAndInOrder(t *testing.T) {
	s := New(Options{Source: newHouse()})
	srv := httptest.NewServer(s)
	defer srv.Close()
	s.Publish(Event{Type: "notice", Text: "one"})
	s.Publish(Event{Type: "notice", Text: "two\nlines", Data: func() {}})
	ctx, cancel := context.WithCancel(t.Context())
	first := listen(t, srv, "/v1/events?backlog=1", "")
	e := next(t, first)
	if !strings.Contains(e, `"text":"two\nlines"`) {
		t.Fatalf("the backlog began with %s", e)
	}
	id := strings.Fields(e)[1]
	if e := next(t, first); !strings.HasPrefix(e, "status ") {
		t.Fatalf("then came %.80s, want the status", e)
	}
	s.Publish(Event{Type: "target", Text: "three"})
	if e := next(t, first); !strings.HasPrefix(e, "target ") || !strings.Contains(e, "three") {
		t.Errorf("then came %.80s", e)
	}
	again := listen(t, srv, "/v1/events?backlog=200", id)
	if e := next(t, again); !strings.Contains(e, "three") {
		t.Errorf("after %s came %.80s, want what was missed", id, e)
	}
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	if e := next(t, again); !strings.HasPrefix(e, "status ") {
		t.Errorf("then came %.80s, want the status", e)
	}
	cancel()
	<-done
	for range first { // both end with Run
	}
	for range again {
	}
	if e, ok := <-listen(t, srv, "/v1/events", ""); ok && !strings.HasPrefix(e, "status ") {
		t.Errorf("after the end came %.80s", e)
	}
}

func TestASlowReaderIsDroppedAndTheOthersAreNot(t *testing.T) {
	h := newHub()
	slow, _ := h.subscribe("", 0)
	for i := range subscriberBuffer {
		h.publish(Event{Type: "notice", Text: fmt.Sprint(i)})
	}
	quick, before := h.subscribe("", 10)
	if len(before) != 10 {
		t.Errorf("the backlog has %d events, want 10", len(before))
	}
	h.publish(Event{Type: "notice", Text: "one too many"})
	n := 0
	for range slow.c {
		n++
	}
	if n != subscriberBuffer {
		t.Errorf("the slow reader had %d events before its end, want %d", n, subscriberBuffer)
	}
	if m := <-quick.c; !strings.Contains(string(m.wire), "one too many") {
		t.Errorf("the other one got %s", m.wire)
	}
	for range 2 * backlogKept {
		h.publish(Event{Type: "a\nb", Text: "x"})
	}
	if len(h.backlog) != backlogKept || !strings.HasPrefix(string(h.backlog[0].wire), "event: notice\n") {
		t.Errorf("the backlog has %d events, the first %s", len(h.backlog), h.backlog[0].wire)
	}
	h.unsubscribe(slow)
	h.unsubscribe(quick)
	h.close()
}

func TestHistoryKeepsFifteenMinutes(t *testing.T) {
	h := newHistory()
	start := time.Unix(1_700_000_000, 0)
	for i := range 1000 {
		st := Status{Time: start.Add(time.Duration(i) * time.Second), Pools: []Pool{{Name: "a", Totals: Totals{ServerErrors: uint64(3 * i)}}}}
		if i >= 990 {
			st.Pools = append(st.Pools, Pool{Name: "late", Latency: Quantiles{P50: 1, P95: 2, P99: 1.23456}, Scale: &Scale{Ready: 2}})
		}
		h.add(st)
	}
	all := h.since(time.Time{}, "")
	if len(all.Times) != 900 || all.Times[0] != float64(start.Unix()+100) || all.Times[899] != float64(start.Unix()+999) {
		t.Fatalf("%d points", len(all.Times))
	}
	if e := all.Pools["a"]["errors_per_second"]; len(e) != 900 || *e[0] != 3 || *e[899] != 3 {
		t.Errorf("errors are %v", e)
	}
	late := all.Pools["late"]["latency_p99_s"]
	if len(late) != 900 || late[0] != nil || late[889] != nil || *late[890] != 1.235 {
		t.Error("the late pool's latency is wrong")
	}
	if a := all.Pools["a"]; a["latency_p50_s"][5] != nil || a["ready"][5] != nil {
		t.Error("what was not measured is not absent")
	}
	if few := h.since(start.Add(994*time.Second), "late"); len(few.Times) != 5 || len(few.Pools) != 1 {
		t.Errorf("%d points of %d pools, want 5 of 1", len(few.Times), len(few.Pools))
	}
	if _, err := json.Marshal(all); err != nil {
		t.Error(err)
	}
}
