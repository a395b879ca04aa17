package l7

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// sealed puts a TLS listener in front of a proxy whose loops carry what comes through it, and returns a client for it.
func sealed(t *testing.T, p *proxy) (*http.Client, string, *tls.Config) {
	t.Helper()
	donor := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
	t.Cleanup(donor.Close)
	config := donor.TLS.Clone()
	config.NextProtos = []string{"http/1.1"}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				c := tls.Server(layered(nc), config)
				if err := c.Handshake(); err != nil {
					nc.Close()
					return
				}
				o := newOrigin(peerAddr(nc.RemoteAddr()))
				o.tls = tls.VersionName(c.ConnectionState().Version)
				if !p.e.enter(p.l) || !p.e.toLoop(p.l, c, o) {
					t.Error("the loop does not take it")
				}
			})
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	roots := donor.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	client := &tls.Config{RootCAs: roots, ServerName: "example.com"}
	transport := &http.Transport{TLSClientConfig: client}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}, ln.Addr().String(), client
}

func TestLoopCarriesTLS(t *testing.T) {
	t.Run("loop", func(t *testing.T) {
		body := make([]byte, 3<<20)
		rand.Read(body)
		p := front(t, 0, serve(t, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/echo":
				sum := sha256.New()
				io.Copy(sum, r.Body)
				fmt.Fprintf(w, "%x", sum.Sum(nil))
			case "/big":
				w.Write(body)
			case "/events":
				w.Header().Set("Content-Type", "text/event-stream")
				for i := range 5 {
					fmt.Fprintf(w, "data: %d\n\n", i)
					w.(http.Flusher).Flush()
				}
			default:
				fmt.Fprint(w, r.Header.Get("X-Forwarded-Proto"))
			}
		}))
		client, addr, config := sealed(t, p)
		get := func(path string) string {
			t.Helper()
			r, err := client.Get("https://" + addr + path)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			b, err := io.ReadAll(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		for range 10 {
			if got := get("/"); got != "https" {
				t.Fatalf("%q", got)
			}
		}
		if n := p.l.Connections(); n != 1 {
			t.Errorf("%d connections for ten requests, want 1", n)
		}
		if got := get("/big"); got != string(body) {
			t.Errorf("%d bytes, or others than the target sent", len(got))
		}
		if got := get("/events"); got != "data: 0\n\ndata: 1\n\ndata: 2\n\ndata: 3\n\ndata: 4\n\n" {
			t.Errorf("%q", got)
		}
		r, err := client.Post("https://"+addr+"/echo", "application/octet-stream", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(r.Body)
		r.Body.Close()
		if want := fmt.Sprintf("%x", sha256.Sum256(body)); string(got) != want {
			t.Errorf("the target saw another body")
		}

		// Requests in one record, and one in many: what came along with others has no event of its own.
		c, err := tls.Dial("tcp", addr, config)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		one := "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
		fmt.Fprint(c, one+one+one)
		for i := range one {
			c.Write([]byte{one[i]})
		}
		fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		all, err := io.ReadAll(c)
		if err != nil { // io.ErrUnexpectedEOF when TLS was not ended properly
			t.Errorf("the end: %v", err)
		}
		if n := bytes.Count(all, []byte("HTTP/1.1 200 OK")); n != 5 {
			t.Errorf("%d answers, want 5:\n%s", n, all)
		}
	})
}

func TestAClientThatLeavesOverTLSFreesItsSlot(t *testing.T) {
	t.Run("loop", func(t *testing.T) {
		addr, began, left := cancelled(t, false)
		p := front(t, 1, addr)
		_, front, config := sealed(t, p)
		c, err := tls.Dial("tcp", front, config)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		<-began
		c.Close()
		select {
		case <-left:
		case <-time.After(10 * time.Second):
			t.Fatal("the target never saw the client leave")
		}
		until(t, "the slot is free", func() bool { return p.pool.Stats(time.Now()).InFlight == 0 })
	})
}
