package certs

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestClientsNeedCertificates(t *testing.T) {
	ca, other := newAuthority(t, "Clients"), newAuthority(t, "Clients") // alike in name only
	root := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(root, []byte(ca.pem()), 0o600); err != nil {
		t.Fatal(err)
	}
	list := ca.list(t, time.Hour, 77)
	o := Options{
		Files:  []Pair{ca.files(t, issue{names: []string{"a.example"}})},
		Client: &ClientAuth{CAs: []string{root}, CRLs: []string{list}, Require: true},
	}
	s := open(t, o)
	addr := serve(t, s)
	try := func(c *tls.Config, certs ...tls.Certificate) error {
		c.InsecureSkipVerify, c.Certificates = true, certs
		_, err := dial(t, addr, c)
		return err
	}
	good, revoked := ca.client(t, issue{serial: 78}), ca.client(t, issue{serial: 77})
	for _, max := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		fresh := func() *tls.Config { return &tls.Config{MaxVersion: max} }
		if err := try(fresh(), good); err != nil {
			t.Error("a good client:", err)
		}
		for what, cs := range map[string][]tls.Certificate{
			"no certificate": nil,
			"a revoked one":  {revoked},
			"another CA's":   {other.client(t, issue{serial: 78})},
			"an expired one": {ca.client(t, issue{ends: -time.Minute})},
		} {
			if err := try(fresh(), cs...); err == nil {
				t.Errorf("%s was let in", what)
			}
		}
	}

	// A list that is replaced counts for sessions that resume, too.
	resuming := &tls.Config{ServerName: "a.example", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	if err := try(resuming, good); err != nil {
		t.Fatal(err)
	}
	if state, err := dial(t, addr, resuming); err != nil || !state.DidResume {
		t.Fatalf("no resumption: %v", err)
	}
	if err := os.Rename(ca.list(t, time.Hour, 77, 78), list); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	if err := try(resuming, good); err == nil {
		t.Error("a session of a client that is revoked meanwhile resumes")
	}

	// Without Require, nameless clients come in, bad certificates do not.
	o.Client = &ClientAuth{CAs: []string{root}, CRLs: []string{list}}
	if err := s.Set(o); err != nil {
		t.Fatal(err)
	}
	if err := try(&tls.Config{}); err != nil {
		t.Error("a client without a certificate:", err)
	}
	if err := try(&tls.Config{}, revoked); err == nil {
		t.Error("a revoked certificate was let in")
	}
	o.Client.CRLs = []string{ca.list(t, -time.Hour, 77)}
	if err := s.Set(o); err != nil || len(s.Warnings()) != 1 || !strings.Contains(s.Warnings()[0], "a newer list was due") {
		t.Errorf("an old list: %v, warnings %q", err, s.Warnings())
	}
	if err := try(&tls.Config{}, revoked); err == nil {
		t.Error("an old list does not count")
	}
}

func TestSessionsEndWithTheirAuthority(t *testing.T) {
	old, next := newAuthority(t, "Old"), newAuthority(t, "New")
	root := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(root, []byte(old.pem()), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, Options{Files: []Pair{old.files(t, issue{names: []string{"a.example"}})}, Client: &ClientAuth{CAs: []string{root}, Require: true}})
	addr := serve(t, s)
	c := &tls.Config{ServerName: "a.example", InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(1), Certificates: []tls.Certificate{old.client(t, issue{})}}
	if _, err := dial(t, addr, c); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root, []byte(next.pem()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	if state, err := dial(t, addr, c); err == nil {
		t.Errorf("a client of the old authority is let in, resumed %v", state.DidResume)
	}
}

func TestIdentity(t *testing.T) {
	ca := newAuthority(t, "Clients")
	root := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(root, []byte(ca.pem()), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, Options{Files: []Pair{ca.files(t, issue{names: []string{"a.example"}})}, Client: &ClientAuth{CAs: []string{root}}})
	server, client := net.Pipe()
	defer client.Close()
	go tls.Client(client, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{
		ca.client(t, issue{name: "alice\r\nX-Admin: 1", names: []string{"a.client.example"}, uris: []string{"spiffe://example.org/a,b"}, serial: 0xabc}),
	}}).HandshakeContext(t.Context())
	tc, err := s.Handshake(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	state := tc.ConnectionState()
	id, ok := Identity(&state)
	if !ok || id.Subject != `CN=alice\0D\0AX-Admin: 1` || id.Issuer != "CN=Clients" || id.Serial != "0abc" || len(id.Fingerprint) != 64 ||
		len(id.DNS) != 1 || id.DNS[0] != "a.client.example" || len(id.URI) != 1 || id.URI[0] != `spiffe://example.org/a\2Cb` {
		t.Errorf("%+v", id)
	}
	if _, ok := Identity(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Subject: pkix.Name{CommonName: "eve"}}}}); ok {
		t.Error("a certificate that nobody verified is an identity")
	}
}
