package l7

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/h1"
	"github.com/weirlb/weir/pool"
)

// maxMirrored bounds how many copies are under way at a time. More are not made: the original never waits for its copy.
const maxMirrored = 256

// mirrors counts the copies of requests.
type mirrors struct {
	running    atomic.Int64
	sent, left atomic.Uint64
}

// Mirrored says how many copies of requests were sent to mirrors, and how many were not made because too many were under way or the mirror's
// pool took none.
func (e *Engine) Mirrored() (sent, skipped uint64) {
	return e.mirrors.sent.Load(), e.mirrors.left.Load()
}

// mirror sends a copy of the request to the route's mirror, if it has one. opening is all of the request.
func (e *Engine) mirror(x *exchange, opening []byte) {
	m := x.to.Mirror
	if !x.mirrored || !x.replay || m.MaxBody > 0 && x.received > m.MaxBody {
		return
	}
	if e.mirrors.running.Add(1) > maxMirrored {
		e.mirrors.running.Add(-1)
		e.mirrors.left.Add(1)
		return
	}
	c := &copied{e: e, to: x.to, request: append([]byte(nil), opening...), ready: make(chan struct{}, 1)}
	c.x.req.Minor, c.x.req.IsHead = 1, x.req.IsHead
	go c.run()
}

// most is up to how many bytes of a body are waited for to be copied.
func (m *Mirror) most() int64 {
	if m.MaxBody > 0 {
		return min(m.MaxBody+1, maxCollect)
	}
	return maxCollect
}

// copied is one copy of a request, whose answer nobody waits for.
type copied struct {
	e       *Engine
	to      *Route
	x       exchange // as far as it takes to read the answer
	request []byte
	ready   chan struct{}
}

func (c *copied) run() {
	defer c.e.mirrors.running.Add(-1)
	lease := &pool.Lease{Ready: func(*pool.Lease) { c.ready <- struct{}{} }}
	verdict, err := c.to.Mirror.To.Acquire(lease, time.Now())
	if verdict == admit.Queue {
		<-c.ready
		err = lease.Err()
	}
	if err != nil {
		c.e.mirrors.left.Add(1)
		return
	}
	c.e.mirrors.sent.Add(1)
	if n := c.to.Mirror.Sent; n != nil {
		n.Add(1)
	}
	err = c.send(lease.Target().Link.(*link))
	o := pool.Outcome{Status: c.x.resp.Status, Failed: err != nil || c.x.resp.Status >= 500}
	lease.Release(o, time.Now())
}

func (c *copied) send(l *link) error {
	u, err := l.dial(c.e.ctx, c.to.Mirror.To, &origin{}, c.to.Connect, false)
	if err != nil {
		return err
	}
	defer u.Close()
	defer context.AfterFunc(c.e.ctx, func() { u.SetDeadline(past) })()
	if c.to.FirstByte > 0 {
		u.SetDeadline(time.Now().Add(c.to.FirstByte))
	}
	if _, err := u.Write(c.request); err != nil {
		return err
	}
	return c.read(u)
}

// read reads the answer to its end and throws it away.
func (c *copied) read(u *upstream) error {
	x := &c.x
	b, n := make([]byte, 16<<10), 0
	for !x.begun || !x.respBody.Done() {
		k, err := u.Read(b[n:])
		if k == 0 {
			if x.begun && x.respBody.UntilClose() {
				return nil
			}
			return err
		}
		if c.to.Idle > 0 {
			u.SetDeadline(time.Now().Add(c.to.Idle))
		}
		rest := b[:n+k]
		for n = 0; !x.begun && len(rest) > 0; rest = rest[x.resp.Len:] {
			if err := x.resp.Parse(rest, h1.Limits{}); err == h1.ErrMore && len(rest) < len(b) {
				n = copy(b, rest)
				break
			} else if err != nil {
				return err
			}
			x.begun = !x.resp.Interim()
			x.respBody = h1.ResponseBody(&x.resp, x.req.IsHead)
		}
		if x.begun {
			if _, err := x.respBody.Next(rest); err != nil {
				return err
			}
		}
	}
	return nil
}
