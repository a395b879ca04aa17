package h1

import (
	"testing"

	"github.com/weirlb/weir/h1/corpus"
)

func TestBadResponsesAreRefused(t *testing.T) {
	for _, c := range corpus.Answers() {
		in, want, told := c.In, refusals[c.Want], false
		if c.Want.Late() {
			want = nil
		}
		if c.To != "" && c.Want != corpus.None {
			continue // what is wrong is behind an interim answer
		}
		for n := range len(in) + 1 {
			var r Response
			err := r.Parse([]byte(in[:n]), Limits{})
			if told = told || err != ErrMore; told && err != want {
				t.Errorf("%.80q: %v after %d bytes, want %v", in, err, n, want)
				break
			}
			if told && err == nil {
				checkBody(t, &r, c)
				break
			}
		}
		if told == (c.Want == corpus.Unfinished) {
			t.Errorf("%.80q: told %v", in, told)
		}
	}
}

// checkBody holds the body of an answer against what the corpus says of it.
func checkBody(t *testing.T, r *Response, c corpus.Answer) {
	if r.Interim() {
		return
	}
	b := ResponseBody(r, c.Head)
	_, err := b.Next([]byte(c.In[r.Len:]))
	ends := b.Done() || b.UntilClose() && c.Leave
	if c.Want.Late() == (ends && err == nil) || c.Want.Late() && c.Want != corpus.Cut && err != refusals[c.Want] {
		t.Errorf("%.80q: %v, the body ends: %v", c.In, err, ends)
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
