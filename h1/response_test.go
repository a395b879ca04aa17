package h1

import (
	"strings"
	"testing"
)

func TestBadResponsesAreRefused(t *testing.T) {
	for _, c := range []struct {
		in   string
		want *Error
	}{
		{"SSH-2.0-OpenSSH_9.2\r\n\r\n", ErrStatusLine},
		{"HTTP/1.1\r\n\r\n", ErrStatusLine},
		{"HTTP/1.1 \r\n\r\n", ErrStatusLine},
		{"HTTP/1.1 20\r\n\r\n", ErrStatusLine},
		{"HTTP/1.1 2000\r\n\r\n", ErrStatusLine},
		{"HTTP/1.1 099 X\r\n\r\n", ErrStatusLine},
		{"HTTP/1.1 600 X\r\n\r\n", ErrStatusLine},
		{"HTTP/1.1 2x0 X\r\n\r\n", ErrStatusLine},
		{"HTTP/1.1 -20 X\r\n\r\n", ErrStatusLine},
		{"HTTP/1.1  200 OK\r\n\r\n", ErrStatusLine},
		{"HTTP/1.1 200\tOK\r\n\r\n", ErrStatusLine},
		{"HTTP/1.1 200 O\x00K\r\n\r\n", ErrStatusLine},
		{"HTTP/1.1 200 O\rK\r\n\r\n", ErrStatusLine},
		{"HTTP/2.0 200 OK\r\n\r\n", ErrStatusLine},
		{"http/1.1 200 OK\r\n\r\n", ErrStatusLine},
		{"HTTP/1.1 200 OK\nA: b\r\n\r\n", ErrStatusLine},
		{"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", ErrName},
		{"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", ErrFold},
		{"HTTP/1.1 200 OK\r\nA: b\n\r\n\r\n", ErrLineEnd},
		{"HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n", ErrValue},
		{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", ErrLength},
		{"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n", ErrLength},
		{"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", ErrLength},
		{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", ErrBoth},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", ErrEncoding},
		{"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ErrEncoding},
		{"HTTP/1.1 204 No Content\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", ErrBoth},
		{"HTTP/1.1 101 Switching Protocols\r\n\r\n", ErrUpgrade},
		{"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", ErrUpgrade},
		{"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", ErrUpgrade},
		{"HTTP/1.0 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n", ErrUpgrade},
		{" HTTP/1.1 200 OK\r\n\r\n", ErrStatusLine},
		{"\r\nHTTP/1.1 200 OK\r\n\r\n", ErrStatusLine},
		{"HTTP/1.10 200 OK\r\n\r\n", ErrStatusLine},
		{"HTTP/1.1 200X\r\n\r\n", ErrStatusLine},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", ErrEncoding},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", ErrEncoding},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", ErrEncoding},
		{"HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 1\r\n\r\n", ErrConnection},
		{"HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 33000) + "\r\n\r\n", ErrHeadTooBig},
	} {
		var r Response
		told := false
		for n := range len(c.in) + 1 {
			err := r.Parse([]byte(c.in[:n]), Limits{})
			if told = told || err != ErrMore; told && err != c.want {
				t.Errorf("%.80q: %v after %d bytes, want %v", c.in, err, n, c.want)
				break
			}
		}
		if !told {
			t.Errorf("%.80q is never refused", c.in)
		}
	}
}

func TestWhereAResponsesBodyEnds(t *testing.T) {
	for _, c := range []struct {
		in         string
		toHead     bool
		done, till bool
		close      bool
	}{
		{in: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"},
		{in: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", done: true},
		{in: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{in: "HTTP/1.1 200 OK\r\n\r\n", till: true},
		{in: "HTTP/1.1 200\r\n\r\n", till: true},
		{in: "HTTP/1.0 200 OK\r\n\r\n", till: true, close: true},
		{in: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n"},
		{in: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n", close: true},
		{in: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", toHead: true, done: true},
		{in: "HTTP/1.1 200 OK\r\n\r\n", toHead: true, done: true},
		{in: "HTTP/1.1 204 No Content\r\n\r\n", done: true},
		{in: "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", done: true},
		{in: "HTTP/1.1 100 Continue\r\n\r\n", done: true},
		{in: "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", done: true},
	} {
		var r Response
		if err := r.Parse([]byte(c.in), Limits{}); err != nil {
			t.Errorf("%q: %v", c.in, err)
			continue
		}
		b := ResponseBody(&r, c.toHead)
		if b.Done() != c.done || b.UntilClose() != c.till || r.UntilClose(c.toHead) != c.till || r.Close != c.close {
			t.Errorf("%q to head %v: done %v, until close %v, close %v", c.in, c.toHead, b.Done(), b.UntilClose(), r.Close)
		}
	}
}

func TestWhatOfAResponseIsForwarded(t *testing.T) {
	for _, c := range []struct {
		in        string
		last, via bool
		want      string
	}{
		{"HTTP/1.1 200 OK\r\nA: b\r\nConnection: x-p\r\nX-P: 1\r\nKeep-Alive: 5\r\nContent-Length: 1\r\n\r\n", false, false, "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 1\r\n\r\n"},
		{"HTTP/1.0 200 Fine\r\n\r\n", true, true, "HTTP/1.1 200 Fine\r\nVia: 1.1 weir\r\nConnection: close\r\n\r\n"},
		{"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", true, false, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"},
		{"HTTP/1.1 204 Gone\r\nA: b\r\nContent-Length: 3\r\nC: d\r\n\r\n", false, false, "HTTP/1.1 204 Gone\r\nA: b\r\nC: d\r\n\r\n"},
		{"HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n", false, false, "HTTP/1.1 100 Continue\r\n\r\n"},
		{"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", false, false, "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n"},
		{"HTTP/1.1 200\r\n\r\n", false, false, "HTTP/1.1 200\r\n\r\n"},
		{"HTTP/1.1 200 \xe4 \r\nUpgrade: h2c\r\nConnection: Upgrade, close\r\nVia: 1.1 x\r\n\r\n", false, true, "HTTP/1.1 200 \xe4 \r\nVia: 1.1 x\r\nVia: 1.1 weir\r\n\r\n"},
		{"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", false, false, "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"},
	} {
		var r Response
		if err := r.Parse([]byte(c.in), Limits{}); err != nil {
			t.Errorf("%q: %v", c.in, err)
		} else if got := string(r.Append(nil, Return{Last: c.last, Via: c.via})); got != c.want {
			t.Errorf("%q becomes\n%q, want\n%q", c.in, got, c.want)
		}
	}
}

func TestEventStream(t *testing.T) {
	for in, want := range map[string]bool{"text/event-stream": true, "Text/Event-Stream; charset=utf-8": true, "text/event-stream ;x": true, "text/event-streams": false, "text/event": false, "text/plain": false, "": false} {
		var r Response
		if err := r.Parse([]byte("HTTP/1.1 200 OK\r\nContent-Type: "+in+"\r\n\r\n"), Limits{}); err != nil || r.EventStream() != want {
			t.Errorf("%q: %v, %v", in, r.EventStream(), err)
		}
	}
}
