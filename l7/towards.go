package l7

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/weirlb/weir/proxyproto"
)

// manner is how a connection to a target was made. An exchange may only use one that was made as it would make it itself.
type manner struct {
	tls    *tls.Config    // nil: plain
	client netip.AddrPort // whom the PROXY protocol named; its zero value: nobody
	proxy  int
	h2     bool
}

func (d *Destination) manner(from *origin) manner {
	m := manner{tls: d.TLS, proxy: d.Proxy, h2: d.H2}
	if d.Proxy != 0 {
		m.client = from.peer
	}
	return m
}

func (m manner) scheme() string {
	if m.tls != nil {
		return "https"
	}
	return "http"
}

// dial opens a connection within timeout; 0 means no limit. fresh: nothing that another exchange has used will do.
func (l *link) dial(ctx context.Context, d *Destination, from *origin, timeout time.Duration, fresh bool) (*upstream, error) {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	if d.H2 {
		return l.call(ctx, d, from, fresh)
	}
	c, err := l.open(ctx, d, from)
	if err != nil {
		return nil, err
	}
	return &upstream{Conn: c, link: l, manner: d.manner(from)}, nil
}

// open opens a connection and says what comes before the first request.
func (l *link) open(ctx context.Context, d *Destination, from *origin) (net.Conn, error) {
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, "tcp", l.name)
	if err != nil || d.TLS == nil && d.Proxy == 0 {
		return c, err
	}
	if end, ok := ctx.Deadline(); ok {
		c.SetDeadline(end)
	}
	if d.Proxy != 0 {
		if _, err := c.Write(proxyproto.Append(nil, d.Proxy, from.peer, from.local)); err != nil {
			c.Close()
			return nil, fmt.Errorf("telling %s who the client is: %w", l.name, err)
		}
	}
	if d.TLS != nil {
		t := tls.Client(c, l.configOf(d))
		if err := t.Handshake(); err != nil {
			c.Close()
			return nil, fmt.Errorf("TLS with %s: %w", l.name, err)
		}
		if d.H2 && t.ConnectionState().NegotiatedProtocol != "h2" {
			c.Close()
			return nil, fmt.Errorf("TLS with %s: it does not speak HTTP/2; write protocol: h1 for its pool", l.name)
		}
		c = t
	}
	return c, c.SetDeadline(noDeadline)
}

// configOf names the target's host where the config names none.
func (l *link) configOf(d *Destination) *tls.Config {
	if d.TLS.ServerName != "" {
		return d.TLS
	}
	c := d.TLS.Clone()
	c.ServerName = l.name
	if host, _, err := net.SplitHostPort(l.name); err == nil {
		c.ServerName = host
	}
	return c
}
