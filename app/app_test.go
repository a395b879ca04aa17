package app

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/pool"
)

// logged is a log that can be read while it is written.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// running is a Weir in this process. DIR in its files is a directory of its own.
type running struct {
	*App
	t    *testing.T
	dir  string
	file string
	log  *logged
}

func start(t *testing.T, src string) *running {
	t.Helper()
	r := &running{t: t, dir: t.TempDir(), log: &logged{}}
	r.file = filepath.Join(r.dir, "weir.yaml")
	c := parse(t, r.write(src))
	a, err := Start(c, Options{Version: "test", Config: r.file, Log: slog.New(slog.NewTextHandler(r.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	r.App = a
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := a.Shutdown(ctx, false); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(r.log)
		}
	})
	return r
}

// write makes src the config file, without loading it.
func (r *running) write(src string) string {
	r.t.Helper()
	src = strings.ReplaceAll(src, "DIR", r.dir)
	if !strings.Contains(src, "admin:") {
		src += "\nadmin: {address: \"127.0.0.1:0\"}"
	}
	src += "\nstate: " + filepath.Join(r.dir, "state")
	fresh := r.file + ".new"
	if err := errors.Join(os.WriteFile(fresh, []byte(src), 0o600), os.Rename(fresh, r.file)); err != nil {
		r.t.Fatal(err)
	}
	return src
}

func (r *running) load(src string) {
	r.t.Helper()
	r.write(src)
	if err := r.Reload(); err != nil {
		r.t.Fatal(err)
	}
}

// at is where the listener with the config's address can be reached.
func (r *running) at(address string) string {
	ls, _ := r.Addresses()
	return ls[address]
}

func (r *running) target(i int) admin.Target { return r.Status().Pools[0].Targets[i] }

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("did not happen: %s", what)
		}
	}
}

// says is a real target that says its name, and who asks.
func says(t *testing.T, what string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s", what, r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Proto"))
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// get asks once on a connection that dial opens.
func get(dial func() (net.Conn, error), before string) (string, error) {
	c, err := dial()
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, before+"GET / HTTP/1.1\r\nHost: weir.test\r\nConnection: close\r\n\r\n"); err != nil {
		return "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(resp.Body)
	return fmt.Sprintf("%d %s", resp.StatusCode, b), err
}

func dials(network, address string) func() (net.Conn, error) {
	return func() (net.Conn, error) { return net.Dial(network, address) }
}

// certificate writes a certificate for weir.test and its key, of which it is its own authority.
func certificate(t *testing.T, dir, name string) (pair tls.Certificate, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"weir.test"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert, private := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	err = errors.Join(os.WriteFile(filepath.Join(dir, name+".pem"), cert, 0o600), os.WriteFile(filepath.Join(dir, name+"-key.pem"), private, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	if pair, err = tls.X509KeyPair(cert, private); err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	return pair, roots
}

func TestListenersComeAndGoWhileOthersServe(t *testing.T) {
	api := says(t, "hello")
	pools := "\npools: {api: {targets: [\"" + api + "\"]}}"
	r := start(t, `listen: [{address: "127.0.0.1:0", routes: [{pool: api}]}]`+pools)
	first := r.at("127.0.0.1:0")
	if got, err := get(dials("tcp", first), ""); err != nil || got != "200 hello 127.0.0.1 http" {
		t.Fatalf("%q, %v", got, err)
	}
	_, roots := certificate(t, r.dir, "site")
	secure := func(address string) func() (net.Conn, error) {
		return func() (net.Conn, error) {
			return tls.Dial("tcp", address, &tls.Config{RootCAs: roots, ServerName: "weir.test"})
		}
	}
	r.load(`
listen:
  - {address: "127.0.0.1:0", routes: [{pool: api}]}
  - {address: "unix:DIR/sock", routes: [{pool: api}]}
  - {address: "localhost:0", routes: [{pool: api}], tls: {certificates: [{cert: DIR/site.pem, key: DIR/site-key.pem}]}}
  - {address: "127.0.0.2:0", routes: [{pool: api}], proxy_protocol: {from: [127.0.0.0/8]}}
  - {address: "127.0.0.3:0", routes: [{pool: api}], engine: goroutine}` + pools)
	if r.at("127.0.0.1:0") != first {
		t.Error("a listener that stays has another socket")
	}
	for _, c := range []struct {
		dial         func() (net.Conn, error)
		before, want string
	}{
		{dials("tcp", first), "", "200 hello 127.0.0.1 http"},
		{dials("unix", r.dir+"/sock"), "", "200 hello"},
		{secure(r.at("localhost:0")), "", "200 hello 127.0.0.1 https"},
		{dials("tcp", r.at("127.0.0.2:0")), "PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n", "200 hello 192.0.2.7 http"},
		{dials("tcp", r.at("127.0.0.3:0")), "", "200 hello 127.0.0.1 http"},
	} {
		if got, err := get(c.dial, c.before); err != nil || !strings.HasPrefix(got, c.want) {
			t.Errorf("%q, %v; want %q", got, err, c.want)
		}
	}
	tls := r.at("localhost:0")
	r.load(`listen: [{address: "localhost:0", routes: [{respond: {body: changed}}], tls: {certificates: [{cert: DIR/site.pem, key: DIR/site-key.pem}]}}]` + pools)
	for _, address := range []string{first} {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			t.Errorf("%s is still open", address)
		}
	}
	if _, err := os.Stat(r.dir + "/sock"); err == nil {
		t.Error("the socket's file is left")
	}
	if got, err := get(secure(tls), ""); err != nil || got != "200 changed" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAListenerChangesHowItSpeaksWithoutRefusingAnyone(t *testing.T) {
	api := says(t, "hello")
	plain := `listen: [{address: "127.0.0.1:0", routes: [{pool: api}]}]
pools: {api: {targets: ["` + api + `"]}}`
	r := start(t, plain)
	certificate(t, r.dir, "site")
	address := r.at("127.0.0.1:0")
	ctx, cancel := context.WithCancel(t.Context())
	var dialling sync.WaitGroup
	var refused, dialled atomic.Int64
	for range 4 {
		dialling.Go(func() {
			for ctx.Err() == nil {
				c, err := net.Dial("tcp", address)
				dialled.Add(1)
				if err != nil {
					refused.Add(1)
					continue
				}
				c.Close()
			}
		})
	}
	secure := strings.Replace(plain, "}]}]", "}], tls: {certificates: [{cert: DIR/site.pem, key: DIR/site-key.pem}]}}]", 1)
	for range 5 {
		r.load(secure)
		if r.Status().Listeners[0].TLS != true || r.at("127.0.0.1:0") != address {
			t.Errorf("%+v", r.Status().Listeners)
		}
		r.load(strings.Replace(plain, "}]}]", "}], engine: goroutine}]", 1))
		r.load(plain)
	}
	if got, err := get(dials("tcp", address), ""); err != nil || got != "200 hello 127.0.0.1 http" {
		t.Errorf("%q, %v", got, err)
	}
	cancel()
	dialling.Wait()
	if refused.Load() > 0 {
		t.Errorf("%d of %d connections were refused", refused.Load(), dialled.Load())
	}
}

func TestAPortThatIsTakenChangesNothing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	src := `listen: [{address: "127.0.0.1:0", routes: [{respond: {body: one}}]}]
pools: {api: {targets: ["127.0.0.1:9"]}}`
	r := start(t, src)
	r.write(strings.Replace(src, "}]}]", "}]}, {address: \""+taken.Addr().String()+"\", routes: [{pool: api}]}, {address: \"unix:DIR/s\", routes: [{pool: api}]}]", 1))
	if err := r.Reload(); err == nil || !strings.Contains(err.Error(), "the port is in use") {
		t.Errorf("%v", err)
	}
	if n := len(r.Status().Listeners); n != 1 {
		t.Errorf("%d listeners", n)
	}
	if _, err := os.Stat(r.dir + "/s"); err == nil {
		t.Error("the other new listener's socket is left")
	}
}

func TestTheFileIsWatched(t *testing.T) {
	src := func(body string) string {
		return `watch: true
listen: [{address: "127.0.0.1:0", routes: [{respond: {body: ` + body + `}}]}]
pools: {api: {targets: ["127.0.0.1:9"]}}`
	}
	r := start(t, src("one"))
	serves := func(body string) {
		t.Helper()
		until(t, "it serves "+body, func() bool {
			got, err := get(dials("tcp", r.at("127.0.0.1:0")), "")
			return err == nil && got == "200 "+body
		})
	}
	serves("one")
	r.write(src("two")) // by a rename
	serves("two")
	text, err := os.ReadFile(r.file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.file, bytes.Replace(text, []byte("two"), []byte("three"), 1), 0o600); err != nil { // in place
		t.Fatal(err)
	}
	serves("three")

	bad := "nothing was changed: the config could not be loaded"
	r.write("listen: [}")
	until(t, "the mistake is told of", func() bool { return strings.Contains(r.log.String(), bad) })
	r.write("listen: [}") // the same again
	r.write(src("four"))
	serves("four")
	if n := strings.Count(r.log.String(), bad); n != 1 {
		t.Errorf("the mistake is told of %d times", n)
	}

	// As Kubernetes mounts a ConfigMap: file -> ..data/file, ..data -> a directory, which is swapped.
	volume := func(name, body string) {
		t.Helper()
		dir := filepath.Join(r.dir, name)
		file := r.file
		r.file = filepath.Join(dir, "weir.yaml")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		r.write(src(body))
		r.file = file
		swap := filepath.Join(r.dir, "..tmp")
		if err := errors.Join(os.Symlink(name, swap), os.Rename(swap, filepath.Join(r.dir, "..data"))); err != nil {
			t.Fatal(err)
		}
	}
	volume("..2026_1", "five")
	if err := errors.Join(os.Symlink("..data/weir.yaml", r.file+".link"), os.Rename(r.file+".link", r.file)); err != nil {
		t.Fatal(err)
	}
	serves("five")
	volume("..2026_2", "six")
	serves("six")

	r.write(strings.Replace(src("seven"), "watch: true", "", 1)) // the last one that is seen
	serves("seven")
}

func TestAnAgentDrainsItsTarget(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var word atomic.Pointer[string]
	word.Store(new("drain # new model\n"))
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, *word.Load())
			c.Close()
		}
	}()
	src := fmt.Sprintf(`listen: [{address: "127.0.0.1:0", routes: [{pool: api}]}]
pools: {api: {targets: ["%s"], concurrency: 10, agent: {port: %d, interval: 10ms}}}`, says(t, "a"), ln.Addr().(*net.TCPAddr).Port)
	r := start(t, src)
	until(t, "it drains", func() bool { return r.target(0).State == "draining" })
	word.Store(new("ready up 100% maxconn:3\n"))
	until(t, "it takes requests", func() bool { return r.target(0).State == "healthy" })
	word.Store(new("down\n"))
	until(t, "it is down", func() bool { return r.target(0).State == "unhealthy" })
	if err := r.Override("api", r.target(0).ID, pool.Override{Weight: new(7)}, false); err != nil {
		t.Error(err)
	}
	r.load(src + "\n#")
	if x := r.target(0); x.Weight != 7 || !x.Overridden || x.State != "unhealthy" {
		t.Errorf("after a reload: %+v", x)
	}
	r.load(strings.Replace(src, "agent", "# agent", 1) + "\n}}")
	until(t, "without its agent it takes requests", func() bool { return r.target(0).State == "healthy" })
}

func TestEjectionsAreTold(t *testing.T) {
	var sick atomic.Bool
	sick.Store(true)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if sick.Load() {
			w.WriteHeader(500)
		}
	}))
	defer s.Close()
	r := start(t, `listen: [{address: "127.0.0.1:0", routes: [{name: all, pool: api}]}]
pools: {api: {targets: ["`+s.Listener.Addr().String()+`", "`+says(t, "well")+`"], balance: round_robin, ejection: {consecutive_failures: 2, base: 2s}}}`)
	until(t, "the log says who is ejected and why", func() bool {
		get(dials("tcp", r.at("127.0.0.1:0")), "")
		return strings.Contains(r.log.String(), "a target is ejected")
	})
	sick.Store(false)
	until(t, "the log says that it is back", func() bool { return strings.Contains(r.log.String(), "back after its ejection") })
	m := r.Metrics()
	if len(m.Routes) != 1 || m.Routes[0].Name != "all" || m.Routes[0].Answers5 < 2 || m.Listeners[0].Accepted == 0 || m.Pools[0].Targets[0].Failures < 2 {
		t.Errorf("%+v", m)
	}
}

func TestTheAdminAPIAsksForACertificate(t *testing.T) {
	dir := t.TempDir()
	_, roots := certificate(t, dir, "admin")
	operator, _ := certificate(t, dir, "operator")
	stranger, _ := certificate(t, t.TempDir(), "stranger")
	r := start(t, strings.ReplaceAll(`listen: [{address: "127.0.0.1:0", routes: [{pool: api}]}]
admin: {address: "127.0.0.1:0", tls: {cert: AT/admin.pem, key: AT/admin-key.pem, client_ca: AT/operator.pem}}
pools: {api: {targets: ["127.0.0.1:9"]}}`, "AT", dir))
	_, address := r.Addresses()
	ask := func(shown ...tls.Certificate) (int, error) {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: shown}, ForceAttemptHTTP2: true}}
		defer client.CloseIdleConnections()
		q, err := http.NewRequest("GET", "https://"+address+"/v1/status", nil)
		if err != nil {
			return 0, err
		}
		q.Host = "weir.example" // not a loopback name: its certificate says who asks
		resp, err := client.Do(q)
		if err != nil {
			return 0, err
		}
		resp.Body.Close()
		return resp.StatusCode, nil
	}
	if status, err := ask(operator); err != nil || status != 200 {
		t.Errorf("an operator: %d, %v", status, err)
	}
	if status, err := ask(); err == nil {
		t.Errorf("nobody: %d", status)
	}
	if status, err := ask(stranger); err == nil {
		t.Errorf("a stranger: %d", status)
	}
}
