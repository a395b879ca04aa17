package load

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// sender sends the requests of one stream.
type sender struct {
	kind      Kind
	base      *http.Request // what all its requests share; never changed
	timeout   time.Duration
	index     int // of the kind
	transport *http.Transport
	meter     *meter
	start     time.Time
}

// outcome is what became of one request.
type outcome struct {
	status  int
	latency time.Duration // from the intended start; 0 until it is over
	bytes   int64
	events  int64
	wait    time.Duration // that the server reports, when waited
	waited  bool
	aborted bool
	class   string // of failure; "" when done
	detail  string
}

// send makes one request and reads its answer to the end.
func (s *sender) send(ctx context.Context, i int, a Arrival, due time.Time) {
	now := time.Now()
	s.meter.sent(s.index, now, now.Sub(due))
	run := ctx
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	var o outcome
	err := s.exchange(ctx, i, a, due, &o)
	now = time.Now()
	if o.latency == 0 {
		o.latency = now.Sub(due)
	}
	if err != nil {
		if run.Err() != nil {
			o.aborted = true
		} else {
			o.class, o.detail = classify(err), describe(err)
		}
	}
	s.meter.ended(s.index, now, o)
}

// once is an empty body that cannot be made again. The transport resends a request that has none, or one that it can make again, when
// a kept-alive connection breaks under it; a load generator has to count that as the failure it is.
type once struct{}

func (once) Read([]byte) (int, error) { return 0, io.EOF }
func (once) Close() error             { return nil }

func (s *sender) exchange(ctx context.Context, i int, a Arrival, due time.Time, o *outcome) error {
	var req *http.Request
	if s.kind.Change == nil {
		req = s.base.WithContext(ctx)
	} else {
		req = s.base.Clone(ctx)
		s.kind.Change(req, i, a)
	}
	req.Body = once{}
	if s.kind.Body != nil {
		if body := s.kind.Body(i, a); len(body) > 0 {
			req.Body = io.NopCloser(bytes.NewReader(body))
			req.ContentLength = int64(len(body))
		}
	}
	resp, err := s.transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	o.status = resp.StatusCode
	o.wait, o.waited = reportedWait(resp.Header)
	if resp.StatusCode >= 400 {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
		rest, _ := io.Copy(io.Discard, resp.Body) // to use the connection again
		o.bytes = int64(len(said)) + rest
		return statusError{resp.StatusCode, strings.Join(strings.Fields(string(said)), " ")}
	}
	if !s.kind.Stream {
		o.bytes, err = io.Copy(io.Discard, resp.Body)
		if err != nil {
			return fmt.Errorf("%w: after %d bytes: %w", errCut, o.bytes, err)
		}
		return nil
	}
	if t := resp.Header.Get("Content-Type"); !strings.HasPrefix(t, "text/event-stream") {
		return fmt.Errorf("%w: Content-Type is %q", errNotStream, t)
	}
	return s.events(resp.Body, due, o)
}

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 8<<10) }}

// events reads a stream up to its [DONE], and then to its end so that the connection can be used again.
func (s *sender) events(body io.Reader, due time.Time, o *outcome) error {
	counted := &counter{r: body}
	defer func() { o.bytes = counted.n }()
	br := readers.Get().(*bufio.Reader)
	br.Reset(counted)
	defer func() { br.Reset(nil); readers.Put(br) }()
	r := eventReader{r: br}
	var last time.Time // of the event before, from the first token on
	for {
		data, err := r.next()
		if err == io.EOF {
			return fmt.Errorf("%w: it ended without [DONE] after %d events", errCut, o.events)
		}
		if err != nil {
			return fmt.Errorf("%w: after %d events: %w", errCut, o.events, err)
		}
		if string(data) == "[DONE]" {
			o.latency = time.Since(due) // what a server does behind the end of its answer keeps no user waiting
			_, _ = io.Copy(io.Discard, br)
			return nil
		}
		if isError(data) {
			return fmt.Errorf("%w: %s", errEvent, clipTo(string(data), 40))
		}
		now := time.Now()
		o.events++
		switch {
		case !last.IsZero():
			s.meter.gap(s.index, now, now.Sub(last))
			last = now
		case isToken(data):
			s.meter.token(s.index, now, now.Sub(due))
			last = now
		}
	}
}

// counter counts what is read through it.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
