package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// prometheus starts the real one, which looks at itself every second, and returns what stops it.
func prometheus(t *testing.T, dir string, port int) (stop func()) {
	t.Helper()
	conf := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("global: {scrape_interval: 1s}\nscrape_configs: [{job_name: self, static_configs: [{targets: ['127.0.0.1:%d']}]}]\n", port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("prometheus", "--config.file="+conf, "--storage.tsdb.path="+filepath.Join(dir, "data"), fmt.Sprintf("--web.listen-address=127.0.0.1:%d", port))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cmd.Process.Signal(syscall.SIGTERM)
			cmd.Wait()
		}
	}
	t.Cleanup(stop)
	return stop
}

// TestPrometheusGoesAndComesBack has a pool scale by a query to a Prometheus server, and stops that in between.
func TestPrometheusGoesAndComesBack(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	if _, err := exec.LookPath("prometheus"); err != nil {
		t.Skip("there is no prometheus; make deps installs it")
	}
	dir, port := t.TempDir(), freePort(t)
	stop := prometheus(t, dir, port)
	w := prepare(t, `  api:
    concurrency: 1
    template: {INFER]}
    scale: {min: 1, max: 3, scale_in_window: 1s, policies: [{target: {query: 'sum(up{job="self"}) * 2', from: prometheus, value: 1, total: true}}]}
`)
	file, err := os.ReadFile(w.config())
	if err != nil {
		t.Fatal(err)
	}
	file = append(file, fmt.Sprintf("metrics: {prometheus: {url: 'http://127.0.0.1:%d', timeout: 2s}}\n", port)...)
	if err := os.WriteFile(w.config(), file, 0o600); err != nil {
		t.Fatal(err)
	}
	w.start()
	desired := func() int { return w.status().Pools[0].Scale.Desired }
	why := func() string {
		if d := w.status().Pools[0].LastDecision; d != nil {
			return d.Why
		}
		return ""
	}
	until(t, "the query asks for 2", func() bool { return desired() == 2 })

	stop()
	until(t, "Weir says that Prometheus is gone", func() bool { return strings.Contains(w.log(), "the Prometheus server cannot be reached") })
	until(t, "the decision says that the query is unknown", func() bool { return strings.Contains(why(), "unknown") })
	if n := desired(); n != 2 {
		t.Errorf("without an answer the capacity went to %d, want 2 as before", n)
	}

	prometheus(t, dir, port)
	until(t, "Weir says that there are answers again", func() bool { return strings.Contains(w.log(), "has an answer again") })
	until(t, "decisions go by the query again", func() bool { return !strings.Contains(why(), "unknown") && desired() == 2 })
}

// TestAHistoryOutlivesAKill kills Weir and asks the next one about the time before.
func TestAHistoryOutlivesAKill(t *testing.T) {
	w := prepare(t, `  api:
    preset: vllm
    metrics: {interval: 1s, timeout: 1s}
    template: {INFER]}
    scale: {min: 1, max: 1}
`)
	file, err := os.ReadFile(w.config())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.config(), append(file, "metrics: {interval: 1s}\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	w.start()
	ask := func(args ...string) string {
		var out, errs strings.Builder
		if code := run(append([]string{"query", "--admin", w.admin}, args...), &out, &errs); code != exitOK {
			return errs.String()
		}
		return out.String()
	}
	until(t, "an instance tells its queue", func() bool { return strings.Contains(ask(`vllm:num_requests_waiting`), "api-") })
	until(t, "Weir knows what that means", func() bool { return strings.Contains(ask(`weir_instance_waiting`), "api-") })
	until(t, "the wanted capacity is kept", func() bool { return strings.Contains(ask(`weir_desired_instances`), "1") })
	before := time.Now().Format(time.RFC3339)
	until(t, "the second is over", func() bool { return time.Now().Format(time.RFC3339) != before })
	at := time.Now().Format(time.RFC3339)
	w.cmd.Process.Kill()
	<-w.ended
	w.start()
	until(t, "the history is open again", func() bool { return !strings.Contains(ask("--at", at, "1"), "is not open") })
	if got := ask("--at", at, `weir_desired_instances{pool="api"}`); !strings.Contains(got, "1") || strings.Contains(got, "nothing") {
		t.Errorf("after the kill the history says %s", got)
	}
	until(t, "the history goes on", func() bool { return strings.Contains(ask(`weir_desired_instances`), "1") })
}
