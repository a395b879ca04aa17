package scale

import (
	"strings"
	"time"
)

// kube makes the policy of a line in a scenario, bounded by min and max of the options:
//
//	policy hpa metric=in_flight average=4 | metric=in_flight value=4 | cpu=60, percent of one core
//	           up=2/60s down=50%/60s: scaling policies of behavior; up_window=30s down_window=60s: its stabilization windows
//	policy keda queue=4 cooldown=120s polling=30s fallback=3:6, failures and replicas
//	policy knative target=4 window=60s
func (s *scenario) kube(name string, o map[string]string) (p Policy) {
	var err error
	switch name {
	case "hpa":
		p, err = NewHPA(s.hpa(o))
	case "keda":
		k := KEDAOptions{MinReplicaCount: s.options.Min, MaxReplicaCount: s.options.Max, PollingInterval: s.span(o["polling"]), Triggers: []KEDATrigger{{Type: KEDAQueue, Threshold: s.float(o["queue"])}}}
		if o["cooldown"] != "" {
			k.CooldownPeriod = new(s.span(o["cooldown"]))
		}
		if failures, replicas, ok := strings.Cut(o["fallback"], ":"); ok {
			k.Fallback = &KEDAFallback{FailureThreshold: s.int(failures), Replicas: s.int(replicas)}
		}
		p, err = NewKEDA(k)
	case "knative":
		p, err = NewKnative(KnativeOptions{Target: s.float(o["target"]), StableWindow: s.span(o["window"]), MinScale: s.options.Min, MaxScale: s.options.Max})
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

func (s *scenario) hpa(o map[string]string) HPAOptions {
	h := HPAOptions{MinReplicas: new(s.options.Min), MaxReplicas: s.options.Max}
	switch {
	case o["cpu"] != "":
		h.Metrics = []HPAMetric{{Type: HPAResource, Name: "cpu", TargetType: HPAUtilization, AverageUtilization: s.int(o["cpu"]), Request: 1}}
	case o["average"] != "":
		h.Metrics = []HPAMetric{{Type: HPAExternal, Name: o["metric"], TargetType: HPAAverageValue, AverageValue: s.float(o["average"])}}
	default:
		h.Metrics = []HPAMetric{{Type: HPAExternal, Name: o["metric"], TargetType: HPAValue, Value: s.float(o["value"])}}
	}
	rules := func(policy, window string) (r HPARules) {
		if value, period, ok := strings.Cut(policy, "/"); ok {
			kind := "Pods"
			if percent, ok := strings.CutSuffix(value, "%"); ok {
				kind, value = "Percent", percent
			}
			r.Policies = []HPAScalingPolicy{{kind, s.int(value), s.span(period)}}
		}
		if window != "" {
			r.StabilizationWindow = new(time.Duration(s.span(window)))
		}
		return r
	}
	if o["up"]+o["down"]+o["up_window"]+o["down_window"] != "" {
		h.Behavior = &HPABehavior{ScaleUp: rules(o["up"], o["up_window"]), ScaleDown: rules(o["down"], o["down_window"])}
	}
	return h
}
