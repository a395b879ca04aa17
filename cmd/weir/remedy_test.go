package main

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/weirlb/weir/admin"
)

// Every remedy, on real servers that fail a check each in its way.
func TestRemediesFire(t *testing.T) {
	w := prepare(t, `  api:
    concurrency: 4
    drain: 5s
    health:
      path: /health/ready
      interval: 50ms
      timeout: 2s
      unhealthy: 2
      on_failure:
        model_loaded: {do: reload, path: /load, timeout: 30s}
        gpu_available: replace
        memory_ok: scale_up
        timeout: restart
    template: {INFER, --model, chat, --token-time, 5ms], stop_timeout: 500ms}
    lifecycle: {health_grace: 0s}
    scale: {min: 3, max: 6, scale_in_window: 0s}
`)
	w.start()
	w.ready(3)
	tell := func(method string, i admin.Instance, path string) {
		t.Helper()
		req, _ := http.NewRequest(method, "http://"+i.Address+path, nil)
		r, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		if b, _ := io.ReadAll(r.Body); r.StatusCode/100 != 2 {
			t.Fatalf("%s %s: %s: %s", method, path, r.Status, b)
		}
	}
	find := func(id string) *admin.Instance {
		is := w.pool().Instances
		if n := slices.IndexFunc(is, func(i admin.Instance) bool { return i.ID == id && i.State != "gone" }); n >= 0 {
			return &is[n]
		}
		return nil
	}
	counted := func(check, remedy string) {
		t.Helper()
		if line := fmt.Sprintf("weir_remedies_total{check=%q,pool=\"api\",remedy=%q} ", check, remedy); !strings.Contains(w.metrics(), line) {
			t.Errorf("the metrics lack %s", line)
		}
	}

	a := w.pool().Instances[0]
	tell("POST", a, "/unload")
	until(t, "it is told to load again", func() bool { return strings.Contains(w.log(), "it is told to load again") })
	until(t, "its model is loaded again", func() bool { i := find(a.ID); return i != nil && i.State == "ready" })
	counted("model_loaded", "reload")

	tell("POST", a, "/fault?unready=memory_ok")
	until(t, "another is launched beside it", func() bool {
		p, i := w.pool(), find(a.ID)
		return p.Scale.Ready == 3 && i != nil && i.State == "unhealthy" && i.Remedy != nil && i.Remedy.Remedy == "scale_up" && slices.Equal(i.Failing, []string{"memory_ok"})
	})
	tell("DELETE", a, "/fault")
	w.ready(3)
	counted("memory_ok", "scale_up")

	b := w.pool().Instances[0]
	tell("POST", b, "/fault?unready=gpu_available")
	until(t, "it is replaced", func() bool { return find(b.ID) == nil })
	w.ready(3)
	counted("gpu_available", "replace")

	c := w.pool().Instances[0]
	var pid int
	fmt.Sscanf(c.Ref, "pid=%d", &pid)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	until(t, "it is restarted", func() bool { return find(c.ID) == nil })
	w.ready(3)
	counted("timeout", "restart")
	if log := w.log(); !strings.Contains(log, "restarted, as its check timeout fails") {
		t.Error(log)
	}
}
