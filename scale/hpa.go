package scale

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Defaults of the HorizontalPodAutoscaler: flags of kube-controller-manager and of its API.
const (
	DefaultSyncPeriod              = 15 * time.Second
	DefaultTolerance               = 0.1
	DefaultDownscaleStabilization  = 300 * time.Second
	DefaultCPUInitializationPeriod = 300 * time.Second
	DefaultInitialReadinessDelay   = 30 * time.Second

	longestStabilization = time.Hour        // of a behavior's stabilizationWindowSeconds
	longestPeriod        = 30 * time.Minute // of a behavior's periodSeconds
)

// HPAOptions are the spec of a HorizontalPodAutoscaler (autoscaling/v2) and the flags of kube-controller-manager that bear
// on it. The zero value of every field but MaxReplicas is the default of Kubernetes.
type HPAOptions struct {
	MinReplicas *int // fewest instances; nil is 1; 0 needs an Object or External metric
	MaxReplicas int  // most instances, at least 1
	Metrics     []HPAMetric
	Behavior    *HPABehavior // nil is not the same as an empty one: see HPABehavior

	SyncPeriod              time.Duration  // from one evaluation to the next; 0 is 15 s
	Tolerance               *float64       // how far the ratio may be from 1 without scaling; nil is 0.1
	DownscaleStabilization  *time.Duration // scale in only to the largest recommendation of this time; nil is 300 s
	CPUInitializationPeriod *time.Duration // for how long after its start an instance's cpu counts only once ready; nil is 300 s
	InitialReadinessDelay   *time.Duration // an instance unready since this soon after its start was never ready; nil is 30 s
}

// The kinds of an HPAMetric.
const (
	HPAResource          = "Resource"          // a resource of each instance: cpu, memory or any metric it reports
	HPAContainerResource = "ContainerResource" // the same of one container of it
	HPAPods              = "Pods"              // a metric of each instance, averaged
	HPAObject            = "Object"            // one number that describes something else: a metric of the pool, or a query
	HPAExternal          = "External"          // the same from outside; Weir makes no difference
)

// The kinds of an HPAMetric's target.
const (
	HPAUtilization  = "Utilization"  // percent of what the instances request (Resource, ContainerResource)
	HPAAverageValue = "AverageValue" // per instance
	HPAValue        = "Value"        // as it is (Object, External)
)

// HPAMetric is one entry of spec.metrics.
type HPAMetric struct {
	Type      string // one of Resource, ContainerResource, Pods, Object, External
	Name      string // cpu in cores, memory in bytes, or the name of a metric
	Container string // of a ContainerResource; its metrics and requests are called "container/name"
	Query     string // of an Object or External metric: PromQL to evaluate instead of reading Name

	TargetType         string  // one of Utilization, AverageValue, Value
	AverageUtilization int     // percent, above 0
	AverageValue       float64 // in the unit of the metric, above 0
	Value              float64 // in the unit of the metric, above 0

	// Request is what an instance requests of the resource when it does not say so itself: cores, bytes, or the unit of
	// the metric. 0 is unknown, except of a metric whose name ends in _utilization, where the whole is 100.
	Request float64
}

// HPABehavior is spec.behavior. With one, even an empty one, both directions have the rules below with their defaults;
// without one the older rules apply, the largest recommendation of the last 300 s and at most max(2 x current, 4).
type HPABehavior struct {
	ScaleUp, ScaleDown HPARules
}

// HPARules bound the scaling in one direction. The defaults: up no window, 4 pods or 100 percent per 15 s; down the
// window of DownscaleStabilization, 100 percent per 15 s.
type HPARules struct {
	StabilizationWindow *time.Duration     // 0 to 3600 s; nil is the default of the direction
	SelectPolicy        string             // Max (which is the default), Min or Disabled
	Policies            []HPAScalingPolicy // none is the default of the direction
	Tolerance           *float64           // nil is that of HPAOptions
}

// HPAScalingPolicy is how much may change within a period.
type HPAScalingPolicy struct {
	Type   string        // Pods or Percent
	Value  int           // instances, or percent of those there were when the period began; above 0
	Period time.Duration // above 0, at most 1800 s
}

// HPA proposes what a HorizontalPodAutoscaler of Kubernetes 1.37 would scale to. Instances are its pods, the capacity
// desired until now is spec.replicas. Numbers are compared in thousandths, as resource.Quantity does.
// Source of the algorithm: kubernetes/kubernetes, pkg/controller/podautoscaler.
//
// An instance that is pending, starting or warming is a pending pod, one that is draining is a pod being deleted. Where
// Kubernetes reports an error and does nothing, HPA abstains.
type HPA struct {
	o       HPAOptions
	min     int
	metrics []hpaMetric
	up      hpaRules
	down    hpaRules
	behaves bool // a behavior was given

	initialization, readiness time.Duration

	state    HPAState
	restored bool // state comes from elsewhere, and nobody has looked since
}

// HPAState is what an HPA carries from one evaluation to the next.
type HPAState struct {
	Synced          time.Time `json:"synced,omitzero"`           // when it was last evaluated
	Evaluated       int       `json:"evaluated"`                 // the capacity then
	Last            Proposal  `json:"last,omitzero"`             // what came of it
	Recommendations []Peak    `json:"recommendations,omitempty"` // before stabilization, oldest first
	Up              []Peak    `json:"up,omitempty"`              // instances added, and when, oldest first
	Down            []Peak    `json:"down,omitempty"`            // instances taken away, and when, oldest first
	ScaledToZero    bool      `json:"scaled_to_zero,omitempty"`  // it was this policy that emptied the pool

	Seen    time.Time `json:"seen,omitzero"` // when it was last asked
	Current int       `json:"current"`       // the capacity then
}

// NewHPA returns an HPA without history, or says what is wrong with o.
func NewHPA(o HPAOptions) (*HPA, error) {
	h := &HPA{o: o, min: 1, behaves: o.Behavior != nil}
	if o.MinReplicas != nil {
		h.min = *o.MinReplicas
	}
	if len(o.Metrics) == 0 {
		o.Metrics = []HPAMetric{{Type: HPAResource, Name: "cpu", TargetType: HPAUtilization, AverageUtilization: 80}}
	}
	if h.o.SyncPeriod == 0 {
		h.o.SyncPeriod = DefaultSyncPeriod
	}
	h.initialization = orDefault(o.CPUInitializationPeriod, DefaultCPUInitializationPeriod)
	h.readiness = orDefault(o.InitialReadinessDelay, DefaultInitialReadinessDelay)

	var errs []error
	for i, m := range o.Metrics {
		if err := m.check(); err != nil {
			errs = append(errs, fmt.Errorf("metrics[%d]: %w", i, err))
		}
		h.metrics = append(h.metrics, compileHPAMetric(m))
	}
	behavior := HPABehavior{}
	if o.Behavior != nil {
		behavior = *o.Behavior
	}
	tolerance := orDefault(o.Tolerance, DefaultTolerance)
	h.up = behavior.ScaleUp.complete(0, tolerance,
		HPAScalingPolicy{Type: "Pods", Value: 4, Period: 15 * time.Second}, HPAScalingPolicy{Type: "Percent", Value: 100, Period: 15 * time.Second})
	h.down = behavior.ScaleDown.complete(orDefault(o.DownscaleStabilization, DefaultDownscaleStabilization), tolerance,
		HPAScalingPolicy{Type: "Percent", Value: 100, Period: 15 * time.Second})
	errs = append(errs, h.check()...)
	if err := behavior.ScaleUp.check(); err != nil {
		errs = append(errs, fmt.Errorf("behavior.scaleUp: %w", err))
	}
	if err := behavior.ScaleDown.check(); err != nil {
		errs = append(errs, fmt.Errorf("behavior.scaleDown: %w", err))
	}
	return h, errors.Join(errs...)
}

func orDefault[T any](p *T, def T) T {
	if p == nil {
		return def
	}
	return *p
}

func (h *HPA) check() (errs []error) {
	if h.min < 0 || h.o.MaxReplicas < 1 || h.o.MaxReplicas < h.min {
		errs = append(errs, fmt.Errorf("minReplicas %d and maxReplicas %d: want 0 <= minReplicas <= maxReplicas, and maxReplicas at least 1", h.min, h.o.MaxReplicas))
	}
	if h.min == 0 && !h.hasObjectOrExternal() {
		errs = append(errs, errors.New("minReplicas 0 needs an Object or External metric, because no instance reports anything when there is none"))
	}
	if h.o.SyncPeriod < 0 || h.initialization < 0 || h.readiness < 0 || h.down.window < 0 {
		errs = append(errs, errors.New("a period must not be below 0"))
	}
	if h.up.tolerance < 0 || h.down.tolerance < 0 {
		errs = append(errs, errors.New("tolerance must not be below 0"))
	}
	return errs
}

func (r HPARules) check() error {
	if w := r.StabilizationWindow; w != nil && (*w < 0 || *w > longestStabilization) {
		return fmt.Errorf("stabilizationWindowSeconds %g: want 0 to %g", w.Seconds(), longestStabilization.Seconds())
	}
	if !slices.Contains([]string{"", "Max", "Min", "Disabled"}, r.SelectPolicy) {
		return fmt.Errorf("selectPolicy %q: want Max, Min or Disabled", r.SelectPolicy)
	}
	for i, p := range r.Policies {
		switch {
		case p.Type != "Pods" && p.Type != "Percent":
			return fmt.Errorf("policies[%d].type %q: want Pods or Percent", i, p.Type)
		case p.Value <= 0:
			return fmt.Errorf("policies[%d].value %d: want above 0", i, p.Value)
		case p.Period <= 0 || p.Period > longestPeriod:
			return fmt.Errorf("policies[%d].periodSeconds %g: want above 0, at most %g", i, p.Period.Seconds(), longestPeriod.Seconds())
		}
	}
	return nil
}

func (h *HPA) hasObjectOrExternal() bool {
	return slices.ContainsFunc(h.metrics, func(m hpaMetric) bool { return m.Type == HPAObject || m.Type == HPAExternal })
}

// Name is "hpa".
func (h *HPA) Name() string { return "hpa" }

// State returns a copy of what h carries over.
func (h *HPA) State() HPAState {
	s := h.state
	s.Recommendations, s.Up, s.Down = slices.Clone(s.Recommendations), slices.Clone(s.Up), slices.Clone(s.Down)
	return s
}

// Restore makes h go on from s, which may come from another process or other options.
func (h *HPA) Restore(s HPAState) {
	s.Recommendations, s.Up, s.Down = slices.Clone(s.Recommendations), slices.Clone(s.Up), slices.Clone(s.Down)
	h.state, h.restored = s, true
}

// Propose evaluates the metrics every SyncPeriod, and repeats its last answer in between, as long as nobody else moves the
// capacity. It abstains when no metric can
// be evaluated, or when some cannot and the others would scale in.
func (h *HPA) Propose(obs *Observation) Proposal {
	due := h.due(obs.Time)
	h.follow(obs)
	if due {
		h.state.Synced, h.state.Evaluated = obs.Time, obs.Desired
		h.state.Last = h.sync(obs)
	}
	p := h.state.Last
	if from, to := h.state.Evaluated, p.Desired; !p.Abstain && (obs.Desired < min(from, to) || obs.Desired > max(from, to)) {
		// Somebody else moved the capacity. What was said of another one does not hold for it.
		p.Desired, p.Why = obs.Desired, "the capacity was changed since the last evaluation: stays until the next"
		if obs.Desired > 0 {
			p.Desired = min(max(obs.Desired, h.min), h.o.MaxReplicas)
		}
	}
	return p
}

// due reports whether an evaluation is due: every SyncPeriod, and when the clock was set back.
func (h *HPA) due(now time.Time) bool {
	since := now.Sub(h.state.Synced)
	return h.state.Synced.IsZero() || since >= h.o.SyncPeriod || now.Before(h.state.Seen)
}

// follow records what came of the last proposal as a scale event. What others did to the capacity is none, as kubectl
// scale is none.
func (h *HPA) follow(obs *Observation) {
	s := &h.state
	if h.restored && !s.Seen.IsZero() && obs.Time.Sub(s.Seen) > max(h.down.window, time.Minute) {
		// Nobody watched for longer than it remembers. Begin as a new one does, which holds what there is.
		s.Recommendations, s.Up, s.Down, s.Current = s.Recommendations[:0], s.Up[:0], s.Down[:0], obs.Desired
	}
	h.restored = false
	if obs.Time.Before(s.Seen) { // the clock was set back: what seems to lie ahead proves nothing
		s.Recommendations, s.Up, s.Down = s.Recommendations[:0], s.Up[:0], s.Down[:0]
	} else if !s.Seen.IsZero() && !s.Last.Abstain {
		switch was, is, asked := s.Current, obs.Desired, s.Last.Desired; {
		case is > was && asked > was:
			s.Up = keepSince(s.Up, obs.Time.Add(-h.up.longest))
			s.Up = append(s.Up, Peak{Time: s.Seen, Desired: min(is, asked) - was})
		case is < was && asked < was:
			s.Down = keepSince(s.Down, obs.Time.Add(-h.down.longest))
			s.Down = append(s.Down, Peak{Time: s.Seen, Desired: was - max(is, asked)})
		}
	}
	if obs.Desired > 0 {
		s.ScaledToZero = false
	} else if s.Current > 0 && s.Last.Desired == 0 && !s.Last.Abstain {
		s.ScaledToZero = h.min == 0
	}
	s.Seen, s.Current = obs.Time, obs.Desired
}

// keepSince forgets what lies before t, in place.
func keepSince(events []Peak, t time.Time) []Peak {
	old := 0
	for old < len(events) && events[old].Time.Before(t) {
		old++
	}
	return slices.Delete(events, 0, old)
}

// sync is one evaluation.
func (h *HPA) sync(obs *Observation) Proposal {
	current := obs.Desired
	p := Proposal{Policy: h.Name(), Desired: current}
	if len(h.state.Recommendations) == 0 {
		h.state.Recommendations = append(h.state.Recommendations, Peak{Time: obs.Time, Desired: current})
	}
	switch {
	case current == 0 && h.min > 0 && !h.state.ScaledToZero:
		p.Why = "disabled, because the capacity was set to 0 and minReplicas is not 0"
		return p
	case current > h.o.MaxReplicas:
		p.Desired, p.Why = h.o.MaxReplicas, "more than maxReplicas"
		return p
	case current > 0 && current < h.min:
		p.Desired, p.Why = h.min, "fewer than minReplicas"
		return p
	}
	var buf [512]byte
	why := words(buf[:0])
	desired, why, ok := h.recommend(obs, why)
	if !ok {
		p.Abstain, p.Why = true, obs.say(why)
		return p
	}
	if h.behaves {
		desired, why = h.behave(obs.Time, current, desired, why)
	} else {
		desired, why = h.normalize(obs.Time, current, desired, why)
	}
	if current == 0 {
		desired = max(desired, h.min)
	}
	p.Desired, p.Why = desired, string(why)
	return p
}

// recommend is the largest that any metric asks for.
func (h *HPA) recommend(obs *Observation, why words) (desired int, _ words, ok bool) {
	leader, invalid, firstInvalid := -1, 0, -1
	var best, bad hpaResult
	for i := range h.metrics {
		r := h.evaluate(obs, &h.metrics[i])
		switch {
		case r.invalid != "":
			if invalid++; firstInvalid < 0 {
				firstInvalid, bad = i, r
			}
		case leader < 0 || r.desired > best.desired:
			leader, best = i, r
		}
	}
	if leader < 0 {
		return 0, h.metrics[firstInvalid].explain(why, &bad), false
	}
	why = h.metrics[leader].explain(why, &best)
	if invalid > 0 {
		why = why.text("; ").int(invalid).text(" of ").int(len(h.metrics)).text(" metrics cannot be evaluated (")
		why = h.metrics[firstInvalid].explain(why, &bad).text(")")
		if best.desired < obs.Desired {
			return 0, why.text(", so no scale-in"), false
		}
	}
	return best.desired, why, true
}
