package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const coldPool = `  api:
    concurrency: 1
    health: {path: /health/ready, interval: 100ms}
    drain: 60s
    template: {INFER, --model, chat, --slots, "1", --token-time, 2ms, --load-time, 2s]}
    scale: {min: 0, max: 2}
`

// From nothing to the first answer, cold and from each kind of warm pool.
func TestAWarmPoolCutsTheTimeToServe(t *testing.T) {
	took := map[string]time.Duration{}
	for _, state := range []string{"cold", "stopped", "hibernated", "running"} {
		t.Run(state, func(t *testing.T) {
			text := coldPool
			if state != "cold" {
				text += fmt.Sprintf("    warm_pool: {state: %s, min: 1, max_prepared: 1, reuse: true}\n", state)
			}
			w := prepare(t, text)
			w.start()
			if state != "cold" {
				until(t, "an instance is prepared", func() bool { return w.pool().Scale.Warm == 1 && (state != "stopped" || len(w.instances()) == 0) })
			}
			began := time.Now()
			if _, err := stream(t.Context(), w.url, 2, nil); err != nil {
				t.Fatal(err)
			}
			took[state] = time.Since(began)
		})
	}
	t.Logf("first answer: cold %v, stopped %v, hibernated %v, running %v", took["cold"], took["stopped"], took["hibernated"], took["running"])
	for _, state := range []string{"hibernated", "running"} {
		if took[state] > took["cold"]/2 {
			t.Errorf("%s: %v, cold %v", state, took[state], took["cold"])
		}
	}
}

// Scale-in sends an instance back, kill -9 leaves it there, and the next Weir wakes it.
func TestAWarmPoolTakesBackAndSurvives(t *testing.T) {
	for _, state := range []string{"stopped", "hibernated"} {
		t.Run(state, func(t *testing.T) {
			w := prepare(t, strings.Replace(chatPool, `    drain`, `    warm_pool: {state: `+state+`, max_prepared: 2, reuse: true}
    drain`, 1)+"    scale: {min: 0, max: 2}\n")
			w.start()
			w.cli("scale", "api", "2")
			w.ready(2)
			ids := map[string]bool{}
			for _, i := range w.pool().Instances {
				ids[i.ID] = true
			}
			w.cli("scale", "api", "0")
			processes := map[string]int{"stopped": 0, "hibernated": 2}[state]
			until(t, "both are in the warm pool", func() bool { return w.pool().Scale.Warm == 2 && len(w.instances()) == processes })
			for _, pid := range w.instances() {
				until(t, "it is suspended", func() bool {
					b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
					return strings.Contains(string(b), ") T ")
				})
			}
			w.cmd.Process.Kill()
			<-w.ended
			w.start()
			if s := w.pool().Scale; s.Warm != 2 {
				t.Errorf("%d in the warm pool after the restart", s.Warm)
			}
			w.cli("scale", "api", "2")
			w.ready(2)
			for _, i := range w.pool().Instances {
				if !ids[i.ID] {
					t.Errorf("%s was not there before", i.ID)
				}
			}
			if _, err := stream(t.Context(), w.url, 3, nil); err != nil {
				t.Error(err)
			}
			w.cli("scale", "api", "0")
			until(t, "both are back", func() bool { return w.pool().Scale.Warm == 2 })
			w.cmd.Process.Signal(syscall.SIGTERM)
			if code := w.exit(); code != exitOK {
				t.Errorf("exit %d", code)
			}
			if pids := w.instances(); len(pids) > 0 {
				t.Errorf("left running: %v", pids)
			}
		})
	}
}

// A rush that would be over before a launch could be ready is what a warm pool is for: the queue policy asks it for as many as begin all within the promise.
func TestTheQueuePolicyWakesWhatIsPrepared(t *testing.T) {
	w := prepare(t, `  api:
    concurrency: 1
    queue: {limit: 100, timeout: 60s}
    health: {path: /health/ready, interval: 100ms}
    template: {INFER, --model, predict, --device, emulated, --predict-time, 2s, --load-time, 4s]}
    warm_pool: {state: hibernated, max_prepared: 4, reuse: true}
    scale: {min: 1, max: 4, scale_in_window: 5s, policies: [{queue: {wait_p95: 500ms}}]}
`)
	w.start()
	w.ready(1)
	answered200(t, w.url+"/predict", `{"input":[0.2,-0.4]}`) // how long one takes is known now
	until(t, "three are prepared", func() bool { return w.pool().Scale.Warm == 3 })
	waits, _ := play(t, w, make([]time.Duration, 4))
	for i := range waits {
		waits[i] -= 2*time.Second - 400*time.Millisecond // play takes a service to last 400 ms
	}
	// One after the other they would have waited 0, 2, 4 and 6 s, before anything that was launched had loaded.
	if longest := slices.Max(waits); longest > 1900*time.Millisecond {
		t.Errorf("they waited %v", waits)
	}
	until(t, "some are back", func() bool { return w.pool().Scale.Warm >= 2 && w.pool().Scale.Ready <= 2 })
	if !strings.Contains(w.log(), "of the warm pool could be ready in") {
		t.Error("no decision speaks of the warm pool")
	}
}
