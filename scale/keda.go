package scale

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"
)

// Defaults of a ScaledObject.
const (
	DefaultPollingInterval = 30 * time.Second
	DefaultCooldownPeriod  = 300 * time.Second
	DefaultMaxReplicaCount = 100
)

// KEDAOptions are the spec of a ScaledObject. The zero value of every field but Triggers is KEDA's default.
type KEDAOptions struct {
	PollingInterval       time.Duration  // from one look at the triggers to the next; 0 is 30 s
	CooldownPeriod        *time.Duration // from the last time a trigger was active to zero; nil is 300 s
	InitialCooldownPeriod time.Duration  // before the first time that it goes to zero, when no trigger was ever active
	IdleReplicaCount      *int           // instances while no trigger is active, when that is fewer than MinReplicaCount: 0
	MinReplicaCount       int
	MaxReplicaCount       int // 0 is 100
	Triggers              []KEDATrigger
	Fallback              *KEDAFallback
	Behavior              *HPABehavior // advanced.horizontalPodAutoscalerConfig.behavior

	// The annotations of a ScaledObject.

	Paused          bool // nothing scales
	PausedReplicas  *int // nothing scales but to this
	PausedScaleIn   bool
	PausedScaleOut  bool
	ForceActivation bool // as if a trigger were active
}

// The types of a KEDATrigger.
const (
	KEDAPrometheus = "prometheus" // the value of a PromQL query
	KEDACron       = "cron"       // DesiredReplicas from Start to End
	KEDAQueue      = "queue"      // the pool's requests, waiting and running
	KEDAMetric     = "metric"     // any metric of the pool
	KEDACPU        = "cpu"        // each instance's
	KEDAMemory     = "memory"     // each instance's
)

// KEDATrigger is one entry of spec.triggers.
type KEDATrigger struct {
	Type                string  // prometheus, cron, queue, metric, cpu or memory
	Query               string  // prometheus: PromQL with one value
	Metric              string  // metric: its name
	Threshold           float64 // above 0; of cpu and memory the value. Desired is ceil(value / Threshold)
	ActivationThreshold float64 // the trigger is active when the value is above it
	MetricType          string  // AverageValue, which is the default, or Value; cpu and memory: Utilization (the default) or AverageValue
	Request             float64 // cpu, memory: what an instance requests of it when it does not say so: cores, bytes

	Start, End      KEDASchedule // cron, in the time zone of the trigger
	DesiredReplicas int          // cron: above 0
}

// KEDASchedule is a cron expression, or anything else that comes again.
type KEDASchedule interface {
	Next(after time.Time) (t time.Time, ok bool) // the next time strictly after this one; false: never again
}

// The behaviors of a KEDAFallback.
const (
	KEDAStatic                  = "static"                  // Replicas
	KEDACurrentReplicas         = "currentReplicas"         // as many as there are
	KEDACurrentReplicasIfHigher = "currentReplicasIfHigher" // the larger of the two
	KEDACurrentReplicasIfLower  = "currentReplicasIfLower"  // the smaller of the two
)

// KEDAFallback is spec.fallback: what to do about a trigger that failed more than FailureThreshold times in a row. A
// failure is an unknown value, at each look at the triggers and at each evaluation of the HPA.
type KEDAFallback struct {
	FailureThreshold int
	Replicas         int
	Behavior         string // static, which is the default, or one of the others
}

// KEDA proposes what a ScaledObject of KEDA 2.21 would scale to: the first instance and the last one go by whether any
// trigger is active, all between by an HPA with the triggers as its metrics. Source of the algorithm: kedacore/keda,
// pkg/scaling and pkg/fallback.
//
// A trigger whose value is unknown is one that failed. While none is active and one fails, KEDA stays as it is.
type KEDA struct {
	o       KEDAOptions
	hpa     *HPA
	names   []string           // of the triggers, as KEDA's: s0-prometheus
	looks   []kedaLook         // at the triggers, by the same index; reused
	values  map[string]float64 // of the triggers by name, for the HPA; reused
	poll    time.Duration
	cool    time.Duration
	onlyCPU bool // no trigger can be inactive

	state KEDAState
}

// KEDAState is what a KEDA carries from one look to the next.
type KEDAState struct {
	Since      time.Time      `json:"since,omitzero"`       // first asked
	Polled     time.Time      `json:"polled,omitzero"`      // last looked at the triggers
	LastActive time.Time      `json:"last_active,omitzero"` // a trigger was active
	Verdict    string         `json:"verdict,omitempty"`    // of the last look: see the constants
	Failures   map[string]int `json:"failures,omitempty"`   // in a row, by trigger
	Current    int            `json:"current"`              // the capacity when last asked
	Last       Proposal       `json:"last,omitzero"`
	HPA        HPAState       `json:"hpa,omitzero"`
}

// Verdicts of a look at the triggers.
const (
	kedaActive   = "active"
	kedaInactive = "inactive" // cooling down, or nothing to do
	kedaIdle     = "idle"     // cooled down: to zero
	kedaFailing  = "failing"  // not active as far as known, and a trigger fails
)

// kedaLook is what one look at a trigger gave.
type kedaLook struct {
	value    float64
	known    bool // false: the trigger failed
	active   bool
	fallback bool // value stands in for one that could not be had
}

// NewKEDA returns a KEDA without history, or says what is wrong with o.
func NewKEDA(o KEDAOptions) (*KEDA, error) {
	k := &KEDA{o: o, poll: o.PollingInterval, cool: orDefault(o.CooldownPeriod, DefaultCooldownPeriod), values: map[string]float64{}, onlyCPU: true}
	if k.poll == 0 {
		k.poll = DefaultPollingInterval
	}
	if k.o.MaxReplicaCount == 0 {
		k.o.MaxReplicaCount = DefaultMaxReplicaCount
	}
	k.o.Triggers = slices.Clone(o.Triggers)
	k.looks = make([]kedaLook, len(o.Triggers))
	errs := k.check()
	var metrics []HPAMetric
	for i, t := range o.Triggers {
		name := "s" + strconv.Itoa(i) + "-" + t.Type
		if err := t.check(); err != nil {
			errs = append(errs, fmt.Errorf("triggers[%d]: %w", i, err))
		}
		if t.Type == KEDAPrometheus {
			k.o.Triggers[i].Metric = "query:" + t.Query
		}
		k.names = append(k.names, name)
		k.onlyCPU = k.onlyCPU && t.resource()
		metrics = append(metrics, t.metric(name))
	}
	if len(errs) > 0 {
		return k, errors.Join(errs...)
	}
	hpa, err := NewHPA(HPAOptions{MinReplicas: new(max(1, o.MinReplicaCount)), MaxReplicas: k.o.MaxReplicaCount, Metrics: metrics, Behavior: k.behavior()})
	k.hpa = hpa
	return k, err
}

// behavior is that of the HPA: a direction that is paused is disabled.
func (k *KEDA) behavior() *HPABehavior {
	if !k.o.PausedScaleIn && !k.o.PausedScaleOut {
		return k.o.Behavior
	}
	b := orDefault(k.o.Behavior, HPABehavior{})
	if k.o.PausedScaleIn {
		b.ScaleDown.SelectPolicy = "Disabled"
	}
	if k.o.PausedScaleOut {
		b.ScaleUp.SelectPolicy = "Disabled"
	}
	return &b
}

func (k *KEDA) check() (errs []error) {
	o := &k.o
	if len(o.Triggers) == 0 {
		errs = append(errs, errors.New("there are no triggers: name at least one"))
	}
	if o.MinReplicaCount < 0 || o.MaxReplicaCount < 1 || o.MinReplicaCount > o.MaxReplicaCount {
		errs = append(errs, fmt.Errorf("minReplicaCount %d and maxReplicaCount %d: want 0 <= minReplicaCount <= maxReplicaCount, and maxReplicaCount at least 1", o.MinReplicaCount, o.MaxReplicaCount))
	}
	if idle := o.IdleReplicaCount; idle != nil && *idle != 0 {
		errs = append(errs, fmt.Errorf("idleReplicaCount %d: want 0, because the HPA keeps to minReplicaCount", *idle))
	}
	if k.poll < 0 || k.cool < 0 || o.InitialCooldownPeriod < 0 {
		errs = append(errs, errors.New("a period must not be below 0"))
	}
	if o.PausedReplicas != nil && *o.PausedReplicas < 0 {
		errs = append(errs, fmt.Errorf("paused-replicas %d: want at least 0", *o.PausedReplicas))
	}
	if f := o.Fallback; f != nil {
		if f.FailureThreshold < 0 || f.Replicas < 0 {
			errs = append(errs, fmt.Errorf("fallback: failureThreshold %d and replicas %d: want at least 0", f.FailureThreshold, f.Replicas))
		}
		if !slices.Contains([]string{"", KEDAStatic, KEDACurrentReplicas, KEDACurrentReplicasIfHigher, KEDACurrentReplicasIfLower}, f.Behavior) {
			errs = append(errs, fmt.Errorf("fallback: behavior %q: want static, currentReplicas, currentReplicasIfHigher or currentReplicasIfLower", f.Behavior))
		}
		if !slices.ContainsFunc(o.Triggers, func(t KEDATrigger) bool { return !t.resource() }) {
			errs = append(errs, errors.New("fallback: it needs a trigger that is not cpu or memory"))
		}
	}
	return errs
}

// resource reports whether the trigger goes by each instance's resources, and so never wakes a pool that has none.
func (t *KEDATrigger) resource() bool { return t.Type == KEDACPU || t.Type == KEDAMemory }

func (t *KEDATrigger) check() error {
	switch t.Type {
	case KEDAPrometheus:
		if t.Query == "" {
			return errors.New("a prometheus trigger needs a query")
		}
	case KEDAMetric:
		if t.Metric == "" {
			return errors.New("a metric trigger needs the name of a metric")
		}
	case KEDACron:
		switch {
		case t.Start == nil || t.End == nil:
			return errors.New("a cron trigger needs start and end")
		case t.DesiredReplicas <= 0:
			return fmt.Errorf("desiredReplicas %d: want above 0", t.DesiredReplicas)
		}
		return nil
	case KEDAQueue, KEDACPU, KEDAMemory:
	default:
		return fmt.Errorf("type %q: want prometheus, cron, queue, metric, cpu or memory", t.Type)
	}
	if math.IsNaN(t.ActivationThreshold) || math.IsInf(t.ActivationThreshold, 0) {
		return errors.New("activationThreshold: want a number")
	}
	return t.metric("threshold").check()
}

// metric is the trigger as a metric of the HPA.
func (t *KEDATrigger) metric(name string) HPAMetric {
	m := HPAMetric{Type: HPAExternal, Name: name, TargetType: t.MetricType, AverageValue: t.Threshold, Value: t.Threshold}
	if m.TargetType == "" {
		m.TargetType = HPAAverageValue
	}
	switch {
	case t.resource():
		m.Type, m.Name, m.Request, m.AverageUtilization = HPAResource, t.Type, t.Request, int(t.Threshold)
		if t.MetricType == "" {
			m.TargetType = HPAUtilization
		}
	case t.Type == KEDACron:
		m.TargetType, m.AverageValue = HPAAverageValue, 1
	}
	return m
}

// Name is "keda".
func (k *KEDA) Name() string { return "keda" }

// State returns a copy of what k carries over.
func (k *KEDA) State() KEDAState {
	s := k.state
	s.Failures, s.HPA = maps.Clone(s.Failures), k.hpa.State()
	return s
}

// Restore makes k go on from s, which may come from another process or other options.
func (k *KEDA) Restore(s KEDAState) {
	k.hpa.Restore(s.HPA)
	s.Failures, s.HPA = maps.Clone(s.Failures), HPAState{}
	k.state = s
}

// SaveState returns what k carries over, as JSON.
func (k *KEDA) SaveState() ([]byte, error) { return json.Marshal(k.State()) }

// RestoreState makes k go on from what SaveState returned.
func (k *KEDA) RestoreState(text []byte) error {
	var s KEDAState
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("read the state of a keda policy: %w", err)
	}
	k.Restore(s)
	return nil
}
