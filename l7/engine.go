// Package l7 is the HTTP load balancer: it accepts connections, reads requests, sends each to a target that its pool
// chose, and streams the answer back as it comes.
//
// The logic of one request is exchange, which does no I/O. This engine drives it with a goroutine per connection (conn.go).
package l7

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirlb/weir/pool"
)

// Engine serves any number of listeners.
type Engine struct {
	mu        sync.Mutex
	conns     map[carrier]struct{} // of what goroutines carry
	open      int                  // all connections of clients
	leaving   bool                 // Leave was called
	cut       bool                 // Close was
	listeners []*Listener
	loops     []*loop
	down      atomic.Bool
	idle      chan struct{} // closed when down and the last connection ended
	clock     atomic.Int64  // coarse: nanoseconds since the epoch, as of the last sweep
	watch     watcher
	ctx       context.Context // ends with Close
	cancel    context.CancelFunc
	mirrors   mirrors
	ended     sync.WaitGroup
}

// sweepEvery is how precise timeouts are, and how soon after its start an exchange is watched for a client that leaves.
const sweepEvery = 50 * time.Millisecond

// NewEngine starts an engine with so many event loops, at most one per processor, for plaintext HTTP/1.1; with 0, and where there are
// none (on systems other than Linux), goroutines carry every connection. Close ends it.
func NewEngine(loops int) (*Engine, error) {
	e := &Engine{conns: map[carrier]struct{}{}, idle: make(chan struct{})}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.clock.Store(time.Now().UnixNano())
	if err := e.watch.open(); err != nil {
		return nil, err
	}
	var err error
	if e.loops, err = newLoops(e, min(loops, maxLoops)); err != nil {
		return nil, err
	}
	e.ended.Go(e.sweep)
	e.ended.Go(func() { e.watch.run() })
	return e, nil
}

// Listener is one address that the engine accepts on.
type Listener struct {
	net.Listener
	e      *Engine
	opts   ServeOptions
	door   *door // where loops accept; nil when goroutines do
	site   atomic.Pointer[Site]
	conns  atomic.Int64
	came   atomic.Uint64 // connections, since the start
	failed atomic.Uint64 // handshakes
	quic   []*quicServer // guarded by the engine's lock

	closing atomic.Bool
	closed  chan struct{} // when Close is done
	emptied chan struct{} // when accept is
}

// Serve begins to accept on ln. It returns at once; the listener is closed by Close.
func (e *Engine) Serve(ln net.Listener, s *Site, o ServeOptions) *Listener {
	l := &Listener{Listener: ln, e: e, opts: o, closed: make(chan struct{}), emptied: make(chan struct{})}
	l.site.Store(s)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.listeners = append(e.listeners, l)
	if len(e.loops) > 0 && o.TLS == nil && !o.Goroutines && canLoop(ln) {
		if d, err := openDoor(e.loops, l); err == nil {
			l.door = d
			return l
		}
	}
	e.ended.Go(l.accept)
	return l
}

// lastCall is how long a listener that closes waits for connections that are in its queue already.
const lastCall = 5 * time.Millisecond

// lastCalls bounds that where new connections never cease.
const lastCalls = 100 * time.Millisecond

// Close stops accepting, but for the connections that wait in the queue of the socket, and returns when that is done. Connections that
// are open stay.
func (l *Listener) Close() error {
	if l.closing.Swap(true) {
		<-l.closed
		return nil
	}
	defer close(l.closed)
	l.e.mu.Lock()
	for _, q := range l.quic {
		q.end()
	}
	l.e.mu.Unlock()
	if l.door != nil {
		l.door.shut()
		return l.Listener.Close()
	}
	if l.lastCall() {
		<-l.emptied
	}
	return l.Listener.Close()
}

// lastCall has accept return in a moment. False: it cannot.
func (l *Listener) lastCall() bool {
	d, ok := l.Listener.(interface{ SetDeadline(time.Time) error })
	return ok && d.SetDeadline(time.Now().Add(lastCall)) == nil
}

// SetSite changes what the listener serves, from the next request on.
func (l *Listener) SetSite(s *Site) { l.site.Store(s) }

// Connections is how many client connections the listener has open.
func (l *Listener) Connections() int64 { return l.conns.Load() }

// Accepted is how many client connections the listener has taken in since it serves.
func (l *Listener) Accepted() uint64 { return l.came.Load() }

func (l *Listener) accept() {
	defer close(l.emptied)
	var since time.Time // of the last call
	for empty := 0; ; {
		if l.closing.Load() {
			switch now := time.Now(); {
			case since.IsZero():
				since = now
			case now.Sub(since) > lastCalls:
				return
			}
		}
		nc, err := l.Listener.Accept()
		if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() || isTemporary(err) {
			if l.closing.Load() {
				// The deadline may have passed before Accept looked at the queue: only the second time it looks at it for sure.
				if empty++; empty == 2 || !l.lastCall() {
					return
				}
				continue
			}
			// Out of descriptors or memory: there is nobody to tell, and it passes.
			time.Sleep(10 * time.Millisecond)
			continue
		} else if err != nil {
			return
		}
		empty = 0
		if !l.e.enter(l) {
			nc.Close()
			continue
		}
		if l.opts.TLS != nil {
			go l.e.greet(l, nc)
			continue
		}
		l.e.adopt(l, nc, nil, origin{})
	}
}

// enter counts a client's connection in. False: the engine is going down.
func (e *Engine) enter(l *Listener) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.down.Load() {
		return false
	}
	e.open++
	l.conns.Add(1)
	l.came.Add(1)
	return true
}

// leave counts it out.
func (e *Engine) leave(l *Listener) {
	l.conns.Add(-1)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.open--; e.open == 0 && e.down.Load() {
		close(e.idle)
	}
}

// carrier is what goroutines carry: a connection, its TLS handshake, or all streams of one.
type carrier interface {
	sweep(now int64) // called every sweepEvery
	leave()          // end with the next answer, which says so
	hurry()          // end with what is under way, or now when idle
	abort()          // end now
}

// carry begins to look after c, in place of another carrier if that is not nil.
func (e *Engine) carry(old, c carrier) {
	e.mu.Lock()
	delete(e.conns, old)
	e.conns[c] = struct{}{}
	leaving, down, cut := e.leaving, e.down.Load(), e.cut
	e.mu.Unlock()
	switch { // it came too late for the call that went round
	case cut:
		c.abort()
	case down:
		c.hurry()
	case leaving:
		c.leave()
	}
}

func (e *Engine) drop(c carrier) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.conns, c)
}

// adopt has goroutines carry a connection that was counted in. in is what was read of it already, from what is known of it, if anything.
func (e *Engine) adopt(l *Listener, nc net.Conn, in []byte, from origin) {
	c := e.newConn(l, nc, in)
	c.from = from
	e.carry(nil, c)
	go c.serve()
}

func (e *Engine) newConn(l *Listener, nc net.Conn, in []byte) *conn {
	return &conn{Conn: nc, l: l, e: e, ready: make(chan struct{}, 1), early: in}
}

func (e *Engine) remove(c *conn) {
	e.watch.forget(c)
	c.Close()
	c.from.seat.rise()
	e.drop(c)
	e.leave(c.l)
}

// sweep is the one timer of all connections: per request there is no timer to set, only a number to store.
func (e *Engine) sweep() {
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case now := <-t.C:
			ns := now.UnixNano()
			e.clock.Store(ns)
			e.mu.Lock()
			for c := range e.conns {
				c.sweep(ns)
			}
			e.mu.Unlock()
		}
	}
}

// Leave prepares for Shutdown where another process goes on with the sockets: it stops accepting and ends every connection with its next
// answer, which says so. It returns when none is left, or when ctx ends. Connections that ask nothing stay open meanwhile, because closing
// one would cut a request that is on its way.
func (e *Engine) Leave(ctx context.Context) {
	e.closeAfterNext()
	e.closeListeners()
	e.closeAfterNext() // those that came meanwhile
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for e.Active() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// closeAfterNext ends every connection with its next answer.
func (e *Engine) closeAfterNext() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.leaving = true
	for c := range e.conns {
		c.leave()
	}
	for _, l := range e.loops {
		l.leave()
	}
}

// closeListeners closes all listeners. Nothing may hold the lock: they take in what waits for them.
func (e *Engine) closeListeners() {
	e.mu.Lock()
	ls := slices.Clone(e.listeners)
	e.mu.Unlock()
	for _, l := range ls {
		l.Close()
	}
}

// Shutdown stops accepting, lets every request in flight finish, and returns when the last one has, or with the context's
// error when that ends first. Idle connections are closed at once.
func (e *Engine) Shutdown(ctx context.Context) error {
	e.closeListeners()
	e.mu.Lock()
	if !e.down.Swap(true) {
		for c := range e.conns {
			c.hurry()
		}
		for _, l := range e.loops {
			l.hurry()
		}
		if e.open == 0 {
			close(e.idle)
		}
	}
	e.mu.Unlock()
	select {
	case <-e.idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Active is how many connections are open.
func (e *Engine) Active() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.open
}

// Close ends everything at once, what is in flight included.
func (e *Engine) Close() {
	e.closeListeners()
	e.mu.Lock()
	e.down.Store(true)
	e.cut = true
	for c := range e.conns {
		c.abort()
	}
	e.mu.Unlock()
	endLoops(e.loops)
	e.cancel()
	e.watch.close()
	e.ended.Wait()
}

// Forget drops a listener that was closed.
func (e *Engine) Forget(l *Listener) {
	l.Close()
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range e.listeners {
		if e.listeners[i] == l {
			e.listeners = append(e.listeners[:i], e.listeners[i+1:]...)
			return
		}
	}
}

// Expire closes connections to targets that have been idle for too long.
func Expire(ts []pool.TargetStats, now time.Time) {
	for _, t := range ts {
		if l, ok := t.Target.Link.(*link); ok {
			l.expire(now.UnixNano())
		}
	}
}
