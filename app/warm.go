package app

import (
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/fleet/plan"
)

func restOf(w *config.WarmPool) fleet.Rest {
	if w == nil {
		return fleet.RestStopped
	}
	return fleet.Rest(w.State)
}

func warmPool(c *config.Pool) plan.WarmPool {
	w := c.WarmPool
	if w == nil {
		return plan.WarmPool{}
	}
	o := plan.WarmPool{On: true, Min: w.Min, Most: c.Scale.Max, Reuse: w.Reuse}
	if w.MaxPrepared != nil {
		o.Most = *w.MaxPrepared
	}
	return o
}
