package scale

import (
	"testing"
	"time"
)

// BenchmarkKubeTick is a second of a thousand pools with ten instances each, all with an HPA, a KEDA and a Knative policy.
func BenchmarkKubeTick(b *testing.B) {
	type pool struct {
		obs      Observation
		policies []Policy
	}
	pools := make([]pool, 1000)
	for i := range pools {
		h, err := NewHPA(HPAOptions{MaxReplicas: 100, Metrics: []HPAMetric{cpuTarget(60), {Type: HPAExternal, Name: InFlight, TargetType: HPAAverageValue, AverageValue: 4}}})
		if err != nil {
			b.Fatal(err)
		}
		k, err := NewKEDA(KEDAOptions{Triggers: []KEDATrigger{prometheus(10, 0), {Type: KEDAQueue, Threshold: 4}}})
		if err != nil {
			b.Fatal(err)
		}
		n, err := NewKnative(KnativeOptions{MaxScale: 100})
		if err != nil {
			b.Fatal(err)
		}
		p := &pools[i]
		p.policies = []Policy{h, k, n}
		p.obs = Observation{Time: epoch.Add(time.Duration(i) * 15 * time.Millisecond), Desired: 10, Slots: 4,
			Metrics: map[string]float64{QueueDepth: 3, InFlight: 38, "query:sum(rate(requests[1m]))": 95}}
		for range 10 {
			p.obs.Instances = append(p.obs.Instances, Instance{State: "ready", Metrics: map[string]float64{CPUUtilization: 61}, Requests: map[string]float64{"cpu": 1}})
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		for i := range pools {
			p := &pools[i]
			p.obs.Time = p.obs.Time.Add(time.Second)
			for _, policy := range p.policies {
				policy.Propose(&p.obs)
			}
		}
	}
}
