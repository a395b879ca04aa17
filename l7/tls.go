package l7

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"

	"github.com/weirlb/weir/admit"
)

// ServeOptions are how a listener serves, for as long as it does.
type ServeOptions struct {
	TLS        Handshaker // nil: without TLS
	H2         bool       // HTTP/2, where clients choose it by ALPN
	H2C        bool       // HTTP/2 without TLS, from clients that begin with it
	Goroutines bool       // carry every connection by goroutines, also those that a loop could

	// Identity says whom the verified certificate of a client names. Its strings go into header fields as they are. nil: nobody is told.
	Identity func(*tls.ConnectionState) (Identity, bool)
}

// Handshaker makes a connection that has just been accepted a TLS one. On an error it has closed the connection, or an answer is not
// wanted.
type Handshaker interface {
	Handshake(context.Context, net.Conn) (*tls.Conn, error)
}

// Identity is who a client is by its certificate.
type Identity struct{ Subject, SAN, Fingerprint string }

// origin is what is known of a client's connection and stays the same with all of its requests.
type origin struct {
	peer  netip.AddrPort
	local netip.AddrPort // where it came in
	ip    string         // of the peer
	proto string         // "HTTP/1.1", …
	tls   string         // the version of TLS; "" without
	certs []byte         // header lines that tell targets of the client's certificate
	lane  uint32         // of the meters
	seat  seat           // among the connections that the client may have
}

func newOrigin(peer netip.AddrPort) origin {
	return origin{peer: peer, ip: peer.Addr().WithZone("").String(), proto: "HTTP/1.1"}
}

// seat is a connection's place among those that its client may have.
type seat struct {
	of  *admit.Clients // nil: it does not count, or not any more
	key uint64
}

// sit takes a place for a connection of a client. False: it has as many as it may. They are closed without a word: who opens too many is not
// helped by answers.
func (l *Listener) sit(client netip.Addr) (seat, bool) {
	s := l.site.Load()
	if s.Conns == nil {
		return seat{}, true
	}
	key := s.Keys.Network(client)
	return seat{s.Conns, key}, s.Conns.Enter(key)
}

// rise gives the place back.
func (s *seat) rise() {
	if s.of != nil {
		s.of.Leave(s.key)
		s.of = nil
	}
}

// originOf looks at a connection that was accepted, and is TLS if that was asked for.
func (l *Listener) originOf(c net.Conn) origin {
	o := newOrigin(peerAddr(c.RemoteAddr()))
	o.local = peerAddr(c.LocalAddr())
	if t, ok := c.(*tls.Conn); ok {
		s := t.ConnectionState()
		l.secure(&o, &s)
	}
	return o
}

// secure notes what the handshake found out.
func (l *Listener) secure(o *origin, s *tls.ConnectionState) {
	o.tls = tls.VersionName(s.Version)
	if l.opts.Identity == nil {
		return
	}
	if id, ok := l.opts.Identity(s); ok {
		o.certs = append(append(append(o.certs, "X-Client-Cert-Subject: "...), id.Subject...), "\r\n"...)
		if id.SAN != "" {
			o.certs = append(append(append(o.certs, "X-Client-Cert-SAN: "...), id.SAN...), "\r\n"...)
		}
		o.certs = append(append(append(o.certs, "X-Client-Cert-Fingerprint: "...), id.Fingerprint...), "\r\n"...)
	}
}

// arrival is a connection whose TLS handshake is under way.
type arrival struct {
	net.Conn
	late int64 // when it takes too long, by the coarse clock; 0: never
}

func (a *arrival) sweep(now int64) {
	if a.late != 0 && now > a.late {
		a.Close()
	}
}

func (a *arrival) leave() {} // what follows the handshake will

func (a *arrival) hurry() { a.Close() }
func (a *arrival) abort() { a.Close() }

// greet makes a connection that was counted in a TLS one, and has it carried by what the client chose.
func (e *Engine) greet(l *Listener, nc net.Conn) {
	s := l.site.Load()
	if s.MaxConns > 0 && l.conns.Load() > s.MaxConns { // whoever floods Weir is not worth a handshake
		nc.Close()
		e.leave(l)
		return
	}
	seat, ok := l.sit(peerAddr(nc.RemoteAddr()).Addr())
	if !ok {
		nc.Close()
		e.leave(l)
		return
	}
	a := &arrival{Conn: nc}
	if s.HeadTimeout > 0 {
		a.late = e.clock.Load() + int64(s.HeadTimeout)
	}
	e.carry(nil, a)
	c, err := l.opts.TLS.Handshake(context.Background(), e.below(l, nc)) // a context that can end costs more than the sweep
	if err != nil {
		l.failed.Add(1)
		nc.Close()
		seat.rise()
		e.drop(a)
		e.leave(l)
		return
	}
	o := l.originOf(c)
	o.seat = seat
	if l.opts.H2 && c.ConnectionState().NegotiatedProtocol == "h2" {
		e.carryH2(a, l, c, o)
		return
	}
	if !l.opts.Goroutines && e.toLoop(l, c, o) {
		e.drop(a)
		return
	}
	k := e.newConn(l, c, nil)
	k.from = o
	e.carry(a, k)
	go k.serve() // on a stack that no handshake has made large
}

// below is what TLS is to lie on: what a loop can carry, if it may.
func (e *Engine) below(l *Listener, nc net.Conn) net.Conn {
	if l.opts.Goroutines || len(e.loops) == 0 {
		return nc
	}
	return layered(nc)
}

// FailedHandshakes is how many connections ended before TLS was agreed on.
func (l *Listener) FailedHandshakes() uint64 { return l.failed.Load() }

// socket finds the connection below the layers around it.
func socket(c net.Conn) net.Conn {
	for {
		layer, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return c
		}
		c = layer.NetConn()
	}
}
