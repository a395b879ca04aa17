package config

import (
	"time"

	"github.com/weirlb/weir/scale"
)

// KnativePolicy decides as the autoscaler of Knative does. Its minScale and
// maxScale are min and max of the pool.
type KnativePolicy struct {
	// concurrency: requests waiting and running; rps: arrivals per second.
	Metric string `yaml:"metric" jsonschema:"enum=concurrency,enum=rps" noun:"a metric of Knative"`
	// Of it, per instance. Default: concurrency of the pool, or 100 without one; 200 for rps.
	Target float64 `yaml:"target" jsonschema:"exclusiveMinimum=0"`
	// Of target, what to aim for.
	TargetUtilization float64 `yaml:"target_utilization" jsonschema:"exclusiveMinimum=0,maximum=1"`
	// What the metric is averaged over, 6s to 1h.
	StableWindow Duration `yaml:"stable_window"`
	// Of the stable window, what a burst is seen in.
	PanicWindowPercentage float64 `yaml:"panic_window_percentage" jsonschema:"minimum=1,maximum=100"`
	// Of what the ready instances are for, what makes it panic.
	PanicThresholdPercentage float64 `yaml:"panic_threshold_percentage" jsonschema:"minimum=110,maximum=1000"`
	// Times the ready instances, at a time.
	MaxScaleUpRate float64 `yaml:"max_scale_up_rate" jsonschema:"exclusiveMinimum=1"`
	// Part of the ready instances, at a time: 2 is half.
	MaxScaleDownRate float64 `yaml:"max_scale_down_rate" jsonschema:"exclusiveMinimum=1"`
	// Scale in only to the most of this time, up to 1h.
	ScaleDownDelay Duration `yaml:"scale_down_delay"`
	// Fewest instances as long as there are any.
	ActivationScale int `yaml:"activation_scale" jsonschema:"minimum=0"`
	// From idle to zero.
	ScaleToZeroGracePeriod Duration `yaml:"scale_to_zero_grace_period"`
	// The same, when that is longer.
	ScaleToZeroPodRetentionPeriod Duration `yaml:"scale_to_zero_pod_retention_period"`
}

// DefaultKnativePolicy is `knative: {}`.
func DefaultKnativePolicy() KnativePolicy {
	return KnativePolicy{
		Metric: scale.KnativeConcurrency, TargetUtilization: 0.7, StableWindow: seconds(60), PanicWindowPercentage: 10, PanicThresholdPercentage: 200,
		MaxScaleUpRate: 1000, MaxScaleDownRate: 2, ScaleToZeroGracePeriod: seconds(30),
	}
}

func (k *KnativePolicy) setDefaults() { *k = DefaultKnativePolicy() }

// Options translates the policy for a pool.
func (k *KnativePolicy) Options(pool *Scale) scale.KnativeOptions {
	return scale.KnativeOptions{
		Metric: k.Metric, Target: k.Target, TargetUtilization: k.TargetUtilization, StableWindow: time.Duration(k.StableWindow),
		PanicWindowPercentage: k.PanicWindowPercentage, PanicThresholdPercentage: k.PanicThresholdPercentage,
		MaxScaleUpRate: k.MaxScaleUpRate, MaxScaleDownRate: k.MaxScaleDownRate, ScaleDownDelay: time.Duration(k.ScaleDownDelay),
		ActivationScale: k.ActivationScale, MinScale: pool.Min, MaxScale: pool.Max,
		ScaleToZeroGracePeriod: time.Duration(k.ScaleToZeroGracePeriod), ScaleToZeroPodRetentionPeriod: time.Duration(k.ScaleToZeroPodRetentionPeriod),
	}
}

func (v checker) knativePolicy(path string, k *KnativePolicy) {
	if w := k.StableWindow; w < seconds(6) || w > Duration(time.Hour) {
		v.fail(child(path, "stable_window"), "%s is not from 6s to 1h; write for example \"60s\"", w)
	}
	if d := k.ScaleDownDelay; d > Duration(time.Hour) {
		v.fail(child(path, "scale_down_delay"), "%s is more than 1h; write less", d)
	}
	if at := child(path, "scale_to_zero_grace_period"); v.has(at) {
		v.positive(at, int64(k.ScaleToZeroGracePeriod), "30s")
	}
	if at := child(path, "target"); v.has(at) && k.Target < 0.01 {
		v.fail(at, "%g is less than 0.01; write more", k.Target)
	}
}
