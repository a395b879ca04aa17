package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/l7"
	"github.com/weirlb/weir/listen"
	"github.com/weirlb/weir/listen/acme"
	"github.com/weirlb/weir/listen/certs"
	"github.com/weirlb/weir/listen/handover"
)

// listener is an address of the config: its sockets, which stay open over reloads and upgrades, and what serves on them now.
type listener struct {
	cfg     config.Listen
	sockets []net.Listener
	serving []*l7.Listener
	certs   *certs.Store       // nil without tls
	issuer  *acme.Issuer       // nil without acme
	unwatch context.CancelFunc // of what goes on beside: the watch of certs, the wait for the UDP port

	accepted, failed uint64 // connections, and handshakes, of what served here before
}

// opening is what a change of the config needs for one address. Until it is taken, nothing uses it.
type opening struct {
	sockets []net.Listener // to serve on; nil when what serves there goes on
	packets net.PacketConn // for HTTP/3; nil without it, and while an earlier listener has the port still
	certs   *certs.Store
	issuer  *acme.Issuer // a new one
}

// openings are those of a config, by address.
type openings map[string]*opening

// close gives up what was opened.
func (os openings) close() {
	for _, o := range os {
		for _, ln := range o.sockets {
			ln.Close()
		}
		if o.packets != nil {
			o.packets.Close()
		}
		if o.issuer != nil {
			o.issuer.Close()
		}
	}
}

// open opens all that the listeners of a config need beside what they have, or nothing.
func (a *App) open(c *config.Config, given *handover.Inheritance, tickets map[string][][32]byte) (openings, error) {
	all := openings{}
	for _, l := range c.Listen {
		o := &opening{}
		all[l.Address] = o
		if err := a.openOne(c, l, o, given, tickets[l.Address]); err != nil {
			all.close()
			return nil, err
		}
	}
	return all, nil
}

func (a *App) openOne(c *config.Config, l config.Listen, o *opening, given *handover.Inheritance, tickets [][32]byte) (err error) {
	have := a.listeners[l.Address]
	switch {
	case have == nil:
		var inherited []net.Listener
		if given != nil {
			inherited = given.Take(l.Address)
		}
		o.sockets, err = listen.Open(l.Address, listen.Options{Inherited: inherited})
	case !sameSpeech(have.cfg, l):
		if o.sockets, err = duplicates(have.sockets); err != nil {
			err = fmt.Errorf("listening on %s in another way: %w; restart Weir for it", l.Address, err)
		}
	}
	if err != nil || l.TLS == nil {
		return err
	}
	if x := l.TLS.ACME; x != nil && (have == nil || have.issuer == nil || !sameAuthority(have.cfg.TLS.ACME, x)) {
		if o.issuer, err = acme.New(a.acmeOf(c, l)); err != nil {
			return fmt.Errorf("listening on %s: %w", l.Address, err)
		}
	}
	if o.sockets != nil {
		options := certsOf(l)
		if i := o.issuer; i != nil {
			options.Issuer = i
		} else if have != nil && have.issuer != nil && l.TLS.ACME != nil {
			options.Issuer = have.issuer
		}
		options.Tickets = tickets
		if have != nil && have.certs != nil {
			options.Tickets = have.certs.Tickets()
		}
		if o.certs, err = certs.Open(options); err != nil {
			return fmt.Errorf("listening on %s: tls: %w", l.Address, err)
		}
	}
	before := have != nil && quick(have.cfg) || given != nil && given.Succeeds()
	if quick(l) && o.sockets != nil && !before {
		if o.packets, err = listen.UDP(o.sockets[0].Addr().String()); err != nil {
			return fmt.Errorf("HTTP/3: %w", err)
		}
	}
	return nil
}

// quick says whether a listener speaks HTTP/3.
func quick(l config.Listen) bool { return slices.Contains(l.Protocols, config.ProtocolH3) }

// sameSpeech says whether what serves by one config can go on by the other: routes and certificates can be changed under way.
func sameSpeech(a, b config.Listen) bool {
	return (a.TLS == nil) == (b.TLS == nil) && a.Engine == b.Engine && reflect.DeepEqual(a.Protocols, b.Protocols) &&
		reflect.DeepEqual(a.ProxyProtocol, b.ProxyProtocol)
}

// sameAuthority says whether an issuer only needs to be told other domains.
func sameAuthority(a, b *config.ACME) bool {
	x, y := *a, *b
	x.Domains, y.Domains = nil, nil
	return reflect.DeepEqual(x, y)
}

// duplicates are other sockets with the same queues, so that one can be closed and nobody in the queue notices.
func duplicates(lns []net.Listener) (out []net.Listener, err error) {
	for _, ln := range lns {
		d, err := duplicate(ln)
		if err != nil {
			for _, d := range out {
				d.Close()
			}
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

func duplicate(ln net.Listener) (net.Listener, error) {
	filer, ok := ln.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, errors.ErrUnsupported
	}
	f, err := filer.File()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	d, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // the file goes with the last of them
		d.(*net.UnixListener).SetUnlinkOnClose(u.Addr().String()[:1] != "@")
	}
	return d, nil
}

// relisten gives every listener its new routes, adds new ones and closes those that are gone: they take in who waits in their
// queues first, and their connections finish what is in flight.
func (a *App) relisten(c *config.Config, opened openings) {
	wanted := map[string]bool{}
	for _, l := range c.Listen {
		wanted[l.Address] = true
		site, err := siteOf(c, l, a.pools, a.shared)
		if err != nil {
			a.log.Error("routes could not be changed", "address", l.Address, "error", err) // Check has built them before
			continue
		}
		a.serve(l, opened[l.Address], site)
	}
	for address, l := range a.listeners {
		if !wanted[address] {
			delete(a.listeners, address)
			l.close(a.engine)
			a.log.Info("not listening any more", "address", address)
		}
	}
}

// serve takes what was opened for a listener and serves a site there.
func (a *App) serve(l config.Listen, o *opening, site *l7.Site) {
	have := a.listeners[l.Address]
	if have == nil {
		have = &listener{}
		a.listeners[l.Address] = have
	}
	was := *have
	have.cfg = l
	have.take(a, l, o)
	if quick(l) {
		at := have.sockets
		if o.sockets != nil {
			at = o.sockets
		}
		site.AltSvc = fmt.Sprintf(`h3=":%d"; ma=86400`, portOf(at[0].Addr().String()))
	}
	if o.sockets == nil {
		for _, s := range have.serving {
			s.SetSite(site)
		}
	} else {
		have.sockets, have.serving = o.sockets, nil
		for _, ln := range o.sockets {
			have.serving = append(have.serving, a.engine.Serve(speaking(ln, l), site, have.options()))
		}
		a.log.Info("listening", "address", addressOf(have.sockets[0].Addr()))
		for _, s := range was.serving {
			a.engine.Forget(s)
			have.accepted += s.Accepted()
			have.failed += s.FailedHandshakes()
		}
	}
	if quick(l) && o.sockets != nil {
		have.serveQUIC(a, o.packets)
	}
	if was.issuer != nil && was.issuer != have.issuer {
		was.issuer.Close()
	}
}

// serveQUIC serves HTTP/3 beside the rest. Datagrams of all connections arrive at one socket, so two cannot share it: where an earlier
// listener, or process, finishes its own, this waits until it has the port to itself, and clients come by TCP meanwhile.
func (l *listener) serveQUIC(a *App, pc net.PacketConn) {
	serving, config, address := l.serving[0], l.certs.Config(), l.addr().String()
	if pc != nil {
		serving.ServeQUIC(pc, config)
		return
	}
	ctx, cancel := context.WithCancel(a.ctx)
	unwatch := l.unwatch
	l.unwatch = func() {
		unwatch()
		cancel()
	}
	a.loops.Go(func() {
		for told := false; ; {
			pc, err := listen.UDP(address)
			if err == nil {
				serving.ServeQUIC(pc, config)
				a.log.Info("listening for HTTP/3", "address", address)
				return
			}
			if !told {
				told = true
				a.log.Info("HTTP/3 begins when the port is free; until then clients come by TCP", "address", address, "error", err)
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(quicAgain):
			}
		}
	})
}

// quicAgain is the time between two looks whether the UDP port is free.
const quicAgain = 200 * time.Millisecond

// take makes the certificates of a listener those of its config.
func (have *listener) take(a *App, l config.Listen, o *opening) {
	if o.sockets != nil && have.unwatch != nil {
		have.unwatch()
		have.unwatch, have.certs = nil, nil
	}
	if l.TLS == nil {
		have.issuer = nil
		return
	}
	switch {
	case o.issuer != nil:
		have.issuer = o.issuer
	case l.TLS.ACME == nil:
		have.issuer = nil
	default:
		if err := have.issuer.Set(l.TLS.ACME.Domains); err != nil {
			a.log.Error("domains could not be changed", "address", l.Address, "error", err)
		}
	}
	if o.certs == nil {
		options := certsOf(l)
		if have.issuer != nil {
			options.Issuer = have.issuer
		}
		if err := have.certs.Set(options); err != nil {
			a.log.Error("certificates could not be changed; those read before stay", "address", l.Address, "error", err)
		}
	} else {
		have.certs = o.certs
		var ctx context.Context
		ctx, have.unwatch = context.WithCancel(a.ctx)
		a.loops.Go(func() { o.certs.Watch(ctx, 0, a.log) })
	}
	for _, w := range have.certs.Warnings() {
		a.log.Warn(w)
	}
}

// speaking is a socket as clients and proxies in front speak to it.
func speaking(ln net.Listener, l config.Listen) net.Listener {
	p := l.ProxyProtocol
	if p == nil {
		return ln
	}
	return &listen.ProxyListener{Listener: ln, Proxies: listen.Proxies{From: prefixes(p.From), Require: p.Required}}
}

// options are how the engine serves a listener.
func (l *listener) options() l7.ServeOptions {
	o := l7.ServeOptions{
		H2: slices.Contains(l.cfg.Protocols, config.ProtocolH2), H2C: slices.Contains(l.cfg.Protocols, config.ProtocolH2C),
		Goroutines: l.cfg.Engine == config.EngineGoroutine,
	}
	if l.certs != nil {
		o.TLS, o.Identity = l.certs, identity
	}
	return o
}

// identity is who a client's verified certificate names, for targets.
func identity(s *tls.ConnectionState) (l7.Identity, bool) {
	c, ok := certs.Identity(s)
	return l7.Identity{Subject: c.Subject, SAN: strings.Join(slices.Concat(c.URI, c.DNS, c.Email, c.IP), ","), Fingerprint: c.Fingerprint}, ok
}

// close closes a listener for good.
func (l *listener) close(e *l7.Engine) {
	for _, s := range l.serving {
		e.Forget(s)
	}
	if l.unwatch != nil {
		l.unwatch()
	}
	if l.issuer != nil {
		l.issuer.Close()
	}
}

// counts are the connections that are open, those that were taken in since the start, and the TLS handshakes that failed of these.
func (l *listener) counts() (open int, accepted, failed uint64) {
	accepted, failed = l.accepted, l.failed
	for _, s := range l.serving {
		open += int(s.Connections())
		accepted += s.Accepted()
		failed += s.FailedHandshakes()
	}
	return open, accepted, failed
}

// addr is where a listener can be reached.
func (l *listener) addr() net.Addr { return l.sockets[0].Addr() }

// acmeOf is how a listener gets certificates. The authority comes to port 443, which leads here, and, where a listener without TLS is on
// port 80, there, too.
func (a *App) acmeOf(c *config.Config, l config.Listen) acme.Options {
	x := l.TLS.ACME
	o := acme.Options{
		Domains: x.Domains, Email: x.Email, Directory: x.Directory, CAFile: x.CA, Dir: x.Storage,
		NoHTTP: true, TLSPort: portOf(l.Address), Log: a.log, Interval: 10 * time.Minute,
	}
	for _, other := range c.Listen {
		if other.TLS == nil && portOf(other.Address) == 80 {
			o.NoHTTP = false
		}
	}
	return o
}

// portOf is the port of a listener's address, 0 when it has none.
func portOf(address string) int {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(port)
	return n
}

// challenge answers an authority that looks whether a domain is ours (HTTP-01).
func (a *App) challenge(host, path string) ([]byte, bool) {
	is := a.issuers.Load()
	if is == nil {
		return nil, false
	}
	for _, i := range *is {
		if body, ok := i.HTTPChallenge(host, path); ok {
			return body, true
		}
	}
	return nil, false
}

// hasACME says whether a config gets certificates by ACME.
func hasACME(c *config.Config) bool {
	for _, l := range c.Listen {
		if l.TLS != nil && l.TLS.ACME != nil {
			return true
		}
	}
	return false
}

// listIssuers tells challenge which issuers there are. The lock is held.
func (a *App) listIssuers() {
	var is []*acme.Issuer
	for _, l := range a.listeners {
		if l.issuer != nil {
			is = append(is, l.issuer)
		}
	}
	a.issuers.Store(&is)
}
