package control

import (
	"fmt"
	"slices"
	"time"

	"github.com/weirlb/weir/fleet"
)

// Attendant is what people who act on single instances need of a fleet beside what a Loop does.
type Attendant interface {
	Send(id string, to fleet.Errand, why string) error
	Resume(id, why string) error
}

// serving leaves out the instances that people took out of service: they are no capacity, and no plan moves them. One that resumes or waits for
// launch hooks counts as one that starts, and one that waits for terminate hooks as one that ends, or drains into the warm pool.
func serving(views []fleet.View) []fleet.View {
	views = slices.DeleteFunc(views, func(v fleet.View) bool { return v.Errand != "" })
	for i := range views {
		switch v := &views[i]; {
		case v.State == fleet.Standby || v.State == fleet.PendingWait:
			v.State = fleet.Starting
		case v.State == fleet.TerminatingWait && v.Spare:
			v.State = fleet.Draining
		case v.State == fleet.TerminatingWait:
			v.State = fleet.Stopping
		}
	}
	return views
}

// Send takes an instance out of service. With decrement the desired capacity falls by one, which may not take it below min; without,
// another instance is launched in its place.
func (l *Loop) Send(id string, to fleet.Errand, decrement bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if decrement {
		if err := l.counted(id); err != nil {
			return err
		}
		if least := l.o.Scale.Min; l.desired <= least {
			return fmt.Errorf("pool %s: %d desired less one is below its min of %d; lower scale.min, or leave the decrement out and have it replaced", l.o.Pool.Name, l.desired, least)
		}
	}
	why := map[fleet.Errand]string{fleet.ToStandby: "sent to standby by hand", fleet.ToDetach: "detached by hand", fleet.ToEnd: "terminated by hand"}[to]
	if err := l.o.Attendant.Send(id, to, why); err != nil {
		return err
	}
	if decrement {
		l.shift(-1)
	}
	l.Wake()
	return nil
}

// Resume takes an instance back from standby, with which the desired capacity rises by one.
func (l *Loop) Resume(id string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if most := l.o.Scale.Max; l.desired >= most {
		return fmt.Errorf("pool %s: %d desired and one more is above its max of %d; raise scale.max, or terminate another instance first", l.o.Pool.Name, l.desired, most)
	}
	if err := l.o.Attendant.Resume(id, "resumed by hand"); err != nil {
		return err
	}
	l.shift(+1)
	l.Wake()
	return nil
}

// counted says why an instance is no part of the desired capacity, if it is not.
func (l *Loop) counted(id string) error {
	for _, v := range l.o.Fleet.AppendInstances(nil, time.Now()) {
		if v.ID != id {
			continue
		}
		if v.Errand != "" || v.Spare || v.State == fleet.Draining || v.State == fleet.TerminatingWait || v.State == fleet.Stopping {
			return fmt.Errorf("instance %s does not count towards the desired capacity of pool %s now, so that cannot be decremented with it", id, l.o.Pool.Name)
		}
	}
	return nil
}

// shift moves the desired capacity, also where it is held by hand, and writes it down.
func (l *Loop) shift(by int) {
	l.desired += by
	if m := l.decider.Manually(); m != nil {
		l.decider.Manual(m.Desired+by, m.Until)
	}
	l.told()
}
