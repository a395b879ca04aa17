package l7

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weirlb/weir/h1"
)

// lines are the HTTP/2 connections to one target. Each carries as many calls at a time as the target allows.
type lines struct {
	mu      sync.Mutex
	open    []*line
	dialing *attempt // which others wait for; nil: none
}

type line struct {
	*http.ClientConn
	manner manner
	used   time.Time // when it was last given a call
}

// attempt is the opening of a line.
type attempt struct {
	manner manner
	done   chan struct{}
	err    error
}

// call begins an exchange with a target that speaks HTTP/2.
func (l *link) call(ctx context.Context, d *Destination, from *origin, fresh bool) (*upstream, error) {
	m := d.manner(from)
	for {
		n, a, own := l.lines.take(m, fresh)
		switch {
		case n != nil:
			return l.begin(n, true), nil
		case own:
			n, err := l.line(ctx, d, from)
			l.lines.settle(a, n, err, l.closed.Load())
			if err != nil {
				return nil, err
			}
			return l.begin(n, false), nil
		}
		select { // many calls at a time shall not each open a line
		case <-a.done:
			if a.err != nil {
				return nil, a.err
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("dial %s: %w", l.name, ctx.Err())
		}
	}
}

// take finds a line with room for a call, which is reserved, and forgets those that ended. Where there is none, a is what opens one: the
// caller, if own, and else somebody to wait for.
func (ls *lines) take(m manner, fresh bool) (found *line, a *attempt, own bool) {
	if fresh {
		return nil, &attempt{done: make(chan struct{})}, true
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.open = slices.DeleteFunc(ls.open, func(n *line) bool {
		switch {
		case n.Err() != nil:
			return true
		case found == nil && n.manner == m && n.Reserve() == nil:
			found = n
			n.used = time.Now()
		case n.Available() == 0 && n.InFlight() == 0: // the target has said that it will take no more
			n.Close()
			return true
		}
		return false
	})
	if found != nil {
		return found, nil, false
	}
	if a := ls.dialing; a != nil && a.manner == m {
		return nil, a, false
	}
	ls.dialing = &attempt{manner: m, done: make(chan struct{})}
	return nil, ls.dialing, true
}

// settle tells those who wait how an attempt went. n is for all of them.
func (ls *lines) settle(a *attempt, n *line, err error, closed bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.dialing == a {
		ls.dialing = nil
	}
	switch {
	case err != nil:
		a.err = err
	case closed:
		n.endWhenIdle()
	default:
		ls.open = append(ls.open, n)
	}
	close(a.done)
}

// line opens a line with one call reserved.
func (l *link) line(ctx context.Context, d *Destination, from *origin) (*line, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return l.open(ctx, d, from) }
	t := &http.Transport{
		Protocols: new(http.Protocols), DialContext: dial, DialTLSContext: dial, DisableCompression: true,
		MaxResponseHeaderBytes: 64 << 10,
		HTTP2:                  &http.HTTP2Config{WriteByteTimeout: stuckAfter},
	}
	m := d.manner(from)
	if d.TLS != nil {
		t.Protocols.SetHTTP2(true)
	} else {
		t.Protocols.SetUnencryptedHTTP2(true)
	}
	c, err := t.NewClientConn(ctx, m.scheme(), l.name)
	if err != nil {
		return nil, err
	}
	if err := c.Reserve(); err != nil {
		c.Close()
		return nil, fmt.Errorf("dial %s: %w", l.name, err)
	}
	return &line{ClientConn: c, manner: m, used: time.Now()}, nil
}

// endWhenIdle closes the line after the last of its calls.
func (n *line) endWhenIdle() {
	n.SetStateHook(func(c *http.ClientConn) {
		if c.InFlight() == 0 {
			c.Close()
		}
	})
	if n.InFlight() == 0 {
		n.Close()
	}
}

// expire closes the lines that have been idle for longer than age; 0: all lines, as soon as they are.
func (ls *lines) expire(now time.Time, age time.Duration) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.open = slices.DeleteFunc(ls.open, func(n *line) bool {
		switch {
		case age == 0:
			n.endWhenIdle()
			return true
		case n.Err() != nil:
			return true
		case n.InFlight() > 0:
			n.used = now
		case now.Sub(n.used) > age:
			n.Close()
			return true
		}
		return false
	})
}

// begin makes a reserved call.
func (l *link) begin(n *line, reused bool) *upstream {
	c := &call{link: l, line: n, got: make(chan struct{}), reading: newAlarm()}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return &upstream{Conn: c, link: l, manner: n.manner, reused: reused, once: true}
}

// call is one exchange with a target over HTTP/2 in the shape of an HTTP/1.1 connection: what is written to it is a request in the words
// of HTTP/1.1, which is taken apart, and what is read from it is the answer in those words.
type call struct {
	link   *link
	line   *line
	ctx    context.Context
	cancel context.CancelFunc

	req   h1.Request
	body  h1.Data // of the request
	began bool
	more  *io.PipeWriter // for the part of the body that did not come with the head

	got     chan struct{} // closed when there is an answer or an error
	res     *http.Response
	err     error
	reading *alarm
	rest    []byte // framing that Read had no room for
	invited bool   // the client was asked for the body it holds back
	headed  bool   // the answer's head was read
	chunked bool
	ended   bool
}

// errUnprocessed says that the target has not begun to work on a request.
var errUnprocessed = errors.New("the target did not take the request")

// Write takes in the request: first its head, whole, and what came with it of the body, then the rest.
func (c *call) Write(p []byte) (int, error) {
	n := len(p)
	if !c.began {
		if err := c.req.Parse(p, h1.Limits{Head: 1 << 20, URI: 1 << 20}); err != nil {
			return 0, err
		}
		c.body.Reset(h1.RequestBody(&c.req))
		data, err := c.data(nil, p[c.req.Len:])
		if err != nil {
			return 0, err
		}
		c.begin(data)
		return n, nil
	}
	for len(p) > 0 && !c.body.Done() {
		piece, k, err := c.body.Next(p)
		if err != nil {
			return 0, err
		}
		if p = p[k:]; len(piece) > 0 {
			if _, err := c.more.Write(piece); err != nil {
				return 0, err
			}
		}
	}
	if c.body.Done() {
		c.more.Close()
	}
	return n, nil
}

// data appends the data in body bytes.
func (c *call) data(to, p []byte) ([]byte, error) {
	for len(p) > 0 && !c.body.Done() {
		piece, k, err := c.body.Next(p)
		if err != nil {
			return to, err
		}
		to, p = append(to, piece...), p[k:]
	}
	return to, nil
}

// begin sends the request, of whose body the first part is there.
func (c *call) begin(first []byte) {
	c.began = true
	r := &http.Request{
		Method: string(c.req.Method), Host: string(c.req.Host), Header: http.Header{}, ContentLength: c.req.Length,
		// Opaque keeps the path as it came.
		URL: &url.URL{Scheme: c.line.manner.scheme(), Host: c.link.name, Opaque: "//" + string(c.req.Host) + string(c.req.Target)},
	}
	if r.Host == "" {
		r.URL.Opaque = "//" + c.link.name + string(c.req.Target)
	}
	for name, value := range c.req.Each {
		switch key := headerKey(name); key {
		case "Host", "Connection", "Upgrade", "Content-Length", "Transfer-Encoding", "Expect":
		case "Trailer":
			for name := range strings.SplitSeq(string(value), ",") {
				if r.Trailer == nil {
					r.Trailer = http.Header{}
				}
				r.Trailer[http.CanonicalHeaderKey(strings.TrimSpace(name))] = nil
			}
		default:
			r.Header[key] = append(r.Header[key], string(value))
		}
	}
	r.Header["Te"] = []string{"trailers"} // gRPC wants to be told that they get through
	if _, ok := r.Header["User-Agent"]; !ok {
		r.Header["User-Agent"] = nil
	}
	switch {
	case c.body.Done() && len(first) == 0 && r.Trailer == nil:
		r.Body, r.ContentLength = http.NoBody, 0
	case c.body.Done():
		r.Body = &outgoing{c: c, r: r, Reader: bytes.NewReader(first)}
	default:
		pr, pw := io.Pipe()
		c.more = pw
		// net/http looks at the context no more when it waits for the body and has the answer's head.
		context.AfterFunc(c.ctx, func() { pw.CloseWithError(context.Canceled) })
		r.Body = &outgoing{c: c, r: r, Reader: io.MultiReader(bytes.NewReader(first), pr), pipe: pr}
	}
	if !c.req.Chunked && c.req.Length <= 0 {
		r.ContentLength = 0
	} else if c.req.Chunked {
		r.ContentLength = -1
	}
	r = r.WithContext(c.ctx)
	go func() {
		c.res, c.err = c.line.RoundTrip(r)
		if unprocessed(c.err) {
			c.err = fmt.Errorf("%w: %w", errUnprocessed, c.err)
		}
		close(c.got)
	}()
}

// outgoing is the body of a request on its way to a target.
type outgoing struct {
	io.Reader
	c    *call
	r    *http.Request
	pipe *io.PipeReader // nil: all of it was there
}

// Read reads on, and gives the trailers that were announced their values at the end.
func (o *outgoing) Read(p []byte) (int, error) {
	n, err := o.Reader.Read(p)
	if err == io.EOF {
		for name, value := range o.c.body.Trailers {
			if key := headerKey(name); o.r.Trailer != nil {
				o.r.Trailer[key] = append(o.r.Trailer[key], string(value))
			}
		}
	}
	return n, err
}

// Close makes writes to the body fail.
func (o *outgoing) Close() error {
	if o.pipe != nil {
		return o.pipe.Close()
	}
	return nil
}

// streamError has the fields of net/http's own, which errors.As fills in.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

// Error is the code.
func (e streamError) Error() string { return "stream error " + strconv.Itoa(int(e.Code)) }

// unprocessed says whether an error of HTTP/2 promises that the target has not looked at the request (RFC 9113 8.7).
func unprocessed(err error) bool {
	const refused = 7
	if e := (streamError{}); errors.As(err, &e) {
		return e.Code == refused
	}
	return err != nil && strings.Contains(err.Error(), "graceful shutdown GOAWAY")
}

// Read reads the answer.
func (c *call) Read(p []byte) (int, error) {
	if len(c.rest) > 0 {
		n := copy(p, c.rest)
		c.rest = c.rest[n:]
		return n, nil
	}
	if c.req.Expect && !c.invited {
		c.invited = true
		c.rest = append(c.rest[:0], "HTTP/1.1 100 Continue\r\n\r\n"...)
		return c.Read(p)
	}
	if !c.headed {
		select {
		case <-c.got:
		case <-c.reading.rung():
			return 0, os.ErrDeadlineExceeded
		}
		if c.err != nil {
			return 0, c.err
		}
		c.headed = true
		c.rest = c.appendHead(c.rest[:0])
		return c.Read(p)
	}
	switch {
	case c.ended:
		return 0, io.EOF
	case !c.chunked:
		return c.res.Body.Read(p)
	}
	n, end, err := readChunk(p, c.res.Body)
	if end {
		c.ended = true
		c.rest = appendTrailers(c.rest[:0], c.res.Trailer)
		return c.Read(p)
	}
	return n, err
}

// appendHead appends the answer's head.
func (c *call) appendHead(b []byte) []byte {
	r := c.res
	b = append(strconv.AppendInt(append(b, "HTTP/1.1 "...), int64(r.StatusCode), 10), ' ')
	b = append(append(b, http.StatusText(r.StatusCode)...), "\r\n"...)
	bodyless := c.req.IsHead || r.StatusCode == http.StatusNoContent || r.StatusCode == http.StatusNotModified
	c.chunked = !bodyless && (r.ContentLength < 0 || len(r.Trailer) > 0)
	for name, values := range r.Header {
		switch name {
		case "Connection", "Transfer-Encoding", "Keep-Alive", "Proxy-Connection", "Upgrade":
			continue
		case "Content-Length":
			if c.chunked {
				continue
			}
		}
		for _, v := range values {
			b = appendField(b, name, v)
		}
	}
	if c.chunked {
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
		b = appendTrailerNames(b, r.Trailer)
	} else if !bodyless && len(r.Header["Content-Length"]) == 0 {
		b = append(strconv.AppendInt(append(b, "Content-Length: "...), r.ContentLength, 10), "\r\n"...)
	}
	return append(b, "\r\n"...)
}

// Close gives the call up, unless it is over.
func (c *call) Close() error {
	c.cancel()
	if !c.began {
		c.line.Release()
	}
	return nil
}

// LocalAddr is of no use.
func (c *call) LocalAddr() net.Addr { return &net.TCPAddr{} }

// RemoteAddr is of no use either.
func (c *call) RemoteAddr() net.Addr { return &net.TCPAddr{} }

// SetDeadline gives the call up when t is past already, and interrupts reads at t.
func (c *call) SetDeadline(t time.Time) error {
	c.reading.set(t)
	if t == past {
		c.cancel()
	}
	return nil
}

// SetReadDeadline interrupts reads of the answer's head at t.
func (c *call) SetReadDeadline(t time.Time) error {
	c.reading.set(t)
	return nil
}

// SetWriteDeadline does nothing: the call is given up by SetDeadline.
func (c *call) SetWriteDeadline(time.Time) error { return nil }

// alarm rings at a time that may be changed.
type alarm struct {
	mu    sync.Mutex
	turn  int // of set
	timer *time.Timer
	bell  chan struct{} // closed when it has rung
	rang  bool
}

func newAlarm() *alarm { return &alarm{bell: make(chan struct{})} }

func (a *alarm) rung() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.bell
}

// set has it ring at t, and not before; the zero time: never.
func (a *alarm) set(t time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.turn++
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
	if a.rang {
		a.bell, a.rang = make(chan struct{}), false
	}
	if t.IsZero() {
		return
	}
	d := time.Until(t)
	if d <= 0 {
		a.ring()
		return
	}
	turn := a.turn
	a.timer = time.AfterFunc(d, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if turn == a.turn { // no other time was set meanwhile
			a.ring()
		}
	})
}

func (a *alarm) ring() {
	a.rang = true
	close(a.bell)
}
