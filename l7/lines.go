package l7

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// lines are the HTTP/2 connections to one target. Each carries as many calls at a time as the target allows.
type lines struct {
	mu      sync.Mutex
	open    []*line
	dialing *attempt // which others wait for; nil: none
}

type line struct {
	*http.ClientConn
	manner manner
	used   time.Time // when it was last given a call
}

// attempt is the opening of a line.
type attempt struct {
	manner manner
	done   chan struct{}
	err    error
}

// call begins an exchange with a target that speaks HTTP/2.
func (l *link) call(ctx context.Context, d *Destination, from *origin, fresh bool) (*upstream, error) {
	m := d.manner(from)
	for {
		n, a, own := l.lines.take(m, fresh)
		switch {
		case n != nil:
			return l.begin(n, true), nil
		case own:
			n, err := l.line(ctx, d, from)
			l.lines.settle(a, n, err, l.closed.Load())
			if err != nil {
				return nil, err
			}
			return l.begin(n, false), nil
		}
		select { // many calls at a time shall not each open a line
		case <-a.done:
			if a.err != nil {
				return nil, a.err
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("dial %s: %w", l.name, ctx.Err())
		}
	}
}

// take finds a line with room for a call, which is reserved, and forgets those that ended. Where there is none, a is what opens one: the
// caller, if own, and else somebody to wait for.
func (ls *lines) take(m manner, fresh bool) (found *line, a *attempt, own bool) {
	if fresh {
		return nil, &attempt{done: make(chan struct{})}, true
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.open = slices.DeleteFunc(ls.open, func(n *line) bool {
		switch {
		case n.Err() != nil:
			return true
		case found == nil && n.manner == m && n.Reserve() == nil:
			found = n
			n.used = time.Now()
		case n.Available() == 0 && n.InFlight() == 0: // the target has said that it will take no more
			n.Close()
			return true
		}
		return false
	})
	if found != nil {
		return found, nil, false
	}
	if a := ls.dialing; a != nil && a.manner == m {
		return nil, a, false
	}
	ls.dialing = &attempt{manner: m, done: make(chan struct{})}
	return nil, ls.dialing, true
}

// settle tells those who wait how an attempt went. n is for all of them.
func (ls *lines) settle(a *attempt, n *line, err error, closed bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.dialing == a {
		ls.dialing = nil
	}
	switch {
	case err != nil:
		a.err = err
	case closed:
		n.endWhenIdle()
	default:
		ls.open = append(ls.open, n)
	}
	close(a.done)
}

// line opens a line with one call reserved.
func (l *link) line(ctx context.Context, d *Destination, from *origin) (*line, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return l.open(ctx, d, from) }
	t := &http.Transport{
		Protocols: new(http.Protocols), DialContext: dial, DialTLSContext: dial, DisableCompression: true,
		MaxResponseHeaderBytes: 64 << 10,
		HTTP2:                  &http.HTTP2Config{WriteByteTimeout: stuckAfter},
	}
	m := d.manner(from)
	if d.TLS != nil {
		t.Protocols.SetHTTP2(true)
	} else {
		t.Protocols.SetUnencryptedHTTP2(true)
	}
	c, err := t.NewClientConn(ctx, m.scheme(), l.name)
	if err != nil {
		return nil, err
	}
	if err := c.Reserve(); err != nil {
		c.Close()
		return nil, fmt.Errorf("dial %s: %w", l.name, err)
	}
	return &line{ClientConn: c, manner: m, used: time.Now()}, nil
}

// endWhenIdle closes the line after the last of its calls.
func (n *line) endWhenIdle() {
	n.SetStateHook(func(c *http.ClientConn) {
		if c.InFlight() == 0 {
			c.Close()
		}
	})
	if n.InFlight() == 0 {
		n.Close()
	}
}

// expire closes the lines that have been idle for longer than age; 0: all lines, as soon as they are.
func (ls *lines) expire(now time.Time, age time.Duration) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.open = slices.DeleteFunc(ls.open, func(n *line) bool {
		switch {
		case age == 0:
			n.endWhenIdle()
			return true
		case n.Err() != nil:
			return true
		case n.InFlight() > 0:
			n.used = now
		case now.Sub(n.used) > age:
			n.Close()
			return true
		}
		return false
	})
}
