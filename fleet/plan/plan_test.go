package plan

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var states = []string{"pending", "starting", "warming", "ready", "ready", "ready", "unhealthy", "draining", "stopping", "gone"}

func anyInput(t *rapid.T) Input {
	in := Input{
		Now:          epoch.Add(time.Hour),
		Desired:      rapid.IntRange(0, 12).Draw(t, "desired"),
		Waiting:      rapid.IntRange(0, 2).Draw(t, "waiting"),
		MaxLaunching: rapid.IntRange(0, 4).Draw(t, "max_launching"),
		StartTimeout: time.Minute,
		DrainTimeout: 5 * time.Minute,
	}
	if rapid.IntRange(0, 9).Draw(t, "crashed") == 0 {
		in.Backoff = in.Now.Add(time.Second)
	}
	ago := rapid.IntRange(0, 400)
	for i := range rapid.IntRange(0, 16).Draw(t, "instances") {
		one := Instance{
			ID:        fmt.Sprintf("i-%d", i),
			State:     rapid.SampledFrom(states).Draw(t, "state"),
			Since:     in.Now.Add(-time.Duration(ago.Draw(t, "since")) * time.Second),
			InFlight:  rapid.IntRange(0, 3).Draw(t, "in_flight"),
			Healthy:   rapid.IntRange(0, 4).Draw(t, "healthy") > 0,
			Dead:      rapid.IntRange(0, 9).Draw(t, "dead") == 0,
			Protected: rapid.IntRange(0, 9).Draw(t, "protected") == 0,
			Version:   rapid.IntRange(0, 1).Draw(t, "version"),
		}
		one.Started = one.Since
		if one.State == "unhealthy" {
			one.Healthy = false
		}
		if one.onItsWay() {
			one.InFlight = 0
		}
		in.Instances = append(in.Instances, one)
	}
	return in
}

// after returns in as it is once the actions are taken.
func after(in Input, actions []Action) Input {
	f := fleet{now: in.Now, instances: slices.Clone(in.Instances), made: len(in.Instances)}
	f.apply(actions)
	in.Instances = f.instances
	return in
}

func TestOneStepForAnInstance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		before := slices.Clone(in.Instances)
		seen := map[string]bool{}
		for _, a := range Plan(in) {
			id, allowed := "", []string(nil)
			switch a := a.(type) {
			case Launch:
				if a.N <= 0 {
					t.Fatalf("%v", a)
				}
				continue
			case Undrain:
				id, allowed = a.ID, []string{"draining"}
			case Drain:
				id, allowed = a.ID, []string{"ready", "unhealthy"}
			case Stop:
				id, allowed = a.ID, []string{"pending", "starting", "warming", "ready", "unhealthy", "draining"}
			}
			if seen[id] {
				t.Fatalf("two steps for %s", id)
			}
			seen[id] = true
			i := slices.IndexFunc(in.Instances, func(one Instance) bool { return one.ID == id })
			if i < 0 || !slices.Contains(allowed, in.Instances[i].State) {
				t.Fatalf("%v, which is %+v", a, in.Instances[i])
			}
		}
		if !slices.Equal(before, in.Instances) {
			t.Fatal("Plan changed its input")
		}
	})
}

func TestLaunchesNoMoreThanNeeded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		var launched, coming, ready int
		for _, a := range Plan(in) {
			if a, ok := a.(Launch); ok {
				launched += a.N
			}
		}
		for i := range in.Instances {
			one := &in.Instances[i]
			switch {
			case one.Dead:
			case one.onItsWay() && in.Now.Sub(one.Started) < in.StartTimeout:
				coming++
			case one.State == "ready" && one.Healthy:
				ready++
			}
		}
		switch {
		case launched == 0:
		case launched+coming+ready > in.Desired:
			t.Fatalf("%d launched beside %d ready and %d coming for %d desired", launched, ready, coming, in.Desired)
		case in.MaxLaunching > 0 && launched+coming > in.MaxLaunching:
			t.Fatalf("%d launched beside %d coming, more than %d", launched, coming, in.MaxLaunching)
		case in.Now.Before(in.Backoff):
			t.Fatal("launched before the back-off ended")
		}
	})
}

func TestDrainsTheIdlest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		next := after(in, Plan(in))
		for i, drained := range in.Instances {
			if drained.State != "ready" || !drained.Healthy || next.Instances[i].State != "draining" {
				continue
			}
			for j, kept := range in.Instances {
				if kept.State == "ready" && kept.Healthy && !kept.Protected && next.Instances[j].State == "ready" && kept.InFlight < drained.InFlight {
					t.Fatalf("%s with %d in flight drained, %s with %d kept", drained.ID, drained.InFlight, kept.ID, kept.InFlight)
				}
			}
		}
	})
}

func TestNeverALoadingOneWhileRequestsWait(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		in.Waiting = 1
		ready := 0
		next := after(in, Plan(in))
		for i, one := range in.Instances {
			if one.onItsWay() && !one.Dead && in.Now.Sub(one.Started) < in.StartTimeout && next.Instances[i].State == "stopping" {
				t.Fatalf("%s was stopped while requests wait", one.ID)
			}
			if one.State == "ready" && one.Healthy && !one.Dead {
				ready++
			}
		}
		left := 0
		for _, one := range next.Instances {
			if one.State == "ready" {
				left++
			}
		}
		if left < min(ready, in.Desired) {
			t.Fatalf("%d of %d ready ones left for %d desired", left, ready, in.Desired)
		}
	})
}

// A plan that was carried out leaves nothing to do, except to stop what had nothing left to drain.
func TestOnceIsEnough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		in = after(in, Plan(in))
		for _, a := range Plan(in) {
			stop, ok := a.(Stop)
			if !ok || !slices.ContainsFunc(in.Instances, func(one Instance) bool { return one.ID == stop.ID && one.State == "draining" }) {
				t.Fatalf("the second plan still says %v", a)
			}
		}
	})
}

// With launches that succeed and requests that end, the pool has what is desired after a few plans and then rests.
func TestConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		for i := range in.Instances {
			in.Instances[i].Protected = false
		}
		for range 40 {
			in.Now = in.Now.Add(10 * time.Second)
			in = after(in, Plan(in))
			for i := range in.Instances {
				one := &in.Instances[i]
				switch one.State {
				case "pending", "starting":
					one.State = "warming"
				case "warming":
					one.State, one.Healthy = "ready", true
				case "stopping":
					one.State = "gone"
				}
				one.InFlight = max(0, one.InFlight-1)
			}
		}
		ready := 0
		for _, one := range in.Instances {
			switch {
			case one.State == "ready" && one.Healthy:
				ready++
			case one.State != "gone":
				t.Fatalf("%+v is left", one)
			}
		}
		if ready != in.Desired {
			t.Fatalf("%d ready, %d desired", ready, in.Desired)
		}
		if rest := Plan(in); len(rest) > 0 {
			t.Fatalf("not at rest: %v", rest)
		}
	})
}

func BenchmarkPlan(b *testing.B) {
	in := Input{Now: epoch, Desired: 10}
	for i := range 10 {
		in.Instances = append(in.Instances, Instance{ID: fmt.Sprint(i), State: "ready", Healthy: true, InFlight: i % 3})
	}
	b.ReportAllocs()
	for b.Loop() {
		if len(Plan(in)) > 0 {
			b.Fatal("a pool at rest asks for something")
		}
	}
}
