package fleet

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/fleet/plan"
)

// told are the texts of the events of one kind.
func (w *world) told(kind EventKind) (out []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.Kind == kind {
			out = append(out, e.Why)
		}
	}
	return out
}

func (w *world) wantTold(kind EventKind, want ...string) {
	w.t.Helper()
	got := w.told(kind)
	if !slices.EqualFunc(got, want, strings.HasPrefix) {
		w.t.Errorf("of kind %q it was told\n%q, want the beginnings\n%q", kind, got, want)
	}
}

func TestEventsTellOfHooks(t *testing.T) {
	inWorld(t, func(w *world) {
		w.hooked(Hook{Name: "license", On: OnLaunch, Timeout: time.Minute, Default: Continue}, Hook{Name: "mount", On: OnLaunch, Timeout: 2 * time.Minute, Default: Continue})
		w.fleet.Launch(1, plan.Placement{})
		w.after(time.Second)
		if err := w.fleet.Complete(w.one().ID, "mount", "", Continue); err != nil {
			t.Fatal(err)
		}
		w.after(time.Minute + 5*time.Second)
		w.want("ready")
		w.wantTold(HookMoved, "waits for its launch hooks: license for 1m0s at most, mount for 2m0s at most",
			"its hook mount ended with continue: it was completed by hand", "its hook license ended with continue: nobody completed it within 1m0s")
	})
}

func TestEventsTellOfRefusals(t *testing.T) {
	inWorld(t, func(w *world) {
		w.m.fail = fmt.Errorf("%w in a", ErrCapacity)
		w.fleet.Launch(1, plan.Placement{Type: "g5", Market: "spot", Zone: "a"})
		w.after(time.Second)
		w.wantTold(CapacityRefused, "no machine for g5/spot/a: insufficient capacity in a; not asked for again before ")
	})
}

// An instance that drains in time, one that is taken back at work, and one that is only at risk.
func TestEventsTellOfSpotNotices(t *testing.T) {
	inWorld(t, func(w *world) {
		w.fleet.Launch(3, plan.Placement{})
		w.after(5 * time.Second)
		w.want("ready ready ready")
		vs := w.fleet.Instances(time.Now())
		now := time.Now()
		end := now.Add(30 * time.Second)
		vs[1].Target.Begin()
		w.fleet.noticed(map[string]plan.Notice{
			vs[0].ID: {Kind: plan.Interruption, Deadline: end}, vs[1].ID: {Kind: plan.Interruption, Deadline: end}, vs[2].ID: {Kind: plan.Rebalance},
		}, now)
		at := "it is taken back at " + end.UTC().Format("15:04:05 UTC")
		got := w.told(SpotNotice)
		slices.Sort(got)
		if want := []string{"it is at an elevated risk of being taken back", at, at}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		if err := w.fleet.Drain(vs[0].ID, "taken back"); err != nil {
			t.Fatal(err)
		}
		w.after(31 * time.Second)
		last := w.told(SpotNotice)[3:]
		if want := []string{"had drained before it was taken back", "is taken back with requests in flight, which are cut: 1"}; !slices.Equal(last, want) {
			t.Errorf("at last %q, want %q", last, want)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, e := range w.events {
			if e.Instance == "" || e.Pool != "api" || e.Time.IsZero() || (e.Kind == StateChanged) != (e.State != "") {
				t.Errorf("%+v", e)
			}
		}
	})
}
