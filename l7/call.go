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
	"strconv"
	"strings"
	"time"

	"github.com/weirlb/weir/h1"
)

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

// request is the request as net/http wants it, without its body.
func (c *call) request() *http.Request {
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
	return r
}

// begin sends the request, of whose body the first part is there.
func (c *call) begin(first []byte) {
	c.began = true
	r := c.request()
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
