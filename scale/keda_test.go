package scale

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// hourly is due at some minutes of some hours.
type hourly struct {
	every, from int // hours: from, from+every, …
	minute      int
	weekday     int // -1: any
	zone        *time.Location
}

func (h hourly) Next(after time.Time) (time.Time, bool) {
	for t := after.In(h.zone).Truncate(time.Minute).Add(time.Minute); ; t = t.Add(time.Minute) {
		if t.Minute() == h.minute && t.Hour()%h.every == h.from && (h.weekday < 0 || int(t.Weekday()) == h.weekday) {
			return t, true
		}
	}
}

func prometheus(threshold, activation float64) KEDATrigger {
	return KEDATrigger{Type: KEDAPrometheus, Query: "sum(rate(requests[1m]))", Threshold: threshold, ActivationThreshold: activation}
}

func keda(t *testing.T, o KEDAOptions) *KEDA {
	t.Helper()
	k, err := NewKEDA(o)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// ask shows k one second of a pool whose instances are all ready. A value below 0 is unknown.
func ask(k Policy, second, desired int, value float64) Proposal {
	obs := &Observation{Time: epoch.Add(time.Duration(second) * time.Second), Desired: desired, Metrics: map[string]float64{}}
	if value >= 0 {
		obs.Metrics["query:sum(rate(requests[1m]))"] = value
	}
	for range desired {
		obs.Instances = append(obs.Instances, Instance{State: "ready"})
	}
	return k.Propose(obs)
}

// TestKEDAExecutor holds the values of KEDA 2.21, pkg/scaling/executor/scale_scaledobjects_test.go: one look at the
// triggers, and what KEDA does about the first and the last instance. A ScaledObject there was never active.
func TestKEDAExecutor(t *testing.T) {
	const active, inactive, failing = 1.0, 0.0, -1.0
	trigger := []KEDATrigger{prometheus(10, 0)}
	for _, c := range []struct {
		name       string
		o          KEDAOptions
		current    int
		value      float64
		want       int
		lastActive bool
		because    string
	}{
		{"to min when not active", KEDAOptions{}, 10, inactive, 0, false, "no trigger is active: to 0"},
		{"to min from fewer", KEDAOptions{MinReplicaCount: 5}, 1, inactive, 5, false, "fewer than minReplicas"},
		{"from min when active", KEDAOptions{}, 0, active, 1, true, "s0-prometheus at 1 is above activationThreshold 0"},
		{"to idle when not active", KEDAOptions{MinReplicaCount: 5, IdleReplicaCount: new(0)}, 10, inactive, 0, false, "to 0"},
		{"from idle to min when active", KEDAOptions{MinReplicaCount: 5, IdleReplicaCount: new(0)}, 0, active, 5, true, ""},
		{"from below min when active, idle", KEDAOptions{MinReplicaCount: 5, IdleReplicaCount: new(0)}, 2, active, 5, true, ""},
		{"paused", KEDAOptions{Paused: true}, 2, active, 2, false, "paused"},
		{"paused at a capacity", KEDAOptions{PausedReplicas: new(3)}, 2, active, 3, false, "paused"},
		{"scale-in paused", KEDAOptions{PausedScaleIn: true}, 10, inactive, 10, false, "scale-in is paused"},
		{"scale-in paused, idle", KEDAOptions{PausedScaleIn: true, MinReplicaCount: 5, IdleReplicaCount: new(0)}, 10, inactive, 10, false, "scale-in is paused"},
		{"activation forced", KEDAOptions{ForceActivation: true}, 0, inactive, 1, true, "activation is forced"},
		{"scale-out paused", KEDAOptions{PausedScaleOut: true}, 0, active, 0, false, "scale-out is paused"},
		{"scale-out paused, idle", KEDAOptions{PausedScaleOut: true, MinReplicaCount: 5, MaxReplicaCount: 10, IdleReplicaCount: new(0)}, 0, active, 0, false, "scale-out is paused"},
		{"active at one", KEDAOptions{}, 1, active, 1, true, ""},
		{"failing, with a fallback not yet due", KEDAOptions{Fallback: &KEDAFallback{FailureThreshold: 3, Replicas: 5}}, 1, failing, -1, false, "unknown"},
		// semantics: trigger error while inactive: stay.
		{"failing at zero", KEDAOptions{}, 0, failing, -1, false, "s0-prometheus fails"},
		{"failing at two", KEDAOptions{}, 2, failing, -1, false, "s0-prometheus: it is unknown"},
		{"failing, fallback to zero", KEDAOptions{Fallback: &KEDAFallback{FailureThreshold: 3}}, 2, failing, 0, false, "to 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.Triggers = trigger
			k := keda(t, c.o)
			k.Restore(KEDAState{Since: epoch.Add(-time.Hour)})
			p := ask(k, 0, c.current, c.value)
			if p.Abstain != (c.want < 0) || !p.Abstain && p.Desired != c.want || !strings.Contains(p.Why, c.because) {
				t.Errorf("got %+v, want %d %q", p, c.want, c.because)
			}
			if got := k.State().LastActive.Equal(epoch); got != c.lastActive {
				t.Errorf("active last at %v, want now: %v", k.State().LastActive, c.lastActive)
			}
		})
	}
}

// TestKEDAFallback holds the values of KEDA 2.21, pkg/fallback/fallback_test.go: threshold 3, 10 replicas, target 10.
func TestKEDAFallback(t *testing.T) {
	for _, c := range []struct {
		name     string
		behavior string
		before   int // failures in a row
		current  int
		value    float64
		want     float64 // the metric; below 0: unknown
		failures int
	}{
		{"no failure", "", 0, 5, 6, 6, 0},
		{"no failure any more", "", 5, 5, 6, 6, 0},
		{"the first failure", "", 0, 5, -1, -1, 1},
		{"one too many", "", 3, 5, -1, 100, 4},
		{"static", KEDAStatic, 3, 15, -1, 100, 4},
		{"currentReplicasIfHigher, lower", KEDACurrentReplicasIfHigher, 3, 8, -1, 100, 4},
		{"currentReplicasIfHigher, higher", KEDACurrentReplicasIfHigher, 3, 12, -1, 120, 4},
		{"currentReplicas", KEDACurrentReplicas, 3, 6, -1, 60, 4},
		{"currentReplicasIfLower", KEDACurrentReplicasIfLower, 3, 15, -1, 100, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := keda(t, KEDAOptions{Triggers: []KEDATrigger{prometheus(10, 0)}, Fallback: &KEDAFallback{FailureThreshold: 3, Replicas: 10, Behavior: c.behavior}})
			k.Restore(KEDAState{Failures: map[string]int{"s0-prometheus": c.before}})
			obs := &Observation{Time: epoch, Desired: c.current, Metrics: map[string]float64{}}
			if c.value >= 0 {
				obs.Metrics["query:sum(rate(requests[1m]))"] = c.value
			}
			k.look(obs, true)
			got, known := k.values["s0-prometheus"]
			if known != (c.want >= 0) || known && got != c.want {
				t.Errorf("the metric is %g (known: %v), want %g", got, known, c.want)
			}
			if n := k.state.Failures["s0-prometheus"]; n != c.failures {
				t.Errorf("%d failures, want %d", n, c.failures)
			}
		})
	}
}

// TestKEDAFallbackReplicas: whatever the fallback stands in for, the HPA comes to that many.
func TestKEDAFallbackReplicas(t *testing.T) {
	for _, kind := range []string{HPAAverageValue, HPAValue} {
		trigger := prometheus(7, 0)
		trigger.MetricType = kind
		k := keda(t, KEDAOptions{MinReplicaCount: 1, Triggers: []KEDATrigger{trigger}, Fallback: &KEDAFallback{FailureThreshold: 2, Replicas: 6}})
		desired := 4
		for second := range 120 {
			p := ask(k, second, desired, -1)
			if fallen := second >= 30; p.Abstain == fallen || fallen && p.Desired != 6 {
				t.Fatalf("%s, at %d s: got %+v, want 6 after three failures 15 s apart", kind, second, p)
			}
			if !p.Abstain {
				desired = p.Desired
			}
		}
	}
}

// TestKEDAActivation: strictly above the threshold, and ceil(value / threshold) from there on.
func TestKEDAActivation(t *testing.T) {
	for _, c := range []struct {
		value float64
		want  int
	}{{0, 0}, {5, 0}, {5.1, 1}, {80, 1}} {
		k := keda(t, KEDAOptions{Triggers: []KEDATrigger{prometheus(10, 5)}})
		if p := ask(k, 0, 0, c.value); p.Desired != c.want {
			t.Errorf("%g with activationThreshold 5: %+v, want %d", c.value, p, c.want)
		}
	}
	for value, want := range map[float64]int{31: 4, 40: 4, 43: 4, 45: 5, 70: 7, 75: 8, 1e9: 8} { // within 10 % of 4 stays; from 4 to 8 at most
		k := keda(t, KEDAOptions{Triggers: []KEDATrigger{prometheus(10, 0)}})
		k.Restore(KEDAState{Since: epoch, HPA: HPAState{Recommendations: forgotten()}})
		if p := ask(k, 0, 4, value); p.Desired != want {
			t.Errorf("%g / 10 each: %+v, want %d", value, p, want)
		}
	}
}

// TestKEDACooldown lives through a burst: from zero within one look, back to zero a cooldown after it was last seen active.
func TestKEDACooldown(t *testing.T) {
	k := keda(t, KEDAOptions{Triggers: []KEDATrigger{prometheus(10, 0)}})
	desired, changes := 0, [][2]int{}
	for second := range 1000 {
		value := 0.0
		if second >= 10 && second < 100 {
			value = 30
		}
		p := ask(k, second, desired, value)
		if p.Abstain {
			t.Fatalf("abstains at %d s: %+v", second, p)
		}
		if p.Desired != desired {
			desired = p.Desired
			changes = append(changes, [2]int{second, desired})
		}
	}
	// Looked at 0 s, 30 s, …; active from 30 s to 90 s. The HPA, every 15 s, sees the first instance at 45 s; the 3 of it
	// are recommended last at 90 s, and hold for 300 s. Cooled down after 390 s, seen at 420 s.
	want := [][2]int{{30, 1}, {45, 3}, {405, 1}, {420, 0}}
	if !reflect.DeepEqual(changes, want) {
		t.Errorf("changes (second, capacity) %v, want %v", changes, want)
	}
}

func TestKEDAPolling(t *testing.T) {
	k := keda(t, KEDAOptions{PollingInterval: 10 * time.Second, CooldownPeriod: new(5 * time.Second), Triggers: []KEDATrigger{prometheus(10, 0)}})
	for _, c := range []struct {
		second, desired int
		value           float64
		want            int
	}{{0, 0, 0, 0}, {9, 0, 50, 0}, {10, 0, 50, 1}, {11, 1, 50, 1}, {15, 1, 50, 4}, {19, 4, 0, 4}, {20, 4, 0, 0}, {21, 0, 0, 0}} {
		if p := ask(k, c.second, c.desired, c.value); p.Desired != c.want {
			t.Errorf("at %d s: got %+v, want %d", c.second, p, c.want)
		}
	}
	initial := keda(t, KEDAOptions{InitialCooldownPeriod: 100 * time.Second, Triggers: []KEDATrigger{prometheus(10, 0)}})
	for second := range 121 {
		if p, want := ask(initial, second, 1, 0), map[bool]int{true: 1, false: 0}[second < 120]; p.Desired != want {
			t.Fatalf("initialCooldownPeriod 100 s, at %d s: %+v, want %d", second, p, want)
		}
	}
}

// TestKEDACron holds the values of KEDA 2.21, pkg/scalers/cron_scaler_test.go: 10 on Thursdays, and 10 in even hours.
func TestKEDACron(t *testing.T) {
	thursdays := KEDATrigger{Type: KEDACron, Start: hourly{24, 0, 0, 4, time.UTC}, End: hourly{24, 23, 59, 4, time.UTC}, DesiredReplicas: 10}
	evenHoursIn := func(zone *time.Location) KEDATrigger {
		return KEDATrigger{Type: KEDACron, Start: hourly{2, 0, 0, -1, zone}, End: hourly{2, 1, 0, -1, zone}, DesiredReplicas: 10}
	}
	evenHours := evenHoursIn(time.UTC)
	for h := range 8 * 24 {
		now := epoch.Add(time.Duration(h)*time.Hour + 7*time.Minute)
		if got, want := thursdays.read(&Observation{Time: now}), now.Weekday() == time.Thursday; got.active != want || (got.value == 10) != want {
			t.Errorf("thursdays at %v: %+v", now, got)
		}
		if got, want := evenHours.read(&Observation{Time: now}), now.Hour()%2 == 0; got.active != want || (got.value == 10) != want {
			t.Errorf("even hours at %v: %+v", now, got)
		}
	}
	// In Kolkata, 5:30 ahead, an even hour begins at half past.
	kolkata := time.FixedZone("Asia/Kolkata", int((5*time.Hour + 30*time.Minute).Seconds()))
	evenHours = evenHoursIn(kolkata)
	if got := evenHours.read(&Observation{Time: epoch.Add(45 * time.Minute)}); !got.active {
		t.Errorf("06:15 in Kolkata is not taken for an even hour: %+v", got)
	}
	if got := evenHours.read(&Observation{Time: epoch.Add(15 * time.Minute)}); got.active {
		t.Errorf("05:45 in Kolkata is taken for an even hour: %+v", got)
	}
	// The HPA makes ten of it, doubling: 1, 4, 8, 10.
	evenHours = evenHoursIn(time.UTC)
	k := keda(t, KEDAOptions{Triggers: []KEDATrigger{evenHours}})
	desired := 0
	for second := range 60 {
		desired = ask(k, second, desired, -1).Desired
	}
	if desired != 10 {
		t.Errorf("after a minute of an even hour: %d, want 10", desired)
	}
}

func TestKEDAQueue(t *testing.T) {
	k := keda(t, KEDAOptions{Triggers: []KEDATrigger{{Type: KEDAQueue, Threshold: 4}, {Type: KEDAMetric, Metric: "gold", Threshold: 1}}})
	obs := &Observation{Time: epoch, Desired: 2, Instances: []Instance{{State: "ready"}, {State: "ready"}}, Metrics: map[string]float64{QueueDepth: 5, InFlight: 8, "gold": 1}}
	if p := k.Propose(obs); p.Desired != 4 || !strings.Contains(p.Why, "s0-queue ceil(13 / 4 each) = 4") {
		t.Errorf("5 waiting and 8 running at 4 each: %+v, want 4", p)
	}
	// One trigger fails: no scale-in, but scale-out.
	delete(obs.Metrics, "gold")
	obs.Time, obs.Metrics[QueueDepth] = epoch.Add(30*time.Second), 8
	if p := k.Propose(obs); p.Desired != 4 || p.Abstain {
		t.Errorf("out while one trigger fails: %+v, want 4", p)
	}
	obs.Time, obs.Metrics[QueueDepth], obs.Metrics[InFlight] = epoch.Add(400*time.Second), 0, 1
	if p := k.Propose(obs); !p.Abstain {
		t.Errorf("in while one trigger fails: %+v, want it to abstain", p)
	}
}

// TestKEDAOnlyCPU: cpu never wakes a pool, so with nothing else it never goes to zero either.
func TestKEDAOnlyCPU(t *testing.T) {
	k := keda(t, KEDAOptions{Triggers: []KEDATrigger{{Type: KEDACPU, Threshold: 50, Request: 1}}})
	obs := &Observation{Desired: 1, Instances: []Instance{{State: "ready", Metrics: map[string]float64{CPUUtilization: 0.1}}}}
	for second := range 1000 {
		obs.Time = epoch.Add(time.Duration(second) * time.Second)
		if p := k.Propose(obs); p.Desired != 1 || p.Abstain {
			t.Fatalf("at %d s: %+v, want 1", second, p)
		}
	}
	obs.Time, obs.Instances[0].Metrics[CPUUtilization] = epoch.Add(1015*time.Second), 180
	if p := k.Propose(obs); p.Desired != 4 {
		t.Errorf("at 180 %% of one core, target 50 %%: %+v, want 4", p)
	}
}

// TestKEDAGoesOn: a KEDA restored from the JSON of another's state decides as that one would have.
func TestKEDAGoesOn(t *testing.T) {
	o := KEDAOptions{Triggers: []KEDATrigger{prometheus(10, 0)}, Fallback: &KEDAFallback{FailureThreshold: 3, Replicas: 5}}
	a := keda(t, o)
	desired := 0
	for second := range 1500 {
		value := 0.0
		switch {
		case second > 200 && second < 400:
			value = -1
		case second > 40 && second < 600:
			value = 60
		}
		b := keda(t, o)
		text, err := a.SaveState()
		if err != nil {
			t.Fatal(err)
		}
		if err := b.RestoreState(text); err != nil {
			t.Fatal(err)
		}
		pa, pb := ask(a, second, desired, value), ask(b, second, desired, value)
		if pa.Desired != pb.Desired || pa.Abstain != pb.Abstain {
			t.Fatalf("after %d s: %+v, and restored %+v", second, pa, pb)
		}
		if !pa.Abstain {
			desired = pa.Desired
		}
	}
	if desired != 0 {
		t.Errorf("ended at %d, want 0", desired)
	}
}

func TestKEDAOptions(t *testing.T) {
	ok := []KEDATrigger{prometheus(1, 0)}
	cpu := []KEDATrigger{{Type: KEDACPU, Threshold: 50}}
	for _, c := range []struct {
		o    KEDAOptions
		want string // "" is no error
	}{
		{KEDAOptions{Triggers: ok}, ""},
		{KEDAOptions{Triggers: cpu}, ""},
		{KEDAOptions{}, "there are no triggers"},
		{KEDAOptions{Triggers: ok, MinReplicaCount: 101}, "minReplicaCount 101 and maxReplicaCount 100"},
		{KEDAOptions{Triggers: ok, IdleReplicaCount: new(1), MinReplicaCount: 2}, "idleReplicaCount 1: want 0"},
		{KEDAOptions{Triggers: ok, IdleReplicaCount: new(0)}, ""},
		{KEDAOptions{Triggers: ok, PollingInterval: -1}, "a period must not be below 0"},
		{KEDAOptions{Triggers: ok, PausedReplicas: new(-1)}, "paused-replicas -1"},
		{KEDAOptions{Triggers: ok, Fallback: &KEDAFallback{FailureThreshold: -3, Replicas: 10}}, "want at least 0"},
		{KEDAOptions{Triggers: ok, Fallback: &KEDAFallback{Behavior: "dynamic"}}, `behavior "dynamic"`},
		{KEDAOptions{Triggers: cpu, Fallback: &KEDAFallback{Replicas: 10}}, "a trigger that is not cpu or memory"},
		{KEDAOptions{Triggers: []KEDATrigger{{Type: "kafka"}}}, `triggers[0]: type "kafka"`},
		{KEDAOptions{Triggers: []KEDATrigger{{Type: KEDAPrometheus, Threshold: 1}}}, "needs a query"},
		{KEDAOptions{Triggers: []KEDATrigger{{Type: KEDAMetric, Threshold: 1}}}, "needs the name of a metric"},
		{KEDAOptions{Triggers: []KEDATrigger{{Type: KEDAQueue}}}, "want above 0"},
		{KEDAOptions{Triggers: []KEDATrigger{{Type: KEDACron, DesiredReplicas: 1}}}, "needs start and end"},
		{KEDAOptions{Triggers: []KEDATrigger{{Type: KEDACron, Start: hourly{}, End: hourly{}}}}, "desiredReplicas 0"},
	} {
		_, err := NewKEDA(c.o)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: got %v, want %q", c.o, err, c.want)
		}
	}
}
