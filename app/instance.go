package app

import (
	"errors"
	"fmt"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/fleet"
)

// Instance does what a person wants of one instance. It implements admin.Operator.
func (a *App) Instance(pool, id string, verb admin.InstanceVerb, decrement bool) error {
	lp, err := a.pool(pool)
	if err != nil {
		return err
	}
	scaled := lp.scaled.Load()
	if scaled == nil {
		return fmt.Errorf("pool %s has fixed targets and no instances; weir target and weir drain act on targets", pool)
	}
	switch l := scaled.loop; verb {
	case admin.InstanceProtect, admin.InstanceUnprotect:
		err = l.Protect(id, verb == admin.InstanceProtect)
	case admin.InstanceResume:
		err = l.Resume(id)
	case admin.InstanceStandby:
		err = l.Send(id, fleet.ToStandby, decrement)
	case admin.InstanceDetach:
		err = l.Send(id, fleet.ToDetach, decrement)
	case admin.InstanceTerminate:
		err = l.Send(id, fleet.ToEnd, decrement)
	default:
		err = fmt.Errorf("%q is nothing to do with an instance", verb)
	}
	if errors.Is(err, fleet.ErrUnknown) {
		return fmt.Errorf("%w: %w", err, admin.ErrNotFound)
	}
	return err
}
