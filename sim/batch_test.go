package sim

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
)

// Processor sharing (M/G/1-PS) has a mean response of E[S]/(1-rho), whatever the distribution of the services (Kleinrock, Queueing Systems II, 4.4).
func TestABatchSharedEvenlyIsProcessorSharing(t *testing.T) {
	for _, rho := range []float64{0.3, 0.6, 0.8} {
		for name, service := range map[string]func(time.Duration) time.Duration{
			"exponential":   func(d time.Duration) time.Duration { return d },
			"deterministic": func(time.Duration) time.Duration { return time.Second },
		} {
			t.Run(fmt.Sprint(name, rho), func(t *testing.T) {
				o := static(1, 4096)
				o.Batch = 1
				var sum time.Duration
				r := play(t, o, func(yield func(Request) bool) {
					for q := range poisson(11, 60_000, rho, time.Second) {
						q.Service = service(q.Service)
						sum += q.Service
						if !yield(q) {
							return
						}
					}
				})
				mean := sum.Seconds() / 60_000
				if got, want := r.Latency.Mean().Seconds(), mean/(1-rho); math.Abs(got-want) > 0.06*want {
					t.Errorf("a mean response of %.3f s, want %.3f", got, want)
				}
				if r.Wait.Max() != 0 || r.Lost != 0 || r.InFlight() != 0 {
					t.Errorf("waited %v, %d lost, %d in flight at the end", r.Wait.Max(), r.Lost, r.InFlight())
				}
			})
		}
	}
}

func TestABatchSlowsDown(t *testing.T) {
	s := time.Second
	for _, c := range []struct {
		batch float64
		slots int
		asks  []Request
		want  []time.Duration // of the answers after their arrivals, sorted
	}{
		// The first is alone for 5 s and has 5 s to go at half the speed; then the second has 5 s to go alone.
		{1, 2, []Request{{At: 0, Service: 10 * s}, {At: 5 * s, Service: 10 * s}}, []time.Duration{15 * s, 15 * s}},
		{0.1, 2, []Request{{At: 0, Service: 10 * s}, {At: 0, Service: 10 * s}}, []time.Duration{11 * s, 11 * s}},
		// Three share: the short one takes 2 * 1.2; the two others have 8 s to go, 1.1 times as long.
		{0.1, 3, []Request{{At: 0, Service: 10 * s}, {At: 0, Service: 10 * s}, {At: 0, Service: 2 * s}}, []time.Duration{2400 * time.Millisecond, 11200 * time.Millisecond, 11200 * time.Millisecond}},
		{0, 2, []Request{{At: 0, Service: 10 * s}, {At: 0, Service: 10 * s}}, []time.Duration{10 * s, 10 * s}},
		// One slot is not shared: the second waits.
		{1, 1, []Request{{At: 0, Service: 10 * s}, {At: 0, Service: 10 * s}}, []time.Duration{10 * s, 20 * s}},
	} {
		o := static(1, c.slots)
		o.Batch = c.batch
		r := play(t, o, slices.Values(c.asks))
		for i, want := range c.want {
			got := r.Latency.Quantile((float64(i) + 0.5) / float64(len(c.want)))
			if math.Abs(got.Seconds()-want.Seconds()) > 0.011*want.Seconds() { // to 1 %, as Times counts
				t.Errorf("batch %g, %d slots: answer %d after %v, want %v", c.batch, c.slots, i, got, want)
			}
		}
	}
}

// What is in a batch when its instance is taken back is cut, and no request that was answered before.
func TestABatchIsCutWithItsInstance(t *testing.T) {
	o := onSpot(1, minutes("a", append(constant(1, 10), constant(0, 50)...)...))
	o.Mix.Zones, o.Slots, o.Batch = []string{"a"}, 8, 0.5
	var asks []Request
	for i := range 4 {
		asks = append(asks, Request{At: time.Duration(i) * time.Minute, Service: time.Hour})
	}
	asks = append(asks, Request{At: 5 * time.Minute, Service: 10 * time.Second})
	r := play(t, o, slices.Values(asks))
	if r.Interruptions != 1 || r.Cut != 4 || r.Lost != 4 || r.InFlight() != 0 {
		t.Errorf("%d taken back, %d cut, %d lost, %d in flight at the end; want 1, 4, 4, 0", r.Interruptions, r.Cut, r.Lost, r.InFlight())
	}
	if want := 30.0; math.Abs(r.Latency.Max().Seconds()-want) > 0.01 { // five at once: 1 + 4 * 0.5 times as long
		t.Errorf("the one that was answered took %v, want %g s", r.Latency.Max(), want)
	}
}

func TestABatchBoundsWhatCanBeHad(t *testing.T) {
	asks := slices.Collect(poisson(5, 5000, 3, 4*time.Second))
	o := scaled()
	o.Slots, o.Batch = 4, 0.2
	run := play(t, o, slices.Values(asks))
	oracle, clairvoyant := Oracle(o, asks), Clairvoyant(o, asks)
	if !(oracle.Cost < clairvoyant.Cost && oracle.Cost < run.Cost) {
		t.Errorf("money: oracle %.3f, clairvoyant %.3f, the pool %.3f", oracle.Cost, clairvoyant.Cost, run.Cost)
	}
	var work time.Duration
	for _, q := range asks {
		work += q.Service
	}
	// Four at once take 1.6 times as long, so an instance serves 2.5 seconds in one.
	if want := work.Hours() / 2.5; math.Abs(oracle.InstanceHours-want) > 1e-9*want {
		t.Errorf("oracle: %g instance-hours, want %g", oracle.InstanceHours, want)
	}
}
