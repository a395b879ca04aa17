package scale

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The values in this file are those of Kubernetes 1.37, pkg/controller/podautoscaler/replica_calculator_test.go, where the
// cpu initialization period is 2 min and the readiness delay 10 s. A pod is a letter, its usage in thousandths (? for
// none), and its request in thousandths when that is not the table's:
//
//	r ready  u unready  h ready, started just now  H unready, started just now  p pending  f failed  d being deleted
func pods(t *testing.T, text, key string, scale float64) (list []Instance) {
	t.Helper()
	now := epoch
	for i, word := range strings.Fields(text) {
		in := Instance{ID: "pod-" + strconv.Itoa(i), State: "ready", Phase: "Running", SampleWindow: 60, Metrics: map[string]float64{}}
		in.ReadyCondition = Condition{Status: "True"}
		switch word[0] {
		case 'r':
		case 'u':
			in.ReadyCondition.Status = "False"
		case 'h':
			in.Started, in.ReadyCondition.LastTransition = now, now
		case 'H':
			in.Started, in.ReadyCondition = now, Condition{Status: "False", LastTransition: now}
		case 'p':
			in.Phase, in.ReadyCondition.Status = "Pending", "False"
		case 'f':
			in.Phase, in.ReadyCondition.Status = "Failed", "False"
		case 'd':
			in.State, in.ReadyCondition.Status = "draining", "False"
		default:
			t.Fatalf("unknown pod %q", word)
		}
		usage, request, own := strings.Cut(word[1:], "/")
		if usage != "?" {
			in.Metrics[key] = number(t, usage) / scale
		}
		if own {
			in.Requests = map[string]float64{"cpu": number(t, request) / 1000}
		}
		list = append(list, in)
	}
	return list
}

func number(t *testing.T, s string) float64 {
	t.Helper()
	x, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// tolerances are those of scaling down and up; the zero value is 0.1 both ways.
type tolerances struct{ down, up float64 }

func calculator(t *testing.T, m HPAMetric, tol *tolerances) *HPA {
	t.Helper()
	o := HPAOptions{MaxReplicas: mostInstances, Metrics: []HPAMetric{m},
		CPUInitializationPeriod: new(2 * time.Minute), InitialReadinessDelay: new(10 * time.Second)}
	if tol != nil {
		o.Behavior = &HPABehavior{ScaleUp: HPARules{Tolerance: &tol.up}, ScaleDown: HPARules{Tolerance: &tol.down}}
	}
	h, err := NewHPA(o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHPAResource(t *testing.T) {
	type row struct {
		name    string
		current int
		pods    string
		target  int // percent
		tol     *tolerances
		want    int
		usage   float64 // percent
		invalid string
	}
	for _, c := range []row{
		// TestReplicaCalcResourceScale: each pod requests 2 cores, one for each of its two containers.
		{"scale up", 3, "r600 r1000 r1400", 30, nil, 5, 50, ""},
		{"scale up, an unready pod", 3, "u600 r1000 r1400", 30, nil, 4, 60, ""},
		{"scale up, a hot pod", 3, "h600 r1000 r1400", 30, nil, 4, 60, ""},
		{"unready pods", 3, "r800 u1000 u1400", 30, nil, 3, 40, ""},
		{"hot pods", 3, "r800 H1000 H1400", 30, nil, 3, 40, ""},
		{"scale up, failed pods", 2, "r1000 r1400 f? f?", 30, nil, 4, 60, ""},
		{"scale up, pods being deleted", 2, "r1000 r1400 d? d?", 30, nil, 4, 60, ""},
		{"scale down", 5, "r200 r600 r1000 r500 r500", 50, nil, 3, 28, ""},
		{"scale down, unready pods", 5, "r200 r600 r1000 u500 u500", 50, nil, 2, 30, ""},
		{"scale down, unscheduled pods", 5, "r200 p? p? p? p?", 50, nil, 1, 10, ""},
		{"scale down, hot pods", 5, "r200 r600 r1000 h500 h500", 50, nil, 2, 30, ""},
		{"scale down, failed pods", 5, "r200 r600 r1000 r500 r500 f? f?", 50, nil, 3, 28, ""},
		{"scale down, pods being deleted", 5, "r200 r600 r1000 r500 r500 d? d?", 50, nil, 3, 28, ""},

		// TestReplicaCalcResourceTolerance: requests 0.9, 1.0 and 1.1 for each container.
		{"within the default tolerance", 3, "r2020/1800 r2060/2000 r2040/2200", 100, nil, 3, 102, ""},
		{"outside of 0 %", 3, "r1818/1800 r2020/2000 r2222/2200", 100, &tolerances{0, 0}, 4, 101, ""},
		{"within 200 % up", 3, "r3780/1800 r3820/2000 r3800/2200", 100, &tolerances{0.1, 2}, 3, 190, ""},
		{"outside of 8 % up", 3, "r2200/1800 r2160/2000 r2180/2200", 100, &tolerances{2, 0.08}, 4, 109, ""},
		{"within 36 % down", 3, "r1320/1800 r1280/2000 r1300/2200", 100, &tolerances{0.36, 0.1}, 3, 65, ""},
		{"outside of 34 % down", 3, "r1320/1800 r1280/2000 r1300/2200", 100, &tolerances{0.34, 0.1}, 2, 65, ""},

		// TestReplicaCalcResourceMissingMetrics.
		{"some report nothing, down", 4, "r800 r190 r? r?", 100, nil, 3, 24, ""},
		{"equal to the target", 2, "r2000 r?", 100, nil, 2, 100, ""},
		{"above the target", 2, "r3800 r?", 100, nil, 2, 190, ""},
		{"below the target", 2, "r1200 r?", 100, nil, 2, 60, ""},
		{"unready and missing", 3, "u200 r900 r?", 50, nil, 3, 45, ""},
		{"hot and missing", 3, "h200 r900 r?", 50, nil, 3, 45, ""},
		{"unready and missing, up", 3, "u200 r4000 r?", 50, nil, 4, 200, ""},
		{"hot and missing, up", 3, "H200 r4000 r?", 50, nil, 4, 200, ""},
		{"unready and missing, down", 4, "u200 r200 r200 r?", 50, nil, 3, 10, ""},
		{"target over 100 %", 4, "u400/2000 r200/2000 r200/4000 r?/4000", 300, nil, 2, 6, ""},
		{"rolling update with a surge", 2, "r200 r200 r?", 50, nil, 2, 10, ""},
		{"no metrics", 4, "r? r? r? r?", 100, nil, 0, 0, "no instance that counts reports it"},
		{"no pods", 4, "", 100, nil, 0, 0, "there are no instances"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := HPAMetric{Type: HPAResource, Name: "cpu", TargetType: HPAUtilization, AverageUtilization: c.target, Request: 2}
			r := calculator(t, m, c.tol).evaluateOne(&Observation{Time: epoch, Desired: c.current, Instances: pods(t, c.pods, CPUUtilization, 10)})
			if r.invalid != c.invalid || r.desired != c.want || r.usage != c.usage {
				t.Errorf("got %d at %g %% %q, want %d at %g %% %q", r.desired, r.usage, r.invalid, c.want, c.usage, c.invalid)
			}
			if c.invalid != "" {
				return
			}
			// The same of one container of each pod.
			m.Type, m.Container = HPAContainerResource, "container2"
			obs := &Observation{Time: epoch, Desired: c.current, Instances: pods(t, c.pods, "container2/"+CPUUtilization, 10)}
			for i := range obs.Instances {
				if own, ok := obs.Instances[i].Requests["cpu"]; ok {
					obs.Instances[i].Requests = map[string]float64{"container2/cpu": own}
				}
				obs.Instances[i].Metrics[CPUUtilization] = 9000
			}
			if r := calculator(t, m, c.tol).evaluateOne(obs); r.desired != c.want || r.usage != c.usage {
				t.Errorf("of a container: got %d at %g %%, want %d at %g %%", r.desired, r.usage, c.want, c.usage)
			}
		})
	}
}

func (h *HPA) evaluateOne(obs *Observation) hpaResult { return h.evaluate(obs, &h.metrics[0]) }

// TestHPAToleranceAlgorithm is TestReplicaCalcComputedToleranceAlgImplementation: ten pods use half of what they request,
// which is 0.9 of a target of 55 % and almost 0.9 of one of 56 %.
func TestHPAToleranceAlgorithm(t *testing.T) {
	text := "r300/800 r300/400 r300/620 r300/580 r300/604 r300/596 r300/602 r300/598 r300/600 r300/600"
	for target, want := range map[int]int{56: 9, 55: 10} {
		m := HPAMetric{Type: HPAResource, Name: "cpu", TargetType: HPAUtilization, AverageUtilization: target}
		r := calculator(t, m, nil).evaluateOne(&Observation{Time: epoch, Desired: 10, Instances: pods(t, text, CPUUtilization, 10)})
		if r.usage != 50 || r.desired != want {
			t.Errorf("target %d %%: got %d at %g %%, want %d at 50 %%", target, r.desired, r.usage, want)
		}
	}
}

func TestHPARequestUnknown(t *testing.T) {
	m := HPAMetric{Type: HPAResource, Name: "cpu", TargetType: HPAUtilization, AverageUtilization: 100}
	r := calculator(t, m, nil).evaluateOne(&Observation{Time: epoch, Desired: 1, Instances: pods(t, "r200", CPUUtilization, 10)})
	if r.invalid != "it is unknown how much pod-0 requests" {
		t.Errorf("got %+v, want that the request is unknown", r)
	}
	// The whole of what is a percentage already is 100.
	m.Name = "gpu_utilization"
	r = calculator(t, m, nil).evaluateOne(&Observation{Time: epoch, Desired: 2, Instances: pods(t, "r90000 r160000", "gpu_utilization", 1000)})
	if r.usage != 125 || r.desired != 3 {
		t.Errorf("gpu_utilization of 90 and 160: got %d at %g %%, want 3 at 125 %%", r.desired, r.usage)
	}
}

func TestHPAPods(t *testing.T) {
	for _, c := range []struct {
		name    string
		current int
		pods    string
		target  float64
		tol     *tolerances
		want    int
		usage   float64 // thousandths
	}{
		// TestReplicaCalcPodMetric
		{"scale up", 3, "r20000 r10000 r30000", 15, nil, 4, 20000},
		{"an unready hot pod counts", 3, "r50000 r10000 H30000", 15, nil, 6, 30000},
		{"unready hot pods count", 3, "H50000 r15000 H30000", 15, nil, 7, 31666},
		{"scale down", 5, "r12000 r12000 r12000 r12000 r12000", 20, nil, 3, 12000},
		{"within the default tolerance", 3, "r20000 r21000 r21000", 20, nil, 3, 20666},
		{"outside of 1 %", 3, "r20000 r21000 r21000", 20, &tolerances{0.1, 0.01}, 4, 20666},
		{"some report nothing", 5, "r20000 r19000 r21000 r? r?", 20, nil, 5, 20000},
		{"rolling update with a surge", 2, "r10000 r10000 r?", 17, nil, 2, 10000},
		// TestTolerance
		{"within tolerance", 3, "r20000 r20001 r21000", 20, nil, 3, 20333},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := HPAMetric{Type: HPAPods, Name: "qps", TargetType: HPAAverageValue, AverageValue: c.target}
			r := calculator(t, m, c.tol).evaluateOne(&Observation{Time: epoch, Desired: c.current, Instances: pods(t, c.pods, "qps", 1000)})
			if r.invalid != "" || r.desired != c.want || r.usage != c.usage {
				t.Errorf("got %d at %g %q, want %d at %g", r.desired, r.usage, r.invalid, c.want, c.usage)
			}
		})
	}
}

func TestHPAObjectAndExternal(t *testing.T) {
	for _, c := range []struct {
		name    string
		kind    string
		current int
		pods    string
		value   float64
		target  float64
		tol     *tolerances
		want    int
	}{
		// TestReplicaCalcObjectMetric
		{"object up", HPAValue, 3, "r0 r0 r0", 20, 15, nil, 4},
		{"object very large", HPAValue, 3, "r0 r0 r0", 9e15, 0.001, nil, mostInstances}, // Kubernetes: 2^31-1
		{"object up, unready pods", HPAValue, 3, "u0 r0 u0", 50, 10, nil, 5},
		{"object down", HPAValue, 5, "r0 r0 r0 r0 r0", 12, 20, nil, 3},
		{"object within the tolerance", HPAValue, 3, "r0 r0 r0", 20.666, 20, nil, 3},
		{"object outside of 1 %", HPAValue, 3, "r0 r0 r0", 20.666, 20, &tolerances{0.1, 0.01}, 4},
		// TestReplicaCalcObjectPerPodMetric
		{"per pod up", HPAAverageValue, 3, "r0 r0 r0", 20, 5, nil, 4},
		{"per pod down", HPAAverageValue, 5, "r0 r0 r0 r0 r0", 6, 2, nil, 3},
		{"per pod within the tolerance", HPAAverageValue, 4, "r0 r0 r0 r0", 20.166, 5, nil, 4},
		{"per pod outside of 1 %", HPAAverageValue, 4, "r0 r0 r0 r0", 20.208, 5, &tolerances{0.1, 0.01}, 5},
		// TestReplicaCalcExternalMetric
		{"external down, unready pods", HPAValue, 3, "u0 r0 u0", 8.6, 4.4, nil, 2},
		{"external down", HPAValue, 5, "r0 r0 r0 r0 r0", 8.6, 14.334, nil, 3},
		{"external within the tolerance", HPAValue, 3, "r0 r0 r0", 8.6, 8.888, nil, 3},
		{"external outside of 1 %", HPAValue, 3, "r0 r0 r0", 8.9, 8.8, &tolerances{0.1, 0.01}, 4},
		// TestReplicaCalcExternalPerPodMetric
		{"external per pod very large", HPAAverageValue, 1, "r0", 9e15, 0.001, nil, mostInstances},
		{"external per pod up", HPAAverageValue, 3, "r0 r0 r0", 8.6, 2.15, nil, 4},
		{"external per pod down", HPAAverageValue, 5, "r0 r0 r0 r0 r0", 8.6, 2.867, nil, 3},
		{"external per pod within the tolerance", HPAAverageValue, 3, "r0 r0 r0", 8.6, 2.9, nil, 3},
		{"external per pod outside of 1 %", HPAAverageValue, 3, "r0 r0 r0", 8.6, 2.8, &tolerances{0.1, 0.01}, 4},
		// TestTolerance
		{"object within tolerance", HPAValue, 3, "r0 r0 r0", 20.05, 20, nil, 3},
		{"external within tolerance", HPAValue, 4, "r0 r0 r0 r0", 8.6, 8.666, nil, 4},
		{"per pod within tolerance", HPAAverageValue, 4, "r0 r0 r0 r0", 8.6, 2.2, nil, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, kind := range []string{HPAObject, HPAExternal} {
				m := HPAMetric{Type: kind, Name: "qps", TargetType: c.kind, Value: c.target, AverageValue: c.target}
				obs := &Observation{Time: epoch, Desired: c.current, Instances: pods(t, c.pods, "-", 1), Metrics: map[string]float64{"qps": c.value}}
				if r := calculator(t, m, c.tol).evaluateOne(obs); r.invalid != "" || r.desired != c.want {
					t.Errorf("%s: got %d %q, want %d", kind, r.desired, r.invalid, c.want)
				}
			}
		})
	}
}

// TestHPAGroups is TestGroupPods.
func TestHPAGroups(t *testing.T) {
	now := epoch
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	type groups struct{ ready, unready, missing int }
	used := map[string]float64{CPUUtilization: 0.1, "memory_bytes": 0.001}
	started := func(age time.Duration, status string, changed time.Duration, sampleAge, window time.Duration) Instance {
		return Instance{State: "ready", Phase: "Succeeded", Started: ago(age), ReadyCondition: Condition{status, ago(changed)}, Sampled: ago(sampleAge), SampleWindow: window.Seconds(), Metrics: used}
	}
	neverReady := Instance{State: "unhealthy", Phase: "Succeeded", Started: now, Metrics: used}
	old := func(m map[string]float64) Instance {
		return Instance{State: "ready", Phase: "Succeeded", Started: ago(3 * time.Minute), ReadyCondition: Condition{"True", ago(3 * time.Minute)}, Metrics: m}
	}
	year1 := func(in Instance) Instance { in.Sampled = time.Unix(0, 0); return in }
	for _, c := range []struct {
		name     string
		resource string
		pods     []Instance
		want     groups
	}{
		{"void", "cpu", nil, groups{}},
		{"memory of a ready pod", "memory", []Instance{{State: "ready", Phase: "Succeeded", Metrics: used}}, groups{ready: 1}},
		{"no ready condition", "cpu", []Instance{neverReady}, groups{unready: 1}},
		{"fresh metrics while starting", "cpu", []Instance{started(time.Minute, "True", 30*time.Second, 0, 30*time.Second)}, groups{ready: 1}},
		{"no fresh metrics while starting", "cpu", []Instance{started(time.Minute, "True", 30*time.Second, 0, time.Minute)}, groups{unready: 1}},
		{"unready since soon after its start", "cpu", []Instance{year1(started(10*time.Minute, "False", 9*time.Minute+54*time.Second, 0, 0))}, groups{unready: 1}},
		{"no fresh metrics later", "cpu", []Instance{started(3*time.Minute, "True", 3*time.Minute, 2*time.Minute, time.Minute)}, groups{ready: 1}},
		{"unready but was ready", "cpu", []Instance{year1(started(10*time.Minute, "False", 9*time.Minute, 0, 0))}, groups{ready: 1}},
		{"unready since 10 s after its start", "cpu", []Instance{year1(started(10*time.Minute, "False", 9*time.Minute+50*time.Second, 0, 0))}, groups{ready: 1}},
		{"no metrics", "cpu", []Instance{old(nil)}, groups{missing: 1}},
		{"several", "cpu", []Instance{neverReady, old(used), old(nil)}, groups{ready: 1, unready: 1, missing: 1}},
		{"pending", "cpu", []Instance{{Phase: "Pending"}}, groups{unready: 1}},
		{"being deleted", "cpu", []Instance{{State: "draining", Phase: "Pending", Metrics: used}}, groups{}},
		{"failed", "cpu", []Instance{{Phase: "Failed", Metrics: used}}, groups{}},
		// By Weir's states alone.
		{"starting and warming are pending", "cpu", []Instance{{State: "pending"}, {State: "starting", Metrics: used}, {State: "warming", Metrics: used}}, groups{unready: 3}},
		{"unhealthy after it was ready", "cpu", []Instance{{State: "unhealthy", Started: ago(time.Hour), Ready: ago(time.Hour - time.Second), Metrics: used}}, groups{ready: 1}},
		{"unhealthy and never ready", "cpu", []Instance{{State: "unhealthy", Started: ago(time.Hour), Metrics: used}}, groups{unready: 1}},
		{"ready is all that is known", "cpu", []Instance{{State: "ready", Metrics: used}}, groups{ready: 1}},
		{"not a number", "cpu", []Instance{{State: "ready", Metrics: map[string]float64{CPUUtilization: math.NaN()}}}, groups{missing: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := HPAMetric{Type: HPAResource, Name: c.resource, TargetType: HPAAverageValue, AverageValue: 1}
			h := calculator(t, m, nil)
			s := h.sum(&Observation{Time: now, Instances: c.pods}, &h.metrics[0])
			if got := (groups{s.ready, s.unready, s.missing}); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}
