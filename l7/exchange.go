package l7

import (
	"errors"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/h1"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/route"
)

// exchange is one request and its answer, whoever moves the bytes: it reads heads, routes, decides what is forwarded,
// when another target is tried and what the client is told. It does no I/O and never blocks, so that a blocked goroutine, an
// event loop and an HTTP/2 stream can drive the same exchange. A driver calls its methods in this order:
//
//	request -> route -> [lease] -> forward -> (answer while Interim) -> ... -> outcome
//
// and asks failed when something breaks on the way.
type exchange struct {
	req      h1.Request
	resp     h1.Response
	reqBody  h1.Body
	respBody h1.Body
	lease    pool.Lease
	site     *Site
	to       *Route
	came     int64 // when the request was read, by the coarse clock

	attempts   int   // targets tried
	repeatable bool  // sending the request twice is safe, by its method or by the client's word
	forwarded  bool  // the head was forwarded: its bytes are not needed any more
	replay     bool  // the whole request is at hand, so it can be sent again
	begun      bool  // the final answer has begun
	last       bool  // the client's connection ends after this exchange
	sent       int64 // bytes of the answer that went to the client
	received   int64 // bytes of the body that came after the head
}

// maxAttempts bounds how many targets one request may be given.
const maxAttempts = 3

// request reads the request at the start of b; h1.ErrMore asks for more bytes.
func (x *exchange) request(b []byte, l h1.Limits) error {
	if err := x.req.Parse(b, l); err != nil {
		return err
	}
	x.reqBody = h1.RequestBody(&x.req)
	x.repeatable = x.req.Idempotent() || x.req.Get("idempotency-key") != nil
	x.attempts, x.forwarded, x.begun, x.sent, x.received = 0, false, false, 0, 0
	x.last = x.req.Close || x.req.Minor == 0
	return nil
}

// route finds the route, nil when there is none.
func (x *exchange) route(s *Site) *Route {
	x.site, x.to = s, nil
	query := x.req.Target[min(len(x.req.Path)+1, len(x.req.Target)):]
	if i := s.Routes.Match(&route.Request{Method: x.req.Method, Host: x.req.Host, Path: x.req.Path, Query: query, Header: &x.req}); i >= 0 {
		x.to = s.To[i]
	}
	return x.to
}

// plain says whether a loop can carry the exchange. What needs more than one connection to targets at a time, or one that is not
// plain HTTP/1.1, is carried by goroutines.
func (x *exchange) plain() bool { return true }

// body counts the n bytes of the request's body that are at hand with the head. Only a request that is
// there as a whole can be sent to a second target.
func (x *exchange) body(b []byte) (int, error) {
	n, err := x.reqBody.Next(b)
	x.replay = err == nil && x.reqBody.Done()
	return n, err
}

// forward appends what goes to the target first: the head and the body bytes at hand.
func (x *exchange) forward(out, body []byte, f h1.Forward) []byte {
	x.forwarded = true
	return append(x.req.Append(out, f), body...)
}

// next is what a driver does after a failure.
type next uint8

const (
	giveUp      next = iota // answer the client with an error, or cut what has begun
	again                   // the same target on a new connection
	otherTarget             // lease.Retry
)

// stage is how far an attempt came.
type stage uint8

const (
	connecting stage = iota // no byte of the request was written
	awaiting                // written, no byte of the answer read
	answering               // bytes of an answer were read
)

// failed decides what follows when an attempt broke. reused says that the connection had served before: then the
// target may merely have closed it while it was idle.
func (x *exchange) failed(at stage, reused bool) next {
	switch {
	case at == answering || x.begun:
		return giveUp
	case at == connecting && reused:
		return again
	case at == connecting:
		if x.attempts < maxAttempts {
			return otherTarget
		}
	case !x.replay || !x.repeatable:
	case reused:
		return again
	case x.attempts < maxAttempts:
		return otherTarget
	}
	return giveUp
}

// answer reads the head of an answer at the start of b and appends what is forwarded. Interim answers are appended too and
// another head follows; h1.ErrMore asks for more bytes. closing says that Weir wants to be rid of the client's connection.
func (x *exchange) answer(out, b []byte, closing, via bool) ([]byte, error) {
	if err := x.resp.Parse(b, h1.Limits{}); err != nil {
		return out, err
	}
	if x.resp.Status == 101 && !x.req.Upgrade {
		return out, errUnasked
	}
	if x.resp.Interim() {
		if x.req.Minor == 0 {
			return out, nil // HTTP/1.0 knows no interim answers
		}
		return x.resp.Append(out, false, via), nil
	}
	x.respBody = h1.ResponseBody(&x.resp, x.req.IsHead)
	x.last = x.last || closing || x.respBody.UntilClose()
	x.begun = true
	return x.resp.Append(out, x.last, via), nil
}

var errBodyTooBig = &h1.Error{Status: tooBig.status, Reason: tooBig.message}

var errUnasked = errors.New("101 Switching Protocols to a request that did not ask for it")

// reusable says whether the target's connection can serve another exchange.
func (x *exchange) reusable() bool {
	return x.respBody.Done() && !x.resp.Close && x.reqBody.Done() && x.req.Minor == 1
}

// outcome sums the exchange up for the pool.
func (x *exchange) outcome(broken, left bool) pool.Outcome {
	o := pool.Outcome{Failed: broken, Cancelled: left && !broken}
	if x.begun {
		o.Status = x.resp.Status
		o.Failed = o.Failed || x.resp.Status >= 500
	}
	return o
}

// refusalOf turns the error of an acquire into an answer.
func refusalOf(err error) refusal {
	var full *admit.Refusal
	if errors.As(err, &full) {
		return refusal{status: 503, code: full.Limit, kind: "overloaded", message: full.Message, retryAfter: full.RetryAfter}
	}
	return refusal{status: 502, code: "no_target", kind: "bad_gateway", message: "no target could answer: " + err.Error()}
}
