package control

import (
	"time"

	"github.com/weirlb/weir/fleet/plan"
	"github.com/weirlb/weir/scale"
)

// Lifecycle bounds how long instances live, and how soon they may be judged.
type Lifecycle struct {
	MaxLifetime time.Duration  // see [plan.Input.MaxLifetime]
	Grace       *time.Duration // nil: learned from boots
	GraceFactor float64        // what a learned grace is in terms of the p99 of boots; 0 learns none
}

// Live changes the bounds of instances' lives.
func (l *Loop) Live(c Lifecycle) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.o.Lifecycle = c
}

// Grace is how long after its launch an instance that fails its checks is not replaced now.
func (l *Loop) Grace() plan.Grace {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.grace(l.o.Fleet.Boots())
}

func (l *Loop) grace(boots scale.Sample) plan.Grace {
	return plan.GraceOf(l.o.Lifecycle.Grace, l.o.Lifecycle.GraceFactor, boots)
}

// living gives the plan the bounds of instances' lives. Nothing is replaced for its age while a launch or an end is suspended: the one would not
// happen, or the other.
func (l *Loop) living(in *plan.Input) {
	in.Grace = l.grace(l.boots)
	if !l.o.Scale.Suspends(scale.Launch) && !l.o.Scale.Suspends(scale.Terminate) {
		in.MaxLifetime = l.o.Lifecycle.MaxLifetime
	}
}
