package probe

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/target"
)

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s.Listener.Addr().String()
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func TestOnceSaysExactlyWhatFailed(t *testing.T) {
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	ready := `{"model_loaded": true, "gpus": 2, "name": "sd", "checks": {"db": "ok"}, "a.b": 1}`
	for _, c := range []struct {
		name   string
		h      http.HandlerFunc
		check  Check
		pass   bool
		reason string
	}{
		{"fine", answer(200, ""), Check{}, true, "GET /health: 200"},
		{"any 2xx", answer(204, ""), Check{}, true, "204"},
		{"status", answer(503, ""), Check{}, false, "GET /health: 503, expected 200 to 299"},
		{"one of", answer(404, ""), Check{Expect: Expect{Status: []int{200, 202}}}, false, "404, expected 200 or 202"},
		{"redirect is an answer", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", 302) }, Check{}, false, "302"},
		{"json", answer(200, ready), Check{Expect: Expect{JSON: map[string]any{"model_loaded": true, "gpus": 2, "checks.db": "ok", "a.b": 1.0}}}, true, "as expected"},
		{"json false", answer(200, `{"model_loaded": false}`), Check{Expect: Expect{JSON: map[string]any{"model_loaded": true}}}, false, "model_loaded is false, expected true"},
		{"json type", answer(200, `{"gpus": "2"}`), Check{Expect: Expect{JSON: map[string]any{"gpus": 2}}}, false, `gpus is "2", expected 2`},
		{"json missing", answer(200, `{}`), Check{Expect: Expect{JSON: map[string]any{"memory_ok": true}}}, false, "memory_ok is missing, expected true"},
		{"no json", answer(200, `ok`), Check{Expect: Expect{JSON: map[string]any{"a": 1}}}, false, "not JSON"},
		{"text", answer(200, `status: ready`), Check{Expect: Expect{Body: "ready"}}, true, ""},
		{"no text", answer(200, `status: loading`), Check{Expect: Expect{Body: "ready"}}, false, `does not contain "ready"`},
		{"stalls", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, Check{Timeout: 30 * time.Millisecond}, false, "no answer within 30ms"},
		{"stalls in the body", func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "{")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, Check{Timeout: 30 * time.Millisecond, Expect: Expect{Body: "x"}}, false, "no answer within 30ms"},
		{"breaks off", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, Check{}, false, "closed before the answer was whole"},
		{"endless body", func(w http.ResponseWriter, _ *http.Request) {
			for range 1000 {
				if _, err := io.WriteString(w, strings.Repeat("x", 1000)); err != nil {
					return
				}
			}
		}, Check{Expect: Expect{Body: "y"}}, false, "does not contain"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.check.Path = "/health"
			if c.check.Timeout == 0 {
				c.check.Timeout = 5 * time.Second
			}
			o := c.check.Once(t.Context(), serve(t, c.h))
			if o.Pass != c.pass || !strings.Contains(o.Reason, c.reason) || o.Pass == (o.Code != "") {
				t.Errorf("%+v, want pass=%v and %q", o, c.pass, c.reason)
			}
		})
	}
	for _, path := range []string{"/health", ""} {
		o := Check{Path: path, Timeout: time.Second}.Once(t.Context(), dead.Addr().String())
		if o.Pass || !strings.Contains(o.Reason, "connection refused") {
			t.Errorf("%+v", o)
		}
	}
	if o := (Check{Timeout: time.Second}).Once(t.Context(), serve(t, answer(500, ""))); !o.Pass {
		t.Errorf("a check without a path only connects: %+v", o)
	}
}

// inMemory is a target without a network, so that time can be made up: ok says how it answers.
func inMemory(t *testing.T, ok *atomic.Bool) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			buf := make([]byte, 4096)
			if _, err := server.Read(buf); err != nil {
				return
			}
			status := 503
			if ok.Load() {
				status = 200
			}
			fmt.Fprintf(server, "HTTP/1.1 %d X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status)
		}()
		return client, nil
	}
}

// latest is the newest status that was reported.
type latest struct{ p atomic.Pointer[health.Status] }

func (l *latest) set(s health.Status) { l.p.Store(&s) }
func (l *latest) get() health.Status  { return *l.p.Load() }

func TestWatchKeepsItsRhythm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ok atomic.Bool
		c := Check{
			Path: "/ready", Interval: 15 * time.Second, Timeout: time.Second,
			Rule: health.Rule{Healthy: 2, Unhealthy: 2}, Dial: inMemory(t, &ok),
		}
		began := time.Now()
		last := &latest{}
		ctx, cancel := context.WithCancel(t.Context())
		go Watch(ctx, "x", c, health.Status{}, last.set)

		synctest.Wait()
		if last.get().Failures != 1 || last.get().State != target.Initial {
			t.Fatalf("a new target is checked at once: %+v", last.get())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		ok.Store(true)
		time.Sleep(250 * time.Millisecond)
		synctest.Wait()
		if last.get().State != target.Healthy {
			t.Fatalf("%v after it came up: %+v, want healthy within a quarter of a second", time.Since(began), last.get())
		}
		ok.Store(false)
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if last.get().State != target.Healthy || last.get().Failures != 1 {
			t.Fatalf("after one failure: %+v", last.get())
		}
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if last.get().State != target.Unhealthy {
			t.Fatalf("after two failures: %+v", last.get())
		}
		ok.Store(true)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if last.get().State != target.Healthy {
			t.Fatalf("after two passes: %+v", last.get())
		}
		cancel()
		synctest.Wait()
	})
}

func TestWatchGoesOnFromWhatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ok atomic.Bool
		c := Check{Path: "/", Interval: 10 * time.Second, Timeout: time.Second, Rule: health.Rule{Healthy: 2, Unhealthy: 3}, Dial: inMemory(t, &ok)}
		last := &latest{}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go Watch(ctx, "x", c, health.Status{State: target.Healthy, Passed: true, Failures: 2}, last.set)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if last.get().State != target.Unhealthy {
			t.Fatalf("the third failure after a reload: %+v", last.get())
		}
		cancel()
		synctest.Wait()
	})
}

func TestWarmUp(t *testing.T) {
	var got string
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = r.Method + " " + r.Header.Get("Content-Type") + " " + r.Header.Get("X-Key") + " " + string(b)
		if r.URL.Path == "/bad" {
			http.Error(w, "no model", 500)
		}
	})
	w := WarmUp{Path: "/predict", Body: `{"prompt":"warm up"}`, Headers: map[string]string{"X-Key": "k"}, Timeout: time.Second}
	if err := w.Run(t.Context(), addr); err != nil || got != `POST application/json k {"prompt":"warm up"}` {
		t.Errorf("%v %s", err, got)
	}
	w.Path = "/bad"
	if err := w.Run(t.Context(), addr); err == nil || !strings.Contains(err.Error(), "500 no model") {
		t.Errorf("%v", err)
	}
	slow := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	if err := (WarmUp{Path: "/", Timeout: 20 * time.Millisecond}).Run(t.Context(), slow); err == nil || !strings.Contains(err.Error(), "within 20ms") {
		t.Errorf("%v", err)
	}
}

func FuzzExpect(f *testing.F) {
	f.Add([]byte(`{"a":{"b":1}}`), "a.b")
	f.Add([]byte(`[]`), "")
	f.Add([]byte(`{"a.b":null}`), "a..b")
	f.Fuzz(func(t *testing.T, body []byte, path string) {
		Expect{JSON: map[string]any{path: 1}, Body: "x"}.body(body)
	})
}
