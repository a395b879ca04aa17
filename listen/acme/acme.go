// Package acme gets certificates for domains from an authority such as Let's Encrypt, keeps them in a directory and renews them in time.
//
// The authority wants to see that the domain is ours, in one of two ways, and Weir answers both on the listeners it has: over
// HTTP on port 80 (HTTP-01: see HTTPChallenge) or in the TLS handshake on port 443 (TLS-ALPN-01: certs.Store answers it by GetCertificate).
package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
)

// Options say whom to ask for which certificates. Domains and Dir must be there.
type Options struct {
	// Domains are the names to get certificates for, one for each. Wildcards need a DNS challenge, which there is none of.
	Domains []string
	// Email is where the authority writes when something is wrong; it may be empty.
	Email string
	// Directory is the URL of the authority; empty: Let's Encrypt.
	Directory string
	// CAFile is the PEM file of the authorities that the directory's own certificate is checked against; empty: those of the system.
	CAFile string
	// Dir is where accounts, keys and certificates are kept. Processes may share it.
	Dir string
	// Account ties the account to one that the authority has already (external account binding); nil: it need not.
	Account *Account
	// Profile is one of those that the authority offers, e.g. "shortlived"; empty: its default.
	Profile string
	// NoHTTP and NoTLS leave out a way of showing that a domain is ours.
	NoHTTP, NoTLS bool
	// HTTPPort and TLSPort are where Weir listens for what arrives at ports 80 and 443; 0: these.
	HTTPPort, TLSPort int
	// Interval is how often certificates are looked at, whether they must be renewed; 0: 10 min.
	Interval time.Duration
	Log      *slog.Logger // nil: slog.Default()
}

// Account is what an authority gave its customer, out of band.
type Account struct{ KeyID, MACKey string }

// Issuer holds the certificates of its domains. It is a certs.Issuer.
type Issuer struct {
	log    *slog.Logger
	cache  *certmagic.Cache
	config *certmagic.Config
	acme   *certmagic.ACMEIssuer
	stop   func()

	domains atomic.Pointer[map[string]bool] // in lower case
	mu      sync.Mutex                      // held by Set
	ctx     context.Context                 // of what gets and renews certificates
}

// New returns the issuer and begins to get certificates for its domains, except those that it finds in Dir. Close ends it.
// When one cannot be got it is tried again, less and less often, and logged each time.
func New(o Options) (*Issuer, error) {
	if err := check(&o); err != nil {
		return nil, err
	}
	roots, err := roots(o.CAFile)
	if err != nil {
		return nil, err
	}
	logger := bridge(o.Log)
	i := &Issuer{log: o.Log}
	i.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { return i.config, nil },
		RenewCheckInterval: o.Interval, Logger: logger,
	})
	i.config = certmagic.New(i.cache, certmagic.Config{
		Storage: &certmagic.FileStorage{Path: o.Dir}, Logger: logger, OnEvent: i.event,
	})
	template := certmagic.ACMEIssuer{
		CA: o.Directory, Email: o.Email, Agreed: true, TrustedRoots: roots, Profile: o.Profile, Logger: logger,
		DisableHTTPChallenge: o.NoHTTP, DisableTLSALPNChallenge: o.NoTLS, AltHTTPPort: o.HTTPPort, AltTLSALPNPort: o.TLSPort,
	}
	if o.Account != nil {
		template.ExternalAccount = &acme.EAB{KeyID: o.Account.KeyID, MACKey: o.Account.MACKey}
	}
	i.acme = certmagic.NewACMEIssuer(i.config, template)
	i.config.Issuers = []certmagic.Issuer{i.acme}
	ctx, cancel := context.WithCancel(context.Background())
	i.ctx, i.stop = ctx, sync.OnceFunc(func() {
		cancel()
		i.cache.Stop()
	})
	if err := i.Set(o.Domains); err != nil {
		i.Close()
		return nil, err
	}
	return i, nil
}

// check looks at what can be wrong in options, and fills in defaults.
func check(o *Options) error {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Directory == "" {
		o.Directory = certmagic.LetsEncryptProductionCA
	}
	if u, err := url.Parse(o.Directory); err != nil || u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("ACME directory %q: it is no https URL; write that of the authority, or leave it out for Let's Encrypt", o.Directory)
	}
	if o.NoHTTP && o.NoTLS {
		return errors.New("ACME: both challenges are off, so no domain can be shown to be yours; turn HTTP-01 or TLS-ALPN-01 on")
	}
	if o.Dir == "" {
		return errors.New("ACME: there is no directory to keep certificates in; name one")
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return fmt.Errorf("ACME: creating the directory for certificates: %w; name one that Weir may write to", err)
	}
	return nil
}

func roots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("ACME: reading the authorities of the directory: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("ACME: reading the authorities of the directory: %s has no CERTIFICATE block; write a PEM file", path)
	}
	return pool, nil
}

// Set changes the domains: new ones get certificates, those of domains that are gone are not served or renewed any more.
func (i *Issuer) Set(domains []string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	next := map[string]bool{}
	for _, d := range domains {
		name := strings.ToLower(strings.TrimSuffix(d, "."))
		if err := checkDomain(name); err != nil {
			return err
		}
		next[name] = true
	}
	if len(next) == 0 {
		return errors.New("ACME: there is no domain to get a certificate for; name one")
	}
	var fresh []string
	var gone []certmagic.SubjectIssuer
	before := map[string]bool{}
	if old := i.domains.Load(); old != nil {
		before = *old
	}
	for d := range next {
		if !before[d] {
			fresh = append(fresh, d)
		}
	}
	for d := range before {
		if !next[d] {
			gone = append(gone, certmagic.SubjectIssuer{Subject: d})
		}
	}
	i.domains.Store(&next)
	i.cache.RemoveManaged(gone)
	slices.Sort(fresh)
	if err := i.config.ManageAsync(i.ctx, fresh); err != nil {
		return fmt.Errorf("ACME: getting certificates: %w", err)
	}
	return nil
}

func checkDomain(d string) error {
	switch {
	case strings.HasPrefix(d, "*."):
		return fmt.Errorf("ACME domain %s: wildcards need a DNS challenge, which Weir does not answer; name each host, or give the certificate as files", d)
	case strings.ContainsAny(d, "*/: ") || !strings.Contains(d, "."):
		return fmt.Errorf("ACME domain %q: it is no public host name; write one like www.example.org", d)
	}
	if _, err := netip.ParseAddr(d); err == nil {
		return fmt.Errorf("ACME domain %s: it is an address; write a host name, which clients can ask for", d)
	}
	return nil
}

// Close stops getting and renewing certificates. Those it has are still served.
func (i *Issuer) Close() { i.stop() }

// Covers says whether the issuer gets the certificate of a name, which is in lower case.
func (i *Issuer) Covers(name string) bool { return (*i.domains.Load())[name] }

// GetCertificate returns the certificate of the name that a client asks for, or of a challenge to one.
func (i *Issuer) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return i.config.GetCertificate(hello)
}

// Expires returns the end of each domain's certificate; the zero time is that of a domain that has none yet.
func (i *Issuer) Expires() map[string]time.Time {
	out := map[string]time.Time{}
	for d := range *i.domains.Load() {
		out[d] = time.Time{}
		for _, c := range i.cache.AllMatchingCertificates(d) {
			if end := c.Leaf.NotAfter; end.After(out[d]) {
				out[d] = end
			}
		}
	}
	return out
}

// challengePath is where an authority looks for its challenges (RFC 8555, section 8.3).
const challengePath = "/.well-known/acme-challenge/"

// HTTPChallenge returns what a plain GET of path at host has to be answered with, as text/plain, if that is a challenge to one
// of the domains. Challenges that another process began, with the same Dir, are answered, too. Of other requests it only looks at
// the path, so it may be called for each.
func (i *Issuer) HTTPChallenge(host, path string) (body []byte, ok bool) {
	if !strings.HasPrefix(path, challengePath) {
		return nil, false
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if !i.Covers(strings.ToLower(strings.TrimSuffix(host, "."))) {
		return nil, false
	}
	var a answer
	ok = i.acme.HandleHTTPChallenge(&a, &http.Request{Method: http.MethodGet, Host: host, URL: &url.URL{Path: path}})
	return a.body, ok
}

// answer keeps what a handler writes.
type answer struct{ body []byte }

func (a *answer) Header() http.Header { return http.Header{} }
func (a *answer) WriteHeader(int)     {}
func (a *answer) Write(b []byte) (int, error) {
	a.body = append(a.body, b...)
	return len(b), nil
}

// event logs what a user wants to know.
func (i *Issuer) event(_ context.Context, event string, data map[string]any) error {
	switch event {
	case "cert_obtained":
		i.log.Info("a certificate was issued", "domain", data["identifier"], "renewal", data["renewal"])
	case "cert_failed":
		i.log.Warn("a certificate could not be got; it is tried again. The authority must reach this machine under the domain, on port 80 or 443",
			"domain", data["identifier"], "renewal", data["renewal"], "error", data["error"])
	}
	return nil
}
