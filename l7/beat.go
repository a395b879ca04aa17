package l7

import (
	"bytes"
	"errors"
	"time"

	"github.com/tidwall/gjson"

	"github.com/weirlb/weir/h1"
)

// beat keeps a client of an event stream from giving up while it waits for a slot or for a slow first event: it is sent comments, which
// clients of event streams skip. With the first one the answer has begun, as far as the client is concerned: its head says 200, its body is
// chunked, and whatever goes wrong later can only be told by an event.
type beat struct {
	on    bool
	begun bool // the first comment was sent
	wrap  bool // the target's body is not chunked: every piece is made a chunk
	next  int64
}

const (
	beatHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n"
	comment  = ": ping\n\n"
	endChunk = "0\r\n\r\n"
)

// beats finds out whether the request is for a stream of events, by its Accept header or by "stream": true in its body.
func (x *exchange) beats(body []byte) {
	every := x.to.Heartbeat
	if every <= 0 || x.req.Minor == 0 || x.req.IsHead || x.req.Upgrade {
		return
	}
	x.beat.on = bytes.Contains(x.req.Get("accept"), []byte("text/event-stream"))
	if !x.beat.on && x.replay && bytes.Contains(x.req.Get("content-type"), []byte("json")) {
		x.beat.on = gjson.GetBytes(x.document(body), "stream").Bool()
	}
	x.beat.next = x.came + int64(every)
}

// pulse appends a comment when one is due.
func (x *exchange) pulse(out []byte, clock int64) []byte {
	if !x.beat.on || x.begun || clock < x.beat.next {
		return out
	}
	x.beat.next = clock + int64(x.to.Heartbeat)
	if !x.beat.begun {
		x.beat.begun = true
		out = append(out, beatHead...)
		if x.last {
			out = append(out, "Connection: close\r\n"...)
		}
		out = append(out, "\r\n"...)
	}
	return appendChunk(out, comment)
}

var errNoStream = errors.New("the target did not answer with a stream of events")

// join goes on with the target's answer, whose head has just been read, after comments were sent.
func (x *exchange) join() error {
	if x.resp.Status != 200 || !x.resp.EventStream() {
		return errNoStream
	}
	x.begun, x.sse = true, true
	x.beat.wrap = !x.respBody.Chunked()
	return nil
}

// framed appends body bytes of the answer as they go to the client.
func (x *exchange) framed(out, b []byte) []byte {
	if !x.beat.wrap {
		return append(out, b...)
	}
	if len(b) > 0 {
		out = appendChunk(out, b)
	}
	if x.respBody.Done() {
		out = append(out, endChunk...)
	}
	return out
}

// finale appends what is left of the framing when the end of the target's connection has ended the body.
func (x *exchange) finale(out []byte) []byte {
	x.respBody = h1.Body{}
	if x.beat.wrap {
		out = append(out, endChunk...)
	}
	return out
}

// say appends an answer of Weir's own: whole, as gRPC's trailers, or as an event when the answer has begun with comments.
func (x *exchange) say(out []byte, r reply, last bool) []byte {
	switch {
	case x.beat.begun:
	case x.grpc && r.kind != "":
		return r.appendGRPC(out)
	default:
		return r.append(out, x.req.IsHead, last)
	}
	event := append([]byte("event: error\ndata: "), r.problem()...)
	out = appendChunk(out, append(event, '\n'))
	return append(out, endChunk...)
}

// untilBeat is how long until the next comment is due; false: never.
func (x *exchange) untilBeat(clock int64) (time.Duration, bool) {
	return time.Duration(max(x.beat.next-clock, 1)), x.beat.on && !x.begun
}
