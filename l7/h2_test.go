package l7

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
)

// way is a way for requests to come that is not HTTP/1.1.
type way struct {
	url    string
	client *http.Client
	l      *Listener
	proto  string
	tls    bool
}

// onEvery runs a test on all such ways to the same targets.
func onEvery(t *testing.T, slots int, addrs []string, test func(*testing.T, *proxy, way)) {
	t.Run("h2", func(t *testing.T) {
		p := front(t, slots, addrs...)
		a := newAuthority(t)
		l, addr := p.door(t, ServeOptions{TLS: handshaker{a.server(t, "h2", "http/1.1")}, H2: true})
		c := clientOf(t, &tls.Config{RootCAs: a.pool}, func(p *http.Protocols) { p.SetHTTP2(true) })
		test(t, p, way{"https://" + addr, c, l, "HTTP/2.0", true})
	})
	t.Run("h2c", func(t *testing.T) {
		p := front(t, slots, addrs...)
		c := clientOf(t, nil, func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) })
		test(t, p, way{p.url, c, p.l, "HTTP/2.0", false})
	})
	t.Run("h3", func(t *testing.T) {
		p := front(t, slots, addrs...)
		a := newAuthority(t)
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p.l.ServeQUIC(pc, a.server(t))
		tr := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: a.pool}}
		t.Cleanup(func() { tr.Close() })
		c := &http.Client{Transport: tr, Timeout: 20 * time.Second}
		test(t, p, way{"https://" + pc.LocalAddr().String(), c, p.l, "HTTP/3.0", true})
	})
	t.Run("h2c/loop", func(t *testing.T) {
		p := front(t, slots, addrs...)
		c := clientOf(t, nil, func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) })
		test(t, p, way{p.url, c, p.l, "HTTP/2.0", false})
	})
}

func TestStreamsCarryWhatConnectionsCarry(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		w.Header().Set("X-Saw", fmt.Sprint(r.Proto, " ", r.Method, " ", r.Host, " ", r.RequestURI, " ", r.ContentLength, " ", r.Header.Get("X-Forwarded-Proto")))
		w.Header().Set("Connection", "X-Private")
		w.Header().Set("X-Private", "secret")
		w.Header().Set("Trailer", "X-Sum")
		w.Write(b)
		w.Header().Set("X-Sum", fmt.Sprint(len(b)))
		w.Header().Set(http.TrailerPrefix+"X-Late", r.Trailer.Get("X-Check"))
	})
	onEvery(t, 0, []string{addr}, func(t *testing.T, p *proxy, way way) {
		scheme := map[bool]string{true: "https", false: "http"}[way.tls]
		for _, size := range []int{0, 1, 1000, 16 << 10, 100 << 10, 3 << 20} {
			for _, known := range []bool{true, false} {
				body := make([]byte, size)
				rand.Read(body)
				var from io.Reader = bytes.NewReader(body)
				if !known {
					from = struct{ io.Reader }{from}
				}
				req, _ := http.NewRequest("POST", way.url+"/a/b%2fc?d=e%20f", from)
				req.Host = "api.example.com"
				length := fmt.Sprint(size)
				if !known {
					req.Trailer = http.Header{"X-Check": {"yes"}}
					length = "-1"
				}
				r, err := way.client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(r.Body)
				r.Body.Close()
				if err != nil || !bytes.Equal(got, body) || r.Proto != way.proto || r.StatusCode != 200 {
					t.Fatalf("%d bytes, known %v: %s %d, %d bytes, %v", size, known, r.Proto, r.StatusCode, len(got), err)
				}
				if want := "HTTP/1.1 POST api.example.com /a/b%2fc?d=e%20f " + length + " " + scheme; r.Header.Get("X-Saw") != want {
					t.Errorf("target saw %q, want %q", r.Header.Get("X-Saw"), want)
				}
				if r.Header.Get("X-Private") != "" {
					t.Error("a header that Connection names came through")
				}
				if r.Trailer.Get("X-Sum") != fmt.Sprint(size) || !known && r.Trailer.Get("X-Late") != "yes" {
					t.Errorf("trailers %v", r.Trailer)
				}
			}
		}
		req, _ := http.NewRequest("HEAD", way.url, nil)
		r, err := way.client.Do(req)
		if err != nil || r.StatusCode != 200 {
			t.Fatal(r, err)
		}
		until(t, "every slot is free again", func() bool { return p.pool.Stats(time.Now()).InFlight == 0 })
	})
}

func TestEventsOverStreams(t *testing.T) {
	next := make(chan string)
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		for s := range next {
			fmt.Fprintf(w, "data: %s\n\n", s)
			w.(http.Flusher).Flush()
			if s == "last" {
				return
			}
		}
	})
	onEvery(t, 0, []string{addr}, func(t *testing.T, p *proxy, way way) {
		r, err := way.client.Get(way.url)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		lines := bufio.NewReader(r.Body)
		for _, s := range []string{"one", "two", "last"} {
			next <- s
			line, err := lines.ReadString('\n')
			lines.ReadString('\n')
			if line != "data: "+s+"\n" {
				t.Fatalf("%q, %v", line, err)
			}
		}
		if _, err := lines.ReadByte(); err != io.EOF {
			t.Errorf("after the last event: %v", err)
		}
	})
}

func TestAClientThatLeavesAStreamFreesItsSlot(t *testing.T) {
	for _, streaming := range []bool{false, true} {
		t.Run(fmt.Sprint(streaming), func(t *testing.T) {
			addr, began, left := cancelled(t, streaming)
			onEvery(t, 1, []string{addr}, func(t *testing.T, p *proxy, way way) {
				ctx, cancel := context.WithCancel(t.Context())
				req, _ := http.NewRequestWithContext(ctx, "GET", way.url, nil)
				done := make(chan struct{})
				go func() {
					defer close(done)
					if r, err := way.client.Do(req); err == nil {
						io.Copy(io.Discard, r.Body)
						r.Body.Close()
					}
				}()
				<-began
				at := time.Now()
				cancel()
				select {
				case seen := <-left:
					if d := seen.Sub(at); d > time.Second {
						t.Errorf("the target heard of it after %v", d)
					}
				case <-time.After(10 * time.Second):
					t.Fatal("the target was not told")
				}
				<-done
				until(t, "the slot is free", func() bool { return p.pool.Stats(time.Now()).InFlight == 0 })
			})
		})
	}
}

func TestACutAnswerResetsItsStream(t *testing.T) {
	for name, head := range map[string]string{
		"chunked": "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "length": "Content-Length: 10\r\n\r\nhello",
	} {
		t.Run(name, func(t *testing.T) {
			addr := raw(t, func(c net.Conn, r *bufio.Reader) {
				readHead(r)
				io.WriteString(c, "HTTP/1.1 200 OK\r\n"+head)
			})
			onEvery(t, 0, []string{addr}, func(t *testing.T, p *proxy, way way) {
				r, err := way.client.Get(way.url)
				if err != nil && way.proto == "HTTP/3.0" {
					return // a reset overtakes what was sent before it
				} else if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(r.Body)
				r.Body.Close()
				if err == nil || string(b) != "hello" && way.proto != "HTTP/3.0" {
					t.Errorf("a cut answer looks whole: %q", b)
				}
			})
		})
	}
}

func TestShutdownLetsOpenStreamsFinish(t *testing.T) {
	gate := make(chan struct{})
	began := make(chan struct{})
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "first ")
		w.(http.Flusher).Flush()
		began <- struct{}{}
		<-gate
		io.WriteString(w, "last")
	})
	onEvery(t, 0, []string{addr}, func(t *testing.T, p *proxy, way way) {
		type answer struct {
			body string
			err  error
		}
		got := make(chan answer, 1)
		go func() {
			r, err := way.client.Get(way.url)
			if err != nil {
				got <- answer{"", err}
				return
			}
			b, err := io.ReadAll(r.Body)
			r.Body.Close()
			got <- answer{string(b), err}
		}()
		<-began
		ended := make(chan error, 1)
		go func() { ended <- p.e.Shutdown(t.Context()) }()
		until(t, "the listener is closed", func() bool { return p.e.down.Load() })
		select {
		case err := <-ended:
			t.Fatalf("shutdown did not wait: %v", err)
		case <-time.After(100 * time.Millisecond):
		}
		gate <- struct{}{}
		if a := <-got; a.err != nil || a.body != "first last" {
			t.Errorf("%q, %v", a.body, a.err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if n := p.e.Active(); n != 0 {
			t.Errorf("%d connections after the shutdown", n)
		}
	})
}

func TestMalformedHeadsOverStreamsAreRefused(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "never") })
	onEvery(t, 0, []string{addr}, func(t *testing.T, p *proxy, way way) {
		req, _ := http.NewRequest("GET", way.url, nil)
		req.Header.Set("X-Long", strings.Repeat("x", 40<<10))
		r, err := way.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != 431 {
			t.Errorf("answered %d to a head that is too large", r.StatusCode)
		}
	})
}

func TestCommentsToWhoWaitsOnAStream(t *testing.T) {
	gate := make(chan struct{})
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		<-gate
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: at last\n\n")
	})
	onEvery(t, 0, []string{addr}, func(t *testing.T, p *proxy, way way) {
		p.site(func(s *Site) { s.To[0].Heartbeat = 50 * time.Millisecond })
		way.l.SetSite(p.l.site.Load())
		req, _ := http.NewRequest("GET", way.url, nil)
		req.Header.Set("Accept", "text/event-stream")
		r, err := way.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		first := make([]byte, len(comment))
		if _, err := io.ReadFull(r.Body, first); err != nil || string(first) != comment {
			t.Fatalf("%q, %v", first, err)
		}
		gate <- struct{}{}
		if b, err := io.ReadAll(r.Body); err != nil || !strings.HasSuffix(string(b), "data: at last\n\n") {
			t.Errorf("%q, %v", b, err)
		}
	})
}

func TestRefusalsOverStreams(t *testing.T) {
	gate := make(chan struct{})
	defer close(gate)
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-gate
	})
	onEvery(t, 0, []string{addr}, func(t *testing.T, p *proxy, way way) {
		p.site(func(s *Site) { s.MaxBody, s.To[0].FirstByte = 50<<10, 200*time.Millisecond })
		way.l.SetSite(p.l.site.Load())
		for _, c := range []struct {
			name   string
			body   io.Reader
			status int
		}{
			{"slow target", nil, 504},
			{"large body", bytes.NewReader(make([]byte, 100<<10)), 413},
			{"large body of unknown length", struct{ io.Reader }{bytes.NewReader(make([]byte, 100<<10))}, 413},
		} {
			r, err := way.client.Post(way.url, "", c.body)
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			b, err := io.ReadAll(r.Body)
			r.Body.Close()
			if r.StatusCode != c.status || !strings.Contains(string(b), `{"error":`) || err != nil {
				t.Errorf("%s: %d %s, %v", c.name, r.StatusCode, b, err)
			}
		}
		until(t, "every slot is free again", func() bool { return p.pool.Stats(time.Now()).InFlight == 0 })
	})
}

// TestALastAnswerIsNotCutWithItsConnection: the bytes that end a stream are still on their way when its handler has returned.
func TestALastAnswerIsNotCutWithItsConnection(t *testing.T) {
	var asked, cut int
	m := (&Engine{}).newMux(nil, origin{})
	m.soon, m.end, m.cut = true, func() { asked++ }, func() { cut++ }
	s := &stream{}
	m.add(s)
	m.hurry()
	const began = int64(time.Hour)
	delete(m.open, s) // a sweep looks after the exchange too, and this stream has none
	m.sweep(began)
	m.open[s] = struct{}{}

	ended := began + int64(time.Minute)
	m.remove(s)
	for now := ended; now < ended+int64(tailFor); now += int64(sweepEvery) {
		m.sweep(now)
	}
	if asked == 0 || cut != 0 {
		t.Fatalf("within %v of its last answer: asked to end %d times, cut %d times, want 0", tailFor, asked, cut)
	}
	if m.sweep(ended + 2*int64(tailFor)); cut == 0 {
		t.Error("a client that stays is never cut")
	}
}
