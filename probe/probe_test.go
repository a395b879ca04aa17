package probe

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirlb/weir/health"
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
		{"redirect is an answer", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusFound) }, Check{}, false, "302"},
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
		}, Check{Expect: Expect{Body: "y"}}, false, `the first 64 KiB of the body do not contain "y"`},
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
}

func TestNobodyListens(t *testing.T) {
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	for path, want := range map[string]string{"/health": "GET /health: connection refused", "": "connecting: connection refused"} {
		o := Check{Path: path, Timeout: 5 * time.Second}.Once(t.Context(), dead.Addr().String())
		if o.Pass || o.Code != health.CodeFailed || o.Reason != want {
			t.Errorf("%+v, want %q", o, want)
		}
	}
}

// TestBareConnections asks what is not an HTTP server.
func TestBareConnections(t *testing.T) {
	for _, c := range []struct {
		name, reason string
		serve        func(net.Conn)
	}{
		{"says nothing", "GET /: no answer within 50ms", func(conn net.Conn) { io.Copy(io.Discard, conn) }},
		{"speaks another language", `GET /: the answer is not HTTP: malformed`, func(conn net.Conn) {
			conn.Read(make([]byte, 1024))
			io.WriteString(conn, "+OK ready\r\n")
		}},
		{"resets", "GET /: the connection was closed before the answer was whole", func(conn net.Conn) {
			conn.Read(make([]byte, 1024))
			conn.(*net.TCPConn).SetLinger(0)
		}},
		{"answers byte by byte, for ever", "GET /: no answer within 50ms", func(conn net.Conn) {
			conn.Read(make([]byte, 1024))
			for range 10_000 {
				if _, err := io.WriteString(conn, "H"); err != nil {
					return
				}
				conn.SetReadDeadline(time.Now().Add(time.Millisecond))
				conn.Read(make([]byte, 1))
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr := listen(t, c.serve)
			check := Check{Path: "/", Timeout: 5 * time.Second}
			if strings.Contains(c.reason, "50ms") {
				check.Timeout = 50 * time.Millisecond
			}
			if o := check.Once(t.Context(), addr); o.Pass || !strings.Contains(o.Reason, c.reason) {
				t.Errorf("%+v, want %q", o, c.reason)
			}
			if o := (Check{}).Once(t.Context(), addr); !o.Pass {
				t.Errorf("a check without a path only connects: %+v", o)
			}
		})
	}
}

// listen serves each connection with f, then closes it.
func listen(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer conn.Close()
				f(conn)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		conns.Wait()
	})
	return l.Addr().String()
}

func TestEachCheckHasItsOwnConnectionAndItsHeaders(t *testing.T) {
	var opened, closed atomic.Int32
	gone := make(chan struct{}, 10)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Method, " ", r.RequestURI, " ", r.Host, " ", r.Header.Get("X-Key"), " ", r.UserAgent())
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			opened.Add(1)
		case http.StateClosed:
			closed.Add(1)
			gone <- struct{}{}
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	c := Check{
		Path: "ready?deep=1", Method: "POST", Headers: map[string]string{"host": "images.example.com", "X-Key": "k"},
		Expect: Expect{Body: "POST /ready?deep=1 images.example.com k weir-probe"},
	}
	for range 3 {
		if o := c.Once(t.Context(), s.Listener.Addr().String()); !o.Pass || o.Latency <= 0 {
			t.Fatalf("%+v", o)
		}
		<-gone
	}
	if opened.Load() != 3 || closed.Load() != 3 {
		t.Errorf("%d connections opened and %d closed for 3 checks", opened.Load(), closed.Load())
	}
}

func TestEqualChecksAskTheSame(t *testing.T) {
	c := func() Check {
		return Check{Path: "/", Expect: Expect{Status: []int{200}, JSON: map[string]any{"a": true}}, Dial: new(net.Dialer).DialContext}
	}
	if !c().Equal(c()) {
		t.Error("a check is not equal to itself")
	}
	d := c()
	d.Expect.JSON["a"] = false
	if c().Equal(d) {
		t.Error("checks that expect different fields are equal")
	}
}
