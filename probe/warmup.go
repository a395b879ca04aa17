package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"
)

// WarmUp is the request that an instance must answer before it takes traffic: the first one pays for what is loaded,
// compiled or cached on the way, and no user should be it.
type WarmUp struct {
	Path    string
	Method  string // "" is POST with a body, GET without
	Body    string
	Headers map[string]string // a body that is JSON needs no Content-Type
	Timeout time.Duration     // until the last byte of the answer; 0 is 60 s
}

// Run sends the request to addr (host:port) and reads the whole answer. Anything but 2xx is an error that shows the
// beginning of what came.
func (w WarmUp) Run(ctx context.Context, addr string) error {
	timeout := or(w.Timeout, 60*time.Second)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	q := w.question()
	resp, err := q.ask(ctx, addr)
	if err != nil {
		return fmt.Errorf("%v: %w", q, unanswered{err, timeout})
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		head, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10)) // the status says enough if it breaks off
		return fmt.Errorf("%v: %d, expected 200 to 299: %s", q, resp.StatusCode, cut(strings.Join(strings.Fields(string(head)), " "), 200))
	}
	if n, err := io.Copy(io.Discard, resp.Body); err != nil {
		return fmt.Errorf("%v: %d, but after %d bytes of the answer: %w", q, resp.StatusCode, n, unanswered{err, timeout})
	}
	return nil
}

func (w WarmUp) question() question {
	q := question{method: w.Method, path: w.Path, headers: maps.Clone(w.Headers), body: w.Body}
	if q.method == "" {
		if q.method = http.MethodGet; w.Body != "" {
			q.method = http.MethodPost
		}
	}
	typed := false
	for name := range q.headers {
		typed = typed || strings.EqualFold(name, "Content-Type")
	}
	if !typed && w.Body != "" && json.Valid([]byte(w.Body)) {
		if q.headers == nil {
			q.headers = map[string]string{}
		}
		q.headers["Content-Type"] = "application/json"
	}
	return q
}
