package app

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/h1"
	"github.com/weirlb/weir/l7"
	"github.com/weirlb/weir/listen/certs"
	"github.com/weirlb/weir/route"
	"github.com/weirlb/weir/session"
)

// This file turns a listener of the config, with its routes, into what l7 and listen/certs serve.

// siteOf is what a listener serves, given the pools by name.
func siteOf(c *config.Config, l config.Listen, pools map[string]*livePool, s *shared) (*l7.Site, error) {
	table, err := route.New(routesOf(l))
	if err != nil {
		return nil, fmt.Errorf("the routes of %s: %w", l.Address, err)
	}
	site := &l7.Site{
		Routes:      table,
		Limits:      h1.Limits{Head: int(c.Limits.Header), URI: int(c.Limits.URI)},
		MaxBody:     int64(c.Limits.Body),
		MaxConns:    int64(c.Limits.Connections),
		HeadTimeout: time.Duration(c.Timeouts.Header),
		BodyTimeout: time.Duration(c.Timeouts.Body),
		BodyRate:    int64(c.Timeouts.BodyRate),
		KeepAlive:   time.Duration(c.Timeouts.KeepAlive),
		Forwarded:   l.ForwardedHeader,
		Via:         l.Via,
		Trusted:     networksOf(l.TrustedProxies),
		Debug:       networksOf(c.DebugFrom),
		Keys:        s.limits.keys,
		Conns:       s.limits.conns,
		Requests:    s.limits.requests,
		Challenge:   s.challenge,
		Log:         s.log,
		Tracer:      s.tracer,
	}
	if len(l.Allow)+len(l.Deny) > 0 {
		site.Access = admit.NewAccess(prefixes(l.Allow), prefixes(l.Deny))
	}
	for _, r := range l.Routes {
		to, err := routeOf(c, r, pools, s)
		if err != nil {
			return nil, fmt.Errorf("route %s of %s: %w", r.Name, l.Address, err)
		}
		site.To = append(site.To, to)
	}
	return site, nil
}

// networksOf is nil for an empty list.
func networksOf(list []config.Network) *admit.Networks {
	if len(list) == 0 {
		return nil
	}
	return admit.NewNetworks(prefixes(list))
}

func prefixes(list []config.Network) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, n := range list {
		out[i] = n.Prefix
	}
	return out
}

func routesOf(l config.Listen) []route.Route {
	out := make([]route.Route, len(l.Routes))
	for i, r := range l.Routes {
		out[i] = route.Route{
			Host: r.Host, Path: r.Path, Methods: r.Methods, Pool: r.Pool,
			Headers: conditions(r.Headers), Query: conditions(r.Query), Cookies: conditions(r.Cookies),
		}
	}
	return out
}

func conditions(m map[string]config.Match) []route.Condition {
	var out []route.Condition
	for _, name := range slices.Sorted(maps.Keys(m)) {
		c := route.Condition{Name: name}
		switch v := m[name]; {
		case v.Exact != nil && strings.Contains(*v.Exact, "*"): // which would be a pattern
			c.Regexp = `(?s)\A` + regexp.QuoteMeta(*v.Exact) + `\z`
		case v.Exact != nil:
			c.Values = []string{*v.Exact}
		case strings.Contains(v.Prefix, "*"):
			c.Regexp = `\A` + regexp.QuoteMeta(v.Prefix)
		case v.Prefix != "":
			c.Values = []string{v.Prefix + "*"}
		case v.Regexp != "":
			c.Regexp = v.Regexp
		case v.Present != nil:
			c.Not = !*v.Present
		}
		out = append(out, c)
	}
	return out
}

// routeOf is where a route leads. The pools that it names are in the config, or config would have refused it.
func routeOf(c *config.Config, r config.Route, pools map[string]*livePool, s *shared) (*l7.Route, error) {
	out, err := compile(r)
	if err != nil {
		return nil, err
	}
	out.Meter = s.meters.Meter(r.Name)
	arms := r.Split
	if r.Pool != "" {
		arms = []config.Arm{{Pool: r.Pool}}
	}
	for _, a := range arms {
		d, err := destination(a.Pool, c.Pools[a.Pool], pools[a.Pool], s.sessions)
		if err != nil {
			return nil, err
		}
		out.Pools = append(out.Pools, d)
	}
	if len(arms) > 0 {
		// A route has one set of timeouts: those of its own, or else of its pool, or else of the first part of its split.
		t := c.Pools[arms[0].Pool].Timeouts
		out.Connect = override(r.Timeouts.Connect, t.Connect)
		out.FirstByte = override(r.Timeouts.FirstByte, t.FirstByte)
		out.Idle = override(r.Timeouts.Idle, t.Idle)
		out.Queue = time.Duration(r.Timeouts.Queue)
	}
	if m := r.Mirror; m != nil {
		d, err := destination(m.Pool, c.Pools[m.Pool], pools[m.Pool], nil) // a copy has no session
		if err != nil {
			return nil, err
		}
		out.Mirror = &l7.Mirror{To: d, Percent: m.Percent, MaxBody: int64(m.MaxBody), Sent: &pools[m.Pool].mirrored}
	}
	for i, limit := range r.RateLimits {
		rates, err := s.limits.rate(fmt.Sprintf("%s %d", r.Name, i), limit)
		if err != nil {
			return nil, fmt.Errorf("rate_limits: %w", err)
		}
		name := fmt.Sprintf("%s per %s", limit.Rate, limit.By)
		out.Rates = append(out.Rates, l7.Rate{By: keyOf(limit.By), Limit: rates, Name: name, Refused: s.limits.counter(r.Name + ": " + name)})
	}
	return out, nil
}

// override is a route's own value, where it has one, and else the pool's.
func override(own, pools config.Duration) time.Duration {
	if own > 0 {
		return time.Duration(own)
	}
	return time.Duration(pools)
}

// compile is what of a route needs no pool. Its errors are those that config leaves to the packages that do the work.
func compile(r config.Route) (*l7.Route, error) {
	out := &l7.Route{
		Name:      r.Name,
		By:        keyOf(r.SplitBy),
		Priority:  l7.Priority{Header: strings.ToLower(r.Priority.Header), Default: r.Priority.Default, Max: r.Priority.Max},
		Deadline:  l7.Deadline{Header: strings.ToLower(r.Deadline.Header), After: time.Duration(r.Deadline.After)},
		Tenant:    keyOf(r.Tenant),
		Heartbeat: time.Duration(r.Heartbeat),
		Attempts:  r.Retry.Attempts,
		Repeat:    r.Retry.Idempotent,
		Debug:     r.Debug,
	}
	if b := r.Limits.Body; b != nil {
		out.MaxBody = int64(*b)
		if *b == 0 {
			out.MaxBody = math.MaxInt64 // no limit, where 0 would be that of the site
		}
	}
	if r.Hedge != nil {
		out.Hedge = time.Duration(r.Hedge.After)
	}
	var err error
	if len(r.Split) > 0 {
		arms := make([]route.Arm, len(r.Split))
		for i, a := range r.Split {
			arms[i] = route.Arm{Name: a.Pool, Weight: a.Weight}
		}
		if out.Split, err = route.NewSplit(arms); err != nil {
			return nil, fmt.Errorf("split: %w", err)
		}
	}
	if d := r.Redirect; d != nil {
		if out.Redirect, err = route.NewRedirect(d.To, d.Status); err != nil {
			return nil, fmt.Errorf("redirect: %w", err)
		}
	}
	if a := r.Respond; a != nil {
		respond := route.Respond{Status: a.Status, Body: []byte(a.Body)}
		for _, name := range slices.Sorted(maps.Keys(a.Headers)) {
			respond.Headers = append(respond.Headers, route.Header{Name: name, Value: a.Headers[name]})
		}
		if out.Respond, err = respond.Compile(); err != nil {
			return nil, fmt.Errorf("respond: %w", err)
		}
	}
	if out.Rewrite, err = rewriteOf(r.Rewrite).Compile(); err != nil {
		return nil, fmt.Errorf("rewrite: %w", err)
	}
	if out.Request, err = route.NewRequestEdits(editsOf(r.RequestHeaders)); err != nil {
		return nil, fmt.Errorf("request_headers: %w", err)
	}
	if out.Answer, err = route.NewResponseEdits(editsOf(r.ResponseHeaders)); err != nil {
		return nil, fmt.Errorf("response_headers: %w", err)
	}
	return out, nil
}

func rewriteOf(w *config.Rewrite) route.Rewrite {
	if w == nil {
		return route.Rewrite{}
	}
	out := route.Rewrite{StripPrefix: w.StripPrefix, AddPrefix: w.AddPrefix, Path: w.Path}
	if w.Regexp != nil {
		out.Regexp, out.Replace = w.Regexp.Match, w.Regexp.To
	}
	return out
}

func editsOf(h config.HeaderEdits) []route.Edit {
	var out []route.Edit
	for _, name := range h.Remove {
		out = append(out, route.Edit{Op: route.Remove, Name: name})
	}
	for _, part := range []struct {
		op     route.Op
		values map[string]string
	}{{route.Set, h.Set}, {route.Add, h.Add}} {
		for _, name := range slices.Sorted(maps.Keys(part.values)) {
			out = append(out, route.Edit{Op: part.op, Name: name, Value: part.values[name]})
		}
	}
	return out
}

var sources = map[string]l7.Source{
	config.KeyClient: l7.ByClient, config.KeyNetwork: l7.ByNetwork, config.KeyHeader: l7.ByHeader, config.KeyCookie: l7.ByCookie,
	config.KeyQuery: l7.ByQuery, config.KeyJSON: l7.ByJSON, config.KeyAll: l7.Everything,
}

func keyOf(k config.Key) l7.Key {
	name := k.Name
	if k.Kind == config.KeyHeader {
		name = strings.ToLower(name)
	}
	return l7.Key{From: sources[k.Kind], Name: name}
}

// destination is a pool as routes see it. Without sessions none of its clients is kept on a target.
func destination(name string, c *config.Pool, lp *livePool, sessions *session.Ring) (*l7.Destination, error) {
	d := &l7.Destination{Pool: lp.pool, H2: c.Protocol == config.ProtocolH2}
	switch c.Balance {
	case config.IPHash:
		d.Key = l7.Key{From: l7.ByClient}
	case config.Hash:
		d.Key = keyOf(c.HashBy)
	case config.AffinityBalance:
		d.Key = keyOf(c.Affinity.By)
	case config.PrefixAffinity:
		d.Prefix = l7.Prefix{JSON: c.Prefix.JSON, Block: int(c.Prefix.Block)}
	}
	if s := c.Queue.Size; s != nil {
		d.Size = l7.Size{JSON: s.JSON, Header: strings.ToLower(s.Header), Bytes: s.Bytes}
	}
	if c.LoadReport == config.LoadReportORCA {
		d.ORCA = l7.AnyGauge
		if c.Utilization != nil {
			d.ORCA = c.Utilization.Metric
		}
	}
	switch c.ProxyProtocol {
	case "v1":
		d.Proxy = 1
	case "v2":
		d.Proxy = 2
	}
	var err error
	if d.TLS, err = targetTLS(c); err != nil {
		return nil, fmt.Errorf("pool %s: tls: %w", name, err)
	}
	if s := c.Sticky; s != nil && sessions != nil {
		d.Sticky = &l7.Sticky{Ring: sessions, Cookie: cookieOf(s)}
		if err := d.Sticky.Cookie.Check(); err != nil {
			return nil, fmt.Errorf("pool %s: sticky: %w", name, err)
		}
	}
	return d, nil
}

func cookieOf(s *config.Sticky) session.Cookie {
	return session.Cookie{
		Name: s.Cookie, Duration: time.Duration(s.Duration),
		SameSite: map[string]string{"lax": "Lax", "strict": "Strict", "none": "None"}[s.SameSite],
	}
}

// targetTLS is how targets of a pool are spoken to, nil without TLS.
func targetTLS(c *config.Pool) (*tls.Config, error) {
	t := c.TLS
	if t == nil {
		return nil, nil
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName, InsecureSkipVerify: t.Insecure, NextProtos: []string{"http/1.1"}}
	if c.Protocol == config.ProtocolH2 {
		out.NextProtos = []string{"h2"}
	}
	for _, file := range t.CA {
		if out.RootCAs == nil {
			out.RootCAs = x509.NewCertPool()
		}
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca: %s holds no certificate; it must be in PEM", file)
		}
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("cert %s, key %s: %w", t.Cert, t.Key, err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}

// certsOf are the certificates of a listener with tls, but for its issuer.
func certsOf(l config.Listen) certs.Options {
	t := l.TLS
	o := certs.Options{MinVersion: tls.VersionTLS12, Ciphers: t.Ciphers}
	if t.MinVersion == "1.3" {
		o.MinVersion = tls.VersionTLS13
	}
	for _, c := range t.Certificates {
		o.Files = append(o.Files, certs.Pair{Cert: c.Cert, Key: c.Key})
	}
	// The better one first: who speaks both gets it.
	for _, p := range []struct{ protocol, alpn string }{{config.ProtocolH2, "h2"}, {config.ProtocolH1, "http/1.1"}} {
		if slices.Contains(l.Protocols, p.protocol) {
			o.Protocols = append(o.Protocols, p.alpn)
		}
	}
	if a := t.ClientAuth; a != nil {
		o.Client = &certs.ClientAuth{CAs: a.CA, CRLs: a.CRL, Require: a.Mode == "require"}
	}
	return o
}

// checkTLS reads the files that a listener's tls names.
func checkTLS(l config.Listen) error {
	if l.TLS == nil {
		return nil
	}
	o := certsOf(l)
	if l.TLS.ACME != nil {
		o.Issuer = promised(l.TLS.ACME.Domains) // the true one would begin to get certificates
	}
	_, err := certs.Open(o)
	return err
}

// promised stands for an issuer that has nothing yet.
type promised []string

func (p promised) Covers(name string) bool { return slices.Contains(p, name) }

func (p promised) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return nil, errors.New("there is no certificate yet")
}
