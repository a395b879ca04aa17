package l7

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/h1"
	"github.com/weirlb/weir/pool"
)

// conn is one client connection, driven by one goroutine.
type conn struct {
	net.Conn
	l       *Listener
	e       *Engine
	from    origin
	due     due
	up      atomic.Pointer[upstream] // of the exchange that runs
	hedge   atomic.Pointer[upstream] // the second one, while two are asked
	watched atomic.Uint64            // the number the watcher knows this connection by; 0 before it is watched
	closing atomic.Bool              // Weir wants to be rid of the connection after the next answer

	x      exchange
	ending ending        // of the exchange that runs
	marks  uint64        // that the phases of this exchange were given
	ready  chan struct{} // the lease was granted or refused
	upload *upload       // of a body that did not come with its head; nil when there is none
	early  []byte        // what was read before the goroutine took the connection
	in     []byte        // what was read from the client and not used yet is in[:n]
	n      int
	buf    *buffers
}

// buffers are what a connection needs while it is open: to read from the client, to write from, to read an answer's head.
type buffers struct {
	in, out [8 << 10]byte
	head    [4 << 10]byte
}

var bufferPool = sync.Pool{New: func() any { return new(buffers) }}

// past is a deadline that interrupts whoever is blocked.
var (
	past       = time.Unix(1, 0)
	noDeadline time.Time
)

// sweep is called by the engine every sweepEvery.
func (c *conn) sweep(now int64) {
	p, at, v := c.due.load()
	if p.cancellable() && c.watched.Load() == 0 {
		c.watched.Store(c.e.watch.add(c))
	}
	if at != 0 && now > at && c.due.mark(v, markLate) {
		c.interrupt(p)
	}
}

// left is called by the watcher when the client has closed its side.
func (c *conn) left() {
	for {
		p, _, v := c.due.load()
		if !p.cancellable() || v&marks != 0 {
			return
		}
		if c.due.mark(v, markGone) {
			c.interrupt(p)
			return
		} // else it has just moved on: look again
	}
}

// leave has the connection end with its next answer.
func (c *conn) leave() { c.closing.Store(true) }

// hurry asks the connection to end with its current answer, or now when it is idle.
func (c *conn) hurry() {
	c.closing.Store(true)
	if p, _, v := c.due.load(); p == phaseIdle && c.due.mark(v, markClosed) {
		c.interrupt(p)
	}
}

// abort ends the connection now.
func (c *conn) abort() {
	p, _, v := c.due.load()
	c.due.mark(v, markClosed)
	c.SetDeadline(past)
	c.interrupt(p)
}

// interrupt wakes the goroutine out of what it waits for in phase p.
func (c *conn) interrupt(p phase) {
	switch p {
	case phaseIdle, phaseHead:
		c.SetReadDeadline(past)
	case phaseQueue:
		if c.x.lease.Cancel(time.Now()) {
			c.ready <- struct{}{} // capacity 1, and the lease will not be granted any more
		}
	case phaseTarget, phaseStream, phaseTunnel:
		for _, up := range [...]*atomic.Pointer[upstream]{&c.up, &c.hedge} {
			if u := up.Load(); u != nil {
				u.SetDeadline(past)
			}
		}
		if p != phaseTarget {
			c.SetDeadline(past)
		}
	}
}

// after is the coarse time d from now; 0 stays 0: never.
func (c *conn) after(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return c.e.clock.Load() + int64(d)
}

func (c *conn) serve() {
	defer c.e.remove(c)
	if !c.from.peer.IsValid() { // else who had the connection before knows
		c.from = c.l.originOf(c.Conn)
		var ok bool
		if c.from.seat, ok = c.l.sit(c.from.peer.Addr()); !ok {
			c.from.seat = seat{}
			return
		}
	}
	c.buf = bufferPool.Get().(*buffers)
	defer c.free()
	c.in = c.buf.in[:]
	c.in, c.n = keep(c.in, 0, c.early)
	c.early = nil
	c.x.own.Ready = func(*pool.Lease) { c.ready <- struct{}{} }
	if s := c.l.site.Load(); s.MaxConns > 0 && c.l.conns.Load() > s.MaxConns {
		c.refuse(crowded)
		return
	}
	for {
		if !c.readHead(c.l.site.Load()) || !c.exchange(c.l.site.Load()) { // it may have been long between the two
			return
		}
	}
}

func (c *conn) free() {
	if c.buf != nil {
		bufferPool.Put(c.buf)
		c.buf = nil
	}
}

// readHead reads until a whole request head is at hand. False: the connection is to be closed.
func (c *conn) readHead(s *Site) bool {
	c.due.enter(phaseIdle, c.after(s.KeepAlive))
	if c.n == 0 && c.closing.Load() && c.e.down.Load() {
		return false
	}
	begun := false
	for {
		if c.n > 0 {
			err := c.x.request(c.in[:c.n], s.Limits)
			if err == nil {
				c.due.enter(phaseBusy, 0)
				return true
			}
			if err == h1.ErrVersion && c.l.opts.H2C && isH2(c.in[:c.n]) {
				c.becomeH2()
				return false
			}
			if err != h1.ErrMore {
				c.due.enter(phaseBusy, 0)
				c.refuse(c.l.malformed(err))
				return false
			}
			if !begun {
				begun = true
				c.due.enter(phaseHead, c.after(s.HeadTimeout))
			}
			c.grow() // the codec's limit on heads ends this: it refuses before a head outgrows memory
		}
		k, err := c.Read(c.in[c.n:])
		c.n += k
		if k == 0 && err != nil {
			if begun && c.due.marked()&markLate != 0 {
				c.refuse(slow)
			}
			return false
		}
	}
}

// exchange runs one request to its end. False: the connection is to be closed.
func (c *conn) exchange(s *Site) bool {
	x := &c.x
	c.marks, c.upload, c.ending = 0, nil, ending{}
	x.came = c.e.clock.Load()
	now := time.Now()
	r, ok := x.find(s, &c.from, now)
	if ok {
		r, ok = x.admit(now)
	}
	alive := false
	if ok {
		alive = c.run()
	} else {
		alive = c.decline(r)
	}
	x.end(c.ending, time.Now())
	return alive
}

// run has a target answer the request.
func (c *conn) run() bool {
	x := &c.x
	if x.invites(c.in[x.req.Len:c.n]) {
		if _, err := c.Write([]byte(goOn)); err != nil {
			c.ending.left = true
			return false
		}
	}
	if !c.collect() {
		return false
	}
	have, err := x.body(c.in[x.req.Len:c.n])
	if err != nil {
		c.refuseAs(malformed(err))
		return false
	}
	out, err := x.forward(c.buf.out[:0], c.in[x.req.Len:x.req.Len+have])
	c.n = copy(c.in, c.in[x.req.Len+have:c.n]) // what follows the request waits at the front
	if err != nil {
		return c.decline(unrewritable(err))
	}
	c.e.mirror(x, out)

	if err := c.acquire(); err != nil {
		if err == errLeft {
			c.ending.left = true
			return false
		}
		return c.decline(x.refusal(err))
	}
	u, err := c.attempts(out)
	if err != nil {
		return c.giveUp(u, err)
	}
	if x.resp.Status == 101 {
		c.tunnel(u)
		c.finish(u, nil)
		return false
	}
	err = c.stream(u)
	return c.finish(u, err)
}

// collect reads on when the choice of a target depends on the body.
func (c *conn) collect() bool {
	x := &c.x
	for !x.collected(c.in[x.req.Len:c.n]) {
		x.keep()
		c.due.enter(phaseHead, c.after(x.pause()))
		c.grow()
		k, err := c.Read(c.in[c.n:])
		if c.n += k; k == 0 && err != nil {
			if c.due.marked()&markLate != 0 {
				c.refuseAs(slowBody)
			} else {
				c.ending.left = true
			}
			return false
		}
		if x.received = int64(c.n - x.req.Len); x.crawls(c.e.clock.Load()) {
			c.refuseAs(slowBody)
			return false
		}
	}
	c.due.enter(phaseBusy, 0)
	return true
}

// grow makes room to read into.
func (c *conn) grow() {
	if c.n == len(c.in) {
		bigger := make([]byte, 2*len(c.in))
		copy(bigger, c.in)
		c.in = bigger
	}
}

// enter moves to a phase and gathers the marks that the last one was given.
func (c *conn) enter(p phase, at int64) { c.marks |= c.due.enter(p, at) }

var (
	errLeft = errors.New("the client left")
	errLate = errors.New("the target took too long")
)

// acquire gets a slot, waiting for one in the queue if it must.
func (c *conn) acquire() error {
	verdict, err := c.x.dest.Acquire(c.x.lease, time.Now())
	if verdict == admit.Queue {
		return c.wait()
	}
	return err
}

// wait waits until the lease is granted or refused, or the client leaves.
func (c *conn) wait() error {
	c.enter(phaseQueue, 0)
	if c.marks&(markGone|markClosed) != 0 && c.x.lease.Cancel(time.Now()) {
		return errLeft
	}
	c.await()
	c.enter(phaseBusy, 0)
	if c.marks&(markGone|markClosed) != 0 {
		c.x.release(false, true, time.Now())
		return errLeft
	}
	return c.x.lease.Err()
}

// await waits for the lease, sending comments to a client that wants them.
func (c *conn) await() {
	for {
		d, ok := c.x.untilBeat(c.e.clock.Load())
		if !ok {
			<-c.ready
			return
		}
		select {
		case <-c.ready:
			return
		case <-time.After(d):
			c.pulse()
		}
	}
}

// pulse sends a comment when one is due. That the client has gone is the watcher's to find.
func (c *conn) pulse() {
	if b := c.x.pulse(nil, c.e.clock.Load()); len(b) > 0 {
		c.Write(b)
	}
}

// attempts tries targets until one has begun to answer and the beginning is with the client. On an error the upstream, if any,
// is the one that broke.
func (c *conn) attempts(out []byte) (*upstream, error) {
	x := &c.x
	x.given()
	fresh := false
	for {
		u, err := c.connect(fresh)
		at := connecting
		if err == nil {
			u, at, err = c.try(u, out)
			if err == nil {
				return u, nil
			}
		}
		c.endUpload(true)
		c.up.Store(nil)
		c.enter(phaseBusy, 0)
		switch {
		case c.marks&(markGone|markClosed) != 0:
			return u, errLeft
		case c.marks&markLate != 0:
			return u, errLate
		}
		if x.replay && errors.Is(err, errUnprocessed) {
			at = connecting
		}
		switch x.failed(at, u != nil && u.reused) {
		case giveUp:
			return u, err
		case again:
			fresh = true
		case otherTarget:
			verdict, e := x.lease.Retry(pool.Outcome{Failed: true, Unsent: at == connecting}, time.Now())
			if verdict == admit.Queue {
				e = c.wait()
			}
			if e != nil {
				if e != errLeft && !errors.As(e, new(*admit.Refusal)) {
					e = err // that there is no other target says less than why this one failed
				}
				closeUp(u)
				return nil, e
			}
			x.given()
			fresh = false
		}
		closeUp(u)
	}
}

func closeUp(u *upstream) {
	if u != nil {
		u.Close()
	}
}

// trusted says whether an idle connection may be given a request. Nobody watches it, so this looks: the target may have closed it, and what
// it may have said out of turn would be taken for the answer. What comes by TLS may be tickets; there only a request that could not be sent
// twice looks, for the end.
func (u *upstream) trusted(twice bool) bool {
	if _, plain := u.Conn.(*net.TCPConn); !plain {
		return twice || alive(u.Conn)
	}
	_, silent := peek(u.Conn)
	return silent
}

func (c *conn) connect(fresh bool) (*upstream, error) {
	x := &c.x
	l := x.lease.Target().Link.(*link)
	if !fresh {
		m := x.dest.manner(&c.from)
		for u := l.take(m); u != nil; u = l.take(m) {
			if u.trusted(x.replay && x.repeatable) {
				return u, nil
			}
			u.Close()
		}
	}
	began := time.Now()
	u, err := l.dial(context.Background(), x.dest, &c.from, x.to.Connect, fresh)
	if err == nil && !u.reused {
		x.access.Connect = time.Since(began)
	}
	return u, err
}

// try sends the request and reads until the head of the final answer, which it passes on with the body bytes that came along.
func (c *conn) try(u *upstream, out []byte) (*upstream, stage, error) {
	x := &c.x
	c.up.Store(u)
	patience := x.to.FirstByte
	if !x.reqBody.Done() {
		patience = x.pause()
	}
	c.enter(phaseTarget, c.after(patience))
	if c.marks&(markGone|markClosed) != 0 {
		return u, connecting, errLeft
	}
	if k, err := u.Write(out); err != nil {
		if k == 0 {
			return u, connecting, err
		}
		return u, awaiting, err
	}
	if !x.reqBody.Done() {
		c.startUpload(u)
	}
	n := 0
	if x.to.Hedge > 0 && x.replay && x.repeatable {
		var err error
		if u, n, err = c.race(u, out); err != nil {
			return u, awaiting, err
		}
	}
	at, err := c.readAnswer(u, n, c.room(out))
	return u, at, err
}

// room is where the head of the answer is put together: where the request was, unless that may have to be sent again.
func (c *conn) room(request []byte) []byte {
	if n := len(request); c.x.replay && c.x.repeatable && n <= len(c.buf.out) {
		return c.buf.out[n:n]
	}
	return c.buf.out[:0]
}

// readAnswer reads and passes on heads until the final one. The first n bytes lie in buf.head already.
func (c *conn) readAnswer(u *upstream, n int, room []byte) (stage, error) {
	x := &c.x
	rb := c.buf.head[:]
	for at := awaiting; ; {
		for n > 0 {
			at = answering
			head, err := x.answer(room, rb[:n], c.closing.Load() || c.uploading(), time.Now())
			if err == h1.ErrMore {
				break
			}
			if err != nil {
				return at, err
			}
			rest := rb[x.resp.Len:n]
			if x.begun {
				return at, c.first(u, head, rest)
			}
			if _, err := c.Write(head); err != nil {
				c.marks |= markGone
				return at, err
			}
			n = copy(rb, rest)
		}
		if n == len(rb) {
			bigger := make([]byte, 2*len(rb))
			copy(bigger, rb)
			rb = bigger
		}
		k, err := c.listen(u, rb[n:])
		n += k
		if k == 0 && err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return at, err
		}
	}
}

// listen reads from the target, sending comments meanwhile to a client that wants them.
func (c *conn) listen(u *upstream, b []byte) (int, error) {
	for {
		d, ok := c.x.untilBeat(c.e.clock.Load())
		if !ok {
			return u.Read(b)
		}
		u.SetReadDeadline(time.Now().Add(d))
		if c.due.marked() != 0 { // whoever marks the phase sets another deadline: that one counts
			u.SetReadDeadline(past)
		}
		k, err := u.Read(b)
		if k > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || c.due.marked() != 0 {
			u.SetReadDeadline(noDeadline)
			return k, err
		}
		c.pulse()
	}
}

// first passes on the final head together with the body bytes at hand, in one write.
func (c *conn) first(u *upstream, head, rest []byte) error {
	x := &c.x
	c.enter(phaseStream, c.after(x.to.Idle))
	if x.resp.Status == 101 {
		head = append(head, rest...)
		_, err := c.Write(head)
		return err
	}
	k, err := x.respBody.Next(rest)
	if err != nil {
		x.begun = false // nothing has been written yet
		return err
	}
	u.spoilt = k < len(rest) // bytes that nobody asked for: the connection cannot be trusted again
	n := len(head)
	w, err := c.Write(x.framed(head, rest[:k]))
	x.sent += int64(max(w-n, 0))
	if err != nil {
		c.marks |= markGone
		return err
	}
	return nil
}

// stream passes the rest of the answer on as it comes.
func (c *conn) stream(u *upstream) error {
	x := &c.x
	for !x.respBody.Done() {
		k, err := u.Read(c.buf.out[:])
		if k > 0 {
			c.enter(phaseStream, c.after(x.to.Idle))
			n, bodyErr := x.respBody.Next(c.buf.out[:k])
			if bodyErr != nil {
				return bodyErr
			}
			u.spoilt = n < k
			w, wErr := c.Write(c.frame(c.buf.out[:n]))
			x.sent += int64(w)
			if wErr != nil {
				c.marks |= markGone
				return wErr
			}
			continue
		}
		if err == io.EOF && x.respBody.UntilClose() {
			_, err := c.Write(x.finale(nil))
			return err
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	return nil
}

// frame is b as it goes to the client.
func (c *conn) frame(b []byte) []byte {
	if !c.x.beat.wrap {
		return b
	}
	return c.x.framed(nil, b)
}

// finish ends an exchange whose answer has begun. err: the answer was cut.
func (c *conn) finish(u *upstream, err error) bool {
	x := &c.x
	whole := c.endUpload(err != nil)
	c.up.Store(nil)
	c.enter(phaseBusy, 0)
	if err == nil && whole && c.marks == 0 && x.reusable() && !u.spoilt {
		u.link.put(u, c.e.clock.Load())
	} else {
		u.Close()
	}
	left := c.marks&(markGone|markClosed) != 0
	c.ending.err, c.ending.left = err, left
	x.release(err != nil && !left, err != nil && left, time.Now())
	if err != nil {
		if bye := x.farewell(c.buf.out[:0]); len(bye) > 0 && !left {
			if _, err := c.Write(bye); err == nil {
				c.linger()
				return false
			}
		}
		// A cut answer must look cut, also when only the end of the connection would have ended it.
		reset(c.Conn)
		return false
	}
	if !whole || x.last && c.n > 0 { // what the client sends is read, else the answer might be lost yet
		c.linger()
		return false
	}
	return !x.last && c.marks == 0
}

// giveUp ends an exchange that no target answered.
func (c *conn) giveUp(u *upstream, err error) bool {
	x := &c.x
	closeUp(u)
	left := err == errLeft || c.marks&markGone != 0
	badBody := c.upload != nil && c.upload.malformed != nil
	stalled := err == errLate && c.upload != nil && !x.reqBody.Done() // the client, not the target
	x.release(!left && !badBody && !stalled, left || badBody || stalled, time.Now())
	c.ending.left = left
	switch {
	case left:
		return false
	case x.begun:
		c.ending.err = err
		reset(c.Conn)
		return false
	case badBody:
		c.refuseAs(malformed(c.upload.malformed))
		return false
	case stalled:
		c.refuseAs(slowBody)
		return false
	case err == errLate:
		c.refuseAs(lateTarget("timeouts.first_byte", x.to.FirstByte))
		return false
	}
	var full *admit.Refusal
	if errors.As(err, &full) {
		return c.decline(x.refusal(err))
	}
	if x.expired(time.Now()) {
		return c.decline(expiredCall)
	}
	return c.decline(brokenTarget("the target failed before it answered: " + err.Error()))
}

// decline answers a request that is not forwarded. The connection lives on when the request's end is known.
func (c *conn) decline(r reply) bool {
	x := &c.x
	if x.req.Close || x.req.Minor == 0 || !x.reqBody.Done() || c.closing.Load() || c.marks != 0 {
		c.refuseAs(r)
		return false
	}
	c.ending.reply = r
	if !x.forwarded {
		c.n = copy(c.in, c.in[x.req.Len:c.n])
	}
	_, err := c.Write(x.say(c.buf.out[:0], r, false))
	return err == nil
}

// refuseAs ends the exchange with an answer after which nothing that the client sends can be read.
func (c *conn) refuseAs(r reply) {
	c.ending.reply = r
	c.conclude(c.x.say(nil, r, true))
}

// refuse answers what is no request.
func (c *conn) refuse(r reply) { c.conclude(r.append(nil, false, true)) }

// conclude sends the connection's last answer, so that the client can read it.
func (c *conn) conclude(b []byte) {
	if _, err := c.Write(b); err == nil {
		c.linger()
	}
}

// linger closes the write side and discards for a moment what the client still sends: closing at once would reset the
// connection, and the answer with it.
func (c *conn) linger() {
	if t, ok := c.Conn.(interface{ CloseWrite() error }); ok && t.CloseWrite() == nil {
		c.SetReadDeadline(time.Now().Add(time.Second))
		io.CopyN(io.Discard, c.Conn, 1<<20)
	}
}

func peerAddr(a net.Addr) netip.AddrPort {
	if t, ok := a.(interface{ AddrPort() netip.AddrPort }); ok { // TCP or UDP
		p := t.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	return netip.AddrPort{}
}

// reset makes the close of a connection visible as an error.
func reset(c net.Conn) {
	switch t := socket(c).(type) {
	case *net.TCPConn:
		t.SetLinger(0)
		t.Close() // TLS would take its leave, and the answer look whole
	case *stream:
		t.cut = true
	}
}
