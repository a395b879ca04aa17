package control

import (
	"slices"
	"time"

	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/fleet/plan"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/scale"
)

// carryOut turns the desired capacity into the fleet's next moves.
func (l *Loop) carryOut(s pool.Load, views []fleet.View, now time.Time) {
	notBefore, why := l.o.Fleet.Blocked()
	if now.Before(notBefore) {
		if why != l.blocked {
			l.blocked = why
			l.o.Log.Warn("launches are put off after a failed one", "pool", l.o.Pool.Name, "for", notBefore.Sub(now).Round(time.Millisecond), "why", why)
		}
	} else {
		l.blocked = ""
	}
	in := plan.Input{Now: now, Desired: l.desired, Waiting: s.Waiting, MaxLaunching: l.o.Scale.MaxLaunching, Backoff: notBefore}
	grace := l.grace(l.boots)
	coming := 0
	in.Instances = slices.Grow(l.planned[:0], len(views))
	for _, v := range views {
		if v.State == fleet.Unhealthy && l.o.Scale.Suspends(scale.ReplaceUnhealthy) {
			v.State = fleet.Ready // it stays as it is
		}
		in.Instances = append(in.Instances, plan.Instance{
			ID: v.ID, State: string(v.State), Started: v.Launched, Since: v.Since, InFlight: v.InFlight, Healthy: v.State != fleet.Unhealthy,
			Version: v.Version, Spare: v.Spare, Protected: v.Protected, Placement: v.Placement, Begun: v.Begun, Born: v.Born, Notice: v.Notice,
		})
		if v.State == fleet.Unhealthy && len(l.o.Remedies.Rules) > 0 {
			l.treat(&in.Instances[len(in.Instances)-1], &v, grace, now)
		}
		if !v.Spare && (v.State == fleet.Pending || v.State == fleet.Starting || v.State == fleet.Warming || v.State == fleet.Warm) {
			coming++
		}
	}
	l.planned = in.Instances
	l.cured(views, now)
	if l.o.Mix != nil {
		in.Mix = l.o.Mix
		if f, ok := l.o.Fleet.(interface{ Refused() *plan.Refusals }); ok {
			in.Refused = f.Refused()
		}
		if f, ok := l.o.Fleet.(interface {
			Offers() map[plan.Placement]plan.Offer
		}); ok && l.o.Mix.Capacity() {
			in.Offers = f.Offers()
		}
	}
	l.refreshing(&in, views)
	in.Warm, in.Termination = l.warm(), l.o.Termination
	l.living(&in)
	in.DrainNeed = drainNeed(l.service)
	actions := l.allowed(l.planner.Plan(in))
	for _, a := range actions {
		switch a := a.(type) {
		case plan.Launch:
			coming += a.N
		case plan.Wake:
			coming++
		}
	}
	l.o.Pool.Expect(coming, now)
	for _, a := range actions {
		if err := l.act(a); err != nil {
			l.o.Log.Warn("a step of the plan came too late", "pool", l.o.Pool.Name, "error", err)
		}
	}
}

// allowed leaves out what is suspended.
func (l *Loop) allowed(actions []plan.Action) []plan.Action {
	if len(l.o.Scale.Suspended) == 0 {
		return actions
	}
	return slices.DeleteFunc(actions, func(a plan.Action) bool {
		switch a.(type) {
		case plan.Launch, plan.Prepare:
			return l.o.Scale.Suspends(scale.Launch)
		case plan.Drain, plan.Stop, plan.Park:
			return l.o.Scale.Suspends(scale.Terminate)
		}
		return false
	})
}

func (l *Loop) act(a plan.Action) error {
	switch a := a.(type) {
	case plan.Launch:
		l.o.Fleet.Launch(a.N, a.As)
	case plan.Prepare:
		l.o.Reserve.Prepare(a.N, a.As)
	case plan.Wake:
		return l.o.Reserve.Wake(a.ID, a.Why)
	case plan.Park:
		return l.o.Reserve.Park(a.ID, a.Why)
	case plan.Undrain:
		return l.o.Fleet.Keep(a.ID, a.Why)
	case plan.Drain:
		return l.o.Fleet.Drain(a.ID, a.Why)
	case plan.Stop:
		return l.o.Fleet.Stop(a.ID, a.Why)
	}
	return nil
}
