package config

import (
	"slices"
	"strings"
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
	waits := true
	for i, policy := range s.Policies {
		waits = v.policy(item(child(path, "policies"), i), policy, p) && waits
	}
	if waits && p.Concurrency == 0 && s.Max > s.Min && p.Template != nil {
		v.warn(v.mentioned(child(path, "policies"), path), "with concurrency 0 requests wait only while no instance is ready, so these policies never ask for more than one; set concurrency to what an instance can do at a time")
	}
}

// policy checks one policy and reports whether it looks at waiting requests
// alone.
func (v checker) policy(path string, one Policy, p *Pool) (waits bool) {
	target, queue := child(path, "target"), child(path, "queue")
	switch {
	case v.has(target) && v.has(queue):
		v.fail(path, "has both target and queue; write each as an item of its own")
	case !v.has(target) && !v.has(queue) && v.has(path) && !v.failed(path) && !v.failedBelow(path):
		v.fail(path, "says nothing; write {queue: {wait_p95: 2s}} or {target: {metric: in_flight, value: 4}}")
	}
	if q := one.Queue; q != nil {
		v.positive(child(queue, "wait_p95"), int64(q.WaitP95), "2s")
		return true
	}
	if t := one.Target; t != nil {
		if t.Metric == MetricCPUUtilization && p.Template == nil {
			v.fail(child(target, "metric"), "cpu_utilization is measured on instances, and this pool has fixed targets; add a template, or write in_flight")
		}
		return t.Metric == MetricQueueDepth
	}
	return false
}

// failedBelow reports whether an error was found inside path.
func (v checker) failedBelow(path string) bool {
	return slices.ContainsFunc(v.errs, func(e Error) bool { return strings.HasPrefix(e.Path, path+".") })
}

// parent is path without its last key.
func parent(path string) string { return path[:max(strings.LastIndexByte(path, '.'), 0)] }
