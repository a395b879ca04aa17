package l7

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weirlb/weir/h1"
	"github.com/weirlb/weir/route"
)

// reply is an answer that Weir gives itself. Its body has the form that OpenAI-compatible clients expect.
type reply struct {
	status     int
	kind       string // error.type
	code       string // error.code: which limit or which failure
	message    string
	retryAfter time.Duration // 0: no Retry-After
	lines      []byte        // further header lines
	body       []byte        // in place of an error's; the answer is no error then
	framed     bool          // lines have Content-Length and Content-Type already
}

var (
	denied      = reply{status: 403, kind: "forbidden", code: "access", message: "this address may not send requests here"}
	noRoute     = reply{status: 404, kind: "not_found", code: "no_route", message: "no route matches this host and path"}
	crowded     = reply{status: 503, kind: "overloaded", code: "limits.connections", message: "this listener has as many connections as it may", retryAfter: time.Second}
	slow        = reply{status: 408, kind: "invalid_request", code: "timeouts.header", message: "the request did not arrive in time"}
	busyClient  = reply{status: 429, kind: "rate_limit_exceeded", code: "limits.clients", message: "this client has as many requests under way as it may", retryAfter: time.Second}
	slowBody    = reply{status: 408, kind: "invalid_request", code: "timeouts.body", message: "the request's body did not arrive in time"}
	expiredCall = reply{status: 504, kind: "timeout", code: "deadline", message: "the call's own time is up, and the target ended it"}
	tooBig      = reply{status: 413, kind: "invalid_request", code: "limits.body", message: "the request body is larger than allowed"}
)

// limits says whether a limit refused or ended the request, or else something went wrong.
func (r *reply) limits() bool {
	switch r.code {
	case "access", "deadline", "rate_limits":
		return true
	}
	return strings.Contains(r.code, ".") // a key of the config
}

func malformed(err error) reply {
	switch err {
	case errBodyTooBig:
		return tooBig
	case errCrawls:
		return slowBody
	}
	r := reply{status: 400, kind: "invalid_request", code: "malformed_request", message: err.Error()}
	var e *h1.Error
	if errors.As(err, &e) {
		r.status, r.message = e.Status, e.Reason
	}
	return r
}

// malformed is how the listener answers what is not a request in order. What is neither HTTP/1.1 nor, where that is taken too, HTTP/2
// is answered in the words of neither: the connection ends (RFC 9113 3.4).
func (l *Listener) malformed(err error) reply {
	if err == h1.ErrForeign && l.opts.H2C {
		return reply{}
	}
	return malformed(err)
}

func brokenTarget(why string) reply {
	return reply{status: 502, kind: "bad_gateway", code: "target_failed", message: why}
}

func unrewritable(err error) reply {
	return reply{status: 500, kind: "config", code: "rewrite", message: err.Error()}
}

func lateTarget(limit string, d time.Duration) reply {
	return reply{status: 504, kind: "timeout", code: limit, message: fmt.Sprintf("the target sent nothing for %v", d)}
}

var textPlain = []byte("Content-Type: text/plain; charset=utf-8\r\n")

// missed tells a client that no route takes its request, and those who may know which routes there are and why none did.
func (x *exchange) missed(r *route.Request) reply {
	why := x.whyNot(r)
	if m := x.site.Routes.Explain(r); len(m.Allowed) > 0 {
		return reply{
			status: 405, kind: "invalid_request", code: "method", message: "the method is not offered here; it takes " + m.Allow() + why,
			lines: []byte("Allow: " + m.Allow() + "\r\n"),
		}
	}
	out := noRoute
	out.message += why
	return out
}

// maxReasons bounds how many routes an answer explains.
const maxReasons = 50

// whyNot goes through the routes: all for who asked and may ask, and those whose Debug is set for everybody.
func (x *exchange) whyNot(r *route.Request) string {
	all := x.asksWhy()
	if !all && !slices.ContainsFunc(x.site.To, func(r *Route) bool { return r.Debug }) {
		return ""
	}
	var out []byte
	for i, why := range x.site.Routes.Reasons(r) {
		if to := x.site.To[why.Route]; (all || to.Debug) && i < maxReasons {
			out = fmt.Appendf(out, "; route %s: %s", to.Name, why.Why)
		}
	}
	return string(out)
}

// append appends the whole answer, or nothing if that is the answer. last says that the connection ends after it.
func (r reply) append(out []byte, isHead, last bool) []byte {
	if r.status == 0 {
		return out
	}
	body := r.body
	if r.kind != "" {
		body = r.problem()
	}
	out = fmt.Appendf(out, "HTTP/1.1 %d %s\r\n", r.status, http.StatusText(r.status))
	if r.kind != "" {
		out = append(out, "Content-Type: application/json\r\n"...)
	}
	if !r.framed && r.status != http.StatusNoContent && r.status != http.StatusNotModified {
		out = fmt.Appendf(out, "Content-Length: %d\r\n", len(body))
	}
	out = append(out, r.lines...)
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

// problem is the body of an error.
func (r reply) problem() []byte {
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
	return append(body, '\n')
}
