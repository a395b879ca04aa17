package load

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestConstantIsEven(t *testing.T) {
	var got []time.Duration
	for a := range Phases(1, false, Constant(4, time.Second)) {
		got = append(got, a.At)
	}
	ms := time.Millisecond
	if want := []time.Duration{125 * ms, 375 * ms, 625 * ms, 875 * ms}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A ramp from 0 to r over d has had y = r·t²/2d requests at t, so the k-th comes at √(2d(k+½)/r).
func TestRampFollowsItsIntegral(t *testing.T) {
	const rate, d = 100, 10.0
	k := 0
	for a := range Phases(1, false, Ramp(0, rate, 10*time.Second)) {
		want := math.Sqrt(2 * d * (float64(k) + 0.5) / rate)
		if got := a.At.Seconds(); math.Abs(got-want) > 1e-6 {
			t.Fatalf("request %d comes at %.6f s, want %.6f", k, got, want)
		}
		k++
	}
	if k != 500 {
		t.Errorf("%d requests, want 500", k)
	}
	down := len(slices.Collect(Phases(1, false, Ramp(rate, 0, 10*time.Second))))
	if down != 500 {
		t.Errorf("%d requests on the way down, want 500", down)
	}
}

func TestSpikeMultipliesAndEnds(t *testing.T) {
	phases := Spike(2, 100, 10*time.Second, 5*time.Second, 30*time.Second)
	if got := Length(phases...); got != 30*time.Second {
		t.Errorf("it lasts %v, want 30s", got)
	}
	var before, during, after int
	for a := range Phases(1, false, phases...) {
		switch {
		case a.At < 10*time.Second:
			before++
		case a.At < 15*time.Second:
			during++
		default:
			after++
		}
	}
	if before != 20 || during != 1000 || after != 30 {
		t.Errorf("%d before, %d during, %d after; want 20, 1000, 30", before, during, after)
	}
	late := Spike(2, 100, 50*time.Second, 5*time.Second, 30*time.Second)
	if got := Expected(late...); got != 60 {
		t.Errorf("a spike behind the end leaves %v requests, want 60", got)
	}
}

// The gaps of a Poisson process of rate λ have the mean 1/λ and the standard deviation 1/λ; its counts have the variance of their mean.
func TestPoissonHasItsMoments(t *testing.T) {
	const rate, d = 200.0, 100 * time.Second
	var gaps []float64
	var last time.Duration
	for a := range Phases(7, true, Constant(rate, d)) {
		gaps = append(gaps, (a.At - last).Seconds())
		last = a.At
	}
	n := float64(len(gaps))
	if want := rate * d.Seconds(); math.Abs(n-want) > 4*math.Sqrt(want) {
		t.Errorf("%v requests, want %v within four standard deviations", n, want)
	}
	m := mean(gaps)
	var squares float64
	for _, g := range gaps {
		squares += (g - m) * (g - m)
	}
	if cv := math.Sqrt(squares/n) / m; math.Abs(cv-1) > 0.03 {
		t.Errorf("the gaps' standard deviation is %.3f of their mean, want 1", cv)
	}
	again := slices.Collect(Phases(7, true, Constant(rate, d)))
	if len(again) != len(gaps) || again[len(again)-1].At != last {
		t.Error("the same seed gave other arrivals")
	}
	other := slices.Collect(Phases(8, true, Constant(rate, d)))
	if other[0].At == again[0].At {
		t.Error("another seed gave the same arrivals")
	}
}

func TestAnyPhasesGiveSortedArrivalsInTheirNumber(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var phases []Phase
		for range rapid.IntRange(1, 5).Draw(t, "phases") {
			phases = append(phases, Phase{
				From:     rapid.Float64Range(0, 500).Draw(t, "from"),
				To:       rapid.Float64Range(0, 500).Draw(t, "to"),
				Duration: time.Duration(rapid.Int64Range(0, int64(5*time.Second)).Draw(t, "duration")),
			})
		}
		n, last := 0, time.Duration(0)
		for a := range Phases(0, false, phases...) {
			if a.At < last || a.At > Length(phases...) {
				t.Fatalf("request %d comes at %v, after one at %v, in %v", n, a.At, last, Length(phases...))
			}
			last = a.At
			n++
		}
		if want := Expected(phases...); math.Abs(float64(n)-want) > 0.5+1e-6 {
			t.Fatalf("%d requests, want %g", n, want)
		}
	})
}

func TestCheckNamesThePhase(t *testing.T) {
	for _, bad := range []Phase{Constant(-1, 1), Constant(math.NaN(), 1), Ramp(1, math.Inf(1), 1), Constant(1, -1)} {
		if err := Check(Constant(1, time.Second), bad); err == nil {
			t.Errorf("%+v passed", bad)
		}
		if n := len(slices.Collect(Phases(0, false, bad))); n != 0 {
			t.Errorf("%+v gave %d requests", bad, n)
		}
	}
	if err := Check(Constant(0, time.Second), Ramp(0, 10, 0)); err != nil {
		t.Error(err)
	}
}

// Each arrival goes to exactly one part, in its order, and as often as its weight says: of 20,000 the share of a part with probability p
// has the standard deviation √(20000·p·(1-p)) ≤ 71.
func TestSplitDealsEachArrivalOutOnce(t *testing.T) {
	all := Phases(3, true, Constant(2000, 10*time.Second))
	n := len(slices.Collect(all))
	parts := Split(9, all, 6, 0, 3, math.NaN(), 1, -4)
	var together []time.Duration
	for i, want := range []float64{0.6, 0, 0.3, 0, 0.1, 0} {
		got := slices.Collect(parts[i])
		for _, a := range got {
			together = append(together, a.At)
		}
		if math.Abs(float64(len(got))-want*float64(n)) > 4*math.Sqrt(float64(n)*want*(1-want)) {
			t.Errorf("part %d has %d of %d, want %g of them", i, len(got), n, want)
		}
		if again := slices.Collect(parts[i]); !slices.Equal(again, got) {
			t.Errorf("part %d differs when ranged over again", i)
		}
	}
	slices.Sort(together)
	i := 0
	for a := range all {
		if i >= len(together) || together[i] != a.At {
			t.Fatalf("arrival %d at %v is in no part or in several", i, a.At)
		}
		i++
	}
	if i != len(together) {
		t.Errorf("the parts have %d arrivals, want %d", len(together), i)
	}
	if n := len(slices.Collect(Split(1, all, 0)[0])); n != 0 {
		t.Errorf("a lone part of no weight has %d arrivals", n)
	}
}
