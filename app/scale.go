package app

import (
	"time"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/scale"
)

func scaleOptions(name string, s *config.Scale) scale.Options {
	o := scale.Options{
		Pool: name, Min: s.Min, Max: s.Max, ScaleInWindow: time.Duration(s.ScaleInWindow),
		ZeroAfter: time.Duration(s.ZeroAfter), MaxLaunching: s.MaxLaunching,
	}
	for _, p := range s.Policies {
		switch {
		case p.Target != nil:
			o.Policies = append(o.Policies, scale.Target{Metric: p.Target.Metric, Value: p.Target.Value})
		case p.Queue != nil:
			o.Policies = append(o.Policies, scale.Queue{WaitP95: time.Duration(p.Queue.WaitP95)})
		}
	}
	return o
}

func desiredOf(s *config.Scale) int {
	if s.Desired != nil {
		return *s.Desired
	}
	return s.Min
}
