package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
)

// TestAnUpgradeCutsNoHTTP3: datagrams of all connections arrive at one socket, so the old process keeps it until its streams have ended.
// Clients are asked to go, come by TCP meanwhile, as every client of HTTP/3 can, and find HTTP/3 again in the new process.
func TestAnUpgradeCutsNoHTTP3(t *testing.T) {
	more := make(chan string)
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/stream" {
			io.WriteString(w, "hello")
			return
		}
		for s := range more {
			io.WriteString(w, s)
			w.(http.Flusher).Flush()
		}
	}))
	t.Cleanup(target.Close)

	w := prepare(t, "")
	cert, key := filepath.Join(w.dir, "site.pem"), filepath.Join(w.dir, "site-key.pem")
	roots := selfSigned(t, cert, key)
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	config := fmt.Sprintf(`listen:
  - {address: %q, protocols: [h1, h2, h3], tls: {certificates: [{cert: %q, key: %q}]}, routes: [{pool: api}]}
admin: {address: %q}
state: %q
pools: {api: {targets: [%q]}}
`, address, cert, key, w.admin, filepath.Join(w.dir, "state"), target.Listener.Addr())
	if err := os.WriteFile(w.config(), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	w.start()

	trust := &tls.Config{RootCAs: roots}
	newQUIC := func() *http3.Transport { return &http3.Transport{TLSClientConfig: trust.Clone()} }
	byTCP := &http.Client{Transport: &http.Transport{TLSClientConfig: trust.Clone(), ForceAttemptHTTP2: true}, Timeout: 20 * time.Second}
	t.Cleanup(byTCP.CloseIdleConnections)
	ask := func(rt http.RoundTripper, within time.Duration) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		req, _ := http.NewRequestWithContext(ctx, "GET", "https://"+address, nil)
		r, err := rt.RoundTrip(req)
		if err != nil {
			return "", err
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		return r.Proto + " " + string(b), err
	}
	quicAnswers := func() bool {
		rt := newQUIC()
		defer rt.Close()
		got, err := ask(rt, time.Second)
		return err == nil && got == "HTTP/3.0 hello"
	}
	until(t, "HTTP/3 is served", quicAnswers)

	// A crowd that goes on by TCP when HTTP/3 fails, and comes back to it.
	var byH3, fellBack, failed atomic.Int64
	end := make(chan struct{})
	var crowd sync.WaitGroup
	for range 4 {
		crowd.Go(func() {
			rt := newQUIC()
			defer func() { rt.Close() }()
			for {
				select {
				case <-end:
					return
				default:
				}
				if got, err := ask(rt, time.Second); err == nil && got == "HTTP/3.0 hello" {
					byH3.Add(1)
					continue
				}
				rt.Close()
				rt = newQUIC()
				if got, err := ask(byTCP.Transport, 20*time.Second); err != nil || got != "HTTP/2.0 hello" {
					failed.Add(1)
					t.Errorf("neither by HTTP/3 nor by HTTP/2: %q, %v", got, err)
				}
				fellBack.Add(1)
			}
		})
	}
	stop := sync.OnceFunc(func() { close(end); crowd.Wait() })
	defer stop()
	until(t, "the crowd is served", func() bool { return byH3.Load() > 20 })

	// A stream that is open meanwhile.
	rt := newQUIC()
	defer rt.Close()
	finish := sync.OnceFunc(func() { close(more) })
	defer finish()
	go func() { more <- "first " }()
	r, err := (&http.Client{Transport: rt}).Get("https://" + address + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	first := make([]byte, 6)
	if _, err := io.ReadFull(r.Body, first); err != nil || r.Proto != "HTTP/3.0" {
		t.Fatal(r.Proto, err)
	}

	old := w.status().PID
	if says := w.cli("upgrade"); !strings.Contains(says, "has taken over") {
		t.Fatal(says)
	}
	w.upgraded(old)
	until(t, "the crowd came by TCP", func() bool { return fellBack.Load() > 4 })
	more <- "last"
	finish()
	if b, err := io.ReadAll(r.Body); err != nil || string(b) != "last" {
		t.Errorf("the stream that was open: %q, %v", b, err)
	}
	rt.Close()
	if code := w.exit(); code != exitOK {
		t.Errorf("the old process: exit %d", code)
	}
	until(t, "the new process serves HTTP/3", quicAnswers)
	before := byH3.Load()
	until(t, "the crowd is back", func() bool { return byH3.Load() > before+20 })
	stop()
	t.Logf("%d requests by HTTP/3, %d by HTTP/2 instead, %d lost", byH3.Load(), fellBack.Load(), failed.Load())
}
