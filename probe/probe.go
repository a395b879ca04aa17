// Package probe asks targets how they are: readiness, liveness and warm-up requests over real connections.
package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"reflect"
	"strings"
	"syscall"
	"time"

	"github.com/weirlb/weir/health"
)

// Check is one active check and its rhythm. The zero value opens a connection every 15 s.
type Check struct {
	Path     string            // of the request; "" only opens a connection
	Method   string            // "" is GET
	Headers  map[string]string // beside Weir's own; Host names the virtual host
	Interval time.Duration     // from the begin of one check to that of the next; 0 is 15 s
	Timeout  time.Duration     // of one check, from the connection to the last byte looked at; 0 is 5 s
	Expect   Expect
	Rule     health.Rule

	// Named are fields of a JSON answer, of any status, that must have these values as well. Which of them do not is told.
	Named map[string]any

	// StartInterval is the interval while a target has never passed; 0 is the smaller of Interval and 250 ms. It grows
	// with the wait, see [Watch].
	StartInterval time.Duration

	// Dial opens connections; nil is the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Equal says whether two checks ask the same in the same rhythm.
func (c Check) Equal(d Check) bool {
	c.Dial, d.Dial = nil, nil
	return reflect.DeepEqual(c, d)
}

func (c Check) timeout() time.Duration { return or(c.Timeout, 5*time.Second) }

// or is d, or what it is when the field was left out.
func or(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}

// Once runs one check on a connection of its own, so that it also learns whether the target still accepts any. addr is
// host:port. When ctx ends first the outcome is a failure that says nothing about the target.
func (c Check) Once(ctx context.Context, addr string) health.Outcome {
	ctx, cancel := context.WithTimeout(ctx, c.timeout())
	defer cancel()
	began := time.Now()
	o := c.ask(ctx, addr)
	if !o.Pass && len(c.Named) > 0 && len(o.Failing) == 0 {
		o.Failing = []string{health.FailingOther}
		if o.Code == health.CodeTimeout {
			o.Failing[0] = health.FailingTimeout
		}
	}
	o.Latency = time.Since(began)
	return o
}

func (c Check) ask(ctx context.Context, addr string) health.Outcome {
	if c.Path == "" {
		conn, err := c.dial(ctx, "tcp", addr)
		if err != nil {
			return c.broken("connecting", err)
		}
		conn.Close()
		return health.Outcome{Pass: true, Reason: "it accepts connections"}
	}
	q := question{method: c.Method, path: c.Path, headers: c.Headers, dial: c.dial}
	if q.method == "" {
		q.method = http.MethodGet
	}
	resp, err := q.ask(ctx, addr)
	if err != nil {
		return c.broken(q.String(), err)
	}
	defer resp.Body.Close()
	good := c.Expect.status(resp.StatusCode)
	var body []byte
	if len(c.Named) > 0 || good && (len(c.Expect.JSON) > 0 || c.Expect.Body != "") {
		if body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody+1)); err != nil {
			return c.broken(q.String(), err)
		}
	}
	failing, names := c.failing(body)
	if !good {
		reason := fmt.Sprintf("%v: %d, expected %s", q, resp.StatusCode, c.Expect.statuses())
		if names != "" {
			reason += "; " + names
		}
		return health.Outcome{Code: health.CodeMismatch, Reason: reason, Failing: failing}
	}
	if names != "" {
		return health.Outcome{Code: health.CodeFailed, Reason: fmt.Sprintf("%v: %s", q, names), Failing: failing}
	}
	if len(c.Expect.JSON) == 0 && c.Expect.Body == "" {
		return health.Outcome{Pass: true, Reason: fmt.Sprintf("%v: %d", q, resp.StatusCode)}
	}
	if why := c.Expect.body(body); why != "" {
		return health.Outcome{Code: health.CodeFailed, Reason: fmt.Sprintf("%v: %s", q, why)}
	}
	return health.Outcome{Pass: true, Reason: fmt.Sprintf("%v: %d, as expected", q, resp.StatusCode)}
}

func (c Check) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if c.Dial != nil {
		return c.Dial(ctx, network, addr)
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}

// broken is the outcome of a check that got no whole answer.
func (c Check) broken(what string, err error) health.Outcome {
	code := health.CodeFailed
	if timedOut(err) {
		code = health.CodeTimeout
	}
	return health.Outcome{Code: code, Reason: what + ": " + unanswered{err, c.timeout()}.Error()}
}

func timedOut(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || ok && ne.Timeout()
}

// unanswered says for people why there was no whole answer.
type unanswered struct {
	err     error
	timeout time.Duration // that there was
}

func (u unanswered) Unwrap() error { return u.err }

func (u unanswered) Error() string {
	switch err := u.err; {
	case timedOut(err):
		return fmt.Sprintf("no answer within %v", u.timeout)
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed before the answer was whole"
	}
	if why, ok := strings.CutPrefix(u.err.Error(), "net/http: HTTP/1.x transport connection broken: "); ok {
		return "the answer is not HTTP: " + why
	}
	return u.err.Error()
}

// question is one request on a connection that serves nothing else.
type question struct {
	method  string
	path    string
	headers map[string]string
	body    string
	dial    func(ctx context.Context, network, address string) (net.Conn, error) // nil is the network
}

func (q question) String() string { return q.method + " " + q.path }

// maxHeader bounds the header of an answer, maxBody how much of its body is looked at, in bytes.
const (
	maxHeader = 64 << 10
	maxBody   = 64 << 10
)

// ask returns the answer, whose body the caller closes. A redirect is an answer and not followed.
func (q question) ask(ctx context.Context, addr string) (*http.Response, error) {
	path := q.path
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	req, err := http.NewRequestWithContext(ctx, q.method, "http://"+addr+path, bytes.NewReader([]byte(q.body)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "weir-probe")
	for k, v := range q.headers {
		req.Header.Set(k, v)
		if strings.EqualFold(k, "Host") {
			req.Host = v // net/http looks only here
		}
	}
	t := &http.Transport{DialContext: q.dial, DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeader}
	return t.RoundTrip(req)
}
