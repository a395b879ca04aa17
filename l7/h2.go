package l7

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirlb/weir/h1"
)

// mux is a client's connection that carries many requests at a time: HTTP/2 or HTTP/3. The protocol is the library's; each request is
// driven as if it had come by a connection of its own, a stream.
type mux struct {
	e    *Engine
	l    *Listener
	from origin
	end  func() // asks the client to begin nothing more
	cut  func() // closes the connection
	soon bool   // an idle connection that ends has to be cut, some time after its client was asked, or had its last answer

	known   sync.Once // from, where it takes a request to know
	parting atomic.Bool
	ending  atomic.Bool
	since   int64 // of parting, ending, or the end of the last stream after that, as sweep sees it
	mu      sync.Mutex
	begun   bool // a stream has
	open    map[*stream]struct{}
	over    bool          // the connection has ended: no stream begins any more
	empty   chan struct{} // closed when it is over and the last stream has ended
}

func (e *Engine) newMux(l *Listener, from origin) *mux {
	return &mux{e: e, l: l, from: from, open: map[*stream]struct{}{}, empty: make(chan struct{})}
}

func (m *mux) sweep(now int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.parting.Load() && !m.ending.Load() {
		if m.since == 0 {
			m.since = now
		}
		if m.begun || now-m.since > int64(farewellFor) {
			m.since = 0
			m.ending.Store(true)
		}
	}
	if m.ending.Load() {
		m.end() // again, since it may have been too early
		if m.since == 0 {
			m.since = now
		}
		if m.soon && len(m.open) == 0 && now-m.since > int64(tailFor) {
			m.cut()
		}
	}
	for s := range m.open {
		s.watch()
		s.c.sweep(now)
	}
}

// leave has the client told that no further request is taken. Those that it has sent meanwhile are. A client that has only just connected
// did so to ask something: it is told when it has, or after a while, since one that is told before gives up on its first request.
func (m *mux) leave() {
	m.mu.Lock()
	begun := m.begun
	m.mu.Unlock()
	if m.parting.Store(true); begun {
		m.hurry()
	}
}

func (m *mux) hurry() {
	m.ending.Store(true)
	m.end()
}

func (m *mux) abort() {
	m.mu.Lock()
	for s := range m.open {
		s.c.abort()
	}
	m.mu.Unlock()
	m.cut()
}

// add begins to look after a stream. False: it is too late for that.
func (m *mux) add(s *stream) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.over {
		m.begun = true
		m.open[s] = struct{}{}
	}
	return !m.over
}

// remove ends that: nobody else touches the stream after it.
func (m *mux) remove(s *stream) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.open, s)
	if len(m.open) > 0 {
		return
	}
	m.since = 0 // the end of the answer is on its way yet
	if m.over {
		close(m.empty)
	}
}

// finish waits until every stream of a connection that has ended has ended too, and stops looking after it.
func (m *mux) finish() {
	m.mu.Lock()
	m.over = true
	n := len(m.open)
	m.mu.Unlock()
	if n > 0 {
		<-m.empty
	}
	m.e.drop(m)
}

// Bounds of one HTTP/2 connection. A client that resets streams faster than their handlers end is cut by the library once four times as
// many wait as may run.
const (
	maxStreams   = 250
	streamWindow = 256 << 10 // bytes of a request's body that may be on their way
	connWindow   = 1 << 20   // of all bodies of the connection
	stuckAfter   = time.Minute
	farewellFor  = time.Second     // between asking a client to begin nothing more and taking it at its word; net/http has the same
	tailFor      = 3 * time.Second // between the last answer's end and a cut of its connection: what got lost is sent again in that time
)

// preface is what clients of HTTP/2 without TLS begin with (RFC 9113 3.4), as far as it looks like a request's head.
var preface = []byte("PRI * HTTP/2.0\r\n\r\n")

func isH2(b []byte) bool { return bytes.HasPrefix(b, preface) }

// carryH2 carries an HTTP/2 connection to its end, in place of what carried it before, and counts it out.
func (e *Engine) carryH2(before carrier, l *Listener, t *tls.Conn, from origin) {
	m := e.newMux(l, from)
	m.from.proto = "HTTP/2.0"
	c := inBatches(t)
	if s := t.ConnectionState(); suitsHTTP2(&s) {
		c = newFrames(c, nil)
	} // else the library has the words for it
	e.carryMux(before, m, c)
	from.seat.rise()
	e.leave(l)
}

// suitsHTTP2 says whether HTTP/2 may be spoken over the connection (RFC 9113 9.2.2).
func suitsHTTP2(s *tls.ConnectionState) bool {
	switch s.CipherSuite {
	case tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256:
		return true
	}
	return s.Version >= tls.VersionTLS13
}

func (e *Engine) carryMux(before carrier, m *mux, c net.Conn) {
	s := m.l.site.Load()
	gone := make(chan struct{})
	server := &http.Server{
		Handler:           m,
		Protocols:         new(http.Protocols),
		MaxHeaderBytes:    headLimit(s),
		ReadHeaderTimeout: s.HeadTimeout,
		IdleTimeout:       s.KeepAlive,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerStream: streamWindow, MaxReceiveBufferPerConnection: connWindow,
			MaxReadFrameSize: 16 << 10, WriteByteTimeout: stuckAfter,
		},
		ErrorLog:                     log.New(io.Discard, "", 0),
		DisableGeneralOptionsHandler: true,
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed {
				close(gone)
			}
		},
	}
	server.Protocols.SetHTTP2(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	m.end = func() { go server.Shutdown(over) }
	m.cut = func() { socket(c).Close() }
	e.carry(before, m)
	ln := &single{c: c}
	server.Serve(ln)
	if ln.c != nil { // it was to end before it began
		c.Close()
	} else {
		<-gone
	}
	m.finish()
}

// over is a context that has ended: who waits with it does not wait.
var over = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// headLimit is what the library takes of a head. It cuts the connection beyond that, so the codec, which answers, has to be the first to
// say no.
func headLimit(s *Site) int {
	if s.Limits.Head > 0 {
		return 2 * s.Limits.Head
	}
	return 2 * h1.DefaultLimits.Head
}

// becomeH2 carries on with a connection that has turned out to speak HTTP/2.
func (c *conn) becomeH2() {
	c.due.enter(phaseBusy, 0)
	rest := newFrames(c.Conn, c.in[:c.n])
	c.free()
	m := c.e.newMux(c.l, c.from)
	m.from.proto = "HTTP/2.0"
	c.e.carryMux(c, m, rest)
}

// single is a listener with one connection.
type single struct{ c net.Conn }

// Accept returns the connection the first time.
func (s *single) Accept() (net.Conn, error) {
	c := s.c
	if s.c = nil; c == nil {
		return nil, net.ErrClosed
	}
	return c, nil
}

// Close does nothing.
func (*single) Close() error { return nil }

// Addr is needed for nothing.
func (*single) Addr() net.Addr { return &net.TCPAddr{} }
