package window

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestCounterForgetsWhatIsOlderThanTheSpan(t *testing.T) {
	c := NewCounter(100*time.Millisecond, 100)
	for i := range 50 { // 10 events a second for 5 s
		c.Add(t0.Add(time.Duration(i)*100*time.Millisecond), 1)
	}
	end := t0.Add(4999 * time.Millisecond)
	if got := c.Sum(end, time.Second); got != 10 {
		t.Errorf("last second: %d events, want 10", got)
	}
	if got := c.Rate(end, time.Second); math.Abs(got-10) > 0.2 {
		t.Errorf("rate %.2f/s, want 10", got)
	}
	if got := c.Sum(end.Add(time.Hour), 10*time.Second); got != 0 {
		t.Errorf("an hour later: %d events, want 0", got)
	}
}

func TestCounterSurvivesAClockSetBack(t *testing.T) {
	c := NewCounter(time.Second, 10)
	c.Add(t0, 1)
	c.Add(t0.Add(-time.Hour), 1)
	if got := c.Sum(t0, 10*time.Second); got != 2 {
		t.Errorf("%d events, want 2", got)
	}
}

func TestDistributionQuantilesAgainstSorting(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	d := NewDistribution(10*time.Second, 6)
	var all []float64
	for range 20000 {
		s := math.Exp(rng.NormFloat64()) / 10 // log-normal around 100 ms
		all = append(all, s)
		d.Observe(t0, time.Duration(s*1e9))
	}
	slices.Sort(all)
	got := d.Summarize(t0)
	for _, c := range []struct{ q, got float64 }{{.5, got.P50}, {.9, got.P90}, {.95, got.P95}, {.99, got.P99}} {
		want := all[int(math.Ceil(c.q*20000))-1]
		if c.got < want*0.999 || c.got > want*1.13 {
			t.Errorf("p%v = %.4f s, want %.4f to 13 %% more", c.q*100, c.got, want)
		}
	}
	if want := math.Exp(0.5) / 10; math.Abs(got.Mean-want) > 0.01 {
		t.Errorf("mean %.4f, want %.4f", got.Mean, want)
	}
	if got := d.Summarize(t0.Add(2 * time.Minute)); got.Count != 0 {
		t.Errorf("two minutes later: %d in the window, want 0", got.Count)
	}
	if counts, n, _ := d.Cumulative([]float64{0.001, 0.1, 1e9}); n != 20000 || counts[2] != 20000 || counts[1] < 9000 || counts[1] > 10100 {
		t.Errorf("cumulative %v of %d", counts, n)
	}
}

func TestBucketHoldsItsValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(int64(time.Microsecond), int64(4*time.Hour)).Draw(t, "d"))
		i := bucketOf(d)
		if s := d.Truncate(time.Microsecond).Seconds(); s > upper(i) || (i > 0 && s < upper(i-1)*(1-1e-9)) && i%perOctave == int(d/time.Microsecond)&7 {
			t.Fatalf("%v fell into bucket %d, up to %v s", d, i, upper(i))
		}
	})
}

func TestDispersion(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	for _, c := range []struct {
		name     string
		add      func(second int, add func(n uint64))
		low, top float64
	}{
		{"one each second", func(_ int, add func(uint64)) { add(1) }, 0, 0.001},
		{"ten each third second: variance 200/9, mean 10/3", func(s int, add func(uint64)) {
			if s%3 == 0 {
				add(10)
			}
		}, 6.4, 7.1},
		{"nothing", func(int, func(uint64)) {}, 1, 1},
	} {
		w := NewCounter(100*time.Millisecond, 700)
		now := start
		for s := range 60 {
			now = start.Add(time.Duration(s) * time.Second)
			c.add(s, func(n uint64) { w.Add(now, n) })
		}
		now = now.Add(950 * time.Millisecond)
		if got := w.Dispersion(now, 0, time.Minute, time.Second); got < c.low || got > c.top {
			t.Errorf("%s: %g, want %g to %g", c.name, got, c.low, c.top)
		}
		w.Add(now, 1000) // what came just now is not asked for
		if got := w.Dispersion(now, time.Second, time.Minute, time.Second); got < c.low || got > c.top*1.1 {
			t.Errorf("%s, and a spike after it: %g, want %g to %g", c.name, got, c.low, c.top)
		}
	}
}

// Whatever comes at whatever distance, both windows hold just what a list of all events says.
func TestWindowsHoldWhatAListDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const bucket, n = 100 * time.Millisecond, 20
		c, d := NewCounter(bucket, n), NewDistribution(bucket, n)
		number := func(at time.Duration) int64 { return t0.Add(at).UnixNano() / int64(bucket) }
		type event struct{ at, took time.Duration }
		var all []event
		now := time.Duration(0)
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			now += time.Duration(rapid.SampledFrom([]int64{0, 1e6, 99e6, 100e6, 350e6, 1900e6, 2100e6, 60e9}).Draw(t, "later"))
			e := event{now, time.Duration(rapid.Int64Range(0, 10e6).Draw(t, "took")) * time.Microsecond}
			all = append(all, e)
			c.Add(t0.Add(now), 1)
			d.Observe(t0.Add(now), e.took)
			span := time.Duration(rapid.IntRange(1, n).Draw(t, "span")) * bucket
			want, inD, longest := uint64(0), uint64(0), time.Duration(0)
			for _, e := range all {
				age := number(now) - number(e.at)
				if age < int64(span/bucket) {
					want++
				}
				if age < n {
					inD++
					longest = max(longest, e.took)
				}
			}
			if got := c.Sum(t0.Add(now), span); got != want {
				t.Fatalf("%d events within %v, want %d of %v", got, span, want, all)
			}
			s := d.Summarize(t0.Add(now))
			if s.Count != inD || s.Max < longest.Seconds() || s.Max > max(longest.Seconds()*1.13, 2e-6) || s.P50 > s.P90 || s.P90 > s.P95 || s.P95 > s.P99 || s.P99 > s.Max {
				t.Fatalf("%+v, want %d and at most %v of %v", s, inD, longest, all)
			}
		}
	})
}
