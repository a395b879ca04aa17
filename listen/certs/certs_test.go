package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheNameChoosesTheCertificate(t *testing.T) {
	ca := newAuthority(t, "Test CA")
	s := open(t, Options{Files: []Pair{
		ca.files(t, issue{names: []string{"first.example"}}),
		ca.files(t, issue{names: []string{"*.example.org", "example.org"}}),
		ca.files(t, issue{names: []string{"exact.example.org"}}),
		ca.files(t, issue{names: []string{"both.example"}, rsa: true}),
		ca.files(t, issue{names: []string{"both.example"}}),
	}})
	addr := serve(t, s)
	for name, want := range map[string]string{
		"":                   "first.example",
		"unknown.example":    "first.example",
		"example.org":        "*.example.org",
		"a.example.org":      "*.example.org",
		"A.Example.ORG":      "*.example.org",
		"a.b.example.org":    "first.example", // a wildcard stands for one label
		"exact.example.org":  "exact.example.org",
		"notexample.org":     "first.example",
		"both.example":       "both.example",
		"*.example.org.evil": "first.example",
	} {
		state, err := dial(t, addr, &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if got := state.PeerCertificates[0].DNSNames[0]; got != want {
			t.Errorf("%q is served %s, want %s", name, got, want)
		}
	}
	for alg, suite := range map[x509.PublicKeyAlgorithm]uint16{
		x509.RSA: tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, x509.ECDSA: tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	} {
		state, err := dial(t, addr, &tls.Config{ServerName: "both.example", InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite}})
		if err != nil || state.PeerCertificates[0].PublicKeyAlgorithm != alg {
			t.Errorf("a client that knows %s only: %v", alg, err)
		}
	}
}

func TestVersionsAndProtocols(t *testing.T) {
	ca := newAuthority(t, "Test CA")
	pair := ca.files(t, issue{names: []string{"a.example"}})
	s := open(t, Options{Files: []Pair{pair}, Protocols: []string{"h2", "http/1.1"}, Ciphers: []string{"ecdhe-ecdsa-aes128-gcm-sha256"}})
	addr := serve(t, s)
	if _, err := dial(t, addr, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 was let in")
	}
	state, err := dial(t, addr, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1", "h2"}})
	if err != nil || state.CipherSuite != tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 || state.NegotiatedProtocol != "h2" {
		t.Errorf("TLS 1.2: %v, %+v", err, state)
	}
	if err := s.Set(Options{Files: []Pair{pair}, MinVersion: tls.VersionTLS13}); err != nil {
		t.Fatal(err)
	}
	if _, err := dial(t, addr, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}); err == nil {
		t.Error("TLS 1.2 was let in, though 1.3 is the least")
	}
	if state, err = dial(t, addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}); err != nil || state.Version != tls.VersionTLS13 {
		t.Errorf("TLS 1.3: %v %+v", err, state)
	}
}

func TestReloadWithoutADrop(t *testing.T) {
	ca := newAuthority(t, "Test CA")
	pair := ca.files(t, issue{names: []string{"a.example"}, serial: 1})
	s := open(t, Options{Files: []Pair{pair}})
	addr := serve(t, s)
	held, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	serial := func() int64 {
		state, err := dial(t, addr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		return state.PeerCertificates[0].SerialNumber.Int64()
	}
	ca.overwrite(t, pair, issue{names: []string{"a.example"}, serial: 2})
	if err := s.Reload(); err != nil || serial() != 2 {
		t.Errorf("after a reload: %v, serial %d", err, serial())
	}
	if err := os.WriteFile(pair.Cert, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(); err == nil || serial() != 2 {
		t.Errorf("after a reload of a broken file: %v, serial %d", err, serial())
	}
	if err := echo(held); err != nil {
		t.Error("a connection from before the reload:", err)
	}
}

func TestWatchSeesFilesChange(t *testing.T) {
	ca := newAuthority(t, "Test CA")
	pair := ca.files(t, issue{names: []string{"old.example"}})
	synctest.Test(t, func(t *testing.T) {
		var logged strings.Builder
		log := slog.New(slog.NewTextHandler(&logged, nil))
		s := open(t, Options{Files: []Pair{pair}})
		ctx, cancel := context.WithCancel(t.Context())
		go s.Watch(ctx, time.Second, log)
		name := func() string { return s.Certificates()[0].Names[0] }
		step := func() { time.Sleep(1500 * time.Millisecond); synctest.Wait() }

		if err := os.Rename(pair.Cert, pair.Cert+".kept"); err != nil {
			t.Fatal(err)
		}
		step()
		step()
		if name() != "old.example" || strings.Count(logged.String(), "level=ERROR") != 1 {
			t.Errorf("a missing file: %s; logged %s", name(), logged.String())
		}
		ca.overwrite(t, pair, issue{names: []string{"new.example"}})
		step()
		if name() != "new.example" {
			t.Errorf("the new file is not seen: %s", name())
		}

		before := s.Tickets()
		time.Sleep(defaultRotate)
		synctest.Wait()
		after := s.Tickets()
		if len(before) != 1 || len(after) != 2 || after[1] != before[0] {
			t.Errorf("ticket keys were %d, are %d", len(before), len(after))
		}
		time.Sleep(5 * defaultRotate)
		synctest.Wait()
		if got := s.Tickets(); len(got) != keptTickets || slices.Contains(got, before[0]) {
			t.Errorf("%d ticket keys are kept, want %d", len(got), keptTickets)
		}
		cancel()
		synctest.Wait()
	})
}

func TestSessionsResume(t *testing.T) {
	ca := newAuthority(t, "Test CA")
	o := Options{Files: []Pair{ca.files(t, issue{names: []string{"a.example"}})}}
	s := open(t, o)
	c := &tls.Config{ServerName: "a.example", RootCAs: ca.pool(), ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	resumed := func(s *Store) bool {
		t.Helper()
		state, err := dial(t, serve(t, s), c)
		if err != nil {
			t.Fatal(err)
		}
		return state.DidResume
	}
	if resumed(s) {
		t.Error("the first session resumes one")
	}
	if err := s.Reload(); err != nil || !resumed(s) {
		t.Errorf("no resumption after a reload: %v", err)
	}
	o.Tickets = s.Tickets()
	if !resumed(open(t, o)) {
		t.Error("no resumption in the process that takes over")
	}
	o.Tickets = nil
	if resumed(open(t, o)) {
		t.Error("a store with keys of its own resumes sessions of another")
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	ca := newAuthority(t, "Test CA")
	a, b := ca.files(t, issue{names: []string{"a.example"}}), ca.files(t, issue{names: []string{"b.example"}})
	leaf := a.Cert
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	root := write("root.pem", ca.pem())
	empty := write("empty.pem", "")
	encrypted := write("encrypted.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{}, "no certificate: name the files of one"},
		{Options{Files: []Pair{{filepath.Join(dir, "none"), a.Key}}}, "there is no file"},
		{Options{Files: []Pair{{a.Cert, ""}}}, "a key has no file; write its path"},
		{Options{Files: []Pair{{empty, a.Key}}}, "has no CERTIFICATE block"},
		{Options{Files: []Pair{{a.Cert, a.Cert}}}, "has no PRIVATE KEY block"},
		{Options{Files: []Pair{{a.Cert, encrypted}}}, "the key is encrypted; decrypt it with"},
		{Options{Files: []Pair{{a.Cert, b.Key}}}, "does not match the certificate for a.example"},
		{Options{Files: []Pair{a}, MinVersion: tls.VersionTLS11}, "TLS 1.1 is broken; write 1.2 or 1.3"},
		{Options{Files: []Pair{a}, Ciphers: []string{"TLS_AES_128_GCM_SHA256"}}, "one of TLS 1.3, which are always on"},
		{Options{Files: []Pair{a}, Ciphers: []string{"TLS_RSA_WITH_RC4_128_SHA"}}, "it is broken; use one of TLS_ECDHE"},
		{Options{Files: []Pair{a}, Ciphers: []string{"ROT13"}}, "there is none of that name"},
		{Options{Files: []Pair{a}, Protocols: []string{"h2"}, Ciphers: []string{"ECDHE-RSA-AES256-GCM-SHA384"}}, "HTTP/2 needs"},
		{Options{Files: []Pair{a}, Client: &ClientAuth{}}, "no authority is named"},
		{Options{Files: []Pair{a}, Client: &ClientAuth{CAs: []string{leaf}}}, "is not an authority"},
		{Options{Files: []Pair{a}, Client: &ClientAuth{CAs: []string{empty}}}, "has no CERTIFICATE block"},
		{Options{Files: []Pair{a}, Client: &ClientAuth{CAs: []string{root}, CRLs: []string{empty}}}, "write a list in PEM (X509 CRL) or DER"},
		{Options{Files: []Pair{a}, Client: &ClientAuth{CAs: []string{root}, CRLs: []string{newAuthority(t, "Other CA").list(t, time.Hour, 1)}}}, "none of the client authorities has signed the list of CN=Other CA"},
		{Options{Files: []Pair{a}, Client: &ClientAuth{CAs: []string{root}, CRLs: []string{newAuthority(t, "Test CA").list(t, time.Hour, 1)}}}, "none of the client authorities has signed"},
	} {
		if _, err := Open(c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v\nwant %s", err, c.want)
		}
	}
	for _, c := range []struct {
		i    issue
		want string
	}{
		{issue{names: []string{"a.example"}, ends: -time.Hour}, "expired on"},
		{issue{names: []string{"a.example"}, ends: time.Hour}, "expires on"},
		{issue{}, "it is for no host name"},
	} {
		s := open(t, Options{Files: []Pair{ca.files(t, c.i)}})
		if w := s.Warnings(); len(w) != 1 || !strings.Contains(w[0], c.want) {
			t.Errorf("warnings %q, want %s", w, c.want)
		}
	}
}

// open opens a store.
func open(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// serve answers each TLS connection with what it says, until the test ends.
func serve(t *testing.T, s *Store) string {
	t.Helper()
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
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				defer cancel()
				tc, err := s.Handshake(ctx, c)
				if err != nil {
					return
				}
				defer tc.Close()
				io.Copy(tc, tc)
			}()
		}
	}()
	return ln.Addr().String()
}

// dial makes a connection and says something over it: in TLS 1.3 only that tells a client that it was let in.
func dial(t *testing.T, addr string, c *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 10 * time.Second}, Config: c}
	conn, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	tc := conn.(*tls.Conn)
	return tc.ConnectionState(), echo(tc)
}

func echo(c *tls.Conn) error {
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write([]byte("ping")); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 4))
	return err
}
