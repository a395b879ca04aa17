package l7

import (
	"time"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/pool"
)

// heard is what a target said first.
type heard struct {
	u   *upstream
	b   []byte
	err error
}

// race waits for the first bytes of an answer. When the target has said nothing for as long as the route's Hedge, a second target is asked
// the same, if its pool has a slot to spare; the first to answer wins, and the other one is let go. It returns who won, and how many bytes
// of its answer lie in buf.head.
func (c *conn) race(u *upstream, out []byte) (*upstream, int, error) {
	said := make(chan heard, 2)
	listen := func(u *upstream, b []byte) {
		n, err := u.Read(b)
		said <- heard{u, b[:n], err}
	}
	go listen(u, c.buf.head[:])
	timer := time.NewTimer(c.x.to.Hedge)
	defer timer.Stop()
	if h, ok := c.hear(said, timer.C); ok {
		return h.u, len(h.b), errOf(h)
	}
	other := &pool.Lease{}
	second := c.double(other, out)
	if second == nil {
		h, _ := c.hear(said, nil)
		return h.u, len(h.b), errOf(h)
	}
	go listen(second, make([]byte, len(c.buf.head)))
	h, _ := c.hear(said, nil)
	broke := len(h.b) == 0 && c.due.marked() == 0
	if broke { // the other one may do better
		h, _ = c.hear(said, nil)
	}
	winner, loser := u, second
	if h.u == second && len(h.b) > 0 {
		winner, loser = second, u
		other, c.x.lease = c.x.lease, other
	}
	loser.Close()
	if !broke {
		<-said // its listener has ended
	}
	c.up.Store(winner)
	c.hedge.Store(nil)
	other.Release(pool.Outcome{Failed: broke, Cancelled: !broke}, time.Now())
	return winner, copy(c.buf.head[:], h.b), errOf(h)
}

// hear waits for what is said first, and meanwhile sends comments to a client that wants them. False: the time was up.
func (c *conn) hear(said <-chan heard, up <-chan time.Time) (heard, bool) {
	for {
		var beat <-chan time.Time
		if d, ok := c.x.untilBeat(c.e.clock.Load()); ok {
			beat = time.After(d)
		}
		select {
		case h := <-said:
			return h, true
		case <-up:
			return heard{}, false
		case <-beat:
			c.pulse()
		}
	}
}

// errOf is the error of who heard nothing.
func errOf(h heard) error {
	if len(h.b) > 0 {
		return nil
	}
	return h.err
}

// double sends the request to a second target; nil when there is none to spare, or it cannot be reached.
func (c *conn) double(other *pool.Lease, out []byte) *upstream {
	x := &c.x
	if verdict, err := x.dest.Hedge(x.lease, other, time.Now()); err != nil || verdict != admit.Run {
		return nil
	}
	l := other.Target().Link.(*link)
	u := l.take(x.dest.manner(&c.from))
	if u == nil || !u.trusted(false) {
		closeUp(u)
		var err error
		if u, err = l.dial(c.e.ctx, x.dest, &c.from, x.to.Connect, false); err != nil {
			other.Release(pool.Outcome{Failed: true}, time.Now())
			return nil
		}
	}
	x.attempts++
	c.hedge.Store(u)
	if c.due.marked() != 0 {
		u.SetDeadline(past)
	}
	if _, err := u.Write(out); err != nil {
		c.hedge.Store(nil)
		u.Close()
		other.Release(pool.Outcome{Failed: true}, time.Now())
		return nil
	}
	return u
}
