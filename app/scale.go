package app

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weirlb/weir/alarm"
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/scale"
)

// scaleOptions makes the options of a pool's decisions. Each call makes new policies, which begin without history.
func scaleOptions(name string, s *config.Scale) scale.Options {
	o := scale.Options{
		Pool: name, Min: s.Min, Max: s.Max, Combine: scale.Combination(s.Combine), ScaleInWindow: time.Duration(s.ScaleInWindow),
		ZeroAfter: time.Duration(s.ZeroAfter), MaxLaunching: s.MaxLaunching,
		MaxOutPerMinute: s.MaxOutPerMinute, MaxInPerMinute: s.MaxInPerMinute,
	}
	o.Budget = budgetOf(s)
	for _, process := range s.Suspend {
		o.Suspended = append(o.Suspended, scale.Process(process))
	}
	for _, p := range s.Policies {
		switch {
		case p.Target != nil:
			o.Policies = append(o.Policies, targetPolicy(p.Target))
		case p.Queue != nil:
			o.Policies = append(o.Policies, scale.Queue{WaitP95: time.Duration(p.Queue.WaitP95), Spare: p.Queue.Spare})
		case p.Step != nil:
			o.Policies = append(o.Policies, stepPolicy(p.Step))
		case p.Simple != nil:
			o.Policies = append(o.Policies, simplePolicy(p.Simple))
		case p.HPA != nil:
			// What may be wrong with it the config has found.
			hpa, _ := scale.NewHPA(p.HPA.Options(s))
			o.Policies = append(o.Policies, hpa)
		case p.KEDA != nil:
			keda, _ := scale.NewKEDA(p.KEDA.Options(s))
			o.Policies = append(o.Policies, keda)
		case p.Knative != nil:
			knative, _ := scale.NewKnative(p.Knative.Options(s))
			o.Policies = append(o.Policies, knative)
		case p.Predict != nil:
			o.Policies = append(o.Policies, scale.NewPredict(p.Predict.Options()))
		case p.Schedule != nil:
			o.Schedule = append(o.Schedule, action(p.Schedule))
		}
	}
	o.OwnTiming = len(o.Policies) > 0
	for _, p := range s.Policies {
		o.OwnTiming = o.OwnTiming && (p.HPA != nil || p.KEDA != nil || p.Knative != nil || p.Schedule != nil || p.Predict != nil)
	}
	return o
}

// metricOf is the name under which an observation has a metric or the value of a query.
func metricOf(metric, query string) string {
	if query != "" {
		return "query:" + query
	}
	return metric
}

func targetPolicy(p *config.TargetPolicy) scale.Policy {
	t := scale.Target{Metric: metricOf(p.Metric, p.Query), Value: p.Value, Total: p.Total, DisableScaleIn: p.DisableScaleIn}
	if p.Style == config.StyleAWS {
		return scale.NewTracking(scale.TrackingOptions{Target: t, LowRatio: p.LowRatio, WarmUp: time.Duration(p.InstanceWarmup)})
	}
	return t
}

func stepPolicy(p *config.StepPolicy) scale.Policy {
	o := scale.StepOptions{
		Name:   cmp.Or(p.Name, p.Alarm),
		Signal: scale.Signal{Metric: metricOf(p.Metric, p.Query), Statistic: alarm.Statistic(p.Statistic), Period: time.Duration(p.Period)},
		Rule:   alarm.Rule{Comparison: alarm.Comparison(p.Comparison), Points: p.Points, Breach: p.Breach, Missing: alarm.Treatment(p.Missing)},
		Type:   scale.AdjustmentType(p.AdjustmentType), Min: p.MinAdjustmentMagnitude, WarmUp: time.Duration(p.InstanceWarmup),
	}
	if p.Threshold != nil {
		o.Rule.Threshold = *p.Threshold
	}
	for _, s := range p.Steps {
		o.Steps = append(o.Steps, scale.Step{Lower: s.Lower, Upper: s.Upper, By: s.Adjustment})
	}
	return scale.NewStep(o)
}

func simplePolicy(p *config.SimplePolicy) scale.Policy {
	o := scale.SimpleOptions{
		Name:   cmp.Or(p.Name, p.Alarm),
		Signal: scale.Signal{Metric: metricOf(p.Metric, p.Query), Statistic: alarm.Statistic(p.Statistic), Period: time.Duration(p.Period)},
		Rule:   alarm.Rule{Comparison: alarm.Comparison(p.Comparison), Points: p.Points, Breach: p.Breach, Missing: alarm.Treatment(p.Missing)},
		Adjustment: scale.Adjustment{
			Type: scale.AdjustmentType(p.AdjustmentType), By: p.Adjustment, Min: p.MinAdjustmentMagnitude,
		},
		Cooldown: time.Duration(p.Cooldown),
	}
	if p.Threshold != nil {
		o.Rule.Threshold = *p.Threshold
	}
	return scale.NewSimple(o)
}

// action makes a scheduled action of one that the config has found to be right.
func action(p *config.SchedulePolicy) *scale.Action {
	zone, err := time.LoadLocation(p.Timezone)
	if err != nil {
		zone = time.UTC
	}
	a := &scale.Action{
		Name: p.Name, At: p.At.In(zone), Start: p.Start.In(zone), End: p.End.In(zone),
		Min: p.Min, Max: p.Max, Desired: p.Desired,
	}
	if p.Cron != "" {
		a.Cron, _ = scale.ParseCron(p.Cron, zone)
	}
	return a
}

func desiredOf(s *config.Scale) int {
	if s.Desired != nil {
		return *s.Desired
	}
	return s.Min
}

// Scaling gives what the decisions of a pool are made by: its options, the slots of one instance, and the capacity to begin with. With
// an empty name it is that of the only pool that scales.
func Scaling(c *config.Config, pool string) (o scale.Options, slots, desired int, err error) {
	var names []string
	for name, p := range c.Pools {
		if p.Scale != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	switch p := c.Pools[pool]; {
	case pool == "" && len(names) == 1:
		pool = names[0]
	case pool == "" && len(names) == 0:
		return o, 0, 0, errors.New("no pool of this config scales; give one a template and scale")
	case pool == "":
		return o, 0, 0, fmt.Errorf("several pools scale; say which with --pool: %s", strings.Join(names, ", "))
	case p == nil:
		return o, 0, 0, fmt.Errorf("there is no pool %q; those that scale are: %s", pool, strings.Join(names, ", "))
	case p.Scale == nil:
		return o, 0, 0, fmt.Errorf("pool %s has fixed targets and does not scale; give it a template and scale", pool)
	}
	p := c.Pools[pool]
	return scaleOptions(pool, p.Scale), p.Concurrency, desiredOf(p.Scale), nil
}
