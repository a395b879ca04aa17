package plan

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The formula of EC2 Auto Scaling: max(min size, (max prepared capacity, else max size) - desired), at least 0.
func TestWarmPoolSize(t *testing.T) {
	for _, c := range []struct{ min, most, desired, want int }{
		{0, 10, 6, 4}, {0, 10, 10, 0}, {0, 10, 12, 0}, {2, 10, 9, 2}, {2, 10, 6, 4}, {5, 0, 3, 5},
	} {
		if got := (WarmPool{On: true, Min: c.min, Most: c.most}).Size(c.desired); got != c.want {
			t.Errorf("min %d, most %d, desired %d: %d, want %d", c.min, c.most, c.desired, got, c.want)
		}
	}
	if got := (WarmPool{Min: 3, Most: 9}).Size(1); got != 0 {
		t.Errorf("a warm pool that is off has %d", got)
	}
}

// A pool with a warm pool, whose demand moves at random: a launch never happens while something is prepared, the warm pool never
// exceeds its size by more than what is on its way out, and both come to rest at their sizes.
func TestWarmPoolConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most = 10
		f := fleet{now: epoch}
		w := WarmPool{On: true, Min: rapid.IntRange(0, 3).Draw(t, "min"), Most: rapid.IntRange(0, most).Draw(t, "most"), Reuse: rapid.Bool().Draw(t, "reuse")}
		in := Input{Warm: w}
		step := func() []Action {
			f.now = f.now.Add(10 * time.Second)
			in.Now, in.Instances = f.now, f.instances
			actions := Plan(in)
			prepared, woken := 0, 0
			for _, one := range f.instances {
				if one.Spare && (one.State == "warm" || one.onItsWay()) {
					prepared++
				}
			}
			for _, a := range actions {
				switch a.(type) {
				case Wake:
					woken++
				case Launch:
					if woken < prepared {
						t.Fatalf("%v, with %d of %d prepared woken", a, woken, prepared)
					}
				}
			}
			f.apply(actions)
			for i := range f.instances {
				one := &f.instances[i]
				switch {
				case one.onItsWay() && one.Spare:
					one.State, one.Healthy = "warm", true
				case one.onItsWay() || one.State == "warm" && !one.Spare:
					one.State, one.Healthy = "ready", true
				case one.State == "draining" && one.Spare:
					one.State = "warm"
				case one.State == "stopping":
					one.State = "gone"
				}
			}
			return actions
		}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			in.Desired = rapid.IntRange(0, most).Draw(t, "desired")
			step()
		}
		for range 40 {
			step()
		}
		ready, warm := 0, 0
		for _, one := range f.instances {
			switch one.State {
			case "ready":
				ready++
			case "warm":
				warm++
			}
		}
		if ready != in.Desired || warm != w.Size(in.Desired) {
			t.Fatalf("%d ready of %d, %d warm of %d", ready, in.Desired, warm, w.Size(in.Desired))
		}
		if rest := step(); len(rest) > 0 {
			t.Fatalf("not at rest: %v", rest)
		}
	})
}
