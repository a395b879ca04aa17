package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSocketsOfSystemd starts Weir as systemd does, with a socket that it listens on already: who connected before is served.
func TestSocketsOfSystemd(t *testing.T) {
	w := prepare(t, "  api: {targets: [\"127.0.0.1:9\"]}\n")
	text, err := os.ReadFile(w.config())
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("{pool: api}"), []byte("{respond: {body: hello}}"), 1)
	if err := os.WriteFile(w.config(), text, 0o600); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ln.Close() // f is left, as systemd's own copy would be
	answer := make(chan error, 1)
	go func() {
		resp, err := http.Get(w.url)
		if err == nil {
			resp.Body.Close()
		}
		answer <- err
	}()
	w.cmd = exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, os.Args[0], "run", "-c", w.config())
	w.cmd.Env = append(os.Environ(), "WEIR_MAIN=1", "LISTEN_FDS=1", "LISTEN_FDNAMES=web")
	w.cmd.ExtraFiles = []*os.File{f}
	var out bytes.Buffer
	w.cmd.Stderr = &out
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.ended = make(chan error, 1)
	go func() { w.ended <- w.cmd.Wait() }()
	select {
	case err := <-answer:
		if err != nil {
			t.Error(err)
		}
	case err := <-w.ended:
		t.Fatalf("%v: %s", err, out.String())
	}
	w.cmd.Process.Signal(syscall.SIGTERM)
	if code := w.exit(); code != exitOK {
		t.Errorf("exit %d: %s", code, out.String())
	}
}

// TestSessionsOfTLSResumeAfterAnUpgrade holds that the keys of tickets are handed on.
func TestSessionsOfTLSResumeAfterAnUpgrade(t *testing.T) {
	w := prepare(t, "  api: {targets: [\"127.0.0.1:9\"]}\n")
	text, err := os.ReadFile(w.config())
	if err != nil {
		t.Fatal(err)
	}
	cert, key := filepath.Join(w.dir, "cert.pem"), filepath.Join(w.dir, "key.pem")
	roots := selfSigned(t, cert, key)
	text = bytes.Replace(text, []byte("{pool: api}]}"), fmt.Appendf(nil, "{respond: {body: hello}}], tls: {certificates: [{cert: %q, key: %q}]}}", cert, key), 1)
	if err := os.WriteFile(w.config(), text, 0o600); err != nil {
		t.Fatal(err)
	}
	w.start()
	cache := tls.NewLRUClientSessionCache(4)
	ask := func() (resumed bool) {
		t.Helper()
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ClientSessionCache: cache}, ForceAttemptHTTP2: true}}
		defer client.CloseIdleConnections()
		resp, err := client.Get(strings.Replace(w.url, "http:", "https:", 1))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "hello" || resp.ProtoMajor != 2 {
			t.Errorf("%s %q, %v", resp.Proto, b, err)
		}
		return resp.TLS.DidResume
	}
	if ask() {
		t.Error("the first connection resumes")
	}
	old := w.status().PID
	w.cli("upgrade")
	w.upgraded(old)
	if !ask() {
		t.Error("the session does not resume in the new process")
	}
}

// selfSigned writes a certificate for 127.0.0.1 and its key, and returns the authority, which it is itself.
func selfSigned(t *testing.T, cert, key string) *x509.CertPool {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	err = errors.Join(os.WriteFile(cert, public, 0o600), os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(public)
	return roots
}
