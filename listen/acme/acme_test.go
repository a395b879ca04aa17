package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirlb/weir/listen/certs"
)

func TestIssueServeAndRenew(t *testing.T) {
	for _, way := range []string{"HTTP-01", "TLS-ALPN-01"} {
		t.Run(way, func(t *testing.T) {
			s := newSite(t)
			a := newAuthority(t, s.http.Port, s.tls.Port, 10*time.Second)
			var logged strings.Builder
			i, err := New(Options{
				Domains: []string{"www.example.org"}, Email: "ops@example.org",
				Directory: a.directory, CAFile: a.file, Dir: directory(t),
				NoHTTP: way != "HTTP-01", NoTLS: way != "TLS-ALPN-01", HTTPPort: s.http.Port, TLSPort: s.tls.Port,
				Interval: 50 * time.Millisecond, Log: slog.New(slog.NewTextHandler(&logged, nil)),
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				i.Close()
				if t.Failed() {
					t.Log(logged.String())
				}
			}()
			// Weir asks clients for certificates; the authority has none, and is answered nevertheless.
			store, err := certs.Open(certs.Options{Issuer: i, Client: &certs.ClientAuth{CAs: []string{a.file}}})
			if err != nil {
				t.Fatal(err)
			}
			s.use(i, store)

			first := s.until(t, a, func(*x509.Certificate) bool { return true })
			if err := first.VerifyHostname("www.example.org"); err != nil {
				t.Error(err)
			}
			if end := i.Expires()["www.example.org"]; !end.Equal(first.NotAfter) {
				t.Errorf("expires on %v, want %v", end, first.NotAfter)
			}
			second := s.until(t, a, func(c *x509.Certificate) bool { return c.SerialNumber.Cmp(first.SerialNumber) != 0 })
			if !second.NotAfter.After(first.NotAfter) {
				t.Errorf("renewed until %v, the first was good until %v", second.NotAfter, first.NotAfter)
			}
			if way == "TLS-ALPN-01" && s.challenges.Load() == 0 {
				t.Error("no challenge was answered by the store")
			}
		})
	}
}

func TestChallengesOfOthersAreNotAnswered(t *testing.T) {
	i, err := New(Options{
		Domains: []string{"www.example.org"}, Directory: "https://127.0.0.1:1/dir", Dir: directory(t), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	for host, path := range map[string]string{
		"www.example.org":   "/",
		"www.example.org:1": challengePath + "unknown",
		"evil.example":      challengePath + "../../../etc/passwd",
		"":                  challengePath,
	} {
		if body, ok := i.HTTPChallenge(host, path); ok || body != nil {
			t.Errorf("%s%s is answered %q", host, path, body)
		}
	}
	if !i.Covers("www.example.org") || i.Covers("example.org") {
		t.Error("covers the wrong names")
	}
	if err := i.Set([]string{"Other.example.org."}); err != nil || i.Covers("www.example.org") || !i.Covers("other.example.org") {
		t.Error("after a change covers the wrong names:", err)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ok := []string{"www.example.org"}
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Domains: ok}, "no directory to keep certificates in"},
		{Options{Domains: ok, Dir: filepath.Join(plain, "x")}, "name one that Weir may write to"},
		{Options{Dir: dir}, "there is no domain"},
		{Options{Dir: dir, Domains: []string{"*.example.org"}}, "wildcards need a DNS challenge"},
		{Options{Dir: dir, Domains: []string{"localhost"}}, "it is no public host name"},
		{Options{Dir: dir, Domains: []string{"192.0.2.1"}}, "it is an address"},
		{Options{Dir: dir, Domains: ok, Directory: "http://ca.example"}, "it is no https URL"},
		{Options{Dir: dir, Domains: ok, CAFile: plain}, "has no CERTIFICATE block"},
		{Options{Dir: dir, Domains: ok, CAFile: plain + "x"}, "reading the authorities of the directory"},
		{Options{Dir: dir, Domains: ok, NoHTTP: true, NoTLS: true}, "both challenges are off"},
	} {
		c.o.Log = slog.New(slog.DiscardHandler)
		if i, err := New(c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			if i != nil {
				i.Close()
			}
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

// directory is for what an issuer keeps. It may still write while it ends, which t.TempDir does not expect.
func directory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "acme")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for deadline := time.Now().Add(10 * time.Second); os.RemoveAll(dir) != nil && time.Now().Before(deadline); {
			time.Sleep(10 * time.Millisecond)
		}
	})
	return dir
}

// site has the two listeners of a Weir that get certificates.
type site struct {
	http, tls  *net.TCPAddr
	issuer     atomic.Pointer[Issuer]
	store      atomic.Pointer[certs.Store]
	challenges atomic.Int64
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{}
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, ok := s.issuer.Load().HTTPChallenge(r.Host, r.URL.Path); ok {
			w.Write(body)
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(plain.Close)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go s.handshake(c)
		}
	}()
	s.http, s.tls = plain.Listener.Addr().(*net.TCPAddr), ln.Addr().(*net.TCPAddr)
	return s
}

func (s *site) use(i *Issuer, store *certs.Store) {
	s.issuer.Store(i)
	s.store.Store(store)
}

func (s *site) handshake(c net.Conn) {
	store := s.store.Load()
	if store == nil {
		c.Close()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	t, err := store.Handshake(ctx, c)
	if errors.Is(err, certs.ErrChallenge) {
		s.challenges.Add(1)
	}
	if err == nil {
		t.Close()
	}
}

// until returns the first certificate that the site serves, verified, and that suits.
func (s *site) until(t *testing.T, a *authority, suits func(*x509.Certificate) bool) *x509.Certificate {
	t.Helper()
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		var c *tls.Conn
		if c, err = tls.Dial("tcp", s.tls.String(), &tls.Config{ServerName: "www.example.org", RootCAs: a.roots}); err == nil {
			leaf := c.ConnectionState().PeerCertificates[0]
			c.Close()
			if suits(leaf) {
				return leaf
			}
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
	t.Fatalf("no certificate within a minute: %v", err)
	return nil
}
