package app

import (
	"math/rand/v2"
	"time"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/scale"
	"github.com/weirlb/weir/sim"
)

// DefaultPromise is the wait that a replay judges by where no queue policy promises one.
const DefaultPromise = 2 * time.Second

// Simulation is a pool of the config as the simulator runs it: the same options that production gives to the pool, its policies and its fleet.
func Simulation(name string, c *config.Pool) sim.Options {
	o := sim.Options{
		Name: "weir", Pool: poolOptions(c, nil), Slots: slotsOf(c), Drain: time.Duration(c.Drain), Promise: DefaultPromise, Price: 1, Mix: mixOf(c),
		Rest: restOf(c.WarmPool),
	}
	if s := c.Scale; s != nil {
		o.Scale, o.Desired, o.Warm = scaleOptions(name, s), desiredOf(s), warmPool(c)
		for _, p := range s.Policies {
			if p.Queue != nil {
				o.Promise = time.Duration(p.Queue.WaitP95)
			}
			if p.Predict != nil && sim.Forecasts(p.Predict.Measured()) {
				o.Forecast = &sim.Forecast{
					ForecastOptions: forecastOptions(p.Predict),
					LeadOf:          func(boots scale.Sample) time.Duration { return leadOf(p.Predict, boots) },
				}
			}
		}
	} else {
		n := max(len(c.Targets), 1)
		o.Scale.Min, o.Scale.Max, o.Desired = n, n, n
	}
	if t := c.Template; t != nil {
		o.StartTimeout, o.Backoff = time.Duration(t.StartTimeout), backoffOf(t)
	}
	if a := c.Affinity; a != nil {
		o.Switch, o.Keeps = time.Duration(a.SwitchCost), a.Keeps
	}
	return o
}

// Boots draws boots from measured ones; from none at all it takes 10 s.
func Boots(measured []time.Duration) func(*rand.Rand) time.Duration {
	if len(measured) == 0 {
		return func(*rand.Rand) time.Duration { return 10 * time.Second }
	}
	return func(r *rand.Rand) time.Duration { return measured[r.IntN(len(measured))] }
}
