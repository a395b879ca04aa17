package sim

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestClairvoyant(t *testing.T) {
	at := func(service time.Duration, seconds ...int) (out []Request) {
		for _, s := range seconds {
			out = append(out, Request{At: time.Duration(s) * time.Second, Service: service})
		}
		return out
	}
	for _, c := range []struct {
		name     string
		slots    int
		promise  time.Duration
		requests []Request
		want     float64 // seconds of instances; a boot takes 50 s
	}{
		{"one", 1, 0, at(10*time.Second, 0), 50 + 10},
		{"idle where that is cheaper than a boot", 1, 0, at(10*time.Second, 0, 40), 50 + 10 + 30 + 10},
		{"boot where that is cheaper than to idle", 1, 0, at(10*time.Second, 0, 1000), 2 * (50 + 10)},
		{"two at once", 1, 0, at(5*time.Second, 0, 0), 2 * (50 + 5)},
		{"one after the other, where the promise has time for that", 1, 6 * time.Second, at(5*time.Second, 0, 0), 50 + 10},
		{"not where it has not", 1, 4 * time.Second, at(5*time.Second, 0, 0), 2 * (50 + 5)},
		{"two slots", 2, 0, at(5*time.Second, 0, 0, 2), 2 * (50 + 5)},
		{"slots that overlap", 2, 0, at(5*time.Second, 0, 3, 6), 50 + 11},
	} {
		o := static(1, c.slots)
		o.Promise, o.Boot = c.promise, func(*rand.Rand) time.Duration { return 50 * time.Second }
		r := Clairvoyant(o, c.requests)
		if got := r.InstanceHours * 3600; math.Abs(got-c.want) > 1e-6 || r.Kept != 1 || r.Wait.Max() > c.promise {
			t.Errorf("%s: %g s, kept for %g, waits up to %v; want %g s", c.name, got, r.Kept, r.Wait.Max(), c.want)
		}
	}
}

// The first slot that is free is the one that a search from the beginning finds.
func TestSlotsAreFoundInTheirOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s slots
		var list []time.Duration
		for range rapid.IntRange(1, 60).Draw(t, "times") {
			at := time.Duration(rapid.IntRange(0, 100).Draw(t, "at"))
			want := slices.IndexFunc(list, func(free time.Duration) bool { return free <= at })
			if want < 0 {
				want = len(list)
				list = append(list, 0)
			}
			if got := s.first(at); got != want || s.at(got) != list[want] {
				t.Fatalf("slot %d is free at %v, want %d of %v", got, at, want, list)
			}
			list[want] = time.Duration(rapid.IntRange(0, 120).Draw(t, "free"))
			s.set(want, list[want])
		}
	})
}

// Nobody is below the oracle, and the clairvoyant keeps the promise.
func TestTheCheapestScheduleIsBetweenTheBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := static(1, rapid.IntRange(1, 3).Draw(t, "slots"))
		o.Promise = time.Duration(rapid.IntRange(0, 20).Draw(t, "promise")) * time.Second
		o.Boot = func(r *rand.Rand) time.Duration { return secs(10 + 20*r.Float64()) }
		var requests []Request
		at := time.Duration(0)
		for range rapid.IntRange(1, 50).Draw(t, "requests") {
			at += time.Duration(rapid.IntRange(0, 60).Draw(t, "gap")) * time.Second
			requests = append(requests, Request{At: at, Service: time.Duration(rapid.IntRange(1, 40).Draw(t, "service")) * time.Second})
		}
		low, high := Oracle(o, requests), Clairvoyant(o, requests)
		if high.Cost < low.Cost || high.Kept != 1 || high.Wait.Max() > o.Promise || high.Lost != 0 {
			t.Errorf("between %g and %g, kept for %g, waits up to %v", low.Cost, high.Cost, high.Kept, high.Wait.Max())
		}
	})
}
