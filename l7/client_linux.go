package l7

import (
	"errors"
	"net/netip"
	"time"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/h1"
	"github.com/weirlb/weir/pool"
	"golang.org/x/sys/unix"
)

// client is one client's connection on a loop.
type client struct {
	end
	li      *Listener
	from    origin
	phase   phase
	due     int64 // when the phase is overdue, by the coarse clock; 0: never
	closing bool  // Weir wants to be rid of the connection after the next answer
	x       *loopExchange
	s       *server // the exchange's other side
	in      []byte  // read and not used: part of a head, or what follows the request in flight
	drained int     // bytes thrown away while lingering
	finish  bool    // shut once everything is written
}

// loopExchange is an exchange with what a loop keeps beside it. It serves one request after the other, of any client of its loop.
type loopExchange struct {
	exchange
	c       *client
	opening []byte // the head as it is forwarded, and the body bytes that came with it
	gone    bool   // the client left while the lease was on its way
}

func (l *loop) take() *loopExchange {
	if n := len(l.spare); n > 0 {
		lx := l.spare[n-1]
		l.spare = l.spare[:n-1]
		return lx
	}
	lx := &loopExchange{}
	lx.own.Ready = func(*pool.Lease) { l.post(message{lx: lx}) }
	return lx
}

// maxSpare bounds how many exchanges a loop keeps for later, maxOpening the memory each keeps.
const (
	maxSpare   = 512
	maxOpening = 16 << 10
)

func (l *loop) giveBack(lx *loopExchange) {
	lx.c, lx.gone = nil, false
	if cap(lx.opening) > maxOpening {
		lx.opening = nil
	}
	if len(l.spare) < maxSpare {
		l.spare = append(l.spare, lx)
	}
}

// welcome begins to serve a new connection.
func (l *loop) welcome(li *Listener, fd int, peer netip.AddrPort) {
	if !l.e.enter(li) {
		l.load.Add(-1)
		unix.Close(fd)
		return
	}
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	seat, ok := li.sit(peer.Addr())
	if !ok {
		l.load.Add(-1)
		l.e.leave(li)
		unix.Close(fd)
		return
	}
	c := &client{li: li, from: newOrigin(peer)}
	c.from.seat = seat
	c.from.lane = uint32(l.id)
	s := li.site.Load()
	c.l = l
	c.enter(phaseIdle, s.KeepAlive)
	if err := l.add(&c.end, fd, c); err != nil {
		c.left()
		return
	}
	if s.MaxConns > 0 && li.conns.Load() > s.MaxConns {
		c.refuse(crowded)
	}
}

func (c *client) after(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return c.l.clock + int64(d)
}

func (c *client) enter(p phase, d time.Duration) { c.phase, c.due = p, c.after(d) }

// left counts the connection out.
func (c *client) left() {
	c.from.seat.rise()
	c.l.load.Add(-1)
	c.l.e.leave(c.li)
}

// shut closes the client's connection; what it had in flight has been settled.
func (c *client) shut() {
	if !c.closed {
		c.goodbye()
		c.close()
		c.left()
	}
}

// readable reads as long as the exchange wants what comes.
func (c *client) readable() {
	for turn := 0; c.more && !c.closed; turn++ {
		switch {
		case c.x != nil && c.hup && c.l.clock-c.x.came >= int64(sweepEvery):
			c.leave()
			return
		case !c.wants():
			return
		case turn == maxTurns:
			c.later()
			return
		}
		b, state := c.recv()
		switch state {
		case nothing:
			return
		case ended:
			c.ended()
			return
		}
		c.got(b)
	}
}

// wants says whether bytes of the client can be used now. What cannot be used stays in the kernel, so that a fast writer waits.
func (c *client) wants() bool {
	switch c.phase {
	case phaseIdle, phaseHead, phaseBody, phaseLinger:
		return true
	case phaseTarget, phaseStream:
		// While a connection is opened nothing is read: another target may have to be sent all of the body.
		return c.s != nil && c.s.at != connecting && !c.x.reqBody.Done() && !c.s.stuffed()
	case phaseTunnel:
		return !c.s.stuffed()
	}
	return false
}

func (c *client) got(b []byte) {
	switch c.phase {
	case phaseIdle, phaseHead:
		c.serve(b)
	case phaseBody:
		c.in = append(c.in, b...)
		c.x.received = int64(len(c.in) - c.x.req.Len)
		if c.due = c.after(c.x.pause()); c.x.collected(c.in[c.x.req.Len:]) {
			b := c.in
			c.in = nil
			c.phase, c.due = phaseBusy, 0
			c.next(b[c.proceed(b):])
		}
	case phaseLinger:
		if c.drained += len(b); c.drained > maxLinger {
			c.shut()
		}
	case phaseTunnel:
		c.due = c.after(c.x.to.Idle)
		if !c.s.send(b) {
			c.endTunnel()
		}
	default:
		c.upload(b)
	}
}

// ended is called when the client will send no more.
func (c *client) ended() {
	switch c.phase {
	case phaseLinger:
		if !c.finish { // else it still has to be written to
			c.shut()
		}
	case phaseIdle, phaseHead:
		c.shut()
	case phaseTunnel:
		c.s.hangUp()
		if c.half {
			c.endTunnel()
		}
	default:
		c.leave()
	}
}

// serve begins the requests in what was read, until one is in flight, is not complete, or the connection ends.
func (c *client) serve(b []byte) {
	if len(c.in) > 0 {
		b = append(c.in, b...)
		c.in = nil // b is the only owner: what begins below may read on
	}
	for c.x == nil && c.phase <= phaseHead && !c.closed {
		if len(b) == 0 {
			if c.over() {
				c.shut()
			}
			return
		}
		s := c.li.site.Load()
		lx := c.l.take()
		err := lx.request(b, s.Limits)
		if err != nil {
			c.l.giveBack(lx)
			if err == h1.ErrVersion && c.li.opts.H2C && isH2(b) {
				c.handOff(b)
				return
			}
			if err != h1.ErrMore {
				c.refuse(c.li.malformed(err))
				return
			}
			if c.phase == phaseIdle {
				c.enter(phaseHead, s.HeadTimeout)
			}
			break
		}
		lx.c, c.x, lx.came = c, lx, c.l.clock
		c.phase, c.due = phaseBusy, 0
		n := c.begin(b)
		b = b[n:]
	}
	c.keep(b)
}

// next goes on with what came after the request that has been used.
func (c *client) next(b []byte) {
	if c.x == nil && c.phase <= phaseHead && !c.closed {
		c.serve(b)
		return
	}
	c.keep(b)
}

// keep keeps what cannot be used yet.
func (c *client) keep(b []byte) {
	if len(b) > 0 && !c.closed && c.phase != phaseLinger {
		c.in = append(c.in, b...)
	}
}

// begin runs the request at the start of b and returns how many bytes of it were used.
func (c *client) begin(b []byte) int {
	x := c.x
	if r, ok := x.find(c.li.site.Load(), &c.from, c.l.now); !ok {
		return c.declineUnread(r)
	}
	if !x.to.plain() && (x.to.Redirect == nil && x.to.Respond == nil) {
		c.handOff(b)
		return len(b)
	}
	if r, ok := x.admit(c.l.now); !ok {
		return c.declineUnread(r)
	}
	if x.invites(b[x.req.Len:]) && !c.end.send([]byte(goOn)) {
		c.leave()
		return len(b)
	}
	if !x.collected(b[x.req.Len:]) {
		x.keep()
		c.phase, c.due = phaseBody, c.after(x.pause())
		c.in = append(c.in, b...)
		return len(b)
	}
	return c.proceed(b)
}

// proceed sends the request at the start of b to its pool.
func (c *client) proceed(b []byte) int {
	x := c.x
	have, err := x.body(b[x.req.Len:])
	if err != nil {
		c.refuseAs(malformed(err))
		return len(b)
	}
	used := x.req.Len + have
	c.l.out, err = x.forward(c.l.out[:0], b[x.req.Len:used])
	if err != nil {
		c.decline(unrewritable(err))
		return used
	}
	x.opening = append(x.opening[:0], c.l.out...)
	c.l.e.mirror(&x.exchange, x.opening)
	verdict, err := x.dest.Acquire(x.lease, c.l.now)
	switch {
	case verdict == admit.Queue:
		c.phase = phaseQueue
	case err != nil:
		c.decline(x.refusal(err))
	default:
		x.given()
		c.try(false)
	}
	return used
}

// refuseAs ends the exchange with an answer after which nothing that the client sends can be read.
func (c *client) refuseAs(r reply) {
	c.l.out = c.x.say(c.l.out[:0], r, true)
	c.drop(ending{reply: r})
	c.last(c.l.out)
}

// declineUnread answers a request of which only the head was used.
func (c *client) declineUnread(r reply) int {
	n := c.x.req.Len
	c.decline(r)
	return n
}

// granted is told that the lease was granted or refused.
func (c *client) granted() {
	x := c.x
	if x.gone {
		x.release(false, true, c.l.now)
		c.drop(ending{left: true})
		return
	}
	if err := x.lease.Err(); err != nil {
		c.decline(x.refusal(err))
		c.resume()
		return
	}
	x.given()
	c.try(false)
}

// try sends the request to the lease's target. fresh: on a new connection.
func (c *client) try(fresh bool) {
	x := c.x
	s, err := c.l.connect(x, fresh)
	if err != nil {
		c.broke(nil, connecting, err)
		return
	}
	c.forwardTo(s)
}

func (c *client) forwardTo(s *server) {
	x := c.x
	c.s, s.c, s.at = s, c, awaiting
	if s.connecting {
		s.at, x.tried = connecting, c.l.now
		c.enter(phaseTarget, x.to.Connect)
	} else {
		c.enter(phaseTarget, c.allowance())
	}
	if !s.send(x.opening) {
		c.broke(s, connecting, errClosed)
		return
	}
	if !x.reqBody.Done() {
		c.readable()
	}
}

// allowance is how long the target may be silent: from the end of the request until its answer, and before that as long as the client
// may pause.
func (c *client) allowance() time.Duration {
	if c.x.reqBody.Done() {
		return c.x.to.FirstByte
	}
	return c.x.pause()
}

var (
	errClosed  = errors.New("the connection is closed")
	errConnect = errors.New("no connection in time")
	errIdle    = errors.New("nothing came for too long")
)

// upload passes on more of the request's body.
func (c *client) upload(b []byte) {
	x := c.x
	n, err := x.more(b)
	if err != nil {
		if x.begun {
			c.cut(err, false)
			return
		}
		x.release(false, true, c.l.now)
		c.part()
		c.refuseAs(malformed(err))
		return
	}
	if c.phase == phaseTarget {
		c.due = c.after(c.allowance())
	}
	if rest := b[n:]; len(rest) > 0 {
		c.in = append(c.in, rest...)
	}
	if !c.s.send(b[:n]) {
		c.s.more = true // what the target said before it closed is worth hearing
		c.s.readable()
	}
}

// broke is told that the attempt on s failed. err says why.
func (c *client) broke(s *server, at stage, err error) {
	x := c.x
	reused := s != nil && s.reused
	c.part()
	switch x.failed(at, reused) {
	case again:
		c.try(true)
		return
	case otherTarget:
		verdict, e := x.lease.Retry(pool.Outcome{Failed: true, Unsent: at == connecting}, c.l.now)
		switch {
		case verdict == admit.Queue:
			c.phase, c.due = phaseQueue, 0
			return
		case e == nil:
			x.given()
			c.try(false)
			return
		case errors.As(e, new(*admit.Refusal)):
			c.decline(x.refusal(e))
			c.resume()
			return
		}
	}
	x.release(true, false, c.l.now)
	c.decline(brokenTarget("the target failed before it answered: " + err.Error()))
	c.resume()
}

// part lets go of the target's connection and closes it.
func (c *client) part() {
	if s := c.s; s != nil {
		c.s, s.c = nil, nil
		s.close()
	}
}

// drop ends the exchange; its lease has been settled.
func (c *client) drop(e ending) {
	if x := c.x; x != nil {
		x.end(e, c.l.now)
		c.x = nil
		c.l.giveBack(x)
	}
}

// done ends an exchange whose answer went out whole.
func (c *client) done() {
	x, s := c.x, c.s
	whole := x.reqBody.Done()
	if x.reusable() && !s.spoilt && !s.hup {
		c.s, s.c = nil, nil
		c.l.keep(s)
	} else {
		c.part()
	}
	x.release(false, false, c.l.now)
	last, patience := x.last || c.over(), x.to.Idle
	c.drop(ending{})
	switch {
	case !whole:
		c.linger()
	case last && len(c.out) == 0:
		c.bow()
	case last:
		c.finish = true
		c.enter(phaseLinger, patience)
	default:
		c.enter(phaseIdle, c.li.site.Load().KeepAlive)
		c.resume()
	}
}

// resume goes on with what came after the request that has just ended.
func (c *client) resume() {
	if c.closed || c.x != nil || c.phase > phaseHead {
		return
	}
	if len(c.in) > 0 || c.over() {
		b := c.in
		c.in = nil
		c.serve(b)
	}
	if c.more {
		c.later() // not at once: this may run inside of another end's turn
	}
}

// cut ends an answer that has begun and cannot be finished. It looks cut, or a stream of events says so.
func (c *client) cut(err error, failed bool) {
	x := c.x
	c.part()
	bye := x.farewell(c.l.out[:0])
	x.release(failed, !failed, c.l.now)
	c.drop(ending{err: err, left: !failed})
	if failed && len(bye) > 0 && c.end.send(bye) {
		c.linger()
		return
	}
	c.reset()
	c.left()
}

// leave is called when the client has gone and leaves a request behind.
func (c *client) leave() {
	x := c.x
	c.part()
	c.close()
	c.left()
	if c.phase == phaseQueue && !x.lease.Cancel(c.l.now) {
		x.gone = true // the grant is on its way; it is given back when it comes
		return
	}
	x.release(false, true, c.l.now)
	c.drop(ending{left: true})
}

// decline answers a request that no target answers. The connection lives on when the request's end is known.
func (c *client) decline(r reply) {
	x := c.x
	last := x.req.Close || x.req.Minor == 0 || !x.reqBody.Done() || c.closing
	c.l.out = x.say(c.l.out[:0], r, last)
	c.drop(ending{reply: r})
	if !c.end.send(c.l.out) {
		c.shut()
		return
	}
	if last {
		c.linger()
		return
	}
	c.enter(phaseIdle, c.li.site.Load().KeepAlive)
}

// refuse answers what is no request.
func (c *client) refuse(r reply) { c.last(r.append(c.l.out[:0], false, true)) }

// last sends the connection's last answer, and ends it so that the client can read that.
func (c *client) last(b []byte) {
	if !c.end.send(b) {
		c.shut()
		return
	}
	c.linger()
}

// lingerFor and maxLinger bound how long and how much of what a client still sends is read after the last answer: closing at once would
// reset the connection, and the answer with it.
const (
	lingerFor = time.Second
	maxLinger = 1 << 20
)

// bow ends the connection after an answer that said so, which the client has to its end. When it has sent more, that is read: else the
// answer might be lost yet.
func (c *client) bow() {
	c.finish = false
	if len(c.in) > 0 || c.more {
		c.linger()
		return
	}
	c.shut()
}

func (c *client) linger() {
	c.in = nil
	c.enter(phaseLinger, lingerFor)
	c.hangUp()
	if c.more {
		c.later()
	}
}

// flushed is called when the client can take more.
func (c *client) flushed() {
	switch {
	case c.finish:
		c.bow()
	case c.s != nil && c.s.more && !c.closed:
		c.s.readable()
	}
}

// broken is called when nothing can be written to the client any more.
func (c *client) broken(error) {
	if c.x != nil && c.phase != phaseTunnel {
		c.leave()
		return
	}
	if c.phase == phaseTunnel {
		c.endTunnel()
		return
	}
	c.shut()
}

func (c *client) sweep() {
	if c.hup && c.x != nil && c.phase.cancellable() && c.l.clock-c.x.came >= int64(sweepEvery) {
		c.leave()
		return
	}
	if x := c.x; x != nil && x.beat.on && (c.phase == phaseQueue || c.phase == phaseTarget) {
		if c.l.out = x.pulse(c.l.out[:0], c.l.clock); len(c.l.out) > 0 && !c.end.send(c.l.out) {
			c.leave()
			return
		}
	}
	if c.x != nil && !c.x.reqBody.Done() && (c.phase == phaseBody || c.phase == phaseTarget && !c.s.stuffed()) && c.x.crawls(c.l.clock) {
		c.late()
		return
	}
	if c.due == 0 || c.l.clock <= c.due {
		return
	}
	switch c.phase {
	case phaseHead:
		c.refuse(slow)
	case phaseBody:
		c.refuseAs(slowBody)
	case phaseTarget:
		c.late()
	case phaseStream:
		c.cut(errIdle, !c.stuffed()) // a client that does not read is not the target's fault
	case phaseTunnel:
		c.endTunnel()
	default:
		c.shut()
	}
}

// late ends an exchange whose target, or whose client, took too long before the answer began.
func (c *client) late() {
	x := c.x
	switch s := c.s; {
	case s == nil: // its body is being read
		c.refuseAs(slowBody)
	case s.at == connecting:
		c.broke(s, connecting, errConnect)
	case !x.reqBody.Done() && !s.stuffed():
		c.part()
		x.release(false, true, c.l.now)
		c.refuseAs(slowBody)
	default:
		c.part()
		x.release(true, false, c.l.now)
		c.decline(lateTarget("timeouts.first_byte", x.to.FirstByte))
		c.resume()
	}
}

// over says that the connection ends although the last answer may not have said so.
func (c *client) over() bool { return c.closing && c.l.e.down.Load() }

// hurry asks the connection to end with its current answer, or now when it is idle.
func (c *client) hurry() {
	c.closing = true
	if c.phase == phaseIdle {
		c.shut()
	}
}

// abort ends the connection now.
func (c *client) abort() {
	switch {
	case c.phase == phaseTunnel:
		c.endTunnel()
	case c.x != nil:
		c.leave()
	default:
		c.shut()
	}
}

// endTunnel ends a connection after an upgrade.
func (c *client) endTunnel() {
	x := c.x
	c.part()
	x.release(false, false, c.l.now)
	c.drop(ending{})
	c.shut()
}

// handOff gives the connection, with what was read of it, to a goroutine.
func (c *client) handOff(b []byte) {
	b = append([]byte(nil), b...)
	if c.x != nil {
		c.l.giveBack(c.x)
		c.x = nil
	}
	nc, err := c.toGoroutine()
	if err != nil {
		c.from.seat.rise()
		c.l.e.leave(c.li)
		return
	}
	c.from.local = peerAddr(nc.LocalAddr())
	c.l.e.adopt(c.li, nc, b, c.from)
}
