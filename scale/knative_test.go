package scale

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// The values in this file are those of Knative Serving 0.51, pkg/autoscaler/scaling/autoscaler_test.go, where a tick may
// change the capacity by ten times.
func knative(t *testing.T, o KnativeOptions) *Knative {
	t.Helper()
	fill(&o.MaxScaleUpRate, 10)
	fill(&o.MaxScaleDownRate, 10)
	k, err := NewKnative(o)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// step is one tick: what both windows measured, how many are ready, and the capacity that follows.
type step struct {
	after             time.Duration // since the first step
	stable, panicking float64
	ready             int
	want              int
	panics            bool
}

func TestKnativeSteps(t *testing.T) {
	const tick = 2 * time.Second
	for _, c := range []struct {
		name   string
		o      KnativeOptions
		target float64
		state  KnativeState
		steps  []step
	}{
		{"stable increase", KnativeOptions{}, 10, KnativeState{}, []step{{0, 50, 10, 1, 5, false}, {0, 100, 10, 1, 10, false}}},
		{"stable increase in panic", KnativeOptions{Metric: KnativeRPS}, 10, KnativeState{}, []step{{0, 50, 50, 1, 5, true}, {0, 100, 99, 1, 10, true}}},
		{"no panic any more after a slow increase", KnativeOptions{}, 1, KnativeState{},
			[]step{{0, 11, 25, 10, 25, true}, {30 * time.Second, 30, 41, 40, 41, true}, {60*time.Second + tick, 50, 56, 55, 50, false}}},
		{"the panic is extended", KnativeOptions{}, 1, KnativeState{},
			[]step{{0, 11, 25, 10, 25, true}, {30 * time.Second, 30, 80, 40, 80, true}, {60*time.Second + tick, 30, 30, 80, 80, true}}},
		{"stable decrease", KnativeOptions{}, 10, KnativeState{}, []step{{0, 100, 100, 8, 10, false}, {0, 50, 50, 8, 5, false}}},
		{"no traffic", KnativeOptions{}, 10, KnativeState{}, []step{{0, 1, 0, 1, 1, false}, {0, 0, 0, 1, 0, false}}},
		{"activation scale", KnativeOptions{ActivationScale: 2}, 10, KnativeState{}, []step{{0, 0, 0, 1, 0, false}, {0, 1, 0, 1, 2, false}}},
		{"exponential", KnativeOptions{}, 1, KnativeState{}, []step{{0, 6, 6, 1, 6, true}, {0, 36, 36, 6, 36, true},
			{time.Second, 216, 216, 36, 216, true}, {time.Second, 1296, 1296, 216, 1296, true}, {2 * time.Second, 1296, 1296, 1296, 1296, true}}},
		{"nothing", KnativeOptions{}, 10, KnativeState{}, []step{{0, 0, 0, 1, 0, false}}},
		{"large target", KnativeOptions{}, 181, KnativeState{}, []step{{0, 21, 26, 1, 1, false}}},
		{"in panic the stable one is larger", KnativeOptions{}, 1, KnativeState{Panic: epoch.Add(-5 * time.Second), Most: 5}, []step{{0, 50, 30, 5, 50, true}}},
		{"in panic the stable one is smaller", KnativeOptions{}, 1, KnativeState{Panic: epoch.Add(-5 * time.Second), Most: 5}, []step{{0, 20, 30, 5, 30, true}}},
		{"scaled already", KnativeOptions{}, 10, KnativeState{}, []step{{0, 50, 50, 5, 5, false}}},
		{"small rate up", KnativeOptions{MaxScaleUpRate: 1.1}, 1, KnativeState{}, []step{{0, 3, 3.1, 2, 3, true}}},
		{"small rate down", KnativeOptions{MaxScaleDownRate: 1.1}, 10, KnativeState{}, []step{{0, 1, 1, 100, 90, false}}},
		{"panic decides", KnativeOptions{}, 10, KnativeState{}, []step{{0, 50, 100, 1, 10, true}}},
		{"panic and back", KnativeOptions{}, 10, KnativeState{}, []step{{0, 100, 100, 1, 10, true}, {0, 100, 1000, 10, 100, true},
			{30 * time.Second, 1, 1, 10, 100, true}, {61 * time.Second, 1, 1, 10, 1, false}}},
		{"ten times up", KnativeOptions{}, 10, KnativeState{}, []step{{0, 1000, 1001, 1, 10, true}, {0, 1000, 1001, 10, 100, true}}},
		{"ten times down", KnativeOptions{}, 10, KnativeState{}, []step{{0, 1, 1, 100, 10, false}, {0, 1, 1, 10, 1, false}}},
		{"none ready counts as one", KnativeOptions{}, 10, KnativeState{}, []step{{0, 1000, 888, 0, 10, true}}},
		{"scale down delay", KnativeOptions{ScaleDownDelay: 5 * time.Minute, PanicThresholdPercentage: 1000, MaxScaleUpRate: 10}, 10, KnativeState{}, []step{
			{2 * time.Second, 40, 40, 1, 4, false}, {5 * time.Minute, 0, 0, 1, 4, false}, {5*time.Minute + tick, 0, 0, 1, 0, false},
			{9 * time.Minute, 40, 40, 1, 4, false}, {10 * time.Minute, 30, 30, 1, 4, false}, {11 * time.Minute, 0, 0, 1, 4, false},
			{14 * time.Minute, 0, 0, 1, 3, false}, {15 * time.Minute, 0, 0, 1, 0, false}}},
		{"no scale down delay", KnativeOptions{PanicThresholdPercentage: 1000}, 10, KnativeState{}, []step{{0, 40, 40, 1, 4, false}, {500 * time.Millisecond, 20, 20, 1, 2, false}}},
		// semantics: panic at ceil(panic/target)/ready >= 2; up to 1000 times, down to half.
		{"panic at twice", KnativeOptions{MaxScaleUpRate: 1000, MaxScaleDownRate: 2}, 10, KnativeState{}, []step{{0, 70, 71, 4, 8, true}}},
		{"not below twice", KnativeOptions{MaxScaleUpRate: 1000, MaxScaleDownRate: 2}, 10, KnativeState{}, []step{{0, 60, 70, 4, 6, false}}},
		{"a thousand times", KnativeOptions{MaxScaleUpRate: 1000, MaxScaleDownRate: 2}, 1, KnativeState{}, []step{{0, 5000, 5000, 2, 2000, true}}},
		{"half", KnativeOptions{MaxScaleUpRate: 1000, MaxScaleDownRate: 2}, 10, KnativeState{}, []step{{0, 1, 1, 9, 4, false}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := knative(t, c.o)
			k.Restore(c.state)
			if c.o.PanicThresholdPercentage == 1000 {
				k.threshold = 100 // as there
			}
			for i, s := range c.steps {
				got, why := k.scale(epoch.Add(s.after), s.ready, s.stable, s.panicking, c.target, nil)
				if panics := !k.state.Panic.IsZero(); got != s.want || panics != s.panics {
					t.Errorf("step %d %+v: got %d (panics: %v), %s", i, s, got, panics, why)
				}
			}
		})
	}
}

// load shows k one second of a pool.
func load(k *Knative, second, desired int, running float64) Proposal {
	obs := &Observation{Time: epoch.Add(time.Duration(second) * time.Second), Desired: desired, Slots: 10, Metrics: map[string]float64{QueueDepth: 0, InFlight: running}}
	for range desired {
		obs.Instances = append(obs.Instances, Instance{State: "ready"})
	}
	return k.Propose(obs)
}

// TestKnativeToZero: a stable window of nothing, then a 30 s grace.
func TestKnativeToZero(t *testing.T) {
	k, err := NewKnative(KnativeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	desired, changes := 0, [][2]int{}
	for second := range 400 {
		running := 0.0
		if second >= 10 && second < 100 {
			running = 6
		}
		p := load(k, second, desired, running)
		if p.Abstain {
			t.Fatalf("abstains at %d s: %+v", second, p)
		}
		if p.Desired != desired {
			desired = p.Desired
			changes = append(changes, [2]int{second, desired})
		}
	}
	// 60 s after the last request the average is 0 (the seconds 100 to 159 count at 160 s, an even second), and 30 s later
	// the last instance goes.
	if want := [][2]int{{10, 1}, {190, 0}}; !reflect.DeepEqual(changes, want) {
		t.Errorf("changes (second, capacity) %v, want %v", changes, want)
	}
}

// TestKnativeBurst: 100 requests at once, 7 each (70 % of 10 slots), are too much for 2: the panic window alone decides.
func TestKnativeBurst(t *testing.T) {
	k, err := NewKnative(KnativeOptions{MaxScale: 12})
	if err != nil {
		t.Fatal(err)
	}
	for second := range 120 {
		load(k, second, 2, 10)
	}
	if !k.state.Panic.IsZero() {
		t.Fatalf("panics at 10 requests and 2 instances: %+v", k.state)
	}
	for second := 120; second < 127; second++ {
		load(k, second, 2, 100)
	}
	p := load(k, 128, 2, 100)
	if p.Desired != 12 || !strings.Contains(p.Why, "panicking with 2 ready") || !strings.Contains(p.Why, "= 15") {
		t.Errorf("after six seconds of the burst: %+v, want ceil(100 / 7) = 15, bound to 12", p)
	}
	if p := load(k, 130, 12, 0); p.Desired != 12 {
		t.Errorf("in panic: %+v, want no scale-in", p)
	}
}

// TestKnativeBegins: without a history it keeps what there is for a stable window, when that is more than one.
func TestKnativeBegins(t *testing.T) {
	for ready, panics := range map[int]bool{0: false, 1: false, 2: true} {
		k := knative(t, KnativeOptions{})
		load(k, 0, ready, 1)
		if got := !k.state.Panic.IsZero(); got != panics || k.state.Most < ready {
			t.Errorf("begun with %d: panics %v, at most %d", ready, got, k.state.Most)
		}
	}
}

// TestKnativeComesBack: after a long time without anybody watching it keeps what there is, as a new one does.
func TestKnativeComesBack(t *testing.T) {
	a, b := knative(t, KnativeOptions{}), knative(t, KnativeOptions{})
	load(a, 0, 3, 20)
	b.Restore(a.State())
	if p := load(b, 3600, 3, 0); p.Desired != 3 {
		t.Errorf("restored after an hour: %+v, want 3", p)
	}
}

func TestKnativeUnknown(t *testing.T) {
	k := knative(t, KnativeOptions{})
	if p := k.Propose(&Observation{Time: epoch, Desired: 3}); !p.Abstain {
		t.Errorf("without metrics: %+v, want it to abstain", p)
	}
	for second := range 30 {
		load(k, second, 3, 21)
	}
	for second := 30; second < 100; second++ {
		p := k.Propose(&Observation{Time: epoch.Add(time.Duration(second) * time.Second), Desired: 3, Slots: 10})
		if known := second < 89; p.Abstain == known && second%2 == 0 || known && p.Desired != 3 {
			t.Fatalf("at %d s: %+v", second, p)
		}
	}
}

func TestKnativeGoesOn(t *testing.T) {
	o := KnativeOptions{ScaleDownDelay: 20 * time.Second}
	a := knative(t, o)
	desired := 0
	for second := range 600 {
		running := float64(second%100) * float64(second%7)
		if second > 400 {
			running = 0
		}
		b := knative(t, o)
		text, err := a.SaveState()
		if err != nil {
			t.Fatal(err)
		}
		if err := b.RestoreState(text); err != nil {
			t.Fatal(err)
		}
		pa, pb := load(a, second, desired, running), load(b, second, desired, running)
		if !reflect.DeepEqual(pa, pb) {
			t.Fatalf("after %d s: %+v, and restored %+v", second, pa, pb)
		}
		desired = pa.Desired
	}
	if desired != 0 {
		t.Errorf("ended at %d, want 0", desired)
	}
}

func TestKnativeOptions(t *testing.T) {
	for want, o := range map[string]KnativeOptions{
		"":                           {},
		`metric "cpu"`:               {Metric: "cpu"},
		"target 0.001":               {Target: 0.001},
		"target utilization 70":      {TargetUtilization: 70},
		"stable window 5s":           {StableWindow: 5 * time.Second},
		"panic window percentage":    {PanicWindowPercentage: 101},
		"panic threshold percentage": {PanicThresholdPercentage: 100},
		"max scale up rate":          {MaxScaleUpRate: 1},
		"max scale down rate":        {MaxScaleDownRate: 0.5},
		"scale down delay":           {ScaleDownDelay: 2 * time.Hour},
		"activation scale":           {ActivationScale: -1},
		"min scale 3 and max":        {MinScale: 3, MaxScale: 2},
		"the scale to zero periods":  {ScaleToZeroGracePeriod: -1},
	} {
		_, err := NewKnative(o)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%+v: got %v, want %q", o, err, want)
		}
	}
}
