package sim

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/fleet/plan"
	"github.com/weirlb/weir/scale"
	"pgregory.net/rapid"
)

// aRush is a pool of one that boots for a minute, and four requests of 10 s that come together after ten minutes; then nothing for ten more.
func aRush(w plan.WarmPool, rest fleet.Rest) (Options, []Request) {
	o := static(1, 1)
	o.Boot = func(*rand.Rand) time.Duration { return time.Minute }
	o.Scale = scale.Options{Min: 1, Max: 4, ScaleInWindow: time.Minute, Policies: []scale.Policy{scale.Queue{WaitP95: time.Second}}}
	o.Warm, o.Rest = w, rest
	var asks []Request
	for range 4 {
		asks = append(asks, Request{At: 10 * time.Minute, Service: 20 * time.Second})
	}
	return o, append([]Request{{Service: 20 * time.Second}}, append(asks, Request{At: 20 * time.Minute, Service: time.Second})...)
}

func TestAWarmPoolIsReadyAtOnce(t *testing.T) {
	keep := plan.WarmPool{On: true, Most: 4, Reuse: true}
	for _, c := range []struct {
		name  string
		warm  plan.WarmPool
		rest  fleet.Rest
		wake  time.Duration
		wait  [2]time.Duration // the longest, from and to
		hours [2]float64       // instance-hours
		woken int
	}{
		// Without one the four share what boots for a minute, or wait for each other.
		{"none", plan.WarmPool{}, "", 0, [2]time.Duration{40 * time.Second, 70 * time.Second}, [2]float64{0.33, 0.50}, 0},
		// Three more are there all the time: 4 x 20 minutes, but for their boots of the first minutes.
		{"running", keep, fleet.RestRunning, 0, [2]time.Duration{0, 2 * time.Second}, [2]float64{1.2, 1.34}, 3},
		{"hibernated", keep, fleet.RestHibernated, 0, [2]time.Duration{0, 2 * time.Second}, [2]float64{1.2, 1.34}, 3},
		// They cost their boots, of a minute each, and what they serve: 20 minutes of one, 3 boots, and 3 times the rush and up to two minutes until they are not missed.
		{"stopped", keep, fleet.RestStopped, 5 * time.Second, [2]time.Duration{4 * time.Second, 9 * time.Second}, [2]float64{0.40, 0.52}, 3},
		// What wakes as slowly as it boots is as late as what boots.
		{"slow", keep, fleet.RestStopped, time.Minute, [2]time.Duration{40 * time.Second, 70 * time.Second}, [2]float64{0.38, 0.60}, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, asks := aRush(c.warm, c.rest)
			if c.wake > 0 {
				o.Wake = func(*rand.Rand) time.Duration { return c.wake }
			}
			r := play(t, o, slices.Values(asks))
			if w := r.Wait.Max(); w < c.wait[0] || w > c.wait[1] {
				t.Errorf("the longest wait is %v, want %v to %v", w, c.wait[0], c.wait[1])
			}
			if h := r.InstanceHours; h < c.hours[0] || h > c.hours[1] {
				t.Errorf("%.3f instance-hours, want %.2f to %.2f", h, c.hours[0], c.hours[1])
			}
			if r.Woken > c.woken || c.woken > 0 && r.Woken == 0 {
				t.Errorf("%d came from the warm pool, want up to %d", r.Woken, c.woken)
			}
			if r.Lost != 0 || math.Abs(r.Cost-r.InstanceHours) > 1e-6 {
				t.Errorf("%d lost; %.4f spent for %.4f hours", r.Lost, r.Cost, r.InstanceHours)
			}
		})
	}
}

// With reuse a fleet that comes and goes is launched once.
func TestAWarmPoolIsUsedAgain(t *testing.T) {
	launches := func(reuse bool) int {
		o, _ := aRush(plan.WarmPool{On: true, Most: 4, Reuse: reuse}, fleet.RestStopped)
		o.Wake = func(*rand.Rand) time.Duration { return time.Second }
		return play(t, o, func(yield func(Request) bool) {
			for i := range 20 {
				for range 4 {
					if !yield(Request{At: time.Duration(i+1) * 10 * time.Minute, Service: 20 * time.Second}) {
						return
					}
				}
			}
		}).Launches
	}
	if with, without := launches(true), launches(false); with > 4 || without < 20 {
		t.Errorf("%d launches with reuse, %d without", with, without)
	}
}

// Whatever becomes of instances, what was spent is what ran at its price, and nothing is left behind.
func TestTheMoneyOfAnyFleet(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(name string, from, to int) int { return rapid.IntRange(from, to).Draw(rt, name) }
		counts := rapid.SliceOfN(rapid.IntRange(0, 4), 1, 8).Draw(rt, "counts")
		o := onSpot(0, minutes("a", counts...))
		o.Mix.Zones, o.Slots, o.Seed = []string{"a"}, draw("slots", 1, 3), uint64(draw("seed", 0, 99))
		o.Scale = scale.Options{Max: 5, ScaleInWindow: 20 * time.Second, ZeroAfter: time.Minute, Policies: []scale.Policy{scale.Queue{WaitP95: time.Second}}}
		o.Batch, o.Drain = float64(draw("batch", 0, 2))/2, time.Duration(draw("drain", 1, 60))*time.Second
		o.Warm = plan.WarmPool{On: true, Min: draw("min", 0, 2), Most: draw("most", 0, 5), Reuse: rapid.Bool().Draw(rt, "reuse")}
		o.Rest = rapid.SampledFrom([]fleet.Rest{fleet.RestStopped, fleet.RestHibernated, fleet.RestRunning}).Draw(rt, "rest")
		if draw("mortal", 0, 1) == 1 {
			o.Life = func(r *rand.Rand) time.Duration { return time.Duration(r.Int64N(int64(5 * time.Minute))) }
		}
		asks := slices.Collect(poisson(o.Seed, 200, 0.2+float64(draw("rate", 0, 9))/10, 5*time.Second))
		r, err := Run(t.Context(), o, slices.Values(asks))
		if err != nil {
			rt.Fatal(err)
		}
		if r.InFlight() != 0 || r.begun != r.over || r.Wait.n != r.begun {
			rt.Fatalf("%d in flight, %d begun, %d over", r.InFlight(), r.begun, r.over)
		}
		if last := r.Curve[len(r.Curve)-1].Cost; math.Abs(last-r.Cost) > 1e-9*max(1, r.Cost) {
			rt.Fatalf("%.9f spent by the curve, %.9f by the instances", last, r.Cost)
		}
		if least := 0.3 * r.InstanceHours; r.Cost < least-1e-9 || r.Cost > r.InstanceHours+1e-9 || r.OnDemand > r.InstanceHours+1e-9 {
			rt.Fatalf("%.4f spent for %.4f hours", r.Cost, r.InstanceHours)
		}
	})
}
