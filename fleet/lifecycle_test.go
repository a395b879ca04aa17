package fleet

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/weirlb/weir/fleet/plan"
	"github.com/weirlb/weir/pool"
)

// Whatever people, plans, hooks and crashes of Weir do to a fleet, no instance is told to end while something is in flight on it, before it has
// drained for as long as it may; and what is in standby, or waits for a hook, gets no request.
func TestNothingInFlightIsCut(t *testing.T) {
	path := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			w := &world{t: t, m: &machines{running: map[string]*machine{}, boot: time.Second}, path: path + "/" + time.Now().Format("150405.000000000") + rapid.StringMatching(`[a-z]{12}`).Draw(rt, "file")}
			w.hooks = []Hook{
				{Name: "in", On: OnLaunch, Timeout: 20 * time.Second, Default: Continue}, {Name: "out", On: OnTerminate, Timeout: 20 * time.Second, Default: Continue},
			}
			w.open()
			defer w.close()
			w.serveThrough(rt)
		})
	})
}

func (w *world) serveThrough(rt *rapid.T) {
	var leases []*request
	look := func() {
		for _, v := range w.fleet.Instances(time.Now()) {
			if (v.State == Standby || v.State == PendingWait) && v.Target != nil {
				w.t.Errorf("%s is %s and takes requests", v.ID, v.State)
			}
		}
	}
	w.m.stopped = func(id string) {
		t, there := w.pool.Member(id)
		if !there || t.InFlight() == 0 {
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, e := range slices.Backward(w.events) {
			if e.Instance == id && e.State == Draining {
				if d := time.Since(e.Time); d < w.options().Drain {
					w.t.Errorf("%s ends with %d in flight, %v after it began to drain", id, t.InFlight(), d)
				}
				return
			}
		}
		w.t.Errorf("%s ends with %d in flight, and never drained", id, t.InFlight())
	}
	some := func() string {
		vs := w.fleet.Instances(time.Now())
		if len(vs) == 0 {
			return "none"
		}
		return vs[rapid.IntRange(0, len(vs)-1).Draw(rt, "instance")].ID
	}
	for range rapid.IntRange(5, 30).Draw(rt, "steps") {
		switch rapid.IntRange(0, 12).Draw(rt, "step") {
		case 0:
			w.fleet.Launch(1, plan.Placement{})
		case 1:
			w.fleet.Prepare(1, plan.Placement{})
		case 2, 3:
			leases = append(leases, w.acquire())
		case 4:
			for i, r := range leases {
				if r.granted.Load() {
					r.Release(pool.Outcome{Status: 200}, time.Now())
					leases = append(leases[:i], leases[i+1:]...)
					break
				}
			}
		case 5:
			w.fleet.Drain(some(), "test")
		case 6:
			w.fleet.Keep(some(), "test")
		case 7:
			w.fleet.Send(some(), rapid.SampledFrom([]Errand{ToStandby, ToDetach, ToEnd}).Draw(rt, "errand"), "test")
		case 8:
			w.fleet.Resume(some(), "test")
		case 9:
			w.fleet.Complete(some(), "", "", rapid.SampledFrom([]Result{Continue, Abandon}).Draw(rt, "result"))
		case 10:
			w.fleet.Park(some(), "test")
		case 11:
			w.fleet.Wake(some(), "test")
		case 12:
			if rapid.IntRange(0, 4).Draw(rt, "crash") == 0 { // what was in flight goes down with Weir
				leases = nil
				w.crash()
			}
		}
		for range rapid.IntRange(0, 20).Draw(rt, "seconds") {
			w.after(time.Second)
			look()
		}
		w.after(50 * time.Millisecond)
		look()
	}
}
