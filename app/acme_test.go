package app

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// free is an address that nobody listens on.
func free(t *testing.T) (address string, port int) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String(), ln.Addr().(*net.TCPAddr).Port
}

// TestAListenerGetsItsCertificate runs pebble, a real authority, which looks whether weir.test leads to the listener.
func TestAListenerGetsItsCertificate(t *testing.T) {
	dir := t.TempDir()
	exe := filepath.Join(dir, "pebble")
	if out, err := exec.Command("go", "build", "-o", exe, "github.com/letsencrypt/pebble/v2/cmd/pebble").CombinedOutput(); err != nil {
		t.Fatalf("building pebble: %v: %s", err, out)
	}
	certificate(t, dir, "pebble")
	directory, _ := free(t)
	manage, _ := free(t)
	site, port := free(t)
	config := fmt.Sprintf(`{"pebble": {"listenAddress": %q, "managementListenAddress": %q, "certificate": %q, "privateKey": %q, "httpPort": 1, "tlsPort": %d, "keyAlgorithm": "ecdsa",
"profiles": {"default": {"description": "the only one", "validityPeriod": 86400}}, "retryAfter": {"authz": 1, "order": 1}}}`,
		directory, manage, filepath.Join(dir, "pebble.pem"), filepath.Join(dir, "pebble-key.pem"), port)
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	p := exec.Command(exe, "-config", filepath.Join(dir, "config.json"), "-dnsserver", here(t))
	p.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0")
	p.Stdout, p.Stderr = &out, &out
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		p.Process.Kill()
		p.Wait()
		if t.Failed() {
			t.Log(out.String())
		}
	}()
	roots := x509.NewCertPool()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	until(t, "pebble says what its root is", func() bool {
		r, err := client.Get("https://" + manage + "/roots/0")
		if err != nil {
			return false
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		return err == nil && roots.AppendCertsFromPEM(b)
	})
	src := fmt.Sprintf(`listen: [{address: %q, routes: [{respond: {body: one}}], tls: {acme: {domains: [weir.test], directory: "https://%s/dir", ca: %q}}}]
pools: {api: {targets: ["127.0.0.1:9"]}}`, site, directory, filepath.Join(dir, "pebble.pem"))
	r := start(t, src)
	serves := func(name, body string) {
		t.Helper()
		until(t, name+" has its certificate", func() bool {
			got, err := get(func() (net.Conn, error) {
				return tls.Dial("tcp", site, &tls.Config{RootCAs: roots, ServerName: name})
			}, "")
			return err == nil && got == "200 "+body
		})
	}
	serves("weir.test", "one")
	r.load(strings.NewReplacer("[weir.test]", "[weir.test, www.weir.test]", "one", "two").Replace(src))
	serves("www.weir.test", "two")
	serves("weir.test", "two")
}

// here is a name server that answers for every name that it is this machine.
func here(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	s := &dns.Server{Listener: ln, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		a := new(dns.Msg).SetReply(q)
		if q.Question[0].Qtype == dns.TypeA {
			a.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(127, 0, 0, 1)}}
		}
		w.WriteMsg(a)
	})}
	go s.ActivateAndServe()
	<-started
	t.Cleanup(func() { s.Shutdown() })
	return ln.Addr().String()
}
