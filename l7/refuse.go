package l7

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/weirlb/weir/h1"
)

// refusal is an answer that Weir gives itself. Its body has the form that OpenAI-compatible clients expect.
type refusal struct {
	status     int
	kind       string // error.type
	code       string // error.code: which limit or which failure
	message    string
	retryAfter time.Duration // 0: no Retry-After
}

var (
	noRoute = refusal{status: 404, kind: "not_found", code: "no_route", message: "no route matches this host and path"}
	crowded = refusal{status: 503, kind: "overloaded", code: "limits.connections", message: "this listener has as many connections as it may", retryAfter: time.Second}
	slow    = refusal{status: 408, kind: "invalid_request", code: "timeouts.header", message: "the request did not arrive in time"}
	tooBig  = refusal{status: 413, kind: "invalid_request", code: "limits.body", message: "the request body is larger than allowed"}
)

func malformed(err error) refusal {
	r := refusal{status: 400, kind: "invalid_request", code: "malformed_request", message: err.Error()}
	var e *h1.Error
	if errors.As(err, &e) {
		r.status, r.message = e.Status, e.Reason
	}
	return r
}

func brokenTarget(why string) refusal {
	return refusal{status: 502, kind: "bad_gateway", code: "target_failed", message: why}
}

func lateTarget(limit string, d time.Duration) refusal {
	return refusal{status: 504, kind: "timeout", code: limit, message: fmt.Sprintf("the target sent nothing for %v", d)}
}

// append appends the whole answer. last says that the connection ends after it.
func (r refusal) append(out []byte, isHead, last bool) []byte {
	type detail struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    string  `json:"code"`
	}
	body, err := json.Marshal(map[string]detail{"error": {Message: r.message, Type: r.kind, Code: r.code}})
	if err != nil { // cannot be: strings always marshal
		body = []byte(`{"error":{}}`)
	}
	body = append(body, '\n')
	out = fmt.Appendf(out, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n", r.status, http.StatusText(r.status), len(body))
	if r.retryAfter > 0 {
		out = append(out, "Retry-After: "...)
		out = strconv.AppendInt(out, int64((r.retryAfter+time.Second-1)/time.Second), 10)
		out = append(out, "\r\n"...)
	}
	if last {
		out = append(out, "Connection: close\r\n"...)
	}
	out = append(out, "\r\n"...)
	if isHead {
		return out
	}
	return append(out, body...)
}
