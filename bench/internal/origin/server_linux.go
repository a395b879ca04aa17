package origin

import (
	"bytes"
	"container/heap"
	"context"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/weirlb/weir/bench/internal/poll"
)

const (
	maxHead = 8 << 10
	// step is the grain of all timers: events that fall due in the same step
	// leave in one go, as a target's own loop would send them.
	step = time.Millisecond
	// idle bounds a wait, so that a cancelled context is seen.
	idle = 100 * time.Millisecond
)

// Server answers on its ports. One goroutine serves it.
type Server struct {
	poller    *poll.Poller
	listeners map[int]bool
	ports     []int
	conns     map[int]*conn
	timers    timers
	scratch   []byte
	small     []byte // the answer to GET
	large     []byte // the answer to POST
	random    *rand.Rand
}

// conn is one connection. It is busy from a request's start to its answer's end.
type conn struct {
	fd     int
	rest   []byte  // what was read and not yet used
	skip   int     // bytes of the current request's body still to come
	asked  request // the current request
	busy   bool
	events int           // events still to send
	every  time.Duration // between them
	due    time.Time
	timer  int // index among the timers, or -1
}

// Listen opens the given number of free ports.
func Listen(ports int) (*Server, error) {
	poller, err := poll.New()
	if err != nil {
		return nil, err
	}
	s := &Server{
		poller:    poller,
		listeners: make(map[int]bool),
		conns:     make(map[int]*conn),
		scratch:   make([]byte, 64<<10),
		small:     document("200 OK", 200),
		large:     document("200 OK", 2048),
		random:    rand.New(rand.NewPCG(1, 2)),
	}
	for range ports {
		fd, port, err := poll.Listen(0)
		if err != nil {
			s.close()
			return nil, err
		}
		s.listeners[fd] = true
		s.ports = append(s.ports, port)
		if err := poller.Add(fd); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

// Ports returns the ports of 127.0.0.1 it listens on.
func (s *Server) Ports() []int { return s.ports }

// Serve answers until the context ends, then closes all sockets.
func (s *Server) Serve(ctx context.Context) error {
	defer s.close()
	for ctx.Err() == nil {
		ready, err := s.poller.Wait(s.untilNext(time.Now()))
		if err != nil {
			return err
		}
		for _, event := range ready {
			fd := int(event.Fd)
			if c := s.conns[fd]; c == nil {
				s.accept(fd)
			} else if !s.read(c) {
				s.drop(c)
			}
		}
		s.tick(time.Now())
	}
	return nil
}

func (s *Server) close() {
	for fd := range s.conns {
		poll.Close(fd)
	}
	for fd := range s.listeners {
		poll.Close(fd)
	}
	s.poller.Close()
}

// accept takes the connections that wait, if fd is a listener at all: it may
// also be a connection that was closed since the wait.
func (s *Server) accept(listener int) {
	for s.listeners[listener] {
		fd, ok := poll.Accept(listener)
		if !ok {
			return
		}
		if s.poller.Add(fd) != nil {
			poll.Close(fd)
			continue
		}
		s.conns[fd] = &conn{fd: fd, timer: -1}
	}
}

func (s *Server) drop(c *conn) {
	if c.timer >= 0 {
		heap.Remove(&s.timers, c.timer)
	}
	delete(s.conns, c.fd)
	poll.Close(c.fd)
}

// read takes what arrived and answers every request that is complete. It
// reports whether the connection goes on.
func (s *Server) read(c *conn) bool {
	n, errno := poll.Read(c.fd, s.scratch)
	if errno == syscall.EAGAIN || errno == syscall.EINTR {
		return true
	}
	if errno != 0 || n == 0 {
		return false
	}
	data := s.scratch[:n]
	if len(c.rest) > 0 {
		c.rest = append(c.rest, data...)
		data = c.rest
	}
	return s.consume(c, data)
}

// consume answers the requests that data completes and keeps what is left.
func (s *Server) consume(c *conn, data []byte) bool {
	left, ok := s.requests(c, data)
	c.rest = append(c.rest[:0], left...)
	return ok && len(c.rest) <= maxHead
}

func (s *Server) requests(c *conn, data []byte) (left []byte, ok bool) {
	for !c.busy && len(data) > 0 {
		if c.skip == 0 {
			end := bytes.Index(data, []byte("\r\n\r\n"))
			if end < 0 {
				return data, true
			}
			var err error
			if c.asked, err = parseHead(data[:end+4]); err != nil {
				poll.Write(c.fd, document("400 Bad Request", 200))
				return nil, false
			}
			data = data[end+4:]
			c.skip = c.asked.length
		}
		n := min(c.skip, len(data))
		c.skip -= n
		data = data[n:]
		if c.skip == 0 && !s.answer(c) {
			return nil, false
		}
	}
	return data, true
}

// answer starts the answer to the request that just became complete.
func (s *Server) answer(c *conn) bool {
	switch {
	case c.asked.method == "POST":
		return poll.Write(c.fd, s.large)
	case c.asked.path == "/predict":
		return poll.Write(c.fd, s.small)
	case c.asked.path == "/sse":
		return s.startEvents(c)
	case c.asked.path == "/hold":
		ms, err := c.asked.number("ms", 30_000)
		if err != nil {
			return poll.Write(c.fd, document("400 Bad Request", 200))
		}
		s.schedule(c, time.Now().Add(time.Duration(ms)*time.Millisecond))
		return true
	}
	return poll.Write(c.fd, document("404 Not Found", 200))
}

func (s *Server) startEvents(c *conn) bool {
	n, err1 := c.asked.number("n", 100)
	ms, err2 := c.asked.number("ms", 50)
	if err1 != nil || err2 != nil {
		return poll.Write(c.fd, document("400 Bad Request", 200))
	}
	c.events, c.every = n, time.Duration(ms)*time.Millisecond
	// Streams that start together must not send together for ever after.
	s.schedule(c, time.Now().Add(time.Duration(s.random.Int64N(int64(c.every)))))
	return poll.Write(c.fd, []byte(sseHead))
}

func (s *Server) schedule(c *conn, due time.Time) {
	c.busy, c.due = true, due
	heap.Push(&s.timers, c)
}

// untilNext returns how long nothing is due, rounded up to the timers' grain.
func (s *Server) untilNext(now time.Time) time.Duration {
	if len(s.timers) == 0 {
		return idle
	}
	wait := s.timers[0].due.Sub(now)
	return min(max(0, wait+step), idle)
}

// tick sends what is due.
func (s *Server) tick(now time.Time) {
	for len(s.timers) > 0 && !s.timers[0].due.After(now) {
		c := heap.Pop(&s.timers).(*conn)
		// A request may have come in while this one was being answered.
		if !s.fire(c) || !c.busy && !s.consume(c, c.rest) {
			s.drop(c)
		}
	}
}

// fire sends a connection's next event, or the answer it held.
func (s *Server) fire(c *conn) bool {
	if c.events == 0 {
		c.busy = false
		return poll.Write(c.fd, s.small)
	}
	chunk := appendEvent(s.scratch[:0], time.Now())
	c.events--
	if c.events == 0 {
		c.busy = false
		return poll.Write(c.fd, append(chunk, lastChunk...))
	}
	// From the time it was due, not from now: lateness must not add up.
	s.schedule(c, c.due.Add(c.every))
	return poll.Write(c.fd, chunk)
}

// timers is a heap of connections by the time they are due.
type timers []*conn

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].due.Before(t[j].due) }
func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].timer, t[j].timer = i, j
}

func (t *timers) Push(x any) {
	c := x.(*conn)
	c.timer = len(*t)
	*t = append(*t, c)
}

func (t *timers) Pop() any {
	last := len(*t) - 1
	c := (*t)[last]
	c.timer = -1
	(*t)[last] = nil
	*t = (*t)[:last]
	return c
}
