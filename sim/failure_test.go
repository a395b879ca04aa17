package sim

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/weirlb/weir/fleet"
)

// one is a pool that launches its only instance for the first request.
func one() Options {
	o := scaled()
	o.Scale.Max = 1
	o.Boot = func(*rand.Rand) time.Duration { return 10 * time.Second }
	o.Backoff = fleet.Backoff{Initial: time.Second, Max: 8 * time.Second}
	return o
}

// Five launches fail after 10 s each, and the next ones are put off by 1, 2, 4, 8 and 8 s; then one succeeds.
func TestLaunchesThatFailAreSpacedOut(t *testing.T) {
	o, n := one(), 0
	o.Fail = func(*rand.Rand) (time.Duration, bool) { n++; return 10 * time.Second, n <= 5 }
	r := play(t, o, every(time.Second, time.Second, 1))
	if r.Failures != 5 || r.Launches != 6 || r.ColdStarts != 1 || r.Lost != 0 {
		t.Errorf("%d of %d launches failed, %d booted, %d lost", r.Failures, r.Launches, r.ColdStarts, r.Lost)
	}
	if w := r.Wait.Max(); w < 83*time.Second || w > 90*time.Second { // and up to a second each until the next decision
		t.Errorf("it waited for %v, want 6 times 10 s and 23 s", w)
	}
}

// What boots for longer than it may has failed then.
func TestABootThatTakesTooLong(t *testing.T) {
	o := one()
	o.StartTimeout, o.Pool.Limits.Timeout = 8*time.Second, time.Minute
	r := play(t, o, every(time.Second, time.Second, 1))
	if r.Failures < 3 || r.ColdStarts != 0 || r.Lost != 1 {
		t.Errorf("%d failed, %d booted, %d lost", r.Failures, r.ColdStarts, r.Lost)
	}
}

// Instances that end by themselves take with them what they work on, and are replaced.
func TestInstancesEndByThemselves(t *testing.T) {
	o := static(4, 1)
	o.Boot = func(*rand.Rand) time.Duration { return 20 * time.Second }
	o.Life = func(r *rand.Rand) time.Duration { return time.Duration(r.ExpFloat64() * float64(10*time.Minute)) }
	r := play(t, o, every(time.Second, 2*time.Second, 4*3600))
	// Four instances, each of which ends every 620 s, over four hours: 93, and half of them at work.
	if r.Crashes < 70 || r.Crashes > 120 || r.Cut < r.Crashes/3 || r.Cut > r.Crashes*2/3 || r.Lost != r.Cut {
		t.Errorf("%d crashes, %d requests cut, %d lost", r.Crashes, r.Cut, r.Lost)
	}
	if r.Launches < r.Crashes-4 || r.InFlight() != 0 || r.Kept < 0.98 {
		t.Errorf("%d launches, %d in flight, kept for %.4f", r.Launches, r.InFlight(), r.Kept)
	}
}
