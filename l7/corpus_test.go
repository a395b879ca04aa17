package l7

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirlb/weir/h1"
	"github.com/weirlb/weir/h1/corpus"
)

// A good request goes before or after another one on the same connection.
const (
	before = "GET /before HTTP/1.1\r\nHost: a\r\n\r\n"
	after  = "GET /after HTTP/1.1\r\nHost: a\r\n\r\n"
	added  = "Host: a\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\n\r\n"
)

// sending is how a request is sent.
type sending struct {
	name   string
	others bool // one goes before it, and one after it
	pieces func([]byte) [][]byte
}

var sendings = []sending{
	{"alone", false, large},
	{"between others at once", true, func(in []byte) [][]byte { return large(slices.Concat([]byte(before), in, []byte(after))) }},
	{"between others in pieces", true, func(in []byte) [][]byte {
		return slices.Concat([][]byte{[]byte(before)}, fine(in), [][]byte{[]byte(after)})
	}},
}

// sample returns a part of the corpus where time is short.
func sample[T any](all []T) (part []T) {
	if !testing.Short() {
		return all
	}
	for i := 0; i < len(all); i += 8 {
		part = append(part, all[i])
	}
	return part
}

// ask sends pieces of requests on one connection and closes it when so many answers have come, or when the proxy does.
func (l *lab) ask(t *testing.T, r *recorder, answers int, pieces [][]byte) trace {
	t.Helper()
	l.renew(t)
	k := newTalk(t, l.addr)
	k.send(t, l.e, pieces)
	if answers > 0 {
		until(t, "the answers came", func() bool { return k.over() || strings.Count(k.text(), "\r\n\r\n") >= answers })
		k.Conn.(*net.TCPConn).CloseWrite()
	}
	tr := k.finish(t)
	l.atRest(t)
	l.hangUp()
	r.collect(t, &tr)
	return tr
}

// TestRefusedRequestsReachNobody sends every request of the corpus that is to be refused, in many ways: the client hears why, and its
// connection ends; the target sees nothing of it, or at the most the beginning of a request whose head was good, and never another one.
func TestRefusedRequestsReachNobody(t *testing.T) { compare(t, testRefusedRequestsReachNobody) }

func testRefusedRequestsReachNobody(t *testing.T) map[string]trace {
	r := record(t)
	l := newLab(t, r.addr)
	all := map[string]trace{}
	for _, c := range sample(corpus.Requests()) {
		if c.Want == corpus.Unfinished {
			continue
		}
		for _, w := range sendings {
			name := fmt.Sprintf("%s: %.100q (%d bytes)", w.name, c.In, len(c.In))
			all[name] = l.ask(t, r, 0, w.pieces(c.Bytes()))
			checkRefusal(t, name, all[name], c, w.others)
		}
	}
	return all
}

// TestHeadsThatNeverEnd holds that they are answered in time, and reach nobody.
func TestHeadsThatNeverEnd(t *testing.T) { compare(t, testHeadsThatNeverEnd) }

func testHeadsThatNeverEnd(t *testing.T) map[string]trace {
	r := record(t)
	l := newLab(t, r.addr)
	l.site(func(s *Site) { s.HeadTimeout = 50 * time.Millisecond })
	all := map[string]trace{}
	for _, c := range corpus.Heads {
		if c.Want != corpus.Unfinished {
			continue
		}
		for _, b := range []string{"", before} {
			name := fmt.Sprintf("%q", b+c.In)
			all[name] = l.ask(t, r, 0, large([]byte(b+c.In)))
			checkRefusal(t, name, all[name], c, b != "")
		}
	}
	return all
}

// checkRefusal holds what came of a request that is refused.
func checkRefusal(t *testing.T, name string, tr trace, c corpus.Request, behind bool) {
	t.Helper()
	answers := bufio.NewReader(strings.NewReader(tr.client))
	var requests []string
	var seen string
	if behind {
		requests, seen = []string{"GET /before 0"}, "GET /before HTTP/1.1\r\n"+added
		if good, err := http.ReadResponse(answers, nil); err != nil || good.StatusCode != 200 || good.Close {
			t.Errorf("%s: to the request in front of it: %q", name, tr.client)
			return
		}
	}
	a, err := http.ReadResponse(answers, nil)
	if err != nil {
		t.Errorf("%s: %q, want a refusal: %v", name, tr.client, err)
		return
	}
	b, err := io.ReadAll(a.Body)
	if a.StatusCode != c.Want.Status() || !a.Close || err != nil || !bytes.Contains(b, []byte(`"message"`)) || tr.end != "end" {
		t.Errorf("%s: %d close=%v %q %v, then %s; want %d", name, a.StatusCode, a.Close, b, err, tr.end, c.Want.Status())
	}
	if rest, _ := io.ReadAll(answers); len(rest) > 0 {
		t.Errorf("%s: %q after the last answer", name, rest)
	}
	got := strings.Join(tr.target, "")
	if !slices.Equal(tr.requests, requests) || !strings.HasPrefix(got, seen) {
		t.Errorf("%s: the target was sent %q, in which net/http found %q", name, tr.target, tr.requests)
	} else if got = got[len(seen):]; got != "" && (!c.Want.Late() || !begins(t, got, c.Bytes())) {
		t.Errorf("%s: the target was sent %q of it", name, got)
	}
}

// begins says whether got is the beginning, but not all, of a request as it is forwarded.
func begins(t *testing.T, got string, in []byte) bool {
	t.Helper()
	var q h1.Request
	if err := q.Parse(in, h1.Limits{}); err != nil {
		t.Fatal(err)
	}
	all := append(q.Append(nil, h1.Forward{ClientIP: "127.0.0.1"}), in[q.Len:]...)
	return len(got) < len(all) && strings.HasPrefix(string(all), got)
}

// TestGoodRequestsArriveAsTheyAre sends every request of the corpus that is in order, in many ways.
func TestGoodRequestsArriveAsTheyAre(t *testing.T) { compare(t, testGoodRequestsArriveAsTheyAre) }

func testGoodRequestsArriveAsTheyAre(t *testing.T) map[string]trace {
	r := record(t)
	l := newLab(t, r.addr)
	all := map[string]trace{}
	for _, c := range sample(corpus.Accepted) {
		for _, w := range sendings {
			want := expect(t, c, w.others)
			name := w.name + ": " + c.Name
			tr := l.ask(t, r, len(want.requests), w.pieces(append(c.Bytes(), c.Body...)))
			all[name] = tr
			if tr.client != want.client || !slices.Equal(tr.requests, want.requests) || strings.Join(tr.target, "") != want.target[0] {
				t.Errorf("%s:\n%+q, want\n%+q", name, tr, want)
			}
		}
	}
	return all
}

// expect is what is to come of a request that is in order. others: one goes before it, and one after it.
func expect(t *testing.T, c corpus.Good, others bool) (tr trace) {
	t.Helper()
	var q h1.Request
	if err := q.Parse(c.Bytes(), h1.Limits{}); err != nil {
		t.Fatal(err)
	}
	target := ""
	add := func(head, body, request string, last bool) {
		target += head + body
		tr.requests = append(tr.requests, request)
		end := ""
		if last {
			end = "Connection: close\r\n"
		}
		tr.client += "HTTP/1.1 200 OK\r\nX-Saw: " + request + "\r\nContent-Length: 0\r\n" + end + "\r\n"
	}
	if others {
		add("GET /before HTTP/1.1\r\n"+added, "", "GET /before 0", false)
	}
	data := 0
	if c.Body != "" {
		data = int(q.Length)
		if q.Chunked {
			data = len(unchunk([]byte(c.Body)))
		}
	}
	last := q.Close || q.Minor == 0
	add(c.Forwarded("127.0.0.1"), c.Body, fmt.Sprintf("%s %s %d", q.Method, q.Target, data), last)
	if others && !last {
		add("GET /after HTTP/1.1\r\n"+added, "", "GET /after 0", false)
	}
	tr.target = []string{target}
	return tr
}

// actor is a target that answers /good well, and anything else with what it is told.
type actor struct {
	addr   string
	mu     sync.Mutex
	pieces [][]byte
	leave  bool
	over   func() bool   // the client has its answer
	played chan struct{} // one for each performance
}

func act(t *testing.T) *actor {
	a := &actor{played: make(chan struct{}, 10)}
	a.addr = raw(t, func(c net.Conn, r *bufio.Reader) {
		for {
			q, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if q.URL.Path == "/good" {
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
			} else if !a.play(t, c) {
				return
			}
		}
	})
	return a
}

// play gives an answer. False: the connection is to be closed.
func (a *actor) play(t *testing.T, c net.Conn) bool {
	defer func() { a.played <- struct{}{} }()
	a.mu.Lock()
	pieces, leave, over := a.pieces, a.leave, a.over
	a.mu.Unlock()
	w := wire{Conn: c}
	for i, p := range pieces {
		if i > 0 {
			w.taken(t, over)
		}
		if _, err := c.Write(p); err != nil {
			return false
		}
	}
	if leave {
		w.taken(t, over)
		c.Close()
	}
	return !leave
}

// TestAnswersAreWholeRefusedOrCut has a target give every answer of the corpus, in many pieces: the client gets it, a 502, or a part that
// looks cut. What the target sent too much never is the answer to the next request.
func TestAnswersAreWholeRefusedOrCut(t *testing.T) { compare(t, testAnswersAreWholeRefusedOrCut) }

func testAnswersAreWholeRefusedOrCut(t *testing.T) map[string]trace {
	a := act(t)
	l := newLab(t, a.addr)
	all := map[string]trace{}
	for _, c := range sample(corpus.Answers()) {
		for way, cut := range map[string]func([]byte) [][]byte{"whole": large, "in pieces": around, "in finer ones": fine} {
			name := fmt.Sprintf("%s: %.100q (%d bytes)", way, c.In, len(c.In))
			all[name] = l.answer(t, a, c, cut([]byte(c.In)))
			checkAnswer(t, name, all[name], c)
		}
	}
	return all
}

// answer has a client be given an answer, and send another request after it.
func (l *lab) answer(t *testing.T, a *actor, c corpus.Answer, pieces [][]byte) trace {
	l.renew(t)
	a.mu.Lock()
	a.pieces, a.leave, a.over = pieces, c.Leave, l.idle
	a.mu.Unlock()
	ask, then := "GET /bad HTTP/1.1\r\nHost: a\r\n\r\n", "GET /good HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	if c.Head {
		ask = "HEAD" + ask[3:]
	}
	k := newTalk(t, l.addr)
	if len(pieces) < 2 {
		k.send(t, l.e, [][]byte{[]byte(ask + then)})
		<-a.played
	} else {
		k.send(t, l.e, [][]byte{[]byte(ask)})
		<-a.played
		l.atRest(t)
		if c.Want.Late() || strings.Contains(c.To, "Connection: close\r\n") {
			until(t, "the client has all it gets", func() bool { return k.over() || strings.HasSuffix(k.text(), "}\n") })
		}
		if !k.over() {
			k.send(t, l.e, [][]byte{[]byte(then)})
		}
	}
	tr := k.finish(t)
	l.atRest(t)
	l.hangUp()
	return tr
}

func checkAnswer(t *testing.T, name string, tr trace, c corpus.Answer) {
	t.Helper()
	const good = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngood"
	got, to := strings.CutPrefix(tr.client, c.To)
	switch {
	case strings.Contains(tr.client, "evil") && !strings.Contains(c.To, "evil"):
		t.Errorf("%s: %q", name, tr.client)
	case !to:
		t.Errorf("%s: %q, want %q", name, tr.client, c.To)
	case strings.HasPrefix(got, "HTTP/1.1 502 ") && c.Want != corpus.None && c.Want != corpus.Cut:
		if !strings.HasSuffix(got, good) || strings.Count(got, "HTTP/1.1 ") != 2 || tr.end != "end" {
			t.Errorf("%s: %q, then %s", name, tr.client, tr.end)
		}
	case c.Want.Late():
		r, err := http.ReadResponse(bufio.NewReader(strings.NewReader(got)), nil)
		if err == nil {
			_, err = io.ReadAll(r.Body)
		}
		if err == nil || strings.Contains(got, "good") {
			t.Errorf("%s: %q does not look cut", name, tr.client)
		}
	case c.Want != corpus.None:
		t.Errorf("%s: %q, want a refusal", name, tr.client)
	case strings.Contains(c.To, "Connection: close\r\n"):
		if got != "" || tr.end != "end" {
			t.Errorf("%s: %q, then %s; want %q", name, tr.client, tr.end, c.To)
		}
	case got != good || tr.end != "end":
		t.Errorf("%s: %q, then %s; want %q", name, tr.client, tr.end, c.To+good)
	}
}
