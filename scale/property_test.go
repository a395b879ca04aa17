package scale

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func anyObservation(t *rapid.T) *Observation {
	number := func(name string, most float64) float64 { return rapid.Float64Range(0, most).Draw(t, name) }
	obs := &Observation{
		Time:    epoch,
		Desired: rapid.IntRange(0, 40).Draw(t, "desired"),
		Slots:   rapid.IntRange(0, 8).Draw(t, "slots"),
		Metrics: map[string]float64{
			QueueDepth:        float64(rapid.IntRange(0, 500).Draw(t, "waiting")),
			InFlight:          float64(rapid.IntRange(0, 100).Draw(t, "running")),
			RequestsPerSecond: number("rate", 200),
			IdleSeconds:       number("idle", 600),
		},
	}
	for _, name := range []string{QueueDepth, InFlight, RequestsPerSecond, IdleSeconds} {
		if rapid.IntRange(0, 19).Draw(t, "unknown") == 0 {
			delete(obs.Metrics, name)
		}
	}
	if rapid.Bool().Draw(t, "trend known") {
		obs.Metrics[ArrivalTrend] = rapid.Float64Range(-20, 20).Draw(t, "trend")
	}
	if rapid.Bool().Draw(t, "service known") {
		obs.Service = Sample{Count: 10, Mean: number("mean", 60), SD: number("sd", 60)}
	}
	if rapid.Bool().Draw(t, "boot known") {
		obs.Boot = Sample{Count: 10, P50: number("p50", 100), P90: number("p90", 200)}
	}
	for i := range rapid.IntRange(0, 20).Draw(t, "instances") {
		in := Instance{
			ID:      fmt.Sprintf("i-%d", i),
			State:   rapid.SampledFrom([]string{"pending", "starting", "warming", "ready", "ready", "unhealthy", "draining"}).Draw(t, "state"),
			Started: epoch.Add(-time.Duration(rapid.IntRange(0, 300).Draw(t, "age")) * time.Second),
		}
		if rapid.Bool().Draw(t, "reports") {
			in.Metrics = map[string]float64{CPUUtilization: number("cpu", 400)}
		}
		obs.Instances = append(obs.Instances, in)
	}
	return obs
}

func anyOptions(t *rapid.T) Options {
	policies := rapid.SliceOfDistinct(rapid.SampledFrom([]Policy{
		Queue{WaitP95: 2 * time.Second},
		Queue{WaitP95: 50 * time.Millisecond},
		Target{Metric: QueueDepth, Value: 5},
		Target{Metric: InFlight, Value: 4},
		Target{Metric: RequestsPerSecond, Value: 3},
		Target{Metric: CPUUtilization, Value: 50},
	}), func(p Policy) string { return fmt.Sprint(p) }).Draw(t, "policies")
	low := rapid.IntRange(0, 10).Draw(t, "min")
	return Options{
		Min:           low,
		Max:           low + rapid.IntRange(0, 40).Draw(t, "more"),
		Policies:      policies,
		ScaleInWindow: time.Duration(rapid.IntRange(0, 90).Draw(t, "window")) * time.Second,
		ZeroAfter:     time.Duration(rapid.IntRange(0, 90).Draw(t, "zero_after")) * time.Second,
		MaxLaunching:  rapid.IntRange(0, 4).Draw(t, "max_launching"),
	}
}

// Whatever comes, in whatever order: the result is within the bounds, the record explains it, and a Decider that went
// through JSON decides the same.
func TestAlwaysWithinBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := anyOptions(t)
		d, restored := New(o), New(o)
		now := epoch
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			obs := anyObservation(t)
			now = now.Add(time.Duration(rapid.IntRange(-5, 100).Draw(t, "later")) * time.Second)
			obs.Time = now
			if rapid.IntRange(0, 9).Draw(t, "by hand") == 0 {
				n := rapid.IntRange(-5, 100).Draw(t, "manual")
				d.Manual(n, now.Add(time.Minute))
				restored.Manual(n, now.Add(time.Minute))
			}
			got := d.Decide(obs)
			if got.Desired < o.Min || got.Desired > o.Max {
				t.Fatalf("desired %d outside %d to %d: %s", got.Desired, o.Min, o.Max, got.Why)
			}
			if got.Why == "" || len(got.Proposals) != len(o.Policies) || got.Previous != obs.Desired || !got.Time.Equal(now) {
				t.Fatalf("incomplete record %+v", got)
			}
			for _, p := range got.Proposals {
				if p.Why == "" || p.Desired < 0 {
					t.Fatalf("unexplained proposal %+v", p)
				}
			}
			text, err := json.Marshal(restored.State())
			if err != nil {
				t.Fatal(err)
			}
			var s State
			if err := json.Unmarshal(text, &s); err != nil {
				t.Fatal(err)
			}
			restored = New(o)
			restored.Restore(s)
			if again := restored.Decide(obs); again.Desired != got.Desired || again.Why != got.Why {
				t.Fatalf("restored from JSON: %q, want %q", again.Why, got.Why)
			}
		}
	})
}

// More load never asks for less: more waiting, more running, more arriving, or everything at once.
func TestMoreLoadNeverAsksForLess(t *testing.T) {
	loads := map[string]func(m map[string]float64, k float64){
		"waiting": func(m map[string]float64, k float64) { m[QueueDepth] *= k },
		"running": func(m map[string]float64, k float64) { m[InFlight] *= k },
		"arriving": func(m map[string]float64, k float64) {
			m[RequestsPerSecond] *= k
			delete(m, ArrivalTrend)
		},
		"everything": func(m map[string]float64, k float64) {
			for _, name := range []string{QueueDepth, InFlight, RequestsPerSecond, ArrivalTrend} {
				m[name] *= k
			}
		},
	}
	for _, name := range slices.Sorted(maps.Keys(loads)) {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				obs := anyObservation(t)
				for _, name := range []string{QueueDepth, InFlight, RequestsPerSecond} {
					obs.Metrics[name] += 0
				}
				more := *obs
				more.Metrics = maps.Clone(obs.Metrics)
				loads[name](obs.Metrics, 1)
				loads[name](more.Metrics, 1+float64(rapid.IntRange(1, 10).Draw(t, "more")))
				for _, policy := range []Policy{Queue{WaitP95: 2 * time.Second}, Target{Metric: QueueDepth, Value: 5}, Target{Metric: InFlight, Value: 4}, Target{Metric: RequestsPerSecond, Value: 3}} {
					if a, b := policy.Propose(obs), policy.Propose(&more); b.Desired < a.Desired {
						t.Fatalf("%s\n%d: %s\nmore load\n%d: %s", policy.Name(), a.Desired, a.Why, b.Desired, b.Why)
					}
				}
			})
		})
	}
}

// The same input again and again, with a fleet that follows the decisions: the capacity settles, and a capacity that
// has settled stays.
func TestConstantInputDoesNotOscillate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := anyOptions(t)
		d := New(o)
		obs := anyObservation(t)
		obs.Instances = nil
		obs.Desired = min(max(obs.Desired, o.Min), o.Max)
		delete(obs.Metrics, IdleSeconds)
		turns, last := 0, 0
		var whys []string
		for step := range 600 {
			obs.Time = epoch.Add(time.Duration(step) * time.Second)
			for len(obs.Instances) < obs.Desired {
				obs.Instances = append(obs.Instances, Instance{ID: "i", State: "starting", Started: obs.Time})
			}
			obs.Instances = obs.Instances[:obs.Desired]
			for i := range obs.Instances {
				if in := &obs.Instances[i]; obs.Time.Sub(in.Started) >= 10*time.Second {
					in.State = "ready"
				}
			}
			got := d.Decide(obs)
			if change := got.Desired - got.Previous; change != 0 {
				whys = append(whys, fmt.Sprintf("%ds: %s", step, got.Why))
				if (change > 0) != (last > 0) && last != 0 {
					turns++
				}
				last = change
			}
			obs.Desired = got.Desired
		}
		if turns > 1 {
			t.Fatalf("%d turns:\n%s", turns, whys)
		}
	})
}

func TestCeilIsExact(t *testing.T) {
	for _, tt := range []struct {
		total, each float64
		want        int
	}{
		{500, 50, 10}, {0.3, 0.1, 3}, {0.6, 0.2, 3}, {1.1, 0.1, 11}, {0.7, 0.1, 7}, {12, 5, 3}, {10, 5, 2}, {10.001, 5, 3},
		{1e-12, 1, 1}, {0, 1, 0}, {-1, 1, 0}, {1e300, 1e-300, mostInstances},
	} {
		if got := ceil(tt.total / tt.each); got != tt.want {
			t.Errorf("ceil(%g / %g) = %d, want %d", tt.total, tt.each, got, tt.want)
		}
	}
}

func TestMissingIsNotZero(t *testing.T) {
	nan := func() float64 { var zero float64; return zero / zero }()
	for _, policy := range []Policy{Queue{WaitP95: time.Second}, Target{Metric: QueueDepth, Value: 5}, Target{Metric: InFlight, Value: 4}, Target{Metric: RequestsPerSecond, Value: 3}, Target{Metric: CPUUtilization, Value: 50}} {
		for name, m := range map[string]map[string]float64{
			"none":    nil,
			"NaN":     {QueueDepth: nan, InFlight: nan, RequestsPerSecond: nan},
			"negated": {QueueDepth: -1, InFlight: -1, RequestsPerSecond: -1},
		} {
			obs := &Observation{Time: epoch, Desired: 4, Slots: 1, Metrics: m}
			if p := policy.Propose(obs); !p.Abstain || p.Why == "" {
				t.Errorf("%s with %s metrics: %+v, want it to abstain", policy.Name(), name, p)
			}
			d := New(Options{Max: 9, Policies: []Policy{policy}})
			if got := d.Decide(obs); got.Desired != 4 {
				t.Errorf("%s with %s metrics: %s", policy.Name(), name, got.Why)
			}
		}
	}
}

// A thousand pools of ten instances, once each: what one second of the control loop costs.
func BenchmarkThousandPools(b *testing.B) {
	deciders := make([]*Decider, 1000)
	for i := range deciders {
		deciders[i] = New(Options{Pool: "api", Min: 1, Max: 100, ScaleInWindow: time.Minute,
			Policies: []Policy{Queue{WaitP95: 2 * time.Second}, Target{Metric: CPUUtilization, Value: 60}}})
	}
	obs := &Observation{Time: epoch, Desired: 10, Slots: 2,
		Metrics: map[string]float64{QueueDepth: 3, InFlight: 17, RequestsPerSecond: 8.5, ArrivalTrend: 0.1, IdleSeconds: 0},
		Service: Sample{Count: 100, Mean: 2, SD: 1}, Boot: Sample{Count: 10, Mean: 10, P50: 10, P90: 12}}
	for i := range 10 {
		obs.Instances = append(obs.Instances, Instance{ID: fmt.Sprint(i), State: "ready", Metrics: map[string]float64{CPUUtilization: 50}})
	}
	b.ReportAllocs()
	for b.Loop() {
		obs.Time = obs.Time.Add(time.Second)
		for _, d := range deciders {
			d.Decide(obs)
		}
	}
}
