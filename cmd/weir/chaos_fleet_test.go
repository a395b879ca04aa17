package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/admin"
)

// fleetPool has a warm pool and room to scale by hand; seed makes the template another one, so that a reload begins a refresh.
func fleetPool(seed int) string {
	return fmt.Sprintf(`  api:
    concurrency: 4
    drain: 5s
    health: {path: /health/ready, interval: 50ms}
    template: {INFER, --model, chat, --load-time, 150ms, --seed, "%d"], backoff: {initial: 50ms, max: 100ms}, start_timeout: 20s}
    warm_pool: {state: hibernated, max_prepared: 5, reuse: true}
    scale: {min: 0, max: 4}
`, seed)
}

// TestChaosFleetSurvivesKills ends Weir with SIGKILL at random moments while its fleet scales out and in, moves instances to and from the
// warm pool, drains and is refreshed. After each death all that was launched is known again, nothing runs twice, and what was asked for comes
// about. `make chaos-fleet` does it a hundred times.
func TestChaosFleetSurvivesKills(t *testing.T) {
	kills := 4
	if n, err := strconv.Atoi(os.Getenv("WEIR_KILLS")); err == nil {
		kills = n
	}
	w := prepare(t, fleetPool(0))
	w.start()
	seed, desired := 0, 0
	done := map[string]int{}
	for i := range kills {
		switch what := rand.IntN(3); {
		case what == 0 && i > 0:
			seed++
			w.write(fleetPool(seed))
			if out, code := w.command("reload"); code != exitOK {
				t.Fatal(out)
			}
			done["refreshes"]++
		case rand.IntN(2) == 0:
			done["scale-ins"]++
			desired = rand.IntN(desired + 1)
			w.cli("scale", "api", strconv.Itoa(desired))
		default:
			done["scale-outs"]++
			desired += rand.IntN(5 - desired)
			w.cli("scale", "api", strconv.Itoa(desired))
		}
		time.Sleep(rand.N(700 * time.Millisecond)) // boots, drains and moves are in all their stages within that
		w.cmd.Process.Kill()
		<-w.ended
		w.start()
		until(t, "Weir itself answers", func() bool { // what was being launched as it died had its sockets for a moment more
			r, err := http.Get("http://" + w.admin + "/v1/status")
			if err == nil {
				r.Body.Close()
			}
			return err == nil
		})
		if m := w.pool().Scale.Manual; done["scale-ins"]+done["scale-outs"] > 0 && (m == nil || m.Desired != desired) {
			t.Fatalf("kill %d: %+v is set by hand, want %d", i+1, m, desired)
		}
		until(t, "each process is one instance", func() bool {
			refs := map[string]bool{}
			for _, i := range w.pool().Instances {
				pid, _, _ := strings.Cut(strings.TrimPrefix(i.Ref, "pid="), " ")
				refs[pid] = true
			}
			pids := w.instances()
			for _, pid := range pids {
				if !refs[strconv.Itoa(pid)] {
					return false // it may be known in a moment, or end
				}
			}
			return true
		})
		if i%5 == 4 || i == kills-1 { // else the next death meets what this one has left
			w.whole(fmt.Sprintf("kill %d", i+1), desired)
		}
	}
	until(t, "the refresh has ended", func() bool { // of what runs nothing may have been left to replace, and then it may begin late
		r := w.pool().Refresh
		return r == nil || !r.Active()
	})
	t.Logf("%d kills, %v", kills, done)
}

// whole waits until the fleet is as desired, all of the newest version, and no process runs that Weir does not know, or twice.
func (w *weir) whole(when string, desired int) {
	w.t.Helper()
	var p admin.Pool
	var pids []int
	deadline := time.Now().Add(60 * time.Second)
	for {
		p, pids = w.pool(), w.instances()
		alive, settled := 0, p.Refresh == nil || !p.Refresh.Active()
		refs := map[string]int{}
		for _, i := range p.Instances {
			switch i.State {
			case "ready":
				settled = settled && i.Version == p.Version
			case "warm":
			default:
				settled = false
			}
			alive++
			refs[i.Ref]++
		}
		if settled && p.Scale.Ready == desired && len(refs) == alive && len(pids) == alive {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: %d are desired; processes %v of instances %+v, %+v, refresh %+v", when, desired, pids, p.Instances, p.Scale, p.Refresh)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
