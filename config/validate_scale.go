package config

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // time zones are the same on every machine

	"github.com/weirlb/weir/scale"
)

func (v checker) scale(path string, p *Pool) {
	s := p.Scale
	if s.Min > s.Max && v.has(child(path, "max")) {
		v.fail(v.mentioned(child(path, "min"), child(path, "max")), "min %d is more than max %d; lower min or raise max", s.Min, s.Max)
	}
	if d := s.Desired; d != nil && s.Min <= s.Max && (*d < s.Min || *d > s.Max) {
		v.fail(child(path, "desired"), "%d is outside min and max; write %d to %d", *d, s.Min, s.Max)
	}
	if p.FailOpen > s.Max && v.has(child(path, "max")) {
		v.fail(child(parent(path), "fail_open"), "%d healthy targets can never be reached with max %d; write %d or less", p.FailOpen, s.Max, s.Max)
	}
	if s.Min > 0 && v.has(child(path, "zero_after")) {
		v.warn(child(path, "zero_after"), "has no effect with min %d; write min: 0 to let the last instance go", s.Min)
	}
	v.cost(child(path, "cost"), s.Cost, p)
	waits := len(s.Policies) > 0
	for i, policy := range s.Policies {
		waits = v.policy(item(child(path, "policies"), i), policy, p) && waits
	}
	if waits && p.Concurrency == 0 && s.Max > s.Min && p.Template != nil {
		v.warn(v.mentioned(child(path, "policies"), path), "with concurrency 0 requests wait only while no instance is ready, so these policies never ask for more than one; set concurrency to what an instance can do at a time")
	}
}

// policyKeys are the kinds of policies.
func policyKeys() (keys []string) {
	for _, f := range fields(reflect.TypeFor[Policy]()) {
		keys = append(keys, f.name)
	}
	return keys
}

// policy checks one policy and reports whether it looks at waiting requests
// alone.
func (v checker) policy(path string, one Policy, p *Pool) (waits bool) {
	var given []string
	for _, key := range policyKeys() {
		if v.has(child(path, key)) {
			given = append(given, key)
		}
	}
	switch {
	case len(given) > 1:
		v.fail(path, "has both %s and %s; write each as an item of its own", given[0], given[1])
	case len(given) == 0 && v.has(path) && !v.failed(path) && !v.failedBelow(path):
		v.fail(path, "says nothing; write {queue: {wait_p95: 2s}} or {target: {metric: in_flight, value: 4}}")
	}
	switch {
	case one.Queue != nil:
		v.positive(child(child(path, "queue"), "wait_p95"), int64(one.Queue.WaitP95), "2s")
		return true
	case one.Target != nil:
		v.targetPolicy(child(path, "target"), one.Target)
		if one.Target.Metric == MetricCPUUtilization && p.Template == nil {
			v.fail(child(child(path, "target"), "metric"), "cpu_utilization is measured on instances, and this pool has fixed targets; add a template, or write in_flight")
		}
		return one.Target.Metric == MetricQueueDepth
	case one.Step != nil:
		v.stepPolicy(child(path, "step"), one.Step)
	case one.Simple != nil:
		v.simplePolicy(child(path, "simple"), one.Simple)
	case one.HPA != nil:
		v.hpaPolicy(child(path, "hpa"), one.HPA, p.Scale)
	case one.Knative != nil:
		v.knativePolicy(child(path, "knative"), one.Knative)
	case one.Predict != nil:
		v.predictPolicy(child(path, "predict"), one.Predict, p.Scale)
		return true
	case one.KEDA != nil:
		v.kedaPolicy(child(path, "keda"), one.KEDA, p.Scale)
	case one.Schedule != nil:
		v.schedulePolicy(child(path, "schedule"), one.Schedule, p.Scale)
		return true
	}
	return false
}

// knownMetrics are those that every pool has, for whoever slips on a key of one.
var knownMetrics = []string{
	MetricQueueDepth, MetricInFlight, MetricRequestsPerSecond, MetricCPUUtilization,
	"machine_cpu_utilization", "memory_bytes", "memory_utilization", "gpu_utilization", "gpu_memory_bytes", "gpu_memory_utilization",
	"waiting", "running", "kv_cache_utilization", "latency", "wait",
}

// source checks that exactly one of the keys says what is measured.
func (v checker) source(path, metric, example string, others ...string) {
	given := ""
	for _, key := range append([]string{"metric", "query"}, others...) {
		switch at := child(path, key); {
		case v.has(at) && given == "":
			given = key
		case v.has(at):
			v.fail(at, "is given beside %s; keep one of them", given)
		}
	}
	if given == "" && v.has(path) && !v.failed(path) {
		v.fail(path, "has no \"metric\"; add it, as in %s", example)
	}
	if at := child(path, "metric"); metric != "" && !isMetric(metric) {
		v.fail(at, "%q cannot name a metric; a name has letters, digits, \"_\", \":\", \".\" and \"-\", and PromQL goes under query", shorten(metric))
	} else if !slices.Contains(knownMetrics, metric) && nearest(metric, knownMetrics) != "" && len(metric) > 2 {
		v.warn(at, "nothing measures %q unless you do; %s", metric, didYouMean(metric, knownMetrics))
	}
}

// isMetric reports whether s can be the name of a metric.
func isMetric(s string) bool {
	return s != "" && len(s) <= 200 && !strings.ContainsFunc(s, func(c rune) bool {
		return c > 0x7f || !isName(string(c)) && c != ':' && c != '.'
	})
}

func (v checker) targetPolicy(path string, t *TargetPolicy) {
	v.source(path, t.Metric, "metric: in_flight")
	if t.Style == StyleFast {
		for _, key := range []string{"low_ratio", "instance_warmup"} {
			if at := child(path, key); v.has(at) {
				v.fail(at, "belongs to style aws; write style: aws beside it, or remove it")
			}
		}
	}
}

func (v checker) stepPolicy(path string, s *StepPolicy) {
	v.source(path, s.Metric, "metric: cpu_utilization", "alarm")
	v.alarmed(path, s.Alarm, s.Threshold, s.Period, s.Points, s.Breach)
	if len(s.Steps) == 0 || v.failedBelow(child(path, "steps")) {
		return
	}
	steps := make([]scale.Step, len(s.Steps))
	for i, one := range s.Steps {
		steps[i] = scale.Step{Lower: one.Lower, Upper: one.Upper, By: one.Adjustment}
		v.adjustment(child(item(child(path, "steps"), i), "adjustment"), s.AdjustmentType, one.Adjustment)
	}
	if i, err := scale.CheckSteps(steps); err != nil {
		v.fail(item(child(path, "steps"), i), "%v", err)
	}
	v.magnitude(path, s.AdjustmentType)
}

func (v checker) simplePolicy(path string, s *SimplePolicy) {
	v.source(path, s.Metric, "metric: cpu_utilization", "alarm")
	v.alarmed(path, s.Alarm, s.Threshold, s.Period, s.Points, s.Breach)
	if at := child(path, "comparison"); s.Alarm != "" && v.has(at) {
		v.fail(at, "is what the alarm says already; remove it here")
	}
	v.adjustment(child(path, "adjustment"), s.AdjustmentType, s.Adjustment)
	v.magnitude(path, s.AdjustmentType)
}

// alarmed checks the alarm that a policy has of its own, or that it names one.
func (v checker) alarmed(path, name string, threshold *float64, period Duration, points, breach int) {
	if name != "" {
		for _, key := range []string{"threshold", "statistic", "period", "points", "breach", "missing"} {
			if at := child(path, key); v.has(at) {
				v.fail(at, "is what the alarm says already; remove it here")
			}
		}
		return
	}
	if threshold == nil && v.has(path) && !v.failed(path) && !v.failed(child(path, "threshold")) {
		v.fail(path, "has no \"threshold\"; add it, as in threshold: 50")
	}
	v.points(path, period, points, breach)
}

// points checks M of N.
func (v checker) points(path string, period Duration, points, breach int) {
	if at := child(path, "period"); v.has(at) && period < seconds(1) {
		v.fail(at, "%s is shorter than Weir looks; write \"1s\" or more", period)
	}
	if at := child(path, "breach"); breach > points {
		v.fail(at, "%d of %d points can never be; write %d or less, or raise points", breach, points, points)
	}
}

// adjustment checks that instances are whole.
func (v checker) adjustment(path, kind string, by float64) {
	switch {
	case kind != "percent_change_in_capacity" && by != math.Trunc(by):
		v.fail(path, "%g is no whole number of instances; write one, or adjustment_type: percent_change_in_capacity", by)
	case kind == "exact_capacity" && by < 0:
		v.fail(path, "%g instances cannot be; write 0 or more", by)
	case math.Abs(by) > 1e6:
		v.fail(path, "%g is more than any pool has; write a smaller number", by)
	}
}

func (v checker) magnitude(path, kind string) {
	if at := child(path, "min_adjustment_magnitude"); v.has(at) && kind != "percent_change_in_capacity" {
		v.fail(at, "bounds a percentage; write adjustment_type: percent_change_in_capacity, or remove it")
	}
}

func (v checker) schedulePolicy(path string, s *SchedulePolicy, in *Scale) {
	zone, err := time.LoadLocation(s.Timezone)
	if err != nil || s.Timezone == "Local" {
		v.fail(child(path, "timezone"), "%q is not a time zone; write one of the IANA database, such as \"Europe/Berlin\" or \"UTC\"", shorten(s.Timezone))
		zone = time.UTC
	}
	cron, at := child(path, "cron"), child(path, "at")
	switch {
	case v.has(cron) && v.has(at):
		v.fail(at, "is given beside cron; keep one of them")
	case !v.has(cron) && !v.has(at) && v.has(path) && !v.failed(path):
		v.fail(path, "does not say when; write for example cron: \"0 9 * * 1-5\"")
	case s.Cron != "":
		if _, err := scale.ParseCron(s.Cron, zone); err != nil {
			v.fail(cron, "%q %v", shorten(s.Cron), err)
		}
	}
	for _, key := range []string{"start", "end"} {
		if v.has(child(path, key)) && v.has(at) {
			v.fail(child(path, key), "bounds what repeats; remove it, or write cron instead of at")
		}
	}
	if s.Start != "" && s.End != "" && !s.Start.In(zone).Before(s.End.In(zone)) {
		v.fail(child(path, "end"), "%s is not after start; write a later time", s.End)
	}
	if s.Min == nil && s.Max == nil && s.Desired == nil && v.has(path) && !v.failed(path) && !v.failedBelow(path) {
		v.fail(path, "sets nothing; write min, max or desired")
	}
	if s.Min != nil && s.Max != nil && *s.Min > *s.Max {
		v.fail(child(path, "min"), "min %d is more than max %d; lower min or raise max", *s.Min, *s.Max)
	}
	if s.Min != nil && s.Max == nil && *s.Min > in.Max && in.Max > 0 {
		v.warn(child(path, "min"), "min %d is more than the pool's max %d and raises that too while it holds; write max beside it to say so", *s.Min, in.Max)
	}
}

// failedBelow reports whether an error was found inside path.
func (v checker) failedBelow(path string) bool {
	return slices.ContainsFunc(v.errs, func(e Error) bool { return strings.HasPrefix(e.Path, path+".") })
}

// parent is path without its last key.
func parent(path string) string { return path[:max(strings.LastIndexByte(path, '.'), 0)] }
