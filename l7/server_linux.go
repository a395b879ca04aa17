package l7

import (
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/weirlb/weir/h1"
	"golang.org/x/sys/unix"
)

// server is one connection of a loop to a target.
type server struct {
	end
	link      *link
	c         *client // whose exchange it carries; nil while idle
	at        stage
	reused    bool
	spoilt    bool   // it sent more than was asked for
	head      []byte // part of an answer's head
	idleSince int64
}

// lane is a loop's idle connections to one target, the most recently used on top.
type lane struct{ idle []*server }

// staleAfter is how long an idle connection is trusted without a look when the request could not be sent twice.
const staleAfter = int64(time.Second)

// connect finds or opens a connection to the lease's target.
func (l *loop) connect(x *loopExchange, fresh bool) (*server, error) {
	k := x.lease.Target().Link.(*link)
	if !fresh {
		lane := &k.lanes[l.id]
		for n := len(lane.idle); n > 0; n = len(lane.idle) {
			s := lane.idle[n-1]
			lane.idle[n-1] = nil
			lane.idle = lane.idle[:n-1]
			if x.replay && x.repeatable || l.clock-s.idleSince < staleAfter || s.alive() {
				return s, nil
			}
			s.close()
		}
	}
	return l.dial(k)
}

func (l *loop) dial(k *link) (*server, error) {
	if !k.addr.IsValid() {
		return l.dialName(k), nil
	}
	family, sa := unix.AF_INET, unix.Sockaddr(nil)
	if a := k.addr.Addr(); a.Is4() {
		sa = &unix.SockaddrInet4{Port: int(k.addr.Port()), Addr: a.As4()}
	} else {
		family, sa = unix.AF_INET6, &unix.SockaddrInet6{Port: int(k.addr.Port()), Addr: a.As16()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("a socket to %s: %w", k.name, err)
	}
	err = unix.Connect(fd, sa)
	if err != nil && err != unix.EINPROGRESS {
		unix.Close(fd)
		return nil, fmt.Errorf("dial %s: %w", k.name, err)
	}
	s := &server{link: k}
	s.connecting = err != nil
	return s, l.join(s, fd)
}

func (l *loop) join(s *server, fd int) error {
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	return l.add(&s.end, fd, s)
}

// dialName opens a connection to a target whose address is a name: looking it up blocks, so a goroutine does it.
func (l *loop) dialName(k *link) *server {
	s := &server{link: k}
	s.l, s.fd, s.connecting = l, -1, true
	go func() {
		fd, err := dialFD(k.name)
		l.call(func() {
			switch {
			case s.closed:
				if err == nil {
					unix.Close(fd)
				}
			case err != nil:
				s.broken(err)
			default:
				if err := l.join(s, fd); err != nil {
					s.broken(err)
					return
				}
				s.flush()
			}
		})
	}()
	return s
}

// dialTimeout bounds a dial by name: the exchange that wanted it gives up earlier.
const dialTimeout = 10 * time.Second

func dialFD(addr string) (int, error) {
	c, err := net.DialTimeout("tcp", addr, dialTimeout)
	if err != nil {
		return -1, err
	}
	defer c.Close()
	return duplicate(c.(*net.TCPConn))
}

// alive looks whether the target has closed an idle connection.
func (s *server) alive() bool {
	var b [1]byte
	_, _, err := unix.Recvfrom(int(s.fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return err == unix.EAGAIN
}

// keep puts a connection by that can serve again.
func (l *loop) keep(s *server) {
	s.reused, s.idleSince, s.head = true, l.clock, nil
	lane := &s.link.lanes[l.id]
	if s.link.closed.Load() || len(lane.idle) >= s.link.max {
		s.close()
		return
	}
	lane.idle = append(lane.idle, s)
}

// discard closes an idle connection.
func (s *server) discard() {
	lane := &s.link.lanes[s.l.id]
	if i := slices.Index(lane.idle, s); i >= 0 {
		lane.idle = slices.Delete(lane.idle, i, i+1)
	}
	s.close()
}

func (s *server) readable() {
	if s.c == nil {
		s.discard() // it closed, or spoke out of turn
		return
	}
	if s.connecting {
		return // what there is to know comes with the event that the socket can be written
	}
	for turn := 0; s.more && s.c != nil && !s.closed; turn++ {
		switch {
		case s.c.stuffed():
			return
		case turn == maxTurns:
			s.later()
			return
		}
		b, state := s.recv()
		switch state {
		case nothing:
			return
		case ended:
			s.over()
			return
		}
		s.got(b)
	}
}

func (s *server) got(b []byte) {
	c := s.c
	x := c.x
	switch {
	case c.phase == phaseTunnel:
		c.due = c.after(x.to.Idle)
		if !c.end.send(b) {
			c.endTunnel()
		}
	case x.begun:
		s.stream(b)
	default:
		s.answer(b)
	}
}

// answer takes bytes of the answer's head, and what follows it.
func (s *server) answer(b []byte) {
	c := s.c
	x := c.x
	s.at = answering
	if len(s.head) > 0 {
		s.head = append(s.head, b...)
		b = s.head
	}
	for len(b) > 0 {
		var err error
		c.l.out, err = x.answer(c.l.out[:0], b, c.closing || !x.reqBody.Done(), c.l.now)
		if err == h1.ErrMore {
			break
		}
		if err != nil {
			c.broke(s, answering, err)
			return
		}
		rest := b[x.resp.Len:]
		switch {
		case !x.begun:
			if !c.end.send(c.l.out) {
				c.broken(errClosed)
				return
			}
			b = rest
			continue
		case x.resp.Status == 101:
			s.head = nil
			s.tunnel(rest)
			return
		}
		s.first(rest)
		return
	}
	s.head = append(s.head[:0], b...)
}

// first passes on the final head, which is in l.out, together with the body bytes at hand.
func (s *server) first(rest []byte) {
	c := s.c
	x := c.x
	n, err := x.respBody.Next(rest)
	if err != nil {
		x.begun = false // nothing has been written yet
		c.broke(s, answering, err)
		return
	}
	s.head = nil
	s.spoilt = n < len(rest)
	c.enter(phaseStream, x.to.Idle)
	head := len(c.l.out)
	c.l.out = x.framed(c.l.out, rest[:n])
	s.pass(c.l.out, head)
}

// stream passes on more of the answer's body.
func (s *server) stream(b []byte) {
	x := s.c.x
	n, err := x.respBody.Next(b)
	if err != nil {
		s.c.cut(err, true)
		return
	}
	s.spoilt = n < len(b)
	s.c.due = s.c.after(x.to.Idle)
	if x.beat.wrap {
		s.c.l.out = x.framed(s.c.l.out[:0], b[:n])
		s.pass(s.c.l.out, 0)
		return
	}
	s.pass(b[:n], 0)
}

// pass passes b on, which begins with so many bytes of a head.
func (s *server) pass(b []byte, head int) {
	c := s.c
	if !c.end.send(b) {
		c.broken(errClosed)
		return
	}
	c.x.sent += int64(len(b) - head)
	if c.x.respBody.Done() {
		c.done()
	}
}

// over is called when the target will send no more.
func (s *server) over() {
	c := s.c
	x := c.x
	switch {
	case c.phase == phaseTunnel:
		c.hangUp()
		if s.half {
			c.endTunnel()
		}
	case x.begun && x.respBody.UntilClose():
		s.spoilt = true
		s.pass(x.finale(c.l.out[:0]), 0)
	case x.begun:
		c.cut(io.ErrUnexpectedEOF, true)
	default:
		c.broke(s, s.at, io.ErrUnexpectedEOF)
	}
}

// tunnel joins both sides after an upgrade. The switch itself is in l.out.
func (s *server) tunnel(rest []byte) {
	c := s.c
	c.l.out = append(c.l.out, rest...)
	c.enter(phaseTunnel, c.x.to.Idle)
	early := c.in
	c.in = nil
	if !c.end.send(c.l.out) || len(early) > 0 && !s.send(early) {
		c.endTunnel()
		return
	}
	if c.more {
		c.later()
	}
}

// flushed is called when the target can take more, or the connection to it has just opened.
func (s *server) flushed() {
	c := s.c
	if c == nil {
		return
	}
	if s.at == connecting && c.phase == phaseTarget {
		s.at = awaiting
		c.x.access.Connect = c.l.now.Sub(c.x.tried)
		c.enter(phaseTarget, c.allowance())
	}
	if c.more && c.wants() {
		c.readable()
	}
}

// broken is called when nothing can be written to the target.
func (s *server) broken(err error) {
	switch c := s.c; {
	case c == nil:
		s.discard()
	case c.phase == phaseTunnel:
		c.endTunnel()
	case s.connecting:
		c.broke(s, connecting, fmt.Errorf("dial %s: %w", s.link.name, err))
	default:
		if s.at == connecting && len(s.out) < len(c.x.opening) {
			s.at = awaiting // a part of the request was written
		}
		// What the target said before it closed is worth hearing.
		s.out, s.more, s.hup = nil, true, true
		s.readable()
	}
}

func (s *server) sweep() {
	if s.c == nil && (s.link.closed.Load() || s.l.clock-s.idleSince > int64(s.link.maxAge)) {
		s.discard()
	}
}

func (s *server) hurry() {}

func (s *server) abort() {
	if s.c == nil {
		s.close()
	}
}
