package config

import (
	"errors"
	"strings"
	"time"
)

// Scale is how many instances a pool has.
type Scale struct {
	// Fewest instances. With 0, requests are held until the first one is ready.
	Min int `yaml:"min" jsonschema:"minimum=0"`
	// Most instances.
	Max int `yaml:"max" jsonschema:"required,minimum=1" example:"4"`
	// Instances at the first start, from min to max. Without it, min.
	Desired *int `yaml:"desired" jsonschema:"minimum=0"`
	// Rules that propose a capacity; the largest proposal wins. Default: queue with wait_p95 2s.
	Policies []Policy `yaml:"policies" jsonschema:"minItems=1" example:"[{queue: {wait_p95: 2s}}]"`
	// How several proposals become one: aws, where a policy that asks for nothing now has no vote, or max, as an HPA,
	// where it votes for the capacity there is.
	Combine string `yaml:"combine" jsonschema:"enum=aws,enum=max" noun:"a way to combine"`
	// Scale in only to the highest capacity that was asked for during this window. Default: 60s, or 0 when every policy
	// has a pace of its own (target with style aws, step, simple, hpa, keda, knative).
	ScaleInWindow Duration `yaml:"scale_in_window"`
	// With min 0: how long there must have been no request before the last instance goes.
	ZeroAfter Duration `yaml:"zero_after"`
	// Most instances that may be launching at a time. 0 sets no limit.
	MaxLaunching int `yaml:"max_launching" jsonschema:"minimum=0"`
	// Most instances added in any minute. 0 sets no limit.
	MaxOutPerMinute int `yaml:"max_out_per_minute" jsonschema:"minimum=0"`
	// Most instances taken away in any minute. 0 sets no limit.
	MaxInPerMinute int `yaml:"max_in_per_minute" jsonschema:"minimum=0"`
	// By which rules scale-in chooses who goes, the first that tells two apart deciding: Default, OldestInstance, NewestInstance,
	// OldestLaunchTemplate, ClosestToNextInstanceHour. Without it, the one with the fewest requests in flight goes.
	Termination []string `yaml:"termination" jsonschema:"minItems=1,enum=Default,enum=OldestInstance,enum=NewestInstance,enum=OldestLaunchTemplate,enum=ClosestToNextInstanceHour" noun:"a termination policy" example:"[OldestInstance]"`
	// Protect new instances from scale-in, until weir instance unprotects them.
	Protect bool `yaml:"protect"`
	// What instances are made of, and what they may cost.
	Cost *Cost `yaml:"cost"`
	// What is not to happen for now: launch, terminate, alarm_notification (what policies ask for), scheduled_actions,
	// replace_unhealthy.
	Suspend []string `yaml:"suspend" jsonschema:"minItems=1,enum=launch,enum=terminate,enum=alarm_notification,enum=scheduled_actions,enum=replace_unhealthy" noun:"a process that can be suspended" example:"[terminate]"`
}

// Policy is one rule that proposes a desired capacity: exactly one of its
// keys is set.
type Policy struct {
	// Keep a metric at a value per instance.
	Target *TargetPolicy `yaml:"target"`
	// Keep the wait in the queue short.
	Queue *QueuePolicy `yaml:"queue"`
	// Change the capacity by how far a metric is beyond a threshold.
	Step *StepPolicy `yaml:"step"`
	// Change the capacity when an alarm goes off, then wait for a cooldown.
	Simple *SimplePolicy `yaml:"simple"`
	// Set min, max or the capacity at set times.
	Schedule *SchedulePolicy `yaml:"schedule"`
	// Launch ahead of a forecast.
	Predict *PredictPolicy `yaml:"predict"`
	// As a HorizontalPodAutoscaler of Kubernetes.
	HPA *HPAPolicy `yaml:"hpa"`
	// As a ScaledObject of KEDA.
	KEDA *KEDAPolicy `yaml:"keda"`
	// As the autoscaler of Knative.
	Knative *KnativePolicy `yaml:"knative"`
}

// TargetPolicy proposes the capacity at which Metric would be at Value.
type TargetPolicy struct {
	// What is measured: queue_depth, in_flight and requests_per_second are totals of the pool, any other name is a level, of its
	// instances or of the pool; cpu_utilization is in percent of one core.
	Metric string `yaml:"metric" jsonschema:"minLength=1" example:"in_flight"`
	// PromQL that gives the metric, instead of its name.
	Query string `yaml:"query" jsonschema:"minLength=1" example:"'sum(vllm:num_requests_waiting)'"`
	// Who answers the query: Weir's own history, or the server of metrics.prometheus.
	From string `yaml:"from" jsonschema:"enum=history,enum=prometheus" noun:"a source of queries"`
	// Where to keep it, above 0.
	Value float64 `yaml:"value" jsonschema:"required,exclusiveMinimum=0" example:"4"`
	// The metric is a total that the instances share, not a level of each.
	Total bool `yaml:"total"`
	// fast acts on every observation; aws at the pace of AWS: out after 3 minutes above value, in after 15 below low_ratio of it.
	Style string `yaml:"style" jsonschema:"enum=fast,enum=aws" noun:"a style"`
	// With style aws: scale in below this part of value; 0.9 as ECS has it, 0.7 as EC2.
	LowRatio float64 `yaml:"low_ratio" jsonschema:"exclusiveMinimum=0,maximum=1"`
	// With style aws: how long an instance counts as warming after it became ready.
	InstanceWarmup Duration `yaml:"instance_warmup"`
	// Never ask for less than there is.
	DisableScaleIn bool `yaml:"disable_scale_in"`
}

// QueuePolicy proposes the capacity at which requests wait at most WaitP95,
// 95 of 100 times.
type QueuePolicy struct {
	// 95th percentile of the wait to aim for.
	WaitP95 Duration `yaml:"wait_p95"`
	// Instances more than the load needs, while there is any: for traffic that
	// comes in bursts.
	Spare int `yaml:"spare" jsonschema:"minimum=0"`
}

// StepPolicy changes the capacity by the step in which a metric lies.
type StepPolicy struct {
	// For the record. Default: the metric.
	Name string `yaml:"name" jsonschema:"minLength=1"`
	// The alarm that sets it off, instead of what is below up to missing.
	Alarm string `yaml:"alarm" jsonschema:"minLength=1"`
	// What is measured: a metric of the pool, or else the average of its instances.
	Metric string `yaml:"metric" jsonschema:"minLength=1" example:"cpu_utilization"`
	// PromQL that gives the metric, instead of its name.
	Query string `yaml:"query" jsonschema:"minLength=1"`
	// Who answers the query: Weir's own history, or the server of metrics.prometheus.
	From string `yaml:"from" jsonschema:"enum=history,enum=prometheus" noun:"a source of queries"`
	// What the bounds of steps are relative to.
	Threshold *float64 `yaml:"threshold" example:"50"`
	// How samples become the point of a period.
	Statistic string `yaml:"statistic" jsonschema:"enum=average,enum=maximum,enum=minimum,enum=sum" noun:"a statistic"`
	// Length of one point.
	Period Duration `yaml:"period"`
	// Points that are looked at.
	Points int `yaml:"points" jsonschema:"minimum=1,maximum=1440"`
	// How many of them must be beyond the threshold. Default: all.
	Breach int `yaml:"breach" jsonschema:"minimum=1"`
	// What a missing point counts as.
	Missing string `yaml:"missing" jsonschema:"enum=missing,enum=ignore,enum=breaching,enum=not_breaching" noun:"a treatment of missing points"`
	// What to do at which distance from the threshold.
	Steps []Step `yaml:"steps" jsonschema:"required,minItems=1" example:"[{lower: 0, adjustment: 1}]"`
	// What adjustment is: instances to add, the number to have, or percent of the capacity.
	AdjustmentType string `yaml:"adjustment_type" jsonschema:"enum=change_in_capacity,enum=exact_capacity,enum=percent_change_in_capacity" noun:"an adjustment type"`
	// With percent_change_in_capacity: the least change, in instances.
	MinAdjustmentMagnitude int `yaml:"min_adjustment_magnitude" jsonschema:"minimum=1"`
	// How long an instance counts as warming after it became ready.
	InstanceWarmup Duration `yaml:"instance_warmup"`
	// That of the alarm; empty without one, where the steps tell.
	Comparison string `yaml:"-" json:"-"`
}

// Step is what to do when the metric is that far from the threshold. Above
// the threshold lower is in the step and upper is not; below it the other way
// round.
type Step struct {
	// Where the step begins, relative to the threshold. Default: without end.
	Lower *float64 `yaml:"lower"`
	// Where it ends. Default: without end.
	Upper *float64 `yaml:"upper"`
	// By how much to change the capacity, or with exact_capacity what to make it.
	Adjustment float64 `yaml:"adjustment" jsonschema:"required" example:"1"`
}

// SimplePolicy makes one change when its alarm goes off, and then waits.
type SimplePolicy struct {
	// For the record. Default: the metric.
	Name string `yaml:"name" jsonschema:"minLength=1"`
	// The alarm that sets it off, instead of what is below up to missing.
	Alarm string `yaml:"alarm" jsonschema:"minLength=1"`
	// What is measured: a metric of the pool, or else the average of its instances.
	Metric string `yaml:"metric" jsonschema:"minLength=1" example:"cpu_utilization"`
	// PromQL that gives the metric, instead of its name.
	Query string `yaml:"query" jsonschema:"minLength=1"`
	// Who answers the query: Weir's own history, or the server of metrics.prometheus.
	From string `yaml:"from" jsonschema:"enum=history,enum=prometheus" noun:"a source of queries"`
	// Where the alarm goes off.
	Threshold *float64 `yaml:"threshold" example:"50"`
	// On which side of it.
	Comparison string `yaml:"comparison" jsonschema:"enum=above,enum=at_least,enum=below,enum=at_most" noun:"a comparison"`
	// How samples become the point of a period.
	Statistic string `yaml:"statistic" jsonschema:"enum=average,enum=maximum,enum=minimum,enum=sum" noun:"a statistic"`
	// Length of one point.
	Period Duration `yaml:"period"`
	// Points that are looked at.
	Points int `yaml:"points" jsonschema:"minimum=1,maximum=1440"`
	// How many of them must be beyond the threshold. Default: all.
	Breach int `yaml:"breach" jsonschema:"minimum=1"`
	// What a missing point counts as.
	Missing string `yaml:"missing" jsonschema:"enum=missing,enum=ignore,enum=breaching,enum=not_breaching" noun:"a treatment of missing points"`
	// By how much to change the capacity, or with exact_capacity what to make it.
	Adjustment float64 `yaml:"adjustment" jsonschema:"required" example:"1"`
	// What adjustment is: instances to add, the number to have, or percent of the capacity.
	AdjustmentType string `yaml:"adjustment_type" jsonschema:"enum=change_in_capacity,enum=exact_capacity,enum=percent_change_in_capacity" noun:"an adjustment type"`
	// With percent_change_in_capacity: the least change, in instances.
	MinAdjustmentMagnitude int `yaml:"min_adjustment_magnitude" jsonschema:"minimum=1"`
	// After a change is complete, nothing for this long.
	Cooldown Duration `yaml:"cooldown"`
}

// SchedulePolicy is an action at set times.
type SchedulePolicy struct {
	// For the record. Default: its times.
	Name string `yaml:"name" jsonschema:"minLength=1"`
	// When it repeats: minute, hour, day of the month, month and day of the week, as in "0 9 * * 1-5".
	Cron string `yaml:"cron" jsonschema:"minLength=1" example:"'0 9 * * 1-5'"`
	// The one time, instead of cron: 2026-12-24T08:00 in the time zone, or with an offset of its own.
	At Time `yaml:"at"`
	// Time zone, as in Asia/Kolkata; cron follows its daylight saving.
	Timezone string `yaml:"timezone" jsonschema:"minLength=1"`
	// With cron: not before this time.
	Start Time `yaml:"start"`
	// With cron: not from this time on.
	End Time `yaml:"end"`
	// Fewest instances from then on.
	Min *int `yaml:"min" jsonschema:"minimum=0"`
	// Most instances from then on.
	Max *int `yaml:"max" jsonschema:"minimum=0"`
	// Instances at that moment; the policies go on from it.
	Desired *int `yaml:"desired" jsonschema:"minimum=0"`
}

// Time is a moment. A file writes it as in "2026-12-24T08:00:00Z", or without
// the offset for the time zone that stands beside it.
type Time string

// timePattern is the form of a Time, for the schema.
const timePattern = `^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?$`

// In gives the moment, in the zone where t names none. The zero Time is the
// zero time.
func (t Time) In(zone *time.Location) time.Time {
	at, _ := parseTime(string(t), zone)
	return at
}

func parseTime(text string, zone *time.Location) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	text = strings.Replace(text, " ", "T", 1)
	for _, layout := range []string{"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04"} {
		if at, err := time.ParseInLocation(layout, text, zone); err == nil {
			return at, nil
		}
	}
	return time.Time{}, errors.New(`is not a time; write one such as "2026-12-24T08:00" or "2026-12-24T08:00:00Z"`)
}

func (t *Time) parse(text string) error {
	_, err := parseTime(text, time.UTC)
	if err == nil {
		*t = Time(text)
	}
	return err
}

// completeScale fills in what depends on the kinds of the policies.
func completeScale(r *report, path string, s *Scale) {
	if !r.has(child(path, "scale_in_window")) && s.OwnPace() {
		s.ScaleInWindow = 0
	}
	for i := range s.Policies {
		if p := s.Policies[i].Step; p != nil && p.Breach == 0 {
			p.Breach = p.Points
		}
		if p := s.Policies[i].Simple; p != nil && p.Breach == 0 {
			p.Breach = p.Points
		}
	}
}

// OwnPace reports whether every policy that asks for a capacity has a pace of
// its own, so that a window on top of it would change what it means.
func (s *Scale) OwnPace() bool {
	paced := false
	for _, p := range s.Policies {
		switch {
		case p.Schedule != nil, p.Predict != nil:
		case p.Step != nil, p.Simple != nil, p.HPA != nil, p.KEDA != nil, p.Knative != nil, p.Target != nil && p.Target.Style == StyleAWS:
			paced = true
		default:
			return false
		}
	}
	return paced
}
