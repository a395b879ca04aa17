package control

import (
	"time"

	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/scale"
)

// observe puts together what a decision may depend on.
func (l *Loop) observe(s pool.Stats, views []fleet.View, now time.Time) scale.Observation {
	if s.Service.Count > 0 {
		l.service = scale.Sample{
			Count: int(s.Service.Count), Mean: s.Service.Mean, SD: s.Service.SD,
			P50: s.Service.P50, P90: s.Service.P90, P99: s.Service.P99,
		}
	}
	obs := scale.Observation{
		Time: now, Desired: l.desired, Slots: l.o.Slots, Service: l.service, Boot: l.o.Fleet.Boots(),
		Metrics: map[string]float64{
			"queue_depth": float64(s.Waiting), "in_flight": float64(s.InFlight),
			"requests_per_second": s.Rate, "arrival_trend": s.Trend, "rate_window": s.RateWindow.Seconds(),
			"oldest_wait": s.OldestWait.Seconds(), "idle_seconds": s.Idle.Seconds(),
		},
		Instances: make([]scale.Instance, 0, len(views)),
	}
	for _, v := range views {
		if v.State == fleet.Stopping || v.State == fleet.Gone {
			continue
		}
		obs.Instances = append(obs.Instances, scale.Instance{
			ID: v.ID, State: string(v.State), Started: v.Launched, Ready: v.Ready, InFlight: v.InFlight,
			Type: v.Type, Market: v.Market, Zone: v.Zone,
			Metrics: l.o.Samples.Of(v.ID, now),
		})
	}
	return obs
}
