package config

import (
	"cmp"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/weirlb/weir/scale"
)

// HPAPolicy scales as a HorizontalPodAutoscaler (autoscaling/v2) does. Its
// keys are those of spec, as Kubernetes writes them or in snake_case.
type HPAPolicy struct {
	// Fewest instances. Default: min of the pool, at least 1.
	MinReplicas *int `yaml:"min_replicas" jsonschema:"minimum=0"`
	// Most instances. Default: max of the pool.
	MaxReplicas int `yaml:"max_replicas" jsonschema:"minimum=1"`
	// What is measured; the largest answer counts. Default: 80 percent of the requested cpu.
	Metrics []HPAMetric `yaml:"metrics" jsonschema:"minItems=1" example:"[{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 60}}}]"`
	// How fast it may scale.
	Behavior *HPABehavior `yaml:"behavior"`
	// How far the ratio may be from 1 without scaling. Default: 0.1.
	Tolerance *float64 `yaml:"tolerance" jsonschema:"minimum=0"`
	// Time from one evaluation to the next.
	SyncPeriod Seconds `yaml:"sync_period"`
	// Without behavior: scale in only to the largest recommendation of this time. Default: 300s.
	DownscaleStabilization *Seconds `yaml:"downscale_stabilization"`
	// For how long after its start the cpu of an instance counts only once it is ready. Default: 300s.
	CPUInitializationPeriod *Seconds `yaml:"cpu_initialization_period"`
	// An instance that is unready since this soon after its start was never ready. Default: 30s.
	InitialReadinessDelay *Seconds `yaml:"initial_readiness_delay"`
}

// HPAMetric is one of metrics; beside type it has the key of that type.
type HPAMetric struct {
	// Which of the keys below there is.
	Type string `yaml:"type" jsonschema:"required,enum=Resource,enum=ContainerResource,enum=Pods,enum=Object,enum=External" noun:"a type of metric" example:"Resource"`
	// cpu in cores, memory in bytes, or any metric that instances report.
	Resource *HPASource `yaml:"resource"`
	// The same of one container; its metrics are called container/name.
	ContainerResource *HPASource `yaml:"container_resource"`
	// A metric of each instance, averaged.
	Pods *HPASource `yaml:"pods"`
	// One number of the pool.
	Object *HPASource `yaml:"object"`
	// One number from elsewhere.
	External *HPASource `yaml:"external"`
}

// HPASource says which metric, and where it should be.
type HPASource struct {
	// With resource and container_resource: cpu, memory or the name of a metric.
	Name string `yaml:"name" jsonschema:"minLength=1"`
	// With container_resource: the container.
	Container string `yaml:"container" jsonschema:"minLength=1"`
	// With pods, object and external: the metric.
	Metric *HPAName `yaml:"metric"`
	// What an instance requests of the resource, where it does not say so itself: 2 (cores) or 4Gi.
	Request Quantity `yaml:"request"`
	// Where the metric should be.
	Target HPATarget `yaml:"target" jsonschema:"required" example:"{type: AverageValue, averageValue: 5}"`
}

// HPAName names a metric.
type HPAName struct {
	// Its name.
	Name string `yaml:"name" jsonschema:"minLength=1"`
	// With object and external: PromQL that gives it, instead of its name.
	Query string `yaml:"query" jsonschema:"minLength=1"`
	// Who answers the query: Weir's own history, or the server of metrics.prometheus.
	From string `yaml:"from" jsonschema:"enum=history,enum=prometheus" noun:"a source of queries"`
}

// HPATarget is where a metric should be.
type HPATarget struct {
	// Which of the keys below counts.
	Type string `yaml:"type" jsonschema:"required,enum=Utilization,enum=AverageValue,enum=Value" noun:"a type of target" example:"AverageValue"`
	// Percent of what instances request.
	AverageUtilization int `yaml:"average_utilization" jsonschema:"minimum=1"`
	// Per instance, such as 5, 500m or 1Gi.
	AverageValue Quantity `yaml:"average_value"`
	// As it is, such as 5, 500m or 1Gi.
	Value Quantity `yaml:"value"`
}

// HPABehavior bounds scaling in both directions.
type HPABehavior struct {
	// Out. Default: no window, 4 pods or 100 percent per 15 s.
	ScaleUp *HPARules `yaml:"scale_up"`
	// In. Default: a window of 300 s, 100 percent per 15 s.
	ScaleDown *HPARules `yaml:"scale_down"`
}

// HPARules bound scaling in one direction.
type HPARules struct {
	// Out only to the least, in only to the most that was recommended in this time, 0 to 3600 s.
	StabilizationWindowSeconds *Seconds `yaml:"stabilization_window_seconds"`
	// Which of policies counts: Max, Min or Disabled.
	SelectPolicy string `yaml:"select_policy" jsonschema:"enum=Max,enum=Min,enum=Disabled" noun:"a choice of policies"`
	// How much may change in which time.
	Policies []HPAScalingPolicy `yaml:"policies" jsonschema:"minItems=1" example:"[{type: Percent, value: 100, periodSeconds: 15}]"`
	// How far the ratio may be from 1 without scaling in this direction.
	Tolerance *float64 `yaml:"tolerance" jsonschema:"minimum=0"`
}

// HPAScalingPolicy is how much may change within a period.
type HPAScalingPolicy struct {
	// What value counts.
	Type string `yaml:"type" jsonschema:"required,enum=Pods,enum=Percent" noun:"a type of scaling policy" example:"Percent"`
	// Instances, or percent of those there were when the period began.
	Value int `yaml:"value" jsonschema:"required,minimum=1" example:"100"`
	// The period, up to 1800 s.
	PeriodSeconds Seconds `yaml:"period_seconds" jsonschema:"required" example:"15"`
}

// KEDAPolicy scales as a ScaledObject of KEDA does. Its keys are those of
// spec, as KEDA writes them or in snake_case.
type KEDAPolicy struct {
	// Time from one look at the triggers to the next. Default: 30s.
	PollingInterval Seconds `yaml:"polling_interval"`
	// From the last time a trigger was active to zero. Default: 300s.
	CooldownPeriod *Seconds `yaml:"cooldown_period"`
	// Before the first time that it goes to zero.
	InitialCooldownPeriod Seconds `yaml:"initial_cooldown_period"`
	// Instances while no trigger is active, fewer than min_replica_count.
	IdleReplicaCount *int `yaml:"idle_replica_count" jsonschema:"minimum=0"`
	// Fewest instances while one is. Default: min of the pool.
	MinReplicaCount *int `yaml:"min_replica_count" jsonschema:"minimum=0"`
	// Most instances. Default: max of the pool.
	MaxReplicaCount int `yaml:"max_replica_count" jsonschema:"minimum=1"`
	// What is measured; the largest answer counts.
	Triggers []KEDATrigger `yaml:"triggers" jsonschema:"required,minItems=1" example:"[{type: queue, metadata: {value: 5}}]"`
	// What to do about a trigger that fails.
	Fallback *KEDAFallback `yaml:"fallback"`
	// What the HPA between one and many instances is given.
	Advanced *KEDAAdvanced `yaml:"advanced"`
	// Nothing scales.
	Paused bool `yaml:"paused"`
	// Nothing scales but to this.
	PausedReplicas *int `yaml:"paused_replicas" jsonschema:"minimum=0"`
	// Nothing scales in.
	PausedScaleIn bool `yaml:"paused_scale_in"`
	// Nothing scales out.
	PausedScaleOut bool `yaml:"paused_scale_out"`
	// As if a trigger were active.
	ForceActivation bool `yaml:"force_activation"`
}

// KEDATrigger is something that is measured.
type KEDATrigger struct {
	// prometheus (a query), cron, queue (the pool's requests, waiting and running), metric (of the pool), cpu or memory (of its instances).
	Type string `yaml:"type" jsonschema:"required,enum=prometheus,enum=cron,enum=queue,enum=metric,enum=cpu,enum=memory" noun:"a type of trigger" example:"prometheus"`
	// The parameters of the type.
	Metadata KEDAMetadata `yaml:"metadata" jsonschema:"required" example:"{query: sum(waiting), threshold: 5}"`
	// AverageValue or Value; of cpu and memory Utilization or AverageValue.
	MetricType string `yaml:"metric_type" jsonschema:"enum=AverageValue,enum=Value,enum=Utilization" noun:"a type of metric"`
}

// KEDAMetadata are the parameters of a trigger. Numbers may be in quotes, as
// KEDA has them.
type KEDAMetadata struct {
	// prometheus: PromQL with one value.
	Query string `yaml:"query" jsonschema:"minLength=1"`
	// Who answers the query: Weir's own history, or the server of metrics.prometheus.
	From string `yaml:"from" jsonschema:"enum=history,enum=prometheus" noun:"a source of queries"`
	// metric: its name.
	Metric string `yaml:"metric" jsonschema:"minLength=1"`
	// Desired is value/threshold, rounded up.
	Threshold Quantity `yaml:"threshold"`
	// cpu, memory: where to keep it; queue: requests of each instance.
	Value Quantity `yaml:"value"`
	// The trigger is active when the value is above it.
	ActivationThreshold Quantity `yaml:"activation_threshold"`
	// cpu, memory: what an instance requests of it, where it does not say so itself.
	Request Quantity `yaml:"request"`
	// cron: when it begins, as in "0 8 * * 1-5".
	Start string `yaml:"start" jsonschema:"minLength=1"`
	// cron: when it ends.
	End string `yaml:"end" jsonschema:"minLength=1"`
	// cron: the time zone of both, as in Asia/Kolkata. Default: UTC.
	Timezone string `yaml:"timezone" jsonschema:"minLength=1"`
	// cron: instances from start to end.
	DesiredReplicas Quantity `yaml:"desired_replicas"`
}

// KEDAFallback is what to do about a trigger that failed too often in a row.
type KEDAFallback struct {
	// Failures in a row that are borne.
	FailureThreshold int `yaml:"failure_threshold" jsonschema:"required,minimum=0" example:"3"`
	// Instances then.
	Replicas int `yaml:"replicas" jsonschema:"required,minimum=0" example:"6"`
	// What replicas means.
	Behavior string `yaml:"behavior" jsonschema:"enum=static,enum=currentReplicas,enum=currentReplicasIfHigher,enum=currentReplicasIfLower" noun:"a behavior of fallback"`
}

// KEDAAdvanced is what the HPA is given.
type KEDAAdvanced struct {
	// The HPA's own.
	HorizontalPodAutoscalerConfig KEDAHPAConfig `yaml:"horizontal_pod_autoscaler_config" jsonschema:"required" example:"{behavior: {scaleDown: {stabilizationWindowSeconds: 60}}}"`
}

// KEDAHPAConfig is the HPA's own.
type KEDAHPAConfig struct {
	// How fast it may scale.
	Behavior *HPABehavior `yaml:"behavior"`
}

// kubernetes is a struct whose keys a file may also write as Kubernetes does,
// in camelCase.
type kubernetes interface{ kubernetes() }

func (*HPAPolicy) kubernetes()        {}
func (*HPAMetric) kubernetes()        {}
func (*HPASource) kubernetes()        {}
func (*HPATarget) kubernetes()        {}
func (*HPABehavior) kubernetes()      {}
func (*HPARules) kubernetes()         {}
func (*HPAScalingPolicy) kubernetes() {}
func (*KEDAPolicy) kubernetes()       {}
func (*KEDATrigger) kubernetes()      {}
func (*KEDAMetadata) kubernetes()     {}
func (*KEDAFallback) kubernetes()     {}
func (*KEDAAdvanced) kubernetes()     {}

// snake turns camelCase into snake_case: cpuInitializationPeriod and HTTPPort too.
func snake(s string) string {
	var b strings.Builder
	for i, c := range s {
		if c >= 'A' && c <= 'Z' {
			if i > 0 {
				b.WriteByte('_')
			}
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	return b.String()
}

// camel is the other way round.
func camel(s string) string {
	head, tail, _ := strings.Cut(s, "_")
	for part := range strings.SplitSeq(tail, "_") {
		if part != "" {
			head += strings.ToUpper(part[:1]) + part[1:]
		}
	}
	return head
}

// Quantity is a number that may have a suffix, as in Kubernetes: 500m, 2k or
// 1Gi.
type Quantity float64

var quantitySuffixes = []struct {
	suffix string
	factor float64
}{
	{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"Ti", 1 << 40}, {"Pi", 1 << 50},
	{"m", 1e-3}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12}, {"P", 1e15},
}

func (q *Quantity) parse(text string) error {
	number, factor := text, 1.0
	for _, s := range quantitySuffixes {
		if head, ok := strings.CutSuffix(text, s.suffix); ok {
			number, factor = head, s.factor
			break
		}
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || !(f >= 0) || f*factor > 1e15 {
		return errors.New(`is not a quantity; write a number from 0, such as 5, 0.5, "500m" or "1Gi"`)
	}
	*q = Quantity(f * factor)
	return nil
}

// Seconds is a length of time that a file may write as a bare number of
// seconds, as Kubernetes does.
type Seconds time.Duration

// String formats s as a file would write it.
func (s Seconds) String() string { return Duration(s).String() }

func (s *Seconds) parse(text string) error {
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		*s = Seconds(time.Duration(n) * time.Second)
		return nil
	}
	d, err := parseDuration(text)
	if err != nil {
		return errors.New(`is not a length of time; write seconds, such as 300, or one with a unit such as "5m"`)
	}
	*s = Seconds(d)
	return nil
}

func (s *Seconds) duration() *time.Duration {
	if s == nil {
		return nil
	}
	return new(time.Duration(*s))
}

// Options translates the policy for a pool. What is wrong with it scale.NewHPA
// says.
func (p *HPAPolicy) Options(pool *Scale) scale.HPAOptions {
	o := scale.HPAOptions{
		MinReplicas: p.MinReplicas, MaxReplicas: cmp.Or(p.MaxReplicas, pool.Max), Behavior: p.Behavior.options(),
		SyncPeriod: time.Duration(p.SyncPeriod), Tolerance: p.Tolerance, DownscaleStabilization: p.DownscaleStabilization.duration(),
		CPUInitializationPeriod: p.CPUInitializationPeriod.duration(), InitialReadinessDelay: p.InitialReadinessDelay.duration(),
	}
	if o.MinReplicas == nil {
		o.MinReplicas = new(max(1, pool.Min))
	}
	for _, m := range p.Metrics {
		o.Metrics = append(o.Metrics, m.options())
	}
	return o
}

// sources are the keys of which a metric has one, by its type.
func (m HPAMetric) sources() map[string]*HPASource {
	return map[string]*HPASource{
		scale.HPAResource: m.Resource, scale.HPAContainerResource: m.ContainerResource, scale.HPAPods: m.Pods,
		scale.HPAObject: m.Object, scale.HPAExternal: m.External,
	}
}

func (m HPAMetric) options() scale.HPAMetric {
	o := scale.HPAMetric{Type: m.Type}
	s := m.sources()[m.Type]
	if s == nil {
		return o
	}
	o.Name, o.Container, o.Request = s.Name, s.Container, float64(s.Request)
	if s.Metric != nil {
		o.Name, o.Query = s.Metric.Name, s.Metric.Query
	}
	o.TargetType, o.AverageUtilization = s.Target.Type, s.Target.AverageUtilization
	o.AverageValue, o.Value = float64(s.Target.AverageValue), float64(s.Target.Value)
	return o
}

func (b *HPABehavior) options() *scale.HPABehavior {
	if b == nil {
		return nil
	}
	return &scale.HPABehavior{ScaleUp: b.ScaleUp.options(), ScaleDown: b.ScaleDown.options()}
}

func (r *HPARules) options() (o scale.HPARules) {
	if r == nil {
		return o
	}
	o = scale.HPARules{StabilizationWindow: r.StabilizationWindowSeconds.duration(), SelectPolicy: r.SelectPolicy, Tolerance: r.Tolerance}
	for _, p := range r.Policies {
		o.Policies = append(o.Policies, scale.HPAScalingPolicy{Type: p.Type, Value: p.Value, Period: time.Duration(p.PeriodSeconds)})
	}
	return o
}

// Options translates the policy for a pool. What is wrong with it scale.NewKEDA
// says.
func (p *KEDAPolicy) Options(pool *Scale) scale.KEDAOptions {
	o := scale.KEDAOptions{
		PollingInterval: time.Duration(p.PollingInterval), CooldownPeriod: p.CooldownPeriod.duration(),
		InitialCooldownPeriod: time.Duration(p.InitialCooldownPeriod), IdleReplicaCount: p.IdleReplicaCount,
		MinReplicaCount: pool.Min, MaxReplicaCount: cmp.Or(p.MaxReplicaCount, pool.Max),
		Paused: p.Paused, PausedReplicas: p.PausedReplicas, PausedScaleIn: p.PausedScaleIn, PausedScaleOut: p.PausedScaleOut,
		ForceActivation: p.ForceActivation,
	}
	if p.MinReplicaCount != nil {
		o.MinReplicaCount = *p.MinReplicaCount
	}
	if p.Advanced != nil {
		o.Behavior = p.Advanced.HorizontalPodAutoscalerConfig.Behavior.options()
	}
	if f := p.Fallback; f != nil {
		o.Fallback = &scale.KEDAFallback{FailureThreshold: f.FailureThreshold, Replicas: f.Replicas, Behavior: f.Behavior}
	}
	for _, t := range p.Triggers {
		o.Triggers = append(o.Triggers, t.options())
	}
	return o
}

func (t KEDATrigger) options() scale.KEDATrigger {
	m := t.Metadata
	o := scale.KEDATrigger{
		Type: t.Type, Query: m.Query, Metric: m.Metric, Threshold: float64(cmp.Or(m.Threshold, m.Value)),
		ActivationThreshold: float64(m.ActivationThreshold), MetricType: t.MetricType, Request: float64(m.Request),
		DesiredReplicas: int(m.DesiredReplicas),
	}
	zone, err := time.LoadLocation(m.Timezone)
	if err != nil {
		zone = time.UTC
	}
	if c, err := scale.ParseCron(m.Start, zone); err == nil {
		o.Start = c
	}
	if c, err := scale.ParseCron(m.End, zone); err == nil {
		o.End = c
	}
	return o
}
