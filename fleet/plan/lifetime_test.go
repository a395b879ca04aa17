package plan

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weirlb/weir/scale"
)

// anyLife is any input, with what this file's features depend on.
func anyLife(t *rapid.T) Input {
	in := anyInput(t)
	in.MaxLifetime = time.Duration(rapid.IntRange(0, 400).Draw(t, "max_lifetime")) * time.Second
	in.Grace.For = time.Duration(rapid.IntRange(0, 100).Draw(t, "grace")) * time.Second
	in.Warm = WarmPool{On: rapid.Bool().Draw(t, "warm_pool"), Most: rapid.IntRange(0, 15).Draw(t, "max_prepared"), Reuse: rapid.Bool().Draw(t, "reuse")}
	if rapid.Bool().Draw(t, "rule") {
		in.Termination = []Termination{rapid.SampledFrom([]Termination{TerminateDefault, OldestInstance, NewestInstance, ClosestToNextInstanceHour}).Draw(t, "termination")}
	}
	return in
}

// Scale-in chooses no protected instance, whatever the rules are, and a long life does not either.
func TestNoProtectedInstanceIsScaledIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyLife(t)
		protected := map[string]*Instance{}
		for i := range in.Instances {
			if one := &in.Instances[i]; one.Protected && !one.Dead && one.State == "ready" && one.Healthy {
				protected[one.ID] = one
			}
		}
		for _, a := range Plan(in) {
			var id string
			switch a := a.(type) {
			case Drain:
				id = a.ID
			case Park:
				id = a.ID
			case Stop:
				id = a.ID
			}
			if one := protected[id]; one != nil {
				t.Fatalf("%v, which is protected: %+v", a, one)
			}
		}
	})
}

// What is in flight is cut on an instance that is dead, or has drained for as long as it may, and on no other.
func TestNothingInFlightIsCutBeforeTheDrainDeadline(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyLife(t)
		for _, a := range Plan(in) {
			stop, ok := a.(Stop)
			if !ok {
				continue
			}
			one := in.Instances[slices.IndexFunc(in.Instances, func(one Instance) bool { return one.ID == stop.ID })]
			if one.InFlight > 0 && !one.Dead && !(one.State == "draining" && in.Now.Sub(one.Since) >= in.DrainTimeout) {
				t.Fatalf("%v, with work in flight: %+v", a, one)
			}
		}
	})
}

// A pool that was launched all at once: there are never fewer ready than desired, never more than a tenth beyond it, no replacement begins before the
// last tenth of the life, and nobody outlives it.
func TestEveryInstanceIsReplacedInTime(t *testing.T) {
	const boot, life = 20 * time.Second, 2 * time.Hour
	for _, desired := range []int{1, 3, 20, 57} {
		f := fleet{now: epoch}
		for i := range desired {
			f.instances = append(f.instances, Instance{ID: fmt.Sprintf("i-%d", i), State: "ready", Healthy: true, Started: epoch, Since: epoch})
		}
		most, drains, together := max(1, desired/10), 0, 0
		for ; f.now.Sub(epoch) < 2*life; f.now = f.now.Add(time.Second) {
			for i := range f.instances {
				if one := &f.instances[i]; one.State == "pending" && f.now.Sub(one.Since) >= boot {
					one.State, one.Since, one.Healthy = "ready", f.now, true
				}
			}
			actions := Plan(Input{Now: f.now, Desired: desired, Instances: f.instances, MaxLifetime: life})
			f.apply(actions)
			now := 0
			for _, a := range actions {
				if d, ok := a.(Drain); ok {
					now++
					if age := f.now.Sub(f.find(d.ID).Started); age < life*9/10 {
						t.Errorf("%v at the age of %v", d, age)
					}
				}
			}
			drains, together = drains+now, max(together, now)
			ready, all := 0, 0
			f.instances = slices.DeleteFunc(f.instances, func(one Instance) bool { return one.State == "stopping" })
			for i := range f.instances {
				one := &f.instances[i]
				if one.State == "draining" {
					continue
				}
				all++
				if one.State == "ready" {
					ready++
				}
				if age := f.now.Sub(one.Started); age > life {
					t.Fatalf("%d desired: %s is %v old", desired, one.ID, age)
				}
			}
			if ready < desired || all > desired+most {
				t.Fatalf("%d desired, %d ready, %d together, after %v", desired, ready, all, f.now.Sub(epoch))
			}
		}
		if drains < 2*desired || together > most {
			t.Errorf("%d desired: %d replaced in two lives, up to %d together", desired, drains, together)
		}
	}
}

// A replacement that is drained is not taken back, and a refresh, scale-in and protection go first.
func TestLifetimeAndOthers(t *testing.T) {
	old := func(id string) Instance {
		return Instance{ID: id, State: "ready", Healthy: true, Started: epoch.Add(-time.Hour), Version: 1}
	}
	in := Input{Now: epoch, Desired: 2, Instances: []Instance{old("a"), old("b")}, MaxLifetime: time.Minute}
	if got := fmt.Sprint(Plan(in)); got != "[launch 1: 2 desired, 2 ready, 0 on their way, 1 to be replaced for their age]" {
		t.Error(got)
	}
	draining := old("c")
	draining.State = "draining"
	draining.InFlight = 1
	in.Instances = append(in.Instances, draining)
	if got := Plan(in); len(got) != 0 {
		t.Errorf("while one still drains: %v", got)
	}
	in.Instances = in.Instances[:2]
	in.Moves = Moves{Version: 1}
	if got := Plan(in); len(got) != 0 {
		t.Errorf("during a refresh: %v", got)
	}
	in.Moves = Moves{}
	in.Instances[0].Protected, in.Instances[1].Protected = true, true
	if got := Plan(in); len(got) != 0 {
		t.Errorf("protected: %v", got)
	}
	in.Instances[0].Protected, in.Desired = false, 1
	if got := fmt.Sprint(Plan(in)); got != "[drain a: it has run for 1h0m0s of at most 1m0s]" {
		t.Errorf("too many: %v", got)
	}
	in.Instances[0].Born, in.Instances[0].Started, in.Desired = in.Instances[0].Started, epoch, 2 // resumed a moment ago
	if got := Plan(in); len(got) != 1 {
		t.Errorf("resumed: %v", got)
	}
}

func TestGrace(t *testing.T) {
	boots := scale.Sample{Count: 23, P99: 8}
	for _, c := range []struct {
		configured *time.Duration
		factor     float64
		boots      scale.Sample
		want       string
	}{
		{nil, 3, boots, "24s, learned: 3 times the p99 of 8 s of 23 boots"},
		{new(5 * time.Minute), 3, boots, "5m0s, configured"},
		{new(time.Duration(0)), 3, boots, "0s, configured"},
		{nil, 3, scale.Sample{Count: 4, P99: 8}, "0s, not learned yet: 4 of 5 boots"},
		{nil, 0, boots, "0s, neither configured nor to be learned"},
	} {
		if got := GraceOf(c.configured, c.factor, c.boots).String(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	in := Input{
		Now: epoch, Desired: 1, Grace: GraceOf(nil, 3, boots),
		Instances: []Instance{{ID: "a", State: "unhealthy", Started: epoch.Add(-time.Minute), Begun: epoch.Add(-23 * time.Second)}},
	}
	if got := Plan(in); len(got) != 0 {
		t.Errorf("within its grace: %v", got)
	}
	in.Now = epoch.Add(time.Second)
	if got := fmt.Sprint(Plan(in)); got != "[launch 1: 1 desired, 0 ready, 0 on their way, 1 unhealthy (the grace of 24s, learned: 3 times the p99 of 8 s of 23 boots is over)]" {
		t.Error(got)
	}
}
