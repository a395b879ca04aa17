package listen

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/weirlb/weir/proxyproto"
)

// Proxies are the proxies in front of Weir that say who their client is, by the PROXY protocol.
//
// Every connection from one of them has to begin with a header: the protocol forbids to guess, because a client could write
// one itself through a proxy that does not.
type Proxies struct {
	// From are the proxies' networks. Connections over a unix socket count as from a proxy: who may connect is what the file's mode
	// says.
	From []netip.Prefix
	// Require refuses connections from anywhere else; without it they are served as clients, with the address they come from.
	Require bool
	// Timeout is how long a header may take to come; 0: 5 s.
	Timeout time.Duration
}

// Expect says whether a connection from peer begins with a header.
func (p *Proxies) Expect(peer netip.Addr) bool {
	if !peer.IsValid() {
		return true
	}
	peer = peer.Unmap().WithZone("")
	return slices.ContainsFunc(p.From, func(f netip.Prefix) bool { return f.Contains(peer) })
}

// Refuse says whether a connection from peer is closed at once.
func (p *Proxies) Refuse(peer netip.Addr) bool { return p.Require && !p.Expect(peer) }

// ProxyListener accepts connections of clients behind proxies: their RemoteAddr is the client's. The header is read
// by the first Read or RemoteAddr, which waits for it, never by Accept.
type ProxyListener struct {
	net.Listener
	Proxies Proxies
}

// SetDeadline is until when Accept waits.
func (l *ProxyListener) SetDeadline(t time.Time) error {
	if d, ok := l.Listener.(interface{ SetDeadline(time.Time) error }); ok {
		return d.SetDeadline(t)
	}
	return errors.ErrUnsupported
}

// Accept returns the next connection that is not refused.
func (l *ProxyListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		peer := addrOf(c.RemoteAddr())
		switch {
		case l.Proxies.Refuse(peer):
			c.Close()
		case l.Proxies.Expect(peer):
			return NewProxyConn(c, l.Proxies.Timeout), nil
		default:
			return c, nil
		}
	}
}

func addrOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr()
	}
	return netip.Addr{}
}

// ProxyConn is a connection that begins with a PROXY header.
type ProxyConn struct {
	net.Conn
	timeout time.Duration

	header sync.Once // guards what follows until it is done; then only Read changes rest
	client net.Addr  // nil: the peer itself
	err    error
	rest   []byte // was read behind the header

	mu       sync.Mutex // guards what follows
	deadline time.Time  // for reading, as the user of the connection set it
	until    time.Time  // the header's own deadline; zero when it is not being read
}

// NewProxyConn returns c without the header that it begins with, which may take as long as timeout (0: 5 s) to come.
func NewProxyConn(c net.Conn, timeout time.Duration) *ProxyConn {
	if timeout <= 0 {
		timeout = 5 * time.Second
	}
	return &ProxyConn{Conn: c, timeout: timeout}
}

// Read reads what follows the header.
func (c *ProxyConn) Read(b []byte) (int, error) {
	c.header.Do(c.readHeader)
	if c.err != nil {
		return 0, c.err
	}
	if len(c.rest) > 0 {
		n := copy(b, c.rest)
		if c.rest = c.rest[n:]; len(c.rest) == 0 {
			c.rest = nil
		}
		return n, nil
	}
	return c.Conn.Read(b)
}

// RemoteAddr is the client's address, or the peer's if the header names none or is bad; then Read says so.
func (c *ProxyConn) RemoteAddr() net.Addr {
	c.header.Do(c.readHeader)
	if c.client != nil {
		return c.client
	}
	return c.Conn.RemoteAddr()
}

// PeerAddr is the proxy's address.
func (c *ProxyConn) PeerAddr() net.Addr { return c.Conn.RemoteAddr() }

// NetConn is the connection below, of which the header may not have been read.
func (c *ProxyConn) NetConn() net.Conn { return c.Conn }

// CloseWrite ends the sending direction.
func (c *ProxyConn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

// SetDeadline sets the deadlines of both directions. The header's own may be sooner.
func (c *ProxyConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.Conn.SetWriteDeadline(t))
}

// SetReadDeadline sets the deadline for reading. The header's own may be sooner.
func (c *ProxyConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	return c.applyDeadline()
}

// applyDeadline sets the sooner of the two deadlines. c.mu is held.
func (c *ProxyConn) applyDeadline() error {
	t := c.deadline
	if !c.until.IsZero() && (t.IsZero() || c.until.Before(t)) {
		t = c.until
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *ProxyConn) bound(until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = until
	_ = c.applyDeadline() // a closed connection; reading says so
}

func (c *ProxyConn) readHeader() {
	c.bound(time.Now().Add(c.timeout))
	defer c.bound(time.Time{})
	b := make([]byte, 0, 256)
	for {
		n, err := c.Conn.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if n > 0 {
			length, src, bad := proxyproto.Parse(b)
			switch {
			case bad == nil:
				if src.IsValid() {
					c.client = net.TCPAddrFromAddrPort(src)
				}
				if length < len(b) {
					c.rest = b[length:]
				}
				return
			case !errors.Is(bad, proxyproto.ErrMore):
				c.err = fmt.Errorf("%s: %w", c.Conn.RemoteAddr(), bad)
				return
			}
		}
		if err != nil {
			c.err = fmt.Errorf("reading the PROXY header of %s: %w", c.Conn.RemoteAddr(), err)
			return
		}
		if len(b) == cap(b) {
			b = slices.Grow(b, min(len(b), proxyproto.MaxHeader-len(b)+1))
		}
	}
}
