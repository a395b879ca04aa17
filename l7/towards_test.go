package l7

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirlb/weir/proxyproto"
)

// towards changes how the pool of p is spoken to.
func (p *proxy) towards(change func(*Destination)) {
	p.site(func(s *Site) {
		d := *s.To[0].Pools[0]
		change(&d)
		s.To[0].Pools = []*Destination{&d}
	})
}

// serveTLS starts a target that speaks TLS, and counts its connections.
func serveTLS(t *testing.T, config *tls.Config, protocols func(*http.Protocols), h http.HandlerFunc) (addr string, conns *atomic.Int64) {
	t.Helper()
	conns = new(atomic.Int64)
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Config.Protocols = new(http.Protocols)
	protocols(s.Config.Protocols)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	if config != nil {
		s.TLS = config
		s.EnableHTTP2 = s.Config.Protocols.HTTP2()
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s.Listener.Addr().String(), conns
}

func onlyH1(p *http.Protocols)  { p.SetHTTP1(true) }
func onlyH2(p *http.Protocols)  { p.SetHTTP2(true) }
func onlyH2C(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }

func TestTargetsBehindTLS(t *testing.T) {
	onBoth(t, func(t *testing.T) {
		a, other := newAuthority(t), newAuthority(t)
		var name atomic.Value
		config := a.server(t)
		config.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			name.Store(h.ServerName)
			return nil, nil
		}
		addr, conns := serveTLS(t, config, onlyH1, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
		p := front(t, 0, addr)
		p.towards(func(d *Destination) { d.TLS = &tls.Config{RootCAs: a.pool, ServerName: "app.test"} })
		for range 3 {
			if status, _ := get(t, p.url); status != 200 {
				t.Fatalf("answered %d", status)
			}
		}
		if n := conns.Load(); n != 1 || name.Load() != "app.test" {
			t.Errorf("%d connections for three requests, the server was called %v", n, name.Load())
		}
		// By its address, which is in the certificate too; another configuration is another connection.
		p.towards(func(d *Destination) { d.TLS = &tls.Config{RootCAs: a.pool} })
		if status, _ := get(t, p.url); status != 200 || conns.Load() != 2 {
			t.Errorf("answered %d on %d connections", status, conns.Load())
		}
		for _, wrong := range []*tls.Config{{RootCAs: other.pool, ServerName: "app.test"}, {RootCAs: a.pool, ServerName: "other.test"}} {
			p.towards(func(d *Destination) { d.TLS = wrong })
			if status, body := get(t, p.url); status != 502 || !strings.Contains(body, "certificate") {
				t.Errorf("a target that is not who it should be: %d %s", status, body)
			}
		}
	})
}

func TestTargetsBehindThePROXYProtocol(t *testing.T) {
	for version := 1; version <= 2; version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			onBoth(t, func(t *testing.T) {
				said := make(chan netip.AddrPort, 8)
				p := front(t, 0, raw(t, func(c net.Conn, r *bufio.Reader) {
					for n := 1; ; n++ {
						b, err := r.Peek(n)
						if err != nil {
							return
						}
						if k, src, err := proxyproto.Parse(b); err == nil {
							r.Discard(k)
							said <- src
							break
						} else if err != proxyproto.ErrMore {
							t.Error(err)
							return
						}
					}
					for {
						if _, err := readHead(r); err != nil {
							return
						}
						io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
					}
				}))
				p.towards(func(d *Destination) { d.Proxy = version })
				for range 2 {
					c, r := dial(t, p.addr)
					for range 2 {
						send(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
						if head, err := readHead(r); err != nil || !strings.HasPrefix(head, "HTTP/1.1 200") {
							t.Fatalf("%q, %v", head, err)
						}
					}
					if src := <-said; src.String() != c.LocalAddr().String() {
						t.Errorf("the target was told %v, the client is %v", src, c.LocalAddr())
					}
					if len(said) > 0 {
						t.Error("a connection per request, and not per client")
					}
				}
			})
		})
	}
}

func TestTargetsOverHTTP2(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Fail") != "" {
			w.Write([]byte("some"))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("X-Saw", fmt.Sprint(r.Proto, " ", r.Method, " ", r.Host, " ", r.RequestURI, " ", r.ContentLength))
		w.Header().Set("Trailer", "X-Sum")
		n, _ := io.Copy(w, r.Body)
		check := r.Trailer.Get("X-Check")
		if check == "" {
			check = r.Header.Get("X-Check")
		}
		w.Header().Set("X-Sum", fmt.Sprint(n, " ", check))
	}
	a := newAuthority(t)
	for name, c := range map[string]struct {
		config    *tls.Config
		protocols func(*http.Protocols)
		towards   *tls.Config
	}{
		"plain": {nil, onlyH2C, nil},
		"tls":   {a.server(t), onlyH2, &tls.Config{RootCAs: a.pool, NextProtos: []string{"h2"}}},
	} {
		t.Run(name, func(t *testing.T) {
			addr, conns := serveTLS(t, c.config, c.protocols, handler)
			p := front(t, 0, addr)
			p.towards(func(d *Destination) { d.H2, d.TLS = true, c.towards })
			for _, size := range []int{0, 5, 100 << 10, 2 << 20} {
				for _, known := range []bool{true, false} {
					body := make([]byte, size)
					rand.Read(body)
					var from io.Reader = bytes.NewReader(body)
					length := fmt.Sprint(size)
					if !known {
						from, length = struct{ io.Reader }{from}, "-1"
					}
					req, _ := http.NewRequest("POST", p.url+"/a%2fb?c", from)
					req.Host = "API.example.com"
					req.Header.Set("X-Check", "no")
					if !known {
						req.Trailer = http.Header{"X-Check": {"yes"}}
					}
					r, err := http.DefaultClient.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					got, err := io.ReadAll(r.Body)
					r.Body.Close()
					if err != nil || !bytes.Equal(got, body) {
						t.Fatalf("%d bytes back of %d, %v", len(got), size, err)
					}
					if want := "HTTP/2.0 POST API.example.com /a%2fb?c " + length; r.Header.Get("X-Saw") != want {
						t.Errorf("the target saw %q, want %q", r.Header.Get("X-Saw"), want)
					}
					check := "no"
					if !known {
						check = "yes"
					}
					if want := fmt.Sprint(size, " ", check); r.Trailer.Get("X-Sum") != want {
						t.Errorf("trailer %q, want %q", r.Trailer.Get("X-Sum"), want)
					}
				}
			}
			if n := conns.Load(); n != 1 {
				t.Errorf("%d connections, want 1", n)
			}
			req, _ := http.NewRequest("GET", p.url, nil)
			req.Header.Set("X-Fail", "1")
			r, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(r.Body); err == nil || string(b) != "some" {
				t.Errorf("a cut answer looks whole: %q", b)
			}
			r.Body.Close()
			until(t, "every slot is free again", func() bool { return p.pool.Stats(time.Now()).InFlight == 0 })
		})
	}
}

func TestAnHTTP2TargetThatIsGone(t *testing.T) {
	ok := func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "fine") }
	s := httptest.NewUnstartedServer(http.HandlerFunc(ok))
	s.Config.Protocols = new(http.Protocols)
	onlyH2C(s.Config.Protocols)
	s.Start()
	good, _ := serveTLS(t, nil, onlyH2C, ok)
	p := front(t, 0, s.Listener.Addr().String(), good)
	p.towards(func(d *Destination) { d.H2 = true })
	for range 4 {
		if status, body := get(t, p.url); status != 200 || body != "fine" {
			t.Fatalf("%d %s", status, body)
		}
	}
	s.CloseClientConnections()
	s.Close()
	for range 10 {
		if status, body := get(t, p.url); status != 200 || body != "fine" {
			t.Fatalf("%d %s", status, body)
		}
	}
}

// TestManyCallsShareALine: calls that come at a time do not open a connection each.
func TestManyCallsShareALine(t *testing.T) {
	const calls = 50
	gate := make(chan struct{})
	var running atomic.Int64
	addr, conns := serveTLS(t, nil, onlyH2C, func(w http.ResponseWriter, r *http.Request) {
		running.Add(1)
		<-gate
	})
	p := front(t, 0, addr)
	p.towards(func(d *Destination) { d.H2 = true })
	done := make(chan int, calls)
	for range calls {
		go func() {
			r, err := http.Get(p.url)
			if err != nil {
				done <- 0
				return
			}
			r.Body.Close()
			done <- r.StatusCode
		}()
	}
	until(t, "all calls run", func() bool { return running.Load() == calls })
	close(gate)
	for range calls {
		if status := <-done; status != 200 {
			t.Errorf("answered %d", status)
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
	l := p.pool.Stats(time.Now()).Targets[0].Target.Link.(*link)
	l.expire(time.Now().Add(2 * time.Minute).UnixNano())
	if len(l.lines.open) != 0 {
		t.Error("an idle line was kept")
	}
}
