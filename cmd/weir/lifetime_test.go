package main

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// Instances that may live for a few seconds, under load: all are replaced again and again, no fewer than desired serve at any moment, hardly more
// than desired are there, and no stream is cut.
func TestMaxLifetimeUnderLoad(t *testing.T) {
	const life = 5 * time.Second
	w := prepare(t, `  api:
    concurrency: 4
    drain: 20s
    health: {path: /health/ready, interval: 50ms}
    template: {INFER, --model, chat, --token-time, 5ms]}
    scale: {min: 3, max: 3}
    lifecycle: {max_lifetime: 5s}
`)
	w.start()
	w.ready(3)
	first := map[string]bool{}
	for _, i := range w.pool().Instances {
		first[i.ID] = true
	}
	streams := under(t, w, func() {
		until(t, "all three are replaced", func() bool {
			p := w.pool()
			left, serve, states := 0, 0, ""
			for _, i := range p.Instances {
				states += i.ID + " " + i.State + " "
				if i.State == "draining" || i.State == "stopping" || i.State == "gone" {
					continue
				}
				serve++
				if first[i.ID] {
					left++
				}
			}
			if p.Scale.Ready < 3 || serve > 4 {
				t.Errorf("%d ready, %d that serve or are to: %s", p.Scale.Ready, serve, states)
			}
			return left == 0
		})
	})
	if streams == 0 {
		t.Error("there was no load")
	}
	if log := w.log(); strings.Count(log, "of at most "+life.String()) < 3 {
		t.Error("the log does not say why they were replaced")
	}
}

// An instance whose checks fail is not replaced within its grace, learned or configured; it takes no requests, and status says which grace it is.
func TestHealthGrace(t *testing.T) {
	pool := `  api:
    concurrency: 4
    health: {path: /health/ready, interval: 50ms, unhealthy: 2}
    template: {INFER, --model, chat, --token-time, 5ms]}
    scale: {min: 1, max: 6, scale_in_window: 0s, policies: [{schedule: {name: never, at: "2099-01-01T00:00:00Z", desired: 1}}]}
`
	w := prepare(t, pool)
	w.start()
	w.ready(1)
	if g := w.pool().Scale.Grace; g.Seconds != 0 || g.Why != "not learned yet: 1 of 5 boots" {
		t.Errorf("after one boot the grace is %+v", g)
	}
	w.cli("scale", "api", "5")
	w.ready(5)
	if g := w.pool().Scale.Grace; g.Seconds <= 0 || !strings.HasPrefix(g.Why, "learned: 3 times the p99 of ") || !strings.HasSuffix(g.Why, " s of 5 boots") {
		t.Errorf("after five boots the grace is %+v", g)
	}

	w.write(pool + "    lifecycle: {health_grace: 10m}\n")
	w.cli("reload")
	until(t, "the grace is configured", func() bool { return w.pool().Scale.Grace.Seconds == 600 })
	sick := w.pool().Instances[0]
	r, err := http.Post("http://"+sick.Address+"/unload?model=chat", "", nil)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatal(r, err)
	}
	r.Body.Close()
	until(t, "it is unhealthy, and within its grace", func() bool {
		i := w.instance(sick.ID)
		return i != nil && i.State == "unhealthy" && strings.Contains(i.Why, "grace of 10m0s, configured")
	})
	if out := w.cli("explain", "api"); !strings.Contains(out, "with a grace of 10m0s (configured)") || !strings.Contains(out, sick.ID) {
		t.Errorf("weir explain api:\n%s", out)
	}
	seen := w.pool().LastDecision.Time
	until(t, "two decisions later it is still there, alone", func() bool {
		p := w.pool()
		if len(p.Instances) != 5 || w.instance(sick.ID) == nil {
			t.Fatalf("it was replaced: %+v", p.Instances)
		}
		return p.LastDecision.Time.Sub(seen) > 2*time.Second
	})

	w.write(pool + "    lifecycle: {health_grace: 100ms}\n")
	w.cli("reload")
	until(t, "it is replaced", func() bool { return w.instance(sick.ID) == nil && w.pool().Scale.Ready == 5 })
	if !strings.Contains(w.log(), "the grace of 100ms, configured is over") {
		t.Error("the log does not say why it was replaced")
	}
}
