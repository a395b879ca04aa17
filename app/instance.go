package app

import (
	"errors"
	"fmt"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/fleet"
)

// Instance does what a person, or a hook, wants of one instance. It implements admin.Operator.
func (a *App) Instance(pool, id string, o admin.InstanceOrder) error {
	lp, err := a.pool(pool)
	if err != nil {
		return err
	}
	scaled := lp.scaled.Load()
	if scaled == nil {
		return fmt.Errorf("pool %s has fixed targets and no instances; weir target and weir drain act on targets", pool)
	}
	switch l, f := scaled.loop, scaled.fleet; o.Verb {
	case admin.InstanceProtect, admin.InstanceUnprotect:
		err = f.Protect(id, o.Verb == admin.InstanceProtect)
	case admin.InstanceResume:
		err = l.Resume(id)
	case admin.InstanceStandby:
		err = l.Send(id, fleet.ToStandby, o.Decrement)
	case admin.InstanceDetach:
		err = l.Send(id, fleet.ToDetach, o.Decrement)
	case admin.InstanceTerminate:
		err = l.Send(id, fleet.ToEnd, o.Decrement)
	case admin.InstanceComplete:
		err = f.Complete(id, o.Hook, o.Token, fleet.Result(o.Result))
	case admin.InstanceHeartbeat:
		_, err = f.Heartbeat(id, o.Hook, o.Token)
	default:
		err = fmt.Errorf("%q is nothing to do with an instance", o.Verb)
	}
	if errors.Is(err, fleet.ErrUnknown) {
		return fmt.Errorf("%w: %w", err, admin.ErrNotFound)
	}
	return err
}
