package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// caller is a client that hides nothing: it sends a request once, where Go's own repeats it when a connection breaks.
type caller struct {
	addr string
	mu   sync.Mutex
	idle []*wire
}

type wire struct {
	net.Conn
	r    *bufio.Reader
	used int // how many requests it has carried
	prev string
}

// patience bounds every request.
const patience = 2 * time.Minute

// call sends a request, on a connection of its own when fresh, and reads the answer by read.
func (c *caller) call(req *http.Request, fresh bool, read func(*http.Response) error) (*http.Response, error) {
	w, err := c.wire(fresh)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	w.SetDeadline(time.Now().Add(patience))
	req.Close = fresh
	r, err := w.exchange(req, read)
	if err != nil || r.Close || fresh || w.r.Buffered() > 0 {
		w.Close()
		if err != nil {
			err = fmt.Errorf("request %d of the connection after %s: %w", w.used, w.prev, err)
		}
		return r, err
	}
	w.prev = fmt.Sprint(req.Method, req.URL.Path, r.Status, r.Header, time.Now().Format("05.000000"))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = append(c.idle, w)
	return r, nil
}

func (w *wire) exchange(req *http.Request, read func(*http.Response) error) (*http.Response, error) {
	w.used++
	sent := req.Write(w) // an answer may come and count although not all of the request was taken
	r, err := http.ReadResponse(w.r, req)
	if err != nil {
		return nil, errors.Join(sent, fmt.Errorf("reading the head: %w", err))
	}
	if err := read(r); err != nil {
		return r, errors.Join(sent, fmt.Errorf("reading the body: %w", err))
	}
	return r, nil
}

func (c *caller) wire(fresh bool) (*wire, error) {
	if !fresh {
		c.mu.Lock()
		defer c.mu.Unlock()
		if n := len(c.idle); n > 0 {
			w := c.idle[n-1]
			c.idle = c.idle[:n-1]
			return w, nil
		}
	}
	nc, err := net.DialTimeout("tcp", c.addr, patience)
	if err != nil {
		return nil, err
	}
	return &wire{Conn: nc, r: bufio.NewReader(nc)}, nil
}

func (c *caller) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.idle {
		w.Close()
	}
	c.idle = nil
}

// outcome is what a client saw of one request.
type outcome struct {
	kind, id   string
	to         string // address
	sent, done time.Time
	status     int
	target     string // that answered, as it says
	retryAfter string
	cut        bool   // an event stream began, and said that it broke off
	said       string // body of an answer that is not 200
	err        error
}

func (o *outcome) ok() bool { return o.err == nil && !o.cut && o.status == 200 }

func (o *outcome) String() string {
	return fmt.Sprintf("%s %s to %s, sent %s, took %v: status %d %s, cut %v, error %v",
		o.kind, o.id, o.to, o.sent.Format("05.000"), o.done.Sub(o.sent), o.status, o.said, o.cut, o.err)
}

// kind is one kind of request that clients send.
type kind struct {
	name  string
	share int // of the requests, relative to the other kinds
	run   func(c *caller, id string, fresh bool, o *outcome)
}

// get asks for the path prefix and the request's id.
func get(prefix string) func(*caller, string, bool, *outcome) {
	return func(c *caller, id string, fresh bool, o *outcome) {
		req, _ := http.NewRequest("GET", "http://"+c.addr+prefix+id, nil)
		o.exchange(c, req, fresh, id)
	}
}

// post sends a body, mostly a small one.
func post(prefix string) func(*caller, string, bool, *outcome) {
	return func(c *caller, id string, fresh bool, o *outcome) {
		n := 100
		if rand.IntN(10) == 0 {
			n = 100 << 10
		}
		body := bytes.Repeat([]byte(id), n/len(id)+1)
		req, _ := http.NewRequest("POST", "http://"+c.addr+prefix+id, bytes.NewReader(body))
		o.exchange(c, req, fresh, receipt(id, body))
	}
}

// exchange sends a request that is to be answered by want.
func (o *outcome) exchange(c *caller, req *http.Request, fresh bool, want string) {
	var body []byte
	r, err := c.call(req, fresh, func(r *http.Response) (err error) {
		body, err = io.ReadAll(r.Body)
		return err
	})
	if o.saw(r, err); !o.ok() {
		o.said = string(body)
	} else if want != "" && string(body) != want {
		o.err = fmt.Errorf("the answer is %q, want %q", body, want)
	}
}

func (o *outcome) saw(r *http.Response, err error) {
	if o.err = err; o.cut && errors.Is(err, io.ErrUnexpectedEOF) {
		o.err = nil // that is how it is to end: without a last chunk
	}
	if r != nil {
		o.status, o.target, o.retryAfter = r.StatusCode, r.Header.Get("X-Target"), r.Header.Get("Retry-After")
	}
}

// events asks for a stream of n events and counts them.
func events(prefix string, n int) func(*caller, string, bool, *outcome) {
	return func(c *caller, id string, fresh bool, o *outcome) {
		req, _ := http.NewRequest("GET", fmt.Sprintf("http://%s%s%s?n=%d", c.addr, prefix, id, n), nil)
		r, err := c.call(req, fresh, func(r *http.Response) error {
			if r.StatusCode != 200 {
				text, err := io.ReadAll(r.Body)
				o.said = string(text)
				return err
			}
			got, err := o.listen(r.Body, id, nil)
			if err == nil && !o.cut && got != n {
				err = fmt.Errorf("%d events, want %d", got, n)
			}
			return err
		})
		o.saw(r, err)
	}
}

// listen reads a stream of events that are numbered, to its end, and tells began of the first. It sets cut when the stream says that it broke off.
func (o *outcome) listen(body io.Reader, id string, began func()) (n int, err error) {
	done := false
	for lines := bufio.NewReader(body); ; {
		line, err := lines.ReadString('\n')
		switch {
		case errors.Is(err, io.EOF) && done:
			return n, nil
		case err != nil:
			return n, fmt.Errorf("after %d events: %w", n, err)
		}
		switch data, _ := strings.CutPrefix(strings.TrimSpace(line), "data: "); {
		case line == "\n" || o.cut:
		case line == "event: error\n":
			o.cut = true
		case data == "[DONE]":
			done = true
		case data == id+" "+strconv.Itoa(n):
			if n++; n == 1 && began != nil {
				began()
			}
		default:
			return n, fmt.Errorf("line %q after %d events", line, n)
		}
	}
}

// chat has an inference server write a few tokens.
func chat(c *caller, _ string, fresh bool, o *outcome) {
	const body = `{"stream":true,"max_tokens":5,"ignore_eos":true,"messages":[{"role":"user","content":"hi"}]}`
	req, _ := http.NewRequest("POST", "http://"+c.addr+"/v1/chat/completions", strings.NewReader(body))
	r, err := c.call(req, fresh, func(r *http.Response) error {
		text, err := io.ReadAll(r.Body)
		if r.StatusCode != 200 {
			o.said = string(text)
		}
		o.cut = bytes.Contains(text, []byte("event: error\n"))
		if err == nil && r.StatusCode == 200 && !o.cut && !bytes.Contains(text, []byte("data: [DONE]\n")) {
			err = fmt.Errorf("the stream ended without [DONE]: %q", text)
		}
		return err
	})
	o.saw(r, err)
}

// traffic is an open-loop load: requests are sent when they are due, whatever became of those before.
type traffic struct {
	t       *testing.T
	callers []*caller
	end     chan struct{}
	all     sync.WaitGroup
	count   atomic.Int64

	mu       sync.Mutex
	outcomes []*outcome
}

// offer sends about rate requests a second to the addresses in turn, half of them on connections of their own.
func offer(t *testing.T, rate float64, addrs []string, kinds ...kind) *traffic {
	l := &traffic{t: t, end: make(chan struct{})}
	for _, a := range addrs {
		l.callers = append(l.callers, &caller{addr: a})
	}
	var deck []kind
	for _, k := range kinds {
		deck = append(deck, slices.Repeat([]kind{k}, k.share)...)
	}
	l.all.Go(func() {
		due := time.Now()
		timer := time.NewTimer(0)
		defer timer.Stop()
		for n := 0; ; n++ {
			due = due.Add(time.Duration(rand.ExpFloat64() / rate * float64(time.Second)))
			timer.Reset(time.Until(due))
			select {
			case <-l.end:
				return
			case <-timer.C:
			}
			c, k := l.callers[n%len(l.callers)], deck[rand.IntN(len(deck))]
			id := fmt.Sprintf("r%d", n)
			l.all.Go(func() {
				o := &outcome{kind: k.name, id: id, to: c.addr, sent: time.Now()}
				k.run(c, id, rand.IntN(2) == 0, o)
				o.done = time.Now()
				l.count.Add(1)
				l.mu.Lock()
				defer l.mu.Unlock()
				l.outcomes = append(l.outcomes, o)
			})
		}
	})
	t.Cleanup(func() { l.stop() })
	return l
}

// more waits for so many more outcomes.
func (l *traffic) more(n int64) {
	l.t.Helper()
	want := l.count.Load() + n
	until(l.t, fmt.Sprintf("%d more requests are over", n), func() bool { return l.count.Load() >= want })
}

// stop ends the load, waits for what is under way and returns all outcomes.
func (l *traffic) stop() []*outcome {
	select {
	case <-l.end:
	default:
		close(l.end)
	}
	l.all.Wait()
	for _, c := range l.callers {
		c.close()
	}
	return l.outcomes
}

// tooLong is what no request may take, however busy the machine is: those that hang take Weir's timeouts, which are longer.
const tooLong = 30 * time.Second

// failures complains of the outcomes that are not ok and not forgiven, and says how many requests there were.
func failures(t *testing.T, os []*outcome, forgiven func(*outcome) bool) {
	t.Helper()
	bad, forgave := 0, 0
	kinds := map[string]int{}
	for _, o := range os {
		kinds[o.kind]++
		switch {
		case o.done.Sub(o.sent) > tooLong:
			if bad++; bad <= 30 {
				t.Error("too late:", o)
			}
		case o.ok():
		case forgiven != nil && forgiven(o):
			forgave++
		default:
			if bad++; bad <= 30 {
				t.Error(o)
			}
		}
	}
	t.Logf("%d requests %v: %d failed, %d more could not be saved", len(os), kinds, bad, forgave)
	if bad > 10 {
		t.Errorf("%d requests failed", bad)
	}
}

// p95 is the 95th percentile of how long the requests took.
func p95(os []*outcome) time.Duration {
	var took []time.Duration
	for _, o := range os {
		took = append(took, o.done.Sub(o.sent))
	}
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[len(took)*95/100]
}
