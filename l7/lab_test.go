package l7

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/target"
)

// trace is what came of one case: what the client was sent, how its connection ended, and what the target was sent on each of its
// connections.
type trace struct {
	client, end string
	target      []string
	requests    []string // that net/http finds in that
}

// compare runs a test on both engines, which return a trace for each case, and holds that the traces are the same to the byte.
func compare(t *testing.T, run func(*testing.T) map[string]trace) {
	var seen []map[string]trace
	onBoth(t, func(t *testing.T) { seen = append(seen, run(t)) })
	if len(seen) != 2 || t.Failed() {
		return
	}
	for name, a := range seen[0] {
		b := seen[1][name]
		if a.client != b.client || a.end != b.end || !slices.Equal(a.target, b.target) {
			t.Errorf("%s: the engines differ:\n%+q\n%+q", name, a, b)
		}
	}
	t.Logf("%d cases, the same on both", len(seen[0]))
}

// lab is a proxy in front of one target.
type lab struct {
	*proxy
	link string // where the target listens
	last *target.Target
}

// renew puts a pool without a past in front of the target. Connections to it that are idle are closed.
func (l *lab) renew(t *testing.T) {
	now := time.Now()
	p, err := pool.New("api", pool.Options{Balance: "least_connections"}, now)
	if err != nil {
		t.Fatal(err)
	}
	l.hangUp()
	l.last = target.New(l.link, l.link, 1, 0)
	Link(l.last, 100, time.Minute)
	p.Add(l.last, health.Status{State: target.Healthy}, now)
	l.pool = p
	l.site(func(s *Site) { s.To[0].Pools = []*Destination{{Pool: p}} })
}

func (l *lab) hangUp() {
	if l.last != nil {
		Unlink(l.last)
		l.e.hangUp()
	}
}

// atRest waits until the engine has nothing to do with the target.
func (l *lab) atRest(t *testing.T) {
	t.Helper()
	until(t, "the exchange is over", l.idle)
}

func (l *lab) idle() bool { return l.pool.Stats(time.Now()).InFlight == 0 }

// talk is one connection of a client.
type talk struct {
	wire
	mu  sync.Mutex
	got bytes.Buffer
	err error
	end chan struct{} // closed when the connection has ended
}

func newTalk(t *testing.T, addr string) *talk {
	c, r := dial(t, addr)
	k := &talk{wire: wire{Conn: c}, end: make(chan struct{})}
	go func() {
		defer close(k.end)
		b := make([]byte, 4<<10)
		for {
			n, err := r.Read(b)
			k.mu.Lock()
			k.got.Write(b[:n])
			k.err = err
			k.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return k
}

// send writes pieces, each after e has read the one before and done with it what it can.
func (k *talk) send(t *testing.T, e *Engine, pieces [][]byte) {
	for i, p := range pieces {
		if i > 0 {
			k.taken(t, k.over)
			e.passOn(t)
		}
		if _, err := k.Write(p); err != nil {
			return // it was refused already
		}
	}
}

func (k *talk) text() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.got.String()
}

func (k *talk) over() bool {
	select {
	case <-k.end:
		return true
	default:
		return false
	}
}

// finish waits for the end of the connection, and takes down what was received.
func (k *talk) finish(t *testing.T) trace {
	t.Helper()
	<-k.end // the deadline of dial bounds it
	k.Close()
	k.mu.Lock()
	defer k.mu.Unlock()
	end := "end" // a reset after the last answer is chance: it depends on whether more came meanwhile
	switch ne, ok := errors.AsType[net.Error](k.err); {
	case k.err == io.EOF:
		end = "end"
	case ok && ne.Timeout():
		t.Errorf("the connection was left open after %q", k.got.String())
	}
	return trace{client: k.got.String(), end: end}
}

// maxPiece is less than any buffer of either engine: they are to read the same.
const maxPiece = 2 << 10

// cut cuts b at the places at, and every piece that is too large.
func cut(b []byte, at ...int) (pieces [][]byte) {
	slices.Sort(at)
	from := 0
	for _, to := range append(at, len(b)) {
		if to <= from || to > len(b) {
			continue
		}
		pieces = slices.AppendSeq(pieces, slices.Chunk(b[from:to], maxPiece))
		from = to
	}
	return pieces
}

// large cuts b no more than it must.
func large(b []byte) [][]byte { return cut(b) }

// maxPieces bounds how finely a message is cut, for time's sake.
const maxPieces = 40

// fine cuts what follows the head in b into its bytes, or all of b when nothing does. If these are too many, it does as around.
func fine(b []byte) [][]byte {
	head := bytes.Index(b, []byte("\r\n\r\n")) + 4
	if head < 4 || head == len(b) {
		head = min(1, len(b))
	}
	if len(b)-head > maxPieces {
		return around(b)
	}
	return slices.AppendSeq([][]byte{b[:head]}, slices.Chunk(b[head:], 1))
}

// around cuts b around the end of its first line, of its head, and of everything.
func around(b []byte) [][]byte {
	line, head := bytes.IndexByte(b, '\n'), bytes.Index(b, []byte("\r\n\r\n"))
	at := []int{1, len(b) / 2, len(b) - 1}
	if line > 0 {
		at = append(at, line, line+1)
	}
	if head > 0 {
		at = append(at, head+2, head+4, head+5)
	}
	return cut(b, at...)
}

// recorder is a target that takes down what it is sent. To each request that net/http finds in that, it answers what it was.
type recorder struct {
	addr string
	mu   sync.Mutex
	all  []*recording
}

type recording struct {
	from     string
	bytes    bytes.Buffer
	requests []string
	done     bool
}

func record(t *testing.T) *recorder {
	r := &recorder{}
	r.addr = raw(t, func(c net.Conn, _ *bufio.Reader) {
		rec := &recording{from: c.RemoteAddr().String()}
		r.mu.Lock()
		r.all = append(r.all, rec)
		r.mu.Unlock()
		r.listen(c, rec)
		r.mu.Lock()
		rec.done = true
		r.mu.Unlock()
	})
	return r
}

func (r *recorder) listen(c net.Conn, rec *recording) {
	in := bufio.NewReader(io.TeeReader(c, lockedWriter{&rec.bytes, &r.mu}))
	for {
		q, err := http.ReadRequest(in)
		if err != nil {
			break
		}
		n, err := io.Copy(io.Discard, q.Body)
		if err != nil {
			break
		}
		r.mu.Lock()
		rec.requests = append(rec.requests, fmt.Sprintf("%s %s %d", q.Method, q.RequestURI, n))
		r.mu.Unlock()
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nX-Saw: %s %s %d\r\nContent-Length: 0\r\n\r\n", q.Method, q.RequestURI, n)
	}
	io.Copy(io.Discard, in)
}

type lockedWriter struct {
	io.Writer
	mu *sync.Mutex
}

func (w lockedWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Writer.Write(b)
}

// collect takes what was recorded since the last time, when all connections have ended. Connections are accepted in the order in which
// they were opened: with one of our own, all others are there.
func (r *recorder) collect(t *testing.T, tr *trace) {
	t.Helper()
	c, _ := dial(t, r.addr)
	c.(*net.TCPConn).CloseWrite()
	until(t, "the target's connections have ended", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return slices.ContainsFunc(r.all, func(rec *recording) bool { return rec.from == c.LocalAddr().String() }) &&
			!slices.ContainsFunc(r.all, func(rec *recording) bool { return !rec.done })
	})
	c.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rec := range r.all {
		if rec.from != c.LocalAddr().String() {
			tr.target = append(tr.target, rec.bytes.String())
			tr.requests = append(tr.requests, rec.requests...)
		}
	}
	r.all = nil
}

// newLab starts a proxy that speaks nothing but HTTP/1.
func newLab(t *testing.T, addr string) *lab {
	p := front(t, 0, addr)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.l, p.addr = p.e.Serve(ln, p.l.site.Load(), ServeOptions{}), ln.Addr().String()
	return &lab{proxy: p, link: addr}
}
