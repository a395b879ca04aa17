package l7

import (
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirlb/weir/target"
)

// upstream is one connection to a target.
type upstream struct {
	net.Conn
	link      *link
	manner    manner
	once      bool // it serves one exchange only
	reused    bool
	spoilt    bool  // it sent more than was asked for
	idleSince int64 // coarse clock, nanoseconds
}

// link is what the engine keeps for one target: its idle connections, the most recently used on top.
type link struct {
	name   string         // host:port
	addr   netip.AddrPort // the same, when the host is an address
	max    int
	maxAge time.Duration
	closed atomic.Bool
	lanes  []lane // of the loops

	mu   sync.Mutex
	idle []*upstream

	lines lines // for HTTP/2
}

// Link prepares a target for this engine: it keeps up to maxIdle idle connections to it, each for at most maxAge.
func Link(t *target.Target, maxIdle int, maxAge time.Duration) {
	l := &link{name: t.Addr, max: maxIdle, maxAge: maxAge, lanes: make([]lane, maxLoops)}
	if a, err := netip.ParseAddrPort(t.Addr); err == nil && a.Addr().Zone() == "" {
		l.addr = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	}
	t.Link = l
}

// maxLoops is how many loops an engine may have.
var maxLoops = runtime.NumCPU()

// Unlink closes a target's idle connections; those in use are closed when they are given back.
func Unlink(t *target.Target) {
	if l, ok := t.Link.(*link); ok {
		l.mu.Lock()
		idle := l.idle
		l.idle = nil
		l.closed.Store(true)
		l.mu.Unlock()
		for _, u := range idle {
			u.Close()
		}
		l.lines.expire(time.Now(), 0)
	}
}

// take returns an idle connection that was made in that manner, nil when there is none.
func (l *link) take(m manner) *upstream {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n := len(l.idle) - 1; n >= 0; n-- {
		if u := l.idle[n]; u.manner == m {
			l.idle = slices.Delete(l.idle, n, n+1)
			return u
		}
	}
	return nil
}

// put gives a connection back that can serve again.
func (l *link) put(u *upstream, now int64) {
	u.reused, u.idleSince = true, now
	l.mu.Lock()
	keep := !u.once && !l.closed.Load() && len(l.idle) < l.max
	if keep {
		l.idle = append(l.idle, u)
	}
	l.mu.Unlock()
	if !keep {
		u.Close()
	}
}

// expire closes the connections that have been idle for longer than maxAge: the oldest are at the bottom.
func (l *link) expire(now int64) {
	l.mu.Lock()
	n := 0
	for n < len(l.idle) && now-l.idle[n].idleSince > int64(l.maxAge) {
		n++
	}
	old := slices.Clone(l.idle[:n])
	l.idle = slices.Delete(l.idle, 0, n)
	l.mu.Unlock()
	for _, u := range old {
		u.Close()
	}
	l.lines.expire(time.Unix(0, now), l.maxAge)
}
