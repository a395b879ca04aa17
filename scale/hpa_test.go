package scale

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

// cpuTarget is what the old API called targetCPUUtilizationPercentage.
func cpuTarget(percent int) HPAMetric {
	return HPAMetric{Type: HPAResource, Name: "cpu", TargetType: HPAUtilization, AverageUtilization: percent}
}

func qps(kind, target string, value float64) HPAMetric {
	return HPAMetric{Type: kind, Name: "qps", TargetType: target, Value: value, AverageValue: value}
}

// forgotten is a history that says nothing, so that even a first evaluation may scale in.
func forgotten() []Peak { return []Peak{{Time: epoch.Add(-24 * time.Hour), Desired: 1}} }

// TestHPAReconcile holds the values of Kubernetes 1.37, pkg/controller/podautoscaler/horizontal_test.go, where a whole
// evaluation is tested. Pods are written as in TestHPAResource.
func TestHPAReconcile(t *testing.T) {
	up700 := &HPABehavior{ScaleUp: rules(0, 0, 700, 60, 0)}
	known := map[string]float64{}
	for _, c := range []struct {
		name     string
		min, max int
		current  int
		pods     string // cpu, of requests in thousandths
		metrics  []HPAMetric
		values   map[string]float64
		behavior *HPABehavior
		before   []Peak
		zeroed   bool // this policy scaled to zero
		want     int
		abstain  bool
	}{
		// TestScaleCPU
		{"up", 2, 6, 3, "r300/1000 r500/1000 r700/1000", []HPAMetric{cpuTarget(30)}, nil, nil, nil, false, 5, false},
		{"up, unready", 2, 6, 3, "u300/1000 r500/1000 r700/1000", []HPAMetric{cpuTarget(30)}, nil, nil, nil, false, 4, false},
		{"up, hot", 2, 6, 3, "h300/1000 r500/1000 r700/1000", []HPAMetric{cpuTarget(30)}, nil, nil, nil, false, 4, false},
		{"up, failed", 2, 6, 2, "r500/1000 r700/1000 f?/1000 f?/1000", []HPAMetric{cpuTarget(30)}, nil, nil, nil, false, 4, false},
		{"up, deleted", 2, 6, 2, "r500/1000 r700/1000 d?/1000 d?/1000", []HPAMetric{cpuTarget(30)}, nil, nil, nil, false, 4, false},
		{"unready bring it within", 2, 6, 3, "r400/1000 u500/1000 u700/1000", []HPAMetric{cpuTarget(30)}, nil, nil, nil, false, 3, false},
		{"down", 2, 6, 5, "r100/1000 r300/1000 r500/1000 r250/1000 r250/1000", []HPAMetric{cpuTarget(50)}, nil, nil, forgotten(), false, 3, false},
		{"down, unready", 2, 6, 5, "r100/1000 r300/1000 r500/1000 u250/1000 u250/1000", []HPAMetric{cpuTarget(50)}, nil, nil, forgotten(), false, 2, false},
		{"down, hot", 2, 6, 5, "r100/1000 r300/1000 r500/1000 h250/1000 h250/1000", []HPAMetric{cpuTarget(50)}, nil, nil, forgotten(), false, 2, false},
		{"down, failed", 2, 6, 5, "r100/1000 r300/1000 r500/1000 r250/1000 r250/1000 f?/1000 f?/1000", []HPAMetric{cpuTarget(50)}, nil, nil, forgotten(), false, 3, false},
		{"down, deleted", 2, 6, 5, "r100/1000 r300/1000 r500/1000 r250/1000 r250/1000 d?/1000 d?/1000", []HPAMetric{cpuTarget(50)}, nil, nil, forgotten(), false, 3, false},
		// TestScaleDownStabilizeInitialSize, TestStabilizeDownscale
		{"down, but just begun", 2, 6, 5, "r100/1000 r300/1000 r500/1000 r250/1000 r250/1000", []HPAMetric{cpuTarget(50)}, nil, nil, nil, false, 5, false},
		{"down, but more was recommended", 1, 5, 4, "r50/100 r50/100 r50/100", []HPAMetric{cpuTarget(100)}, nil, nil, recommended(10, 10, 4, 1), false, 4, false},
		// TestScaleUpCM, TestScaleUpCMObject
		{"external value up", 2, 6, 3, "r? r? r?", []HPAMetric{qps(HPAExternal, HPAValue, 6.666)}, map[string]float64{"qps": 8.6}, nil, nil, false, 4, false},
		{"external per pod up", 2, 6, 3, "r? r? r?", []HPAMetric{qps(HPAExternal, HPAAverageValue, 2.222)}, map[string]float64{"qps": 8.6}, nil, nil, false, 4, false},
		{"object value up", 2, 6, 3, "r? r? r?", []HPAMetric{qps(HPAObject, HPAValue, 15)}, map[string]float64{"qps": 20}, nil, nil, false, 4, false},
		{"object per pod up", 2, 6, 3, "r? r? r?", []HPAMetric{qps(HPAObject, HPAAverageValue, 10)}, map[string]float64{"qps": 40}, nil, nil, false, 4, false},
		{"from zero", 0, 6, 0, "", []HPAMetric{qps(HPAObject, HPAValue, 15)}, map[string]float64{"qps": 20}, nil, nil, true, 2, false},
		{"from zero without tolerance", 0, 6, 0, "", []HPAMetric{qps(HPAObject, HPAValue, 1)}, map[string]float64{"qps": 1}, nil, nil, true, 1, false},
		{"from zero to a larger min", 2, 6, 0, "", []HPAMetric{qps(HPAObject, HPAValue, 15)}, map[string]float64{"qps": 10}, nil, nil, true, 2, false},
		// TestScaleDownCM
		{"object value down", 2, 6, 5, "r? r? r? r? r?", []HPAMetric{qps(HPAObject, HPAValue, 20)}, map[string]float64{"qps": 12}, nil, forgotten(), false, 3, false},
		{"object to zero", 0, 6, 5, "r? r? r? r? r?", []HPAMetric{qps(HPAObject, HPAValue, 20)}, map[string]float64{"qps": 0}, nil, forgotten(), false, 0, false},
		{"object per pod down", 2, 6, 5, "r? r? r? r? r?", []HPAMetric{qps(HPAObject, HPAAverageValue, 20)}, map[string]float64{"qps": 60}, nil, forgotten(), false, 3, false},
		{"external value down", 2, 6, 5, "r? r? r? r? r?", []HPAMetric{qps(HPAExternal, HPAValue, 14.4)}, map[string]float64{"qps": 8.6}, nil, forgotten(), false, 3, false},
		{"external to zero", 0, 6, 5, "r? r? r? r? r?", []HPAMetric{qps(HPAExternal, HPAValue, 14.4)}, map[string]float64{"qps": 0}, nil, forgotten(), false, 0, false},
		{"external per pod down", 2, 6, 5, "r? r? r? r? r?", []HPAMetric{qps(HPAExternal, HPAAverageValue, 3)}, map[string]float64{"qps": 8.6}, nil, forgotten(), false, 3, false},
		// TestScaleWithOneInvalidMetric, TestScaleUpOneMetricEmpty, TestNoScaleDownOneMetricInvalid, TestNoScaleDownOneMetricEmpty
		{"up with one unknown", 2, 6, 3, "r300/1000 r400/1000 r500/1000", []HPAMetric{qps(HPAExternal, HPAValue, 0.1), cpuTarget(30)}, known, nil, nil, false, 4, false},
		{"not down with one unknown", 2, 6, 5, "r100/1000 r300/1000 r500/1000 r250/1000 r250/1000", []HPAMetric{qps(HPAExternal, HPAValue, 1), cpuTarget(50)}, known, nil, forgotten(), false, 0, true},
		// TestConfigurableTolerance
		{"up for 1 % of tolerance", 1, 5, 3, "r1010/900 r1030/1000 r1020/1100", []HPAMetric{cpuTarget(100)}, nil, &HPABehavior{ScaleUp: HPARules{Tolerance: new(0.01)}}, nil, false, 4, false},
		{"not down for 90 %", 1, 5, 3, "r300/1000 r300/1000 r300/1000", []HPAMetric{cpuTarget(100)}, nil, &HPABehavior{ScaleDown: HPARules{Tolerance: new(0.9)}}, nil, false, 3, false},
		{"not up for 10 %", 1, 5, 3, "r1010/900 r1030/1000 r1020/1100", []HPAMetric{cpuTarget(100)}, nil, nil, nil, false, 3, false},
		// TestReplicaLimits
		{"down to min", 2, 5, 3, "r10/900 r95/1000 r10/1100", []HPAMetric{cpuTarget(90)}, nil, nil, forgotten(), false, 2, false},
		{"zero is not below min", 2, 5, 3, "r0/900 r0/1000 r0/1100", []HPAMetric{cpuTarget(90)}, nil, nil, forgotten(), false, 2, false},
		{"disabled at zero", 3, 5, 0, "", []HPAMetric{cpuTarget(90)}, nil, nil, nil, false, 0, false},
		{"below min", 3, 5, 2, "", []HPAMetric{cpuTarget(90)}, nil, nil, nil, false, 3, false},
		{"above max", 3, 5, 10, "", []HPAMetric{cpuTarget(90)}, nil, nil, nil, false, 5, false},
		{"up to max", 2, 5, 3, "r8000/900 r9500/1000 r1000/1100", []HPAMetric{cpuTarget(90)}, nil, nil, nil, false, 5, false},
		{"below min, whatever it uses", 2, 6, 1, "r0/1000 r0/1000 r0/1000 r0/1000", []HPAMetric{cpuTarget(90)}, nil, nil, nil, false, 2, false},
		{"above max, whatever it uses", 2, 5, 6, "r8000/900 r9500/1000 r1000/1100", []HPAMetric{cpuTarget(50)}, nil, nil, nil, false, 5, false},
		// TestMetricsEdgeCases
		{"some report nothing", 2, 6, 4, "r400/1000 r95/1000 r?/1000 r?/1000", []HPAMetric{cpuTarget(100)}, nil, nil, forgotten(), false, 3, false},
		{"none report anything", 2, 6, 4, "r?/1000 r?/1000 r?/1000 r?/1000", []HPAMetric{cpuTarget(100)}, nil, nil, nil, false, 0, true},
		{"no requests", 1, 5, 1, "r200", []HPAMetric{cpuTarget(100)}, nil, nil, nil, false, 0, true},
		// TestUpscaleCap, TestUpscaleCapGreaterThanMaxReplicas
		{"700 percent", 1, 100, 3, "r100/100 r200/100 r300/100", []HPAMetric{cpuTarget(10)}, nil, up700, nil, false, 24, false},
		{"700 percent and max", 1, 20, 3, "r100/100 r200/100 r300/100", []HPAMetric{cpuTarget(10)}, nil, up700, nil, false, 20, false},
		// TestNoBackoffUpscaleCMNoBackoffCpu
		{"two metrics", 1, 5, 3, "r20000/1000 r10000/1000 r30000/1000", []HPAMetric{{Type: HPAPods, Name: CPUUtilization, TargetType: HPAAverageValue, AverageValue: 1500}, cpuTarget(10)}, nil, nil, nil, false, 5, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, err := NewHPA(HPAOptions{MinReplicas: &c.min, MaxReplicas: c.max, Metrics: c.metrics, Behavior: c.behavior,
				CPUInitializationPeriod: new(2 * time.Minute), InitialReadinessDelay: new(10 * time.Second)})
			if err != nil {
				t.Fatal(err)
			}
			h.Restore(HPAState{Recommendations: c.before, ScaledToZero: c.zeroed})
			p := h.Propose(&Observation{Time: epoch, Desired: c.current, Instances: pods(t, c.pods, CPUUtilization, 10), Metrics: c.values})
			if p.Abstain != c.abstain || !p.Abstain && p.Desired != c.want {
				t.Errorf("got %d (abstains: %v): %s; want %d (abstains: %v)", p.Desired, p.Abstain, p.Why, c.want, c.abstain)
			}
			if p.Why == "" || p.Policy != "hpa" {
				t.Errorf("the proposal %+v does not say who and why", p)
			}
		})
	}
}

func external(t *testing.T, o HPAOptions, target string, value float64) *HPA {
	t.Helper()
	o.Metrics = []HPAMetric{qps(HPAExternal, target, value)}
	h, err := NewHPA(o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestHPASyncs: one evaluation in 15 s, and the last answer in between.
func TestHPASyncs(t *testing.T) {
	h := external(t, HPAOptions{MaxReplicas: 10}, HPAAverageValue, 10)
	obs := &Observation{Desired: 1, Instances: []Instance{{State: "ready"}}, Metrics: map[string]float64{"qps": 10}}
	for _, c := range []struct {
		second int
		qps    float64
		want   int
	}{{0, 10, 1}, {1, 40, 1}, {14, 40, 1}, {15, 40, 4}, {29, 60, 4}, {30, 60, 6}} {
		obs.Time, obs.Metrics["qps"] = epoch.Add(time.Duration(c.second)*time.Second), c.qps
		if c.second >= 29 {
			obs.Desired = 4
			obs.Instances = []Instance{{State: "ready"}, {State: "ready"}, {State: "ready"}, {State: "pending"}}
		}
		if p := h.Propose(obs); p.Desired != c.want {
			t.Errorf("at %d s: got %d, %s; want %d", c.second, p.Desired, p.Why, c.want)
		}
	}
}

// TestHPAInFlight: what runs can never be more than the slots, so what waits counts too.
func TestHPAInFlight(t *testing.T) {
	h, err := NewHPA(HPAOptions{MaxReplicas: 20, Metrics: []HPAMetric{{Type: HPAExternal, Name: InFlight, TargetType: HPAAverageValue, AverageValue: 2}}})
	if err != nil {
		t.Fatal(err)
	}
	obs := &Observation{Time: epoch, Desired: 1, Slots: 2, Instances: []Instance{{State: "ready"}}, Metrics: map[string]float64{InFlight: 2, QueueDepth: 4}}
	if p := h.Propose(obs); p.Desired != 3 {
		t.Errorf("2 running and 4 waiting at 2 each: %+v, want 3", p)
	}
}

// TestHPAMovedByOthers: what was said of one capacity is not held against another one that somebody has set since.
func TestHPAMovedByOthers(t *testing.T) {
	h := external(t, HPAOptions{MaxReplicas: 20}, HPAAverageValue, 10)
	for _, c := range []struct{ second, desired, want int }{
		{0, 4, 6}, {1, 4, 6}, {2, 5, 6}, {3, 6, 6}, // carried out in two steps
		{4, 9, 9}, {5, 2, 2}, // set by hand
		{15, 2, 4}, // evaluated again: 60 / 10 each, at most max(2 x 2, 4)
	} {
		obs := &Observation{Time: epoch.Add(time.Duration(c.second) * time.Second), Desired: c.desired, Metrics: map[string]float64{"qps": 60}}
		for range c.desired {
			obs.Instances = append(obs.Instances, Instance{State: "ready"})
		}
		if p := h.Propose(obs); p.Desired != c.want {
			t.Errorf("at %d s with %d: got %+v, want %d", c.second, c.desired, p, c.want)
		}
	}
}

// TestHPAZero: what it emptied itself it fills again, whatever minReplicas became meanwhile; what was emptied by hand it
// leaves alone.
func TestHPAZero(t *testing.T) {
	o := HPAOptions{MinReplicas: new(0), MaxReplicas: 10, DownscaleStabilization: new(time.Duration(0))}
	h := external(t, o, HPAValue, 10)
	at := func(h *HPA, second, desired int, v float64) Proposal {
		obs := &Observation{Time: epoch.Add(time.Duration(second) * time.Second), Desired: desired, Metrics: map[string]float64{"qps": v}}
		for range desired {
			obs.Instances = append(obs.Instances, Instance{State: "ready"})
		}
		return h.Propose(obs)
	}
	if p := at(h, 0, 2, 10); p.Desired != 2 {
		t.Fatalf("at the target: %+v", p)
	}
	if p := at(h, 15, 2, 0); p.Desired != 0 {
		t.Fatalf("without load: %+v", p)
	}
	if p := at(h, 16, 0, 0); p.Desired != 0 || !h.State().ScaledToZero {
		t.Fatalf("just emptied: %+v, %+v", p, h.State())
	}
	o.MinReplicas = new(2)
	larger := external(t, o, HPAValue, 10)
	larger.Restore(h.State())
	if p := at(larger, 45, 0, 1); p.Desired != 2 {
		t.Errorf("emptied by itself, then minReplicas 2: %+v, want 2", p)
	}
	byHand := external(t, o, HPAValue, 10)
	at(byHand, 0, 2, 100)
	if p := at(byHand, 15, 0, 100); p.Desired != 0 || p.Abstain || !strings.Contains(p.Why, "disabled") {
		t.Errorf("emptied by hand with minReplicas 2: %+v, want disabled", p)
	}
}

// TestHPAGoesOn: an HPA restored from the JSON of another's state decides as that one would have.
func TestHPAGoesOn(t *testing.T) {
	o := HPAOptions{MaxReplicas: 50, Behavior: &HPABehavior{ScaleUp: rules(4, 60, 0, 0, 30), ScaleDown: rules(1, 60, 0, 0, 120)}}
	a := external(t, o, HPAAverageValue, 10)
	desired := 3
	for second := range 900 {
		load := 30.0
		switch {
		case second > 600:
			load = 20
		case second > 120:
			load = 300
		}
		obs := &Observation{Time: epoch.Add(time.Duration(second) * time.Second), Desired: desired, Metrics: map[string]float64{"qps": load}}
		for range desired {
			obs.Instances = append(obs.Instances, Instance{State: "ready"})
		}
		b := external(t, o, HPAAverageValue, 10)
		text, err := json.Marshal(a.State())
		if err != nil {
			t.Fatal(err)
		}
		var state HPAState
		if err := json.Unmarshal(text, &state); err != nil {
			t.Fatal(err)
		}
		b.Restore(state)
		pa, pb := a.Propose(obs), b.Propose(obs)
		if !reflect.DeepEqual(pa, pb) {
			t.Fatalf("after %d s: %+v, and restored %+v", second, pa, pb)
		}
		desired = pa.Desired
	}
	if desired >= 30 || desired < 20 {
		t.Errorf("ended at %d; one a minute less than 30 for five minutes is 25 to 28", desired)
	}
}

// TestHPAComesBack: after a long time without anybody watching it begins as a new one, which holds what there is for its
// window. While it was only never asked, as by weir decide, what is old is old.
func TestHPAComesBack(t *testing.T) {
	ask := func(h *HPA, second int, v float64) Proposal {
		obs := &Observation{Time: epoch.Add(time.Duration(second) * time.Second), Desired: 4, Metrics: map[string]float64{"qps": v}}
		for range 4 {
			obs.Instances = append(obs.Instances, Instance{State: "ready"})
		}
		return h.Propose(obs)
	}
	a := external(t, HPAOptions{MaxReplicas: 50}, HPAAverageValue, 10)
	if p := ask(a, 0, 40); p.Desired != 4 {
		t.Fatalf("at the target: %+v", p)
	}
	b := external(t, HPAOptions{MaxReplicas: 50}, HPAAverageValue, 10)
	b.Restore(a.State())
	if p := ask(b, 3600, 0); p.Desired != 4 {
		t.Errorf("restored after an hour: %+v, want 4", p)
	}
	if p := ask(b, 3915, 0); p.Desired != 1 {
		t.Errorf("a window later: %+v, want 1", p)
	}
	if p := ask(a, 315, 0); p.Desired != 1 {
		t.Errorf("asked after 315 s: %+v, want 1", p)
	}
}

func TestHPAClockSetBack(t *testing.T) {
	h := external(t, HPAOptions{MaxReplicas: 50}, HPAAverageValue, 10)
	obs := &Observation{Time: epoch, Desired: 3, Instances: []Instance{{State: "ready"}, {State: "ready"}, {State: "ready"}}, Metrics: map[string]float64{"qps": 30}}
	h.Propose(obs)
	obs.Time, obs.Metrics["qps"] = epoch.Add(-time.Hour), 60
	if p := h.Propose(obs); p.Desired != 6 {
		t.Errorf("after the clock was set back: %+v, want 6 at once", p)
	}
}

func TestHPAOptions(t *testing.T) {
	ok := []HPAMetric{qps(HPAExternal, HPAValue, 1)}
	for _, c := range []struct {
		o    HPAOptions
		want string // "" is no error
	}{
		{HPAOptions{MaxReplicas: 5}, ""},
		{HPAOptions{}, "maxReplicas at least 1"},
		{HPAOptions{MinReplicas: new(3), MaxReplicas: 2}, "minReplicas 3 and maxReplicas 2"},
		{HPAOptions{MinReplicas: new(0), MaxReplicas: 2}, "needs an Object or External metric"},
		{HPAOptions{MinReplicas: new(0), MaxReplicas: 2, Metrics: ok}, ""},
		{HPAOptions{MaxReplicas: 2, Metrics: []HPAMetric{{Type: "CheddarCheese"}}}, `metrics[0]: type "CheddarCheese": want Resource`},
		{HPAOptions{MaxReplicas: 2, Metrics: []HPAMetric{qps(HPAPods, HPAValue, 1)}}, "want AverageValue"},
		{HPAOptions{MaxReplicas: 2, Metrics: []HPAMetric{qps(HPAObject, HPAValue, 0)}}, "want above 0"},
		{HPAOptions{MaxReplicas: 2, Metrics: []HPAMetric{{Type: HPAResource, TargetType: HPAUtilization, AverageUtilization: 5}}}, "it has no name"},
		{HPAOptions{MaxReplicas: 2, Metrics: []HPAMetric{{Type: HPAContainerResource, Name: "cpu", TargetType: HPAUtilization, AverageUtilization: 5}}}, "container goes with"},
		{HPAOptions{MaxReplicas: 2, Metrics: []HPAMetric{{Type: HPAPods, Query: "up", TargetType: HPAAverageValue, AverageValue: 5}}}, "a query goes with"},
		{HPAOptions{MaxReplicas: 2, Tolerance: new(-1.0)}, "tolerance must not be below 0"},
		{HPAOptions{MaxReplicas: 2, SyncPeriod: -1}, "a period must not be below 0"},
		{HPAOptions{MaxReplicas: 2, Behavior: &HPABehavior{ScaleUp: rules(1, 15, 0, 0, 3601)}}, "behavior.scaleUp: stabilizationWindowSeconds 3601: want 0 to 3600"},
		{HPAOptions{MaxReplicas: 2, Behavior: &HPABehavior{ScaleDown: rules(1, 1801, 0, 0, 0)}}, "behavior.scaleDown: policies[0].periodSeconds 1801: want above 0, at most 1800"},
		{HPAOptions{MaxReplicas: 2, Behavior: &HPABehavior{ScaleDown: rules(-1, 15, 0, 0, 0)}}, "policies[0].value -1"},
		{HPAOptions{MaxReplicas: 2, Behavior: &HPABehavior{ScaleDown: HPARules{SelectPolicy: "max"}}}, `selectPolicy "max"`},
		{HPAOptions{MaxReplicas: 2, Behavior: &HPABehavior{ScaleDown: HPARules{Policies: []HPAScalingPolicy{{"Pod", 1, 1}}}}}, `type "Pod": want Pods or Percent`},
	} {
		_, err := NewHPA(c.o)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: got %v, want %q", c.o, err, c.want)
		}
	}
}

func BenchmarkHPA(b *testing.B) {
	h, err := NewHPA(HPAOptions{MaxReplicas: 100, Metrics: []HPAMetric{{Type: HPAResource, Name: "cpu", TargetType: HPAUtilization, AverageUtilization: 60, Request: 1}, qps(HPAExternal, HPAAverageValue, 10)}})
	if err != nil {
		b.Fatal(err)
	}
	obs := &Observation{Time: epoch, Desired: 10, Metrics: map[string]float64{"qps": 100}}
	for range 10 {
		obs.Instances = append(obs.Instances, Instance{State: "ready", Metrics: map[string]float64{CPUUtilization: 63}})
	}
	b.Run("evaluation", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			obs.Time = obs.Time.Add(15 * time.Second)
			h.Propose(obs)
		}
	})
	b.Run("between", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			h.Propose(obs)
		}
	})
}
