package scale

import (
	"math"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func anyHPAMetric(t *rapid.T) HPAMetric {
	return rapid.SampledFrom([]HPAMetric{
		{Type: HPAResource, Name: "cpu", TargetType: HPAUtilization, AverageUtilization: 60, Request: 1},
		{Type: HPAResource, Name: "cpu", TargetType: HPAAverageValue, AverageValue: 0.5},
		{Type: HPAPods, Name: CPUUtilization, TargetType: HPAAverageValue, AverageValue: 40},
		{Type: HPAExternal, Name: QueueDepth, TargetType: HPAAverageValue, AverageValue: 7},
		{Type: HPAObject, Name: InFlight, TargetType: HPAValue, Value: 13},
		{Type: HPAExternal, Query: "rate", TargetType: HPAAverageValue, AverageValue: 3.5},
	}).Draw(t, "metric")
}

func anyRules(t *rapid.T, name string) HPARules {
	r := HPARules{SelectPolicy: rapid.SampledFrom([]string{"", "Max", "Min"}).Draw(t, name+" select")}
	if rapid.Bool().Draw(t, name+" window given") {
		r.StabilizationWindow = new(time.Duration(rapid.IntRange(0, 300).Draw(t, name+" window")) * time.Second)
	}
	for range rapid.IntRange(0, 2).Draw(t, name+" policies") {
		r.Policies = append(r.Policies, HPAScalingPolicy{
			Type:   rapid.SampledFrom([]string{"Pods", "Percent"}).Draw(t, name+" type"),
			Value:  rapid.IntRange(1, 200).Draw(t, name+" value"),
			Period: time.Duration(rapid.IntRange(1, 120).Draw(t, name+" period")) * time.Second,
		})
	}
	return r
}

func anyHPA(t *rapid.T) (h *HPA, low, high int) {
	low = rapid.IntRange(1, 5).Draw(t, "min")
	high = low + rapid.IntRange(0, 40).Draw(t, "more")
	o := HPAOptions{MinReplicas: &low, MaxReplicas: high}
	for range rapid.IntRange(1, 3).Draw(t, "metrics") {
		o.Metrics = append(o.Metrics, anyHPAMetric(t))
	}
	if rapid.Bool().Draw(t, "behavior") {
		o.Behavior = &HPABehavior{ScaleUp: anyRules(t, "up"), ScaleDown: anyRules(t, "down")}
	}
	h, err := NewHPA(o)
	if err != nil {
		t.Fatal(err)
	}
	return h, low, high
}

// TestKubeWithinBounds: whatever comes, a proposal lies within the bounds, and without a behavior no more than
// max(2 x current, 4) is asked for at once.
func TestKubeWithinBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, low, high := anyHPA(t)
		k, err := NewKEDA(KEDAOptions{MinReplicaCount: low, MaxReplicaCount: high, Triggers: []KEDATrigger{prometheus(3, 1), {Type: KEDAQueue, Threshold: 2}},
			Fallback: &KEDAFallback{FailureThreshold: 1, Replicas: 1000}})
		if err != nil {
			t.Fatal(err)
		}
		n, err := NewKnative(KnativeOptions{MinScale: low, MaxScale: high})
		if err != nil {
			t.Fatal(err)
		}
		now := epoch
		for range rapid.IntRange(1, 20).Draw(t, "calls") {
			obs := anyObservation(t)
			now = now.Add(time.Duration(rapid.SampledFrom([]int{-5, 1, 2, 5, 15, 30, 40}).Draw(t, "later")) * time.Second)
			obs.Time = now
			for _, weird := range []float64{math.NaN(), math.Inf(1), -1, 1e300} {
				if rapid.IntRange(0, 19).Draw(t, "weird") == 0 {
					obs.Metrics[QueueDepth] = weird
					if len(obs.Instances) > 0 {
						obs.Instances[0].Metrics = map[string]float64{CPUUtilization: weird}
					}
				}
			}
			for _, policy := range []Policy{h, k, n} {
				p := policy.Propose(obs)
				off := policy == Policy(h) && obs.Desired == 0 && p.Desired == 0 // disabled
				if p.Why == "" || !p.Abstain && !off && (p.Desired < low || p.Desired > high) {
					t.Fatalf("from %d: %+v, want %d to %d", obs.Desired, p, low, high)
				}
				if policy == Policy(h) && !h.behaves && !p.Abstain && h.state.Synced.Equal(now) && obs.Desired >= low && p.Desired > max(2*obs.Desired, 4) {
					t.Fatalf("from %d: %+v, more than double", obs.Desired, p)
				}
			}
		}
	})
}

// TestKubeSettles: a load that does not change and instances that work at once come to rest. What went down may have to go up again once, because an HPA
// leaves off the fraction of a per cent: 6.75 % of ten are 6 % for it, which is one instance, and that one has 67 % then.
func TestKubeSettles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, low, high := anyHPA(t)
		k, err := NewKEDA(KEDAOptions{MaxReplicaCount: high, Triggers: []KEDATrigger{prometheus(3, 1), {Type: KEDAQueue, Threshold: 2}}})
		if err != nil {
			t.Fatal(err)
		}
		n, err := NewKnative(KnativeOptions{MinScale: low, MaxScale: high})
		if err != nil {
			t.Fatal(err)
		}
		load := rapid.Float64Range(0, 300).Draw(t, "load")
		start := rapid.IntRange(low, high).Draw(t, "start")
		for _, policy := range []Policy{h, k, n} {
			desired, last, rises, down := start, 0, 0, false
			for tick := range 600 {
				obs := steady(desired, load)
				obs.Time = epoch.Add(time.Duration(tick) * 15 * time.Second)
				p := policy.Propose(obs)
				if p.Abstain || p.Desired == desired {
					continue
				}
				if down && p.Desired > desired {
					rises++
				}
				if down = p.Desired < desired; rises > 1 {
					t.Fatalf("%s: up from %d at %v once more: %+v", policy.Name(), desired, obs.Time, p)
				}
				desired, last = p.Desired, tick
			}
			if last > 570 {
				t.Fatalf("%s: still moving at tick %d, now at %d", policy.Name(), last, desired)
			}
		}
	})
}

// steady is a pool of n instances that share a load.
func steady(n int, load float64) *Observation {
	obs := &Observation{Desired: n, Metrics: map[string]float64{
		QueueDepth: 0, InFlight: math.Round(load / 10), RequestsPerSecond: load, "query:rate": load / 5, "query:sum(rate(requests[1m]))": load / 4,
	}}
	for i := range n {
		obs.Instances = append(obs.Instances, Instance{ID: strconv.Itoa(i), State: "ready", Metrics: map[string]float64{CPUUtilization: 10 * load / float64(n)}})
	}
	return obs
}
