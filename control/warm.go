package control

import (
	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/fleet/plan"
	"github.com/weirlb/weir/scale"
)

// Reserve is what a warm pool needs of a fleet beside what a Loop does.
type Reserve interface {
	Prepare(n int, as plan.Placement)
	Wake(id, why string) error
	Park(id, why string) error
	Wakes() scale.Sample // measured, from waking until ready, in seconds
}

// KeepWarm changes the warm pool that is kept.
func (l *Loop) KeepWarm(w plan.WarmPool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.o.Warm = w
}

// warm gives the plan its warm pool: of the version that new instances are launched from, so that a woken one is like a new one.
func (l *Loop) warm() plan.WarmPool {
	if l.o.Reserve == nil {
		return plan.WarmPool{}
	}
	w := l.o.Warm
	if l.o.Versions != nil {
		w.Version = l.o.Versions.Version()
	}
	return w
}

// prepared tells the policies what the warm pool could give.
func (l *Loop) prepared(obs *scale.Observation, views []fleet.View) {
	if l.o.Reserve == nil || !l.o.Warm.On {
		return
	}
	for i := range views {
		if views[i].Spare && views[i].State == fleet.Warm {
			obs.Prepared++
		}
	}
	obs.Wake = l.o.Reserve.Wakes()
}
