package l7

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weirlb/weir/h1"
	"github.com/weirlb/weir/pool"
)

// stream is one request that came by HTTP/2 or HTTP/3 in the shape of an HTTP/1.1 connection that carries this request alone, so that it
// is driven, checked and forwarded like every other: its head is put into the words of HTTP/1.1 and goes through the codec, Read
// frames its body as that head says, and Write takes the answer apart again.
type stream struct {
	c conn // drives the exchange; its Conn is the stream
	m *mux
	w http.ResponseWriter
	k *http.ResponseController
	r *http.Request

	left  func() bool // takes the watch for the client's leaving back; nil before there is one
	rest  []byte      // framing that Read had no room for
	ended bool        // the body was read to its end
	key   string      // of the WebSocket that is asked for; "": none is
	raw   bool        // bytes pass as they are, as a WebSocket

	resp     h1.Response
	answer   h1.Data
	answered bool // the final answer's head was written
	cut      bool // the answer is not whole
}

var streamPool = sync.Pool{New: func() any {
	s := &stream{}
	s.c.Conn = s
	s.c.ready = make(chan struct{}, 1)
	s.c.x.own.Ready = func(*pool.Lease) { s.c.ready <- struct{}{} }
	s.c.x.eager = eagerBody
	return s
}}

// eagerBody is up to how many bytes a request's body is read before its target is chosen: it can be sent to a second target then, and
// needs no goroutine of its own. Frames with that much follow their head at once.
const eagerBody = 16 << 10

// ServeHTTP carries one request of the connection.
func (m *mux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := streamPool.Get().(*stream)
	s.begin(m, w, r)
	whole := false
	if m.add(s) {
		s.serve()
		m.remove(s)
		whole = s.whole()
	}
	s.end()
	if !whole {
		panic(http.ErrAbortHandler) // resets the stream: it is net/http's way to say so, and is logged nowhere
	}
}

func (s *stream) begin(m *mux, w http.ResponseWriter, r *http.Request) {
	s.m, s.w, s.k, s.r = m, w, http.NewResponseController(w), r
	s.left, s.rest, s.ended, s.key, s.raw, s.answered, s.cut = nil, nil, false, "", false, false, false
	c := &s.c
	c.l, c.e, c.from = m.l, m.e, m.from
	c.closing.Store(false)
	c.due.enter(phaseBusy, 0)
	c.buf = bufferPool.Get().(*buffers)
	c.x.grpc = isGRPC(r)
	if r.ProtoMajor == 3 && r.ContentLength < 0 {
		s.peek()
	}
	c.in = s.appendHead(c.buf.in[:0])
	c.n = len(c.in)
	c.in = c.in[:cap(c.in)]
}

// peek finds out whether a request that gives no length has a body at all: HTTP/3 does not say. The methods that hardly ever have one are
// waited for; with others the body may be a conversation.
func (s *stream) peek() {
	r := s.r
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodDelete:
	default:
		return
	}
	if d := s.m.l.site.Load().HeadTimeout; d > 0 {
		s.k.SetReadDeadline(time.Now().Add(d))
		defer s.k.SetReadDeadline(noDeadline)
	}
	first := make([]byte, 512)
	switch n, err := readSome(r.Body, first); {
	case n > 0:
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(first[:n]), r.Body), r.Body}
	case errors.Is(err, io.EOF) && len(r.Trailer) == 0:
		r.ContentLength = 0
	}
}

func (s *stream) end() {
	s.c.free()
	s.m, s.w, s.k, s.r, s.c.in, s.c.upload = nil, nil, nil, nil, nil, nil
	if s.left == nil || s.left() { // else the watch is about to look whether s is still there: it must not find the next request
		streamPool.Put(s)
	}
}

func (s *stream) serve() {
	c := &s.c
	site := c.l.site.Load()
	if err := c.x.request(c.in[:c.n], site.Limits); err != nil {
		if err == h1.ErrMore {
			err = h1.ErrLineEnd // cannot be
		}
		c.refuse(malformed(err))
		return
	}
	c.exchange(site)
}

// whole says whether the client got all of an answer.
func (s *stream) whole() bool {
	return s.answered && !s.cut && (s.raw || s.answer.Done() || s.answer.UntilClose())
}

// watch has the client's leaving noticed at once. As with other connections that begins when the exchange takes longer than a sweep.
func (s *stream) watch() {
	if s.left != nil {
		return
	}
	m := s.m
	s.left = context.AfterFunc(s.r.Context(), func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if _, ok := m.open[s]; ok {
			s.c.left()
		}
	})
}

// appendHead puts the request's head into the words of HTTP/1.1. What could end a line early is left for the codec to refuse.
func (s *stream) appendHead(b []byte) []byte {
	r := s.r
	method := r.Method
	if asksWebSocket(r) {
		s.key = newKey()
		method = "GET"
	}
	b = appendClean(b, method)
	b = appendClean(append(b, ' '), r.RequestURI)
	b = append(b, " HTTP/1.1\r\n"...)
	b = appendField(b, "Host", r.Host)
	for name, values := range r.Header {
		switch name {
		case "Content-Length", "Transfer-Encoding", "Connection", "Expect", "Upgrade", ":protocol":
			continue // said below, or of no meaning here
		case "Host":
			if values[0] == r.Host {
				continue
			}
		}
		for _, v := range values {
			b = appendField(b, name, v)
		}
	}
	switch {
	case s.key != "":
		b = append(append(append(b, "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: "...), s.key...), "\r\n"...)
	case r.ContentLength < 0:
		b = appendTrailerNames(append(b, "Transfer-Encoding: chunked\r\n"...), r.Trailer)
	case r.ContentLength > 0 || len(r.Header["Content-Length"]) > 0:
		b = strconv.AppendInt(append(b, "Content-Length: "...), r.ContentLength, 10)
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...)
}

func appendField(b []byte, name, value string) []byte {
	b = appendClean(b, name)
	b = appendClean(append(b, ": "...), value)
	return append(b, "\r\n"...)
}

// appendClean appends s. What would end the line becomes a byte that the codec refuses everywhere.
func appendClean(b []byte, s string) []byte {
	if strings.ContainsAny(s, "\r\n") {
		return append(b, 0)
	}
	return append(b, s...)
}

// Read reads the request's body, in chunks if its length is not known.
func (s *stream) Read(p []byte) (int, error) {
	if len(s.rest) > 0 {
		n := copy(p, s.rest)
		s.rest = s.rest[n:]
		return n, nil
	}
	if s.ended {
		return 0, io.EOF
	}
	if s.raw || s.r.ContentLength >= 0 {
		return readSome(s.r.Body, p)
	}
	n, end, err := readChunk(p, s.r.Body)
	if end {
		s.ended = true
		s.rest = appendTrailers(s.rest[:0], s.r.Trailer)
		return s.Read(p)
	}
	return n, err
}

// readSome reads until there is something: quic-go's bodies return nothing where a frame ends.
func readSome(r io.Reader, p []byte) (int, error) {
	for {
		if n, err := r.Read(p); n > 0 || err != nil {
			return n, err
		}
	}
}

// readChunk reads a chunk of r's data. end: there was none left.
func readChunk(p []byte, r io.Reader) (n int, end bool, err error) {
	const head, tail = len("fffff\r\n"), len("\r\n")
	if len(p) <= head+tail {
		return 0, false, io.ErrShortBuffer // no caller has such a small one
	}
	n, err = readSome(r, p[head:min(len(p)-tail, 1<<20)])
	switch {
	case n > 0:
		if errors.Is(err, io.EOF) {
			err = nil // it is said again
		}
		return len(appendChunk(p[:0], p[head:head+n])), false, err
	case errors.Is(err, io.EOF):
		return 0, true, nil
	}
	return 0, false, err
}

// appendTrailers appends what ends a chunked body.
func appendTrailers(b []byte, trailers http.Header) []byte {
	b = append(b, "0\r\n"...)
	for name, values := range trailers {
		for _, v := range values {
			b = appendField(b, name, v)
		}
	}
	return append(b, "\r\n"...)
}

// appendTrailerNames appends the header line that announces trailers, if there are any.
func appendTrailerNames(b []byte, trailers http.Header) []byte {
	if len(trailers) == 0 {
		return b
	}
	b = append(b, "Trailer: "...)
	for name := range trailers {
		b = append(appendClean(b, name), ", "...)
	}
	return append(b[:len(b)-len(", ")], "\r\n"...)
}

// Write takes in an answer: heads, each whole and at the beginning of a write, and then the body as its head frames it. Everything but
// the end of the answer is flushed, as the end is when the handler returns.
func (s *stream) Write(p []byte) (int, error) {
	n := len(p)
	for !s.answered {
		if len(p) == 0 {
			return n, nil
		}
		if err := s.resp.Parse(p, h1.Limits{Head: 1 << 20}); err != nil {
			return 0, err
		}
		if err := s.head(); err != nil {
			return 0, err
		}
		p = p[s.resp.Len:]
	}
	if err := s.body(p); err != nil {
		return 0, err
	}
	if !s.raw && s.answer.Done() {
		return n, nil
	}
	return n, s.k.Flush()
}

// head passes on a head.
func (s *stream) head() error {
	status := s.resp.Status
	switch status {
	case http.StatusContinue:
		return nil // the library says that by itself when the body is read
	case http.StatusSwitchingProtocols:
		if s.key == "" || string(s.resp.Get("sec-websocket-accept")) != acceptOf(s.key) {
			return errNoWebSocket
		}
		s.raw, status = true, http.StatusOK
	}
	h := s.w.Header()
	clear(h)
	for name, value := range s.resp.Each {
		key := headerKey(name)
		switch key {
		case "Connection", "Transfer-Encoding", "Keep-Alive", "Proxy-Connection", "Upgrade", "Sec-Websocket-Accept":
			continue
		}
		h[key] = append(h[key], string(value))
	}
	if !s.resp.Interim() {
		s.answered = true
		s.answer.Reset(h1.ResponseBody(&s.resp, s.c.x.req.IsHead))
		if _, ok := h["Content-Type"]; !ok {
			h["Content-Type"] = nil // not to be guessed
		}
	}
	s.w.WriteHeader(status)
	return nil
}

// headerKey is the canonical form of a header's name.
func headerKey(name []byte) string { return http.CanonicalHeaderKey(string(name)) }

// body passes on body bytes.
func (s *stream) body(p []byte) error {
	if s.raw {
		_, err := s.w.Write(p)
		return err
	}
	for len(p) > 0 && !s.answer.Done() {
		piece, n, err := s.answer.Next(p)
		if err != nil {
			return err
		}
		if p = p[n:]; len(piece) > 0 {
			if _, err := s.w.Write(piece); err != nil {
				return err
			}
		}
	}
	if s.answer.Done() {
		s.trailers()
	}
	return nil
}

// trailers has the trailers sent when the handler returns.
func (s *stream) trailers() {
	h := s.w.Header()
	for name, value := range s.answer.Trailers {
		key := headerKey(name)
		if !declared(h["Trailer"], key) {
			key = http.TrailerPrefix + key
		}
		h[key] = append(h[key], string(value))
	}
}

func declared(trailer []string, key string) bool {
	for _, list := range trailer {
		for name := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(strings.TrimSpace(name), key) {
				return true
			}
		}
	}
	return false
}

// CloseWrite ends what is sent to the client, which is all that can be done after the other side of a tunnel has closed: a stream that
// waited for the client then would wait for ever.
func (s *stream) CloseWrite() error {
	if s.raw {
		s.k.SetReadDeadline(past)
	}
	return errNoHalf
}

var errNoHalf = errors.New("a stream ends when its handler does")

// Close does nothing: the handler's return closes a stream.
func (s *stream) Close() error { return nil }

// LocalAddr is where the connection came in.
func (s *stream) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(s.m.from.local) }

// RemoteAddr is the client's address.
func (s *stream) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(s.m.from.peer) }

// SetDeadline interrupts reads and writes at t.
func (s *stream) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

// SetReadDeadline interrupts reads at t.
func (s *stream) SetReadDeadline(t time.Time) error { return s.k.SetReadDeadline(t) }

// SetWriteDeadline interrupts writes at t.
func (s *stream) SetWriteDeadline(t time.Time) error { return s.k.SetWriteDeadline(t) }
