package l7

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
)

// authority signs certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, pool: x509.NewCertPool()}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

// issue makes a certificate for a name and 127.0.0.1.
func (a *authority) issue(t testing.TB, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// server is a TLS configuration with a certificate for 127.0.0.1.
func (a *authority) server(t testing.TB, protocols ...string) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{a.issue(t, "app.test")}, NextProtos: protocols}
}

// handshaker is a Handshaker of one configuration.
type handshaker struct{ config *tls.Config }

func (h handshaker) Handshake(ctx context.Context, c net.Conn) (*tls.Conn, error) {
	t := tls.Server(c, h.config)
	return t, t.HandshakeContext(ctx)
}

// door opens another listener of p with options of its own, and returns its address.
func (p *proxy) door(t testing.TB, o ServeOptions) (*Listener, string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return p.e.Serve(ln, p.l.site.Load(), o), ln.Addr().String()
}

// clientOf speaks the protocols over one connection per server, as long as it can.
func clientOf(t testing.TB, config *tls.Config, protocols func(*http.Protocols)) *http.Client {
	tr := &http.Transport{TLSClientConfig: config, Protocols: new(http.Protocols)}
	protocols(tr.Protocols)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

func TestTLS(t *testing.T) {
	saw := make(chan http.Header, 1)
	p := front(t, 0, serve(t, func(w http.ResponseWriter, r *http.Request) {
		saw <- r.Header
		io.WriteString(w, "hello")
	}))
	a := newAuthority(t)
	config := a.server(t, "http/1.1")
	config.ClientAuth, config.ClientCAs = tls.VerifyClientCertIfGiven, a.pool
	l, addr := p.door(t, ServeOptions{TLS: handshaker{config}, H2: true, Identity: func(s *tls.ConnectionState) (Identity, bool) {
		if len(s.VerifiedChains) == 0 {
			return Identity{}, false
		}
		return Identity{Subject: s.PeerCertificates[0].Subject.String(), SAN: "DNS:" + s.PeerCertificates[0].DNSNames[0], Fingerprint: "ab12"}, true
	}})
	ask := func(config *tls.Config) (h http.Header) {
		t.Helper()
		c := clientOf(t, config, func(p *http.Protocols) { p.SetHTTP1(true) })
		for range 2 { // the second time on the same connection
			req, _ := http.NewRequest("GET", "https://"+addr, nil)
			req.Header.Set("X-Client-Cert-Subject", "CN=admin")
			r, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(r.Body)
			r.Body.Close()
			if string(b) != "hello" || r.Proto != "HTTP/1.1" {
				t.Errorf("%s %q", r.Proto, b)
			}
			if h = <-saw; h.Get("X-Forwarded-Proto") != "https" {
				t.Errorf("X-Forwarded-Proto is %q", h.Get("X-Forwarded-Proto"))
			}
		}
		return h
	}
	if h := ask(&tls.Config{RootCAs: a.pool}); h.Get("X-Client-Cert-Subject") != "" {
		t.Errorf("a client without a certificate is %v", h)
	}
	h := ask(&tls.Config{RootCAs: a.pool, Certificates: []tls.Certificate{a.issue(t, "alice.test")}})
	for name, want := range map[string]string{"Subject": "CN=alice.test", "San": "DNS:alice.test", "Fingerprint": "ab12"} {
		if got := h["X-Client-Cert-"+name]; len(got) != 1 || got[0] != want {
			t.Errorf("X-Client-Cert-%s is %q, want %q", name, got, want)
		}
	}
	if n := l.Connections(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
	stranger := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{}}}
	if _, err := stranger.Get("https://" + addr); err == nil {
		t.Error("a client that does not know the authority was happy")
	}
	until(t, "the failed handshake is counted", func() bool { return l.FailedHandshakes() == 1 && l.Connections() == 2 })
}

func TestAHandshakeMayNotTakeForEver(t *testing.T) {
	p := front(t, 0, "127.0.0.1:1")
	p.site(func(s *Site) { s.HeadTimeout = 100 * time.Millisecond })
	l, addr := p.door(t, ServeOptions{TLS: handshaker{newAuthority(t).server(t)}})
	c, r := dial(t, addr)
	if _, err := r.ReadByte(); err == nil {
		t.Error("the server spoke first")
	}
	c.Close()
	until(t, "the connection is counted out", func() bool { return l.Connections() == 0 && l.FailedHandshakes() == 1 })
}

// TestACutAnswerLooksCutOverTLS: without a length only the absence of TLS's farewell says so.
func TestACutAnswerLooksCutOverTLS(t *testing.T) {
	heard := make(chan struct{})
	p := front(t, 0, raw(t, func(c net.Conn, r *bufio.Reader) {
		readHead(r)
		io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\nhello")
		<-heard
		reset(c)
	}))
	a := newAuthority(t)
	_, addr := p.door(t, ServeOptions{TLS: handshaker{a.server(t)}})
	c := clientOf(t, &tls.Config{RootCAs: a.pool}, func(p *http.Protocols) { p.SetHTTP1(true) })
	r, err := c.Get("https://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if _, err := io.ReadFull(r.Body, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	close(heard)
	if _, err := r.Body.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("a cut answer looks whole: %v", err)
	}
}

// TestClientCertificatesOverStreams: who a client is reaches targets by HTTP/2 and 3 as by HTTP/1.1, and nobody can claim to be another.
func TestClientCertificatesOverStreams(t *testing.T) {
	saw := make(chan http.Header, 1)
	p := front(t, 0, serve(t, func(w http.ResponseWriter, r *http.Request) { saw <- r.Header }))
	a := newAuthority(t)
	identity := func(s *tls.ConnectionState) (Identity, bool) {
		if len(s.VerifiedChains) == 0 {
			return Identity{}, false
		}
		return Identity{Subject: s.PeerCertificates[0].Subject.String(), SAN: "DNS:" + s.PeerCertificates[0].DNSNames[0], Fingerprint: "ab12"}, true
	}
	server := func(auth tls.ClientAuthType) *tls.Config {
		config := a.server(t, "h2", "http/1.1")
		config.ClientAuth, config.ClientCAs = auth, a.pool
		return config
	}
	// open starts a listener and returns where it takes HTTP/2 and HTTP/3.
	open := func(auth tls.ClientAuthType) (h2, h3 string) {
		l, addr := p.door(t, ServeOptions{TLS: handshaker{server(auth)}, H2: true, Identity: identity})
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.ServeQUIC(pc, server(auth))
		return addr, pc.LocalAddr().String()
	}
	clients := func(certs ...tls.Certificate) map[string]*http.Client {
		tr := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: a.pool, Certificates: certs}}
		t.Cleanup(func() { tr.Close() })
		return map[string]*http.Client{
			"HTTP/2.0": clientOf(t, &tls.Config{RootCAs: a.pool, Certificates: certs}, func(p *http.Protocols) { p.SetHTTP2(true) }),
			"HTTP/3.0": {Transport: tr, Timeout: 20 * time.Second},
		}
	}
	at := map[string]string{}
	at["HTTP/2.0"], at["HTTP/3.0"] = open(tls.VerifyClientCertIfGiven)
	must := map[string]string{}
	must["HTTP/2.0"], must["HTTP/3.0"] = open(tls.RequireAndVerifyClientCert)
	for name, want := range map[string]map[string]string{
		"":           {},
		"alice.test": {"Subject": "CN=alice.test", "San": "DNS:alice.test", "Fingerprint": "ab12"},
	} {
		var certs []tls.Certificate
		if name != "" {
			certs = append(certs, a.issue(t, name))
		}
		for proto, c := range clients(certs...) {
			for range 2 { // the second time on the same connection
				req, _ := http.NewRequest("GET", "https://"+at[proto], nil)
				req.Header.Set("X-Client-Cert-Subject", "CN=admin")
				req.Header.Set("X-Client-Cert-Fingerprint", "ff")
				r, err := c.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				r.Body.Close()
				h := <-saw
				for _, field := range []string{"Subject", "San", "Fingerprint"} {
					if got := strings.Join(h["X-Client-Cert-"+field], "|"); got != want[field] || r.Proto != proto {
						t.Errorf("%s of %q by %s: %q, want %q", field, name, r.Proto, got, want[field])
					}
				}
			}
			r, err := c.Get("https://" + must[proto])
			if err == nil {
				r.Body.Close()
				<-saw
			}
			if (err == nil) != (name != "") {
				t.Errorf("%q where a certificate is required, by %s: %v", name, proto, err)
			}
		}
	}
	// One of another authority.
	for proto, c := range clients(newAuthority(t).issue(t, "mallory.test")) {
		if r, err := c.Get("https://" + at[proto]); err == nil {
			r.Body.Close()
			t.Errorf("mallory was let in by %s", proto)
		}
	}
}
