package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/load"
)

// nginx is a real nginx as a target.
type nginx struct {
	t    *testing.T
	bin  string
	dir  string
	port int
	cmd  *exec.Cmd
}

func newNginx(t *testing.T) *nginx {
	t.Helper()
	bin, err := exec.LookPath("nginx")
	if err != nil {
		if bin = "/usr/sbin/nginx"; !fileExists(bin) {
			t.Skip("nginx is not installed; make deps installs it")
		}
	}
	n := &nginx{t: t, bin: bin, dir: t.TempDir(), port: freePort(t)}
	for _, d := range []string{"logs", "body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		if err := os.Mkdir(filepath.Join(n.dir, d), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	text := fmt.Sprintf(`daemon off; worker_processes 1; pid nginx.pid; error_log stderr error;
events {}
http {
  access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server { listen 127.0.0.1:%d; location / { return 200 "hello\n"; } }
}`, n.port)
	if os.Getuid() == 0 {
		text = "user root;\n" + text
	}
	if err := os.WriteFile(filepath.Join(n.dir, "nginx.conf"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	n.start()
	t.Cleanup(n.kill)
	return n
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (n *nginx) start() {
	n.t.Helper()
	n.cmd = exec.Command(n.bin, "-p", n.dir, "-c", "nginx.conf", "-e", "stderr")
	n.cmd.SysProcAttr = ownGroup()
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
}

// kill ends nginx as a power failure would: master and worker at once.
func (n *nginx) kill() {
	killGroup(n.cmd.Process.Pid)
	n.cmd.Wait()
}

func (n *nginx) addr() string { return fmt.Sprintf("127.0.0.1:%d", n.port) }

func TestATargetDiesAndComesBackAndNoGETFails(t *testing.T) {
	var targets []*nginx
	var addrs []string
	for range 3 {
		n := newNginx(t)
		targets = append(targets, n)
		addrs = append(addrs, fmt.Sprintf("%q", n.addr()))
	}
	w := prepare(t, `  api:
    targets: [`+strings.Join(addrs, ", ")+`]
    balance: round_robin
    health: {path: /, interval: 300ms, timeout: 1s}
    ejection: {base: 2s}
`)
	w.start()
	healthy := func(n int) func() bool {
		return func() bool {
			ok := 0
			for _, x := range w.pool().Targets {
				if x.State == "healthy" {
					ok++
				}
			}
			return ok == n
		}
	}
	until(t, "all three are healthy", healthy(3))

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan *load.Result, 1)
	go func() {
		phases := []load.Phase{load.Constant(300, time.Minute)} // ended by cancel
		r, err := load.Run(ctx, load.Options{Streams: []load.Stream{{
			Kind: load.Kind{Name: "get", URL: w.url + "/"}, Arrivals: load.Phases(1, true, phases...),
		}}, Progress: load.NewProgress(io.Discard)})
		if err != nil {
			t.Error(err)
		}
		done <- r
	}()
	until(t, "the load runs", func() bool { return w.pool().Totals.OK > 100 })
	targets[0].kill()
	until(t, "the dead one is out of rotation, and the status says why", func() bool {
		for _, x := range w.pool().Targets {
			if x.ID == targets[0].addr() {
				return (x.State == "unhealthy" || x.State == "ejected") && x.Reason != "" && x.Failures > 0
			}
		}
		return false
	})
	if text := w.cli("status"); !strings.Contains(text, "unhealthy") && !strings.Contains(text, "ejected") {
		t.Errorf("weir status does not show it: %s", text)
	}
	until(t, "its checks have failed", func() bool { return healthy(2)() })
	targets[0].start()
	until(t, "it is back", healthy(3))
	served := func() (n uint64) {
		for _, x := range w.pool().Targets {
			if x.ID == targets[0].addr() {
				n = x.Requests
			}
		}
		return n
	}
	before := served()
	until(t, "it takes requests again", func() bool { return served() > before+20 })
	cancel()
	r := <-done
	if r.Total.Failed+r.Total.Dropped > 0 || r.Total.Done < 200 {
		t.Errorf("%d done, %d failed: %v", r.Total.Done, r.Total.Failed, r.Total.Errors)
	}
	t.Logf("%d GETs, %d failed, %d retried", r.Total.Done, r.Total.Failed, w.pool().Totals.Retries)
}
