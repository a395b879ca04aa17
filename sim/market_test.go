package sim

import (
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/weirlb/weir/fleet/plan"
	"pgregory.net/rapid"
)

// onSpot is a fixed fleet of n on spot machines of two zones.
func onSpot(n int, markets ...Market) Options {
	o := static(n, 1)
	o.Boot = func(*rand.Rand) time.Duration { return 30 * time.Second }
	o.Mix = &plan.Mix{
		Zones: []string{"a", "b"}, Fallback: true, Allocation: plan.LowestPrice, SpotPools: 1,
		Types: []plan.MachineType{{Name: "gpu", OnDemand: 1, Spot: 0.3}},
	}
	o.Markets, o.Step = markets, time.Second
	return o
}

// minutes is a market of a zone, a count for each minute.
func minutes(zone string, counts ...int) Market {
	return Market{Zone: zone, Gap: time.Minute, Counts: counts}
}

// every gives n requests evenly spaced.
func every(gap, service time.Duration, n int) iter.Seq[Request] {
	return func(yield func(Request) bool) {
		for i := range n {
			if !yield(Request{At: time.Duration(i) * gap, Service: service}) {
				return
			}
		}
	}
}

func play(t *testing.T, o Options, requests iter.Seq[Request]) *Result {
	t.Helper()
	r, err := Run(t.Context(), o, requests)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// constant repeats a count.
func constant(n, times int) []int { return slices.Repeat([]int{n}, times) }

// Half the machines get their notice. Their requests take less than the two minutes, and the other zone has machines: nobody notices.
func TestAMarketThatFallsCutsNothing(t *testing.T) {
	counts := append(constant(6, 10), constant(0, 50)...)
	r := play(t, onSpot(6, minutes("a", counts...), minutes("b", constant(20, 60)...)), every(5*time.Second, 20*time.Second, 400))
	if r.Interruptions != 3 || r.Cut != 0 || r.Lost != 0 || r.Launches != 3 {
		t.Errorf("%d taken back, %d requests cut, %d lost, %d launches; want 3 0 0 3", r.Interruptions, r.Cut, r.Lost, r.Launches)
	}
	if r.Kept != 1 { // 4 of 6 are busy, and replacements are there before the old ones go
		t.Errorf("the promise was kept for %.4f", r.Kept)
	}
	if r.SpotHours != r.InstanceHours || math.Abs(r.Cost-0.3*r.InstanceHours) > 1e-9 || math.Abs(r.OnDemand-r.InstanceHours) > 1e-9 {
		t.Errorf("%g of %g hours spot for %g, on demand %g", r.SpotHours, r.InstanceHours, r.Cost, r.OnDemand)
	}
	if most := slices.MaxFunc(r.Curve, func(a, b Point) int { return a.Instances - b.Instances }); most.Instances != 9 {
		t.Errorf("at most %d instances; three serve on while their replacements boot", most.Instances)
	}
}

// A request that takes longer than the notice ends with its machine.
func TestARequestLongerThanTheNoticeIsCut(t *testing.T) {
	counts := append(constant(2, 10), constant(0, 50)...)
	o := onSpot(2, minutes("a", counts...), minutes("b", counts...))
	o.Mix.Fallback = false
	r := play(t, o, every(time.Second, 30*time.Minute, 2))
	if r.Interruptions != 2 || r.Cut != 2 || r.Lost != 2 || r.Kept != 0 || r.InFlight() != 0 || r.Waiting() != 0 {
		t.Errorf("%d taken back, %d cut, %d lost, kept for %g, %d in flight", r.Interruptions, r.Cut, r.Lost, r.Kept, r.InFlight())
	}
	if want := 12 * time.Minute; r.Span != want { // the notice begins at ten minutes
		t.Errorf("it ended after %v, want %v", r.Span, want)
	}
	if want := 2 * 12.0 / 60; math.Abs(r.InstanceHours-want) > 1e-9 {
		t.Errorf("%g instance-hours, want %g", r.InstanceHours, want)
	}
}

// What the market does not have is had on demand, or not at all.
func TestAMarketThatRefuses(t *testing.T) {
	for _, fallback := range []bool{true, false} {
		o := onSpot(6, minutes("a", 1), minutes("b", 1))
		o.Mix.Fallback = fallback
		r := play(t, o, every(20*time.Second, 10*time.Second, 180))
		mean, spot := r.InstanceHours/r.Span.Hours(), r.SpotHours/r.Span.Hours()
		want := map[bool]float64{true: 6, false: 2}[fallback]
		if math.Abs(mean-want) > 0.01 || math.Abs(spot-2) > 0.01 || r.Refused == 0 || r.Interruptions != 0 {
			t.Errorf("fallback %v: %.3f instances, %.3f of them spot, %d refused, %d taken back; want %g, 2", fallback, mean, spot, r.Refused, r.Interruptions, want)
		}
		if cost := (0.3*2 + want - 2) * r.Span.Hours(); math.Abs(r.Cost-cost) > 0.01*cost {
			t.Errorf("fallback %v: cost %g, want %g", fallback, r.Cost, cost)
		}
	}
	// In an hour each zone is asked at once, and after 30 s, 1.5, 3.5, 7.5, 15.5, 25.5, 35.5, 45.5 and 55.5 minutes: for one machine as the run begins, and
	// then for two, half of the four that are missing.
	o := onSpot(6, minutes("a", 1), minutes("b", 1))
	o.Mix.Fallback = false
	if r := play(t, o, every(20*time.Second, 10*time.Second, 180)); r.Refused != 2*(1+9*2) {
		t.Errorf("%d launches refused in an hour, want 38", r.Refused)
	}
}

// What stands in on demand is exchanged when there is spot again, one at a time, and nobody notices.
func TestOnDemandGivesWayToSpot(t *testing.T) {
	for _, back := range []bool{false, true} {
		o := onSpot(6, minutes("a", append(constant(0, 60), constant(10, 300)...)...), minutes("b", 0))
		o.Mix.Return = back
		r := play(t, o, every(5*time.Second, 25*time.Second, 4*720))
		if end := r.Curve[len(r.Curve)-1].Spot; r.Kept < 0.99 || r.Lost != 0 || end != map[bool]int{false: 0, true: 6}[back] {
			t.Errorf("return %v: kept for %.4f, %d lost, %d of 6 on spot at the end", back, r.Kept, r.Lost, end)
		}
		if r.Peak > 8 { // one on its way, and one that drains
			t.Errorf("return %v: up to %d instances", back, r.Peak)
		}
	}
}

// A recording of one type holds for this type only, and before that of the zone.
func TestARecordingOfAType(t *testing.T) {
	o := onSpot(4, minutes("a", 1), Market{Type: "gpu", Zone: "a", Gap: time.Minute, Counts: []int{3}}, minutes("b", 0))
	o.Mix.Types = append(o.Mix.Types, plan.MachineType{Name: "dear", Spot: 0.9})
	r := play(t, o, every(20*time.Second, 10*time.Second, 180))
	// Three of the cheap type, one of the other: 0.3, 0.3, 0.3, 0.9.
	if want := 1.8 * r.Span.Hours(); math.Abs(r.Cost-want) > 0.01*want || r.SpotHours != r.InstanceHours {
		t.Errorf("cost %g, want %g; %g of %g hours spot", r.Cost, want, r.SpotHours, r.InstanceHours)
	}
}

func TestTheSameSeedGivesTheSameMarket(t *testing.T) {
	run := func(seed uint64) string {
		o := onSpot(8, minutes("a", 4, 4, 2, 4, 1), minutes("b", 4, 3, 3, 1, 0, 4))
		o.Seed = seed
		r := play(t, o, poisson(5, 5_000, 2, 3*time.Second))
		return fmt.Sprint(r.Wait.Quantile(.5), r.Wait.Quantile(.99), r.Cost, r.Interruptions, r.Refused, r.Cut, r.Curve)
	}
	if a, b := run(1), run(1); a != b {
		t.Error("two runs differ")
	}
	if run(1) == run(2) {
		t.Error("the seed changes nothing")
	}
}

// Whatever a market does, no more runs there than it has or had until a notice ago, nothing is lost without being counted, and the money adds up.
func TestAnyMarketIsKeptTo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		counts := rapid.SliceOfN(rapid.IntRange(0, 6), 1, 12)
		ms := []Market{minutes("a", counts.Draw(t, "a")...), minutes("b", counts.Draw(t, "b")...)}
		o := onSpot(rapid.IntRange(1, 8).Draw(t, "instances"), ms...)
		o.Mix.Base = rapid.IntRange(0, 2).Draw(t, "base")
		o.Mix.Fallback, o.Mix.Return = rapid.Bool().Draw(t, "fallback"), rapid.Bool().Draw(t, "return")
		o.Mix.Allocation = rapid.SampledFrom([]plan.Allocation{plan.LowestPrice, plan.CapacityOptimized, plan.PriceCapacityOptimized, plan.Prioritized}).Draw(t, "allocation")
		o.Pool.Limits.Timeout = 2 * time.Minute // for markets that never have any
		o.Seed = rapid.Uint64().Draw(t, "seed")
		service := time.Duration(rapid.IntRange(1, 300).Draw(t, "service")) * time.Second
		r, err := Run(t.Context(), o, every(10*time.Second, service, 100))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range r.Curve {
			most := 0
			for _, m := range ms {
				has := func(tick int) int { return m.Counts[tick%len(m.Counts)] }
				now := int(p.At / m.Gap)
				most += has(now)
				for tick := max(1, now-2); tick <= now; tick++ { // what was taken away in the last two minutes may still run
					most += max(0, has(tick-1)-has(tick))
				}
			}
			if p.Spot > most {
				t.Fatalf("%v: %d spot machines, of %d that there are or were until their notice ends", p.At, p.Spot, most)
			}
		}
		if r.InFlight() != 0 || r.Waiting() != 0 || r.Lost < r.Cut || r.Lost > r.Requests {
			t.Errorf("%d requests, %d lost, %d cut, %d in flight", r.Requests, r.Lost, r.Cut, r.InFlight())
		}
		demand := r.InstanceHours - r.SpotHours
		if want := demand + 0.3*r.SpotHours; demand < -1e-9 || math.Abs(r.Cost-want) > 1e-6 || math.Abs(r.Curve[len(r.Curve)-1].Cost-want) > 1e-6 || math.Abs(r.OnDemand-r.InstanceHours) > 1e-6 {
			t.Errorf("%g hours, %g of them spot: cost %g, on demand %g; the curve ends at %g", r.InstanceHours, r.SpotHours, r.Cost, r.OnDemand, r.Curve[len(r.Curve)-1].Cost)
		}
	})
}
