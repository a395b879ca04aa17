package control

import (
	"time"

	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/measure"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/scale"
)

// observe puts together in obs, whose memory is used again, what a decision may depend on.
func (l *Loop) observe(obs *scale.Observation, s pool.Load, views []fleet.View, now time.Time) {
	if s.Service.Count > 0 {
		l.service = scale.Sample{
			Count: int(s.Service.Count), Mean: s.Service.Mean, SD: s.Service.SD,
			P50: s.Service.P50, P90: s.Service.P90, P99: s.Service.P99,
		}
	}
	instances, metrics := obs.Instances, obs.Metrics
	if metrics == nil {
		metrics = map[string]float64{}
	}
	clear(metrics)
	l.o.Asker.Into(metrics, l.o.Pool.Name, now)
	l.o.Samples.Into(metrics, measure.PoolKey(l.o.Pool.Name), now)
	metrics[scale.QueueDepth] = float64(s.Waiting)
	metrics[scale.InFlight] = float64(s.InFlight)
	metrics[scale.RequestsPerSecond] = s.Rate
	metrics[scale.ArrivalTrend] = s.Trend
	metrics[scale.RateWindow] = s.RateWindow.Seconds()
	metrics[scale.OldestWait] = s.OldestWait.Seconds()
	metrics[scale.IdleSeconds] = s.Idle.Seconds()
	l.boots = l.o.Fleet.Boots()
	*obs = scale.Observation{
		Time: now, Desired: l.desired, Slots: l.o.Slots, Service: l.service, Boot: l.boots,
		Metrics: metrics, Instances: l.instances(instances[:0], views, now), Budget: l.budget,
	}
	l.prepared(obs, views)
	if l.o.Forecast != nil {
		obs.Forecast = l.o.Forecast(now)
	}
}

// instances appends those that a policy is to see.
func (l *Loop) instances(to []scale.Instance, views []fleet.View, now time.Time) []scale.Instance {
	for i := range views {
		v := &views[i]
		if v.State == fleet.Stopping || v.State == fleet.Gone || v.Spare {
			continue // what is in the warm pool is no capacity yet
		}
		state := v.State
		if state == fleet.Warm {
			state = fleet.Starting // it was woken a moment ago
		}
		var metrics map[string]float64 // of whoever was here before
		if n := len(to); n < cap(to) {
			metrics = to[:n+1][n].Metrics
		}
		to = append(to, scale.Instance{
			ID: v.ID, State: string(state), Started: v.Launched, Ready: v.Ready, InFlight: v.InFlight,
			Woken: v.Woken, Type: v.Type, Market: v.Market, Zone: v.Zone,
			Metrics: l.o.Samples.Of(v.ID, now, metrics),
		})
	}
	return to
}
