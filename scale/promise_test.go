package scale

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// world is a pool in virtual time: requests that arrive by a Poisson process, one queue, slots that take the oldest,
// instances that take a while to boot, and a Decider that looks once a second.
type world struct {
	rng     *rand.Rand
	decider *Decider
	obs     Observation
	slots   int
	boot    float64
	service func(*rand.Rand) float64
	rate    func(now float64) float64

	now      float64
	arrived  []float64 // of the last DefaultRateWindow seconds
	waiting  []float64 // when each came
	running  []float64 // when each will end
	booting  []float64 // when each will be ready
	ready    int
	waits    []float64 // of the requests that started since watch
	watch    float64
	changes  int
	capacity float64 // instance-seconds since watch
}

// run advances by steps of 10 ms, small beside every time in these tests.
func (w *world) run(until float64) {
	const step = 0.01
	for ticks := 0; w.now < until; ticks++ {
		if ticks%100 == 0 {
			w.decide()
		}
		w.now += step
		w.capacity += step * float64(w.ready+len(w.booting))
		for n := w.poisson(w.rate(w.now) * step); n > 0; n-- {
			w.arrived = append(w.arrived, w.now)
			w.waiting = append(w.waiting, w.now)
		}
		w.booting = slices.DeleteFunc(w.booting, func(at float64) bool {
			if at <= w.now {
				w.ready++
			}
			return at <= w.now
		})
		w.running = slices.DeleteFunc(w.running, func(end float64) bool { return end <= w.now })
		for len(w.waiting) > 0 && len(w.running) < w.ready*w.slots {
			if w.waiting[0] >= w.watch {
				w.waits = append(w.waits, w.now-w.waiting[0])
			}
			w.waiting = w.waiting[1:]
			w.running = append(w.running, w.now+w.service(w.rng))
		}
	}
}

func (w *world) poisson(mean float64) (n int) {
	for p := w.rng.Float64(); p > math.Exp(-mean); p *= w.rng.Float64() {
		n++
	}
	return n
}

func (w *world) decide() {
	w.arrived = slices.DeleteFunc(w.arrived, func(at float64) bool { return at < w.now-DefaultRateWindow })
	half := 0
	for _, at := range w.arrived {
		if at >= w.now-DefaultRateWindow/2 {
			half++
		}
	}
	w.obs.Time = epoch.Add(seconds(w.now))
	w.obs.Slots = w.slots
	w.obs.Metrics = map[string]float64{
		QueueDepth:        float64(len(w.waiting)),
		InFlight:          float64(len(w.running)),
		RequestsPerSecond: float64(len(w.arrived)) / DefaultRateWindow,
		ArrivalTrend:      float64(2*half-len(w.arrived)) / (DefaultRateWindow / 2) / (DefaultRateWindow / 2),
		IdleSeconds:       0,
	}
	w.obs.Instances = w.obs.Instances[:0]
	for range w.ready {
		w.obs.Instances = append(w.obs.Instances, Instance{State: "ready"})
	}
	for _, at := range w.booting {
		w.obs.Instances = append(w.obs.Instances, Instance{State: "starting", Started: epoch.Add(seconds(at - w.boot))})
	}
	d := w.decider.Decide(&w.obs)
	if d.Desired != w.obs.Desired && w.now > w.watch {
		w.changes++
	}
	w.obs.Desired = d.Desired
	for w.ready+len(w.booting) < d.Desired {
		w.booting = append(w.booting, w.now+w.boot)
	}
	w.ready = min(w.ready, d.Desired) // what runs on the others ends by itself
}

func (w *world) late(wait float64) float64 {
	n := 0
	for _, v := range w.waits {
		if v > wait {
			n++
		}
	}
	return float64(n) / float64(len(w.waits))
}

func constant(s float64) func(*rand.Rand) float64 {
	return func(*rand.Rand) float64 { return s }
}

func exponential(mean float64) func(*rand.Rand) float64 {
	return func(rng *rand.Rand) float64 { return mean * rng.ExpFloat64() }
}

// lognormal has a coefficient of variation of 1.31, as lengths of chat answers have.
func lognormal(mean float64) func(*rand.Rand) float64 {
	return func(rng *rand.Rand) float64 { return mean * math.Exp(rng.NormFloat64()-0.5) }
}

// Under a steady Poisson load the queue policy keeps what it promises, with few changes and not many more instances than
// the formula says are needed.
func TestQueueKeepsItsPromise(t *testing.T) {
	tests := []struct {
		name     string
		rate     float64
		service  func(*rand.Rand) float64
		mean, cv float64
		slots    int
		boot     float64
		wait     float64
	}{
		{"images", 0.5, constant(8), 8, 0, 1, 20, 2},
		{"images, few", 0.1, constant(8), 8, 0, 1, 20, 5},
		{"chat", 4, lognormal(5), 5, 1.31, 4, 30, 2},
		{"predict", 40, exponential(0.2), 0.2, 1, 2, 5, 0.5},
		{"long", 0.2, exponential(60), 60, 1, 1, 20, 5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := &world{
				rng: rand.New(rand.NewPCG(1, 2)), slots: tt.slots, boot: tt.boot, service: tt.service, watch: 600,
				rate:    func(float64) float64 { return tt.rate },
				decider: New(Options{Min: 1, Max: 100, ScaleInWindow: time.Minute, Policies: []Policy{Queue{WaitP95: seconds(tt.wait)}}}),
			}
			w.obs.Service = Sample{Count: 100, Mean: tt.mean, SD: tt.cv * tt.mean}
			w.obs.Boot = Sample{Count: 10, Mean: tt.boot, P50: tt.boot, P90: tt.boot}
			w.run(w.watch)
			w.capacity = 0
			const hour = 3600.0
			w.run(w.watch + hour)
			need := float64(fewestSlots(tt.rate*tt.mean, tt.cv*tt.cv, tt.wait/tt.mean)) / float64(tt.slots)
			average := w.capacity / hour
			t.Logf("%d requests, %.1f %% waited over %g s; %.1f instances on average, %.1f needed; %d changes in an hour",
				len(w.waits), 100*w.late(tt.wait), tt.wait, average, need, w.changes)
			if w.late(tt.wait) > 0.05 {
				t.Errorf("%.1f %% waited longer than %g s", 100*w.late(tt.wait), tt.wait)
			}
			if average > 2*need+1 {
				t.Errorf("%.1f instances on average, where %.1f are needed", average, need)
			}
			// With requests of a minute those that run rise and fall by a quarter by chance, and the pool with them: by one
			// at a time, and at most as often as a window of a minute lets it.
			if w.changes > 180 {
				t.Errorf("%d changes of the capacity in an hour of steady load", w.changes)
			}
		})
	}
}

// A rush of a hundred times the load: what it asks for while models load stays within what the load needs.
func TestRushIsNotDoubled(t *testing.T) {
	w := &world{
		rng: rand.New(rand.NewPCG(3, 4)), slots: 1, boot: 30, service: exponential(2),
		rate: func(now float64) float64 {
			if now < 120 {
				return 0.2
			}
			return 20
		},
		decider: New(Options{Min: 1, Max: 10_000, ScaleInWindow: time.Minute, Policies: []Policy{Queue{WaitP95: 5 * time.Second}}}),
	}
	w.obs.Service, w.obs.Boot = Sample{Count: 100, Mean: 2, SD: 2}, Sample{Count: 10, P50: 30, P90: 30}
	most, at := 0, 0.0
	for s := range 400 {
		w.run(float64(s + 1))
		if w.obs.Desired > most {
			most, at = w.obs.Desired, w.now
		}
	}
	// 30 s of 20 requests/s wait when the first help comes; to start them within 5 s while as many run takes about 600 x 2/(2+5)
	// slots, and 40 for the arrivals.
	t.Logf("at most %d instances, asked for at %.0f s", most, at)
	if most > 300 {
		t.Errorf("asked for %d instances", most)
	}
	if at > 160 {
		t.Errorf("still growing at %.0f s, when the first ones were ready", at)
	}
	if len(w.waiting) > 20 {
		t.Errorf("%d still wait", len(w.waiting))
	}
}
