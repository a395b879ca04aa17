// Package probe asks targets how they are: readiness, liveness and warm-up requests over real connections.
package probe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/target"
)

// Check is one active check and its rhythm.
type Check struct {
	Path          string        // of the request; "" only opens a connection
	Method        string        // "" is GET
	Interval      time.Duration // between two checks
	StartInterval time.Duration // between two checks of a target that never passed; 0 is the smaller of Interval and 250 ms
	Timeout       time.Duration // of one check
	Expect        Expect
	Rule          health.Rule

	// Dial opens connections; nil is the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Expect is what an answer must be. Zero parts are not looked at, but a status always is.
type Expect struct {
	Status []int          // one of these; none means 200 to 299
	JSON   map[string]any // fields of the body, "a.b" reaches into objects
	Body   string         // text in the body
}

// Equal says whether two checks ask the same in the same rhythm.
func (c Check) Equal(d Check) bool {
	c.Dial, d.Dial = nil, nil
	return reflect.DeepEqual(c, d)
}

// maxBody bounds how much of an answer is looked at.
const maxBody = 64 << 10

// Once runs one check on a connection of its own.
func (c Check) Once(ctx context.Context, addr string) health.Outcome {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	began := time.Now()
	o := c.ask(ctx, addr)
	o.Latency = time.Since(began)
	return o
}

func (c Check) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if c.Dial != nil {
		return c.Dial(ctx, network, addr)
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
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
	method := c.Method
	if method == "" {
		method = http.MethodGet
	}
	what := method + " " + c.Path
	resp, err := roundTrip(ctx, c.dial, method, addr, c.Path, nil, nil)
	if err != nil {
		return c.broken(what, err)
	}
	defer resp.Body.Close()
	if !c.Expect.status(resp.StatusCode) {
		return health.Outcome{Code: health.CodeMismatch, Reason: fmt.Sprintf("%s: %d, expected %s", what, resp.StatusCode, c.Expect.statuses())}
	}
	if c.Expect.JSON == nil && c.Expect.Body == "" {
		return health.Outcome{Pass: true, Reason: fmt.Sprintf("%s: %d", what, resp.StatusCode)}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return c.broken(what, err)
	}
	if why := c.Expect.body(body); why != "" {
		return health.Outcome{Code: health.CodeFailed, Reason: what + ": " + why}
	}
	return health.Outcome{Pass: true, Reason: fmt.Sprintf("%s: %d, as expected", what, resp.StatusCode)}
}

// broken is the outcome of a check that got no answer.
func (c Check) broken(what string, err error) health.Outcome {
	var ne net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return health.Outcome{Code: health.CodeFailed, Reason: what + ": connection refused"}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &ne) && ne.Timeout():
		return health.Outcome{Code: health.CodeTimeout, Reason: fmt.Sprintf("%s: no answer within %v", what, c.Timeout)}
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return health.Outcome{Code: health.CodeFailed, Reason: what + ": the connection was closed before the answer was whole"}
	}
	return health.Outcome{Code: health.CodeFailed, Reason: what + ": " + err.Error()}
}

// roundTrip sends one request on a connection that serves nothing else.
func roundTrip(ctx context.Context, dial func(context.Context, string, string) (net.Conn, error), method, addr, path string, headers map[string]string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+addr+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "weir-probe")
	for k, v := range headers {
		req.Header.Set(k, v)
	}
	t := &http.Transport{DialContext: dial, DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxBody}
	return t.RoundTrip(req) // not through a Client: a redirect is an answer
}

func (e Expect) status(got int) bool {
	if len(e.Status) == 0 {
		return got >= 200 && got < 300
	}
	return slices.Contains(e.Status, got)
}

func (e Expect) statuses() string {
	if len(e.Status) == 0 {
		return "200 to 299"
	}
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(e.Status), "[]"), " ", " or ")
}

// body says what is wrong with a body, "" when nothing is.
func (e Expect) body(b []byte) string {
	if e.Body != "" && !bytes.Contains(b, []byte(e.Body)) {
		return fmt.Sprintf("the body does not contain %q", e.Body)
	}
	if len(e.JSON) == 0 {
		return ""
	}
	var doc any
	if err := json.Unmarshal(b, &doc); err != nil {
		return "the body is not JSON: " + err.Error()
	}
	names := make([]string, 0, len(e.JSON))
	for n := range e.JSON {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		got, ok := lookup(doc, n)
		if !ok {
			return fmt.Sprintf("%s is missing, expected %s", n, show(e.JSON[n]))
		}
		if !same(got, e.JSON[n]) {
			return fmt.Sprintf("%s is %s, expected %s", n, show(got), show(e.JSON[n]))
		}
	}
	return ""
}

// lookup finds "a.b" in doc: the key as it stands first, then the object a's b.
func lookup(doc any, path string) (any, bool) {
	m, ok := doc.(map[string]any)
	if !ok {
		return nil, false
	}
	if v, ok := m[path]; ok {
		return v, true
	}
	for i := range len(path) {
		if path[i] != '.' {
			continue
		}
		if v, ok := m[path[:i]]; ok {
			if got, ok := lookup(v, path[i+1:]); ok {
				return got, true
			}
		}
	}
	return nil, false
}

// same compares values as JSON does: 1 is 1.0, but "1" is not 1.
func same(got, want any) bool {
	b, err := json.Marshal(want)
	if err != nil {
		return false
	}
	var w any
	if err := json.Unmarshal(b, &w); err != nil {
		return false
	}
	return reflect.DeepEqual(got, w)
}

func show(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	if len(b) > 100 {
		return string(b[:100]) + "…"
	}
	return string(b)
}

// Watch checks addr until ctx ends and reports the status after each check. from is what is known already: a reload hands
// it over, so that nothing is forgotten. The first check of a new target is at once; other first checks are
// spread over the interval, so that a restart does not check everything in the same moment.
func Watch(ctx context.Context, addr string, c Check, from health.Status, report func(health.Status)) {
	s := from
	wait := time.Duration(0)
	if s.State != target.Initial {
		wait = rand.N(c.Interval + 1)
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		o := c.Once(ctx, addr)
		if ctx.Err() != nil {
			return // the check was cut, the target is not to blame
		}
		s = c.Rule.Next(s, o, time.Now())
		report(s)
		wait = c.Interval
		if !s.Passed {
			wait = c.startInterval() // it is awaited, perhaps by requests that are held for it
		}
		t.Reset(wait)
	}
}

func (c Check) startInterval() time.Duration {
	if c.StartInterval > 0 {
		return c.StartInterval
	}
	return min(c.Interval, 250*time.Millisecond)
}

// WarmUp is the request that an instance must answer before it takes traffic.
type WarmUp struct {
	Path    string
	Method  string // "" is POST with a body, GET without
	Body    string
	Headers map[string]string
	Timeout time.Duration
}

// Run sends the request and reads the whole answer. Anything but 2xx is an error that shows what came.
func (w WarmUp) Run(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, w.Timeout)
	defer cancel()
	method := w.Method
	if method == "" {
		if method = http.MethodGet; w.Body != "" {
			method = http.MethodPost
		}
	}
	headers := w.Headers
	if w.Body != "" && headers["Content-Type"] == "" && json.Valid([]byte(w.Body)) {
		headers = map[string]string{"Content-Type": "application/json"}
		for k, v := range w.Headers {
			headers[k] = v
		}
	}
	resp, err := roundTrip(ctx, nil, method, addr, w.Path, headers, []byte(w.Body))
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("%s %s: no answer within %v", method, w.Path, w.Timeout)
		}
		return fmt.Errorf("%s %s: %w", method, w.Path, err)
	}
	defer resp.Body.Close()
	head, err := io.ReadAll(io.LimitReader(resp.Body, 200))
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
	}
	if err != nil {
		return fmt.Errorf("%s %s: reading the answer: %w", method, w.Path, err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("%s %s: %d %s", method, w.Path, resp.StatusCode, bytes.TrimSpace(head))
	}
	return nil
}
