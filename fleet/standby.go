package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Standby is the state of an instance that a person took out of service: it runs, is not checked, takes no traffic and
// does not count towards the desired capacity, as in EC2 Auto Scaling.
const Standby State = "standby"

// Errand is where a person sent an instance. It is written down before the instance is told, so that the next Weir finishes what
// a crash cut short; and what is on an errand is no capacity, so that no plan takes it back.
type Errand string

// The errands. An instance drains on its way; what is still in flight after [Options.Drain] is cut on the way to the end alone.
const (
	ToStandby Errand = "standby"
	ToDetach  Errand = "detach"    // it goes on running, and Weir forgets it
	ToEnd     Errand = "terminate" // as scale-in ends it
)

// ErrUnknown says that a pool has no such instance.
var ErrUnknown = errors.New("no instance")

// Protect sets whether scale-in may choose an instance that serves or is in standby. Health checks, a refresh and people end it all the same.
func (f *Fleet) Protect(id string, on bool) error {
	return f.amend(id, nil, func(in *instance) error {
		if on && in.State != Ready && in.State != Unhealthy && in.State != Standby {
			return fmt.Errorf("instance %s is %s; only what serves, or is in standby, can be protected", id, in.State)
		}
		in.Protected = on
		return nil
	})
}

// Send has an instance drain and go to standby, to its end, or out of Weir's care.
func (f *Fleet) Send(id string, to Errand, why string) error {
	od := &order{orderErrand, why}
	if to == ToEnd {
		od.kind = orderDrain
	}
	return f.amend(id, od, func(in *instance) error {
		serving := in.State == Ready || in.State == Unhealthy
		switch {
		case in.State == Stopping || in.State == TerminatingWait || in.State == Gone:
			return fmt.Errorf("instance %s is ending already", id)
		case in.Errand == to:
			return fmt.Errorf("instance %s was sent there already (%s)", id, to)
		case to == ToStandby && !serving:
			return fmt.Errorf("instance %s is %s; only what serves can go to standby", id, in.State)
		case to == ToDetach && !serving && in.State != Standby:
			return fmt.Errorf("instance %s is %s; only what serves, or is in standby, can be detached", id, in.State)
		}
		in.Errand, in.Spare = to, false
		return nil
	})
}

// Resume takes an instance out of standby: it is checked again, and serves once it passes.
func (f *Fleet) Resume(id, why string) error {
	return f.amend(id, &order{orderWake, why}, func(in *instance) error {
		if in.State != Standby || in.Errand != ToStandby {
			return fmt.Errorf("instance %s is %s; only what is in standby can resume", id, in.State)
		}
		in.Errand = ""
		return nil
	})
}

// amend changes an instance, writes it down and then tells it, if there is something to tell. After an error all is as before.
func (f *Fleet) amend(id string, od *order, change func(*instance) error) error {
	f.mu.Lock()
	in := f.instances[id]
	if in == nil {
		f.mu.Unlock()
		return fmt.Errorf("pool %s has %w %s", f.pool.Name, ErrUnknown, id)
	}
	errand, spare, protected := in.Errand, in.Spare, in.Protected
	err := change(in)
	f.mu.Unlock()
	if err != nil {
		return err
	}
	if err = f.write(in); err == nil {
		if od == nil {
			return nil
		}
		select {
		case in.orders <- *od:
			return nil
		default:
			err = errors.New("it still carries out what it was told before; try again")
		}
	}
	f.mu.Lock()
	in.Errand, in.Spare, in.Protected = errand, spare, protected
	f.mu.Unlock()
	return errors.Join(fmt.Errorf("instance %s: %w", id, err), f.write(in))
}

// write puts an instance's record on disk as it is now. One at a time for each instance, so that the newest is what stays; an instance that is
// gone leaves no record.
func (f *Fleet) write(in *instance) error {
	in.writing <- struct{}{}
	defer func() { <-in.writing }()
	f.mu.Lock()
	r := in.record
	f.mu.Unlock()
	if r.State == Gone {
		return nil
	}
	return f.store.put(r)
}

// errand is where an instance was sent.
func (f *Fleet) errand(in *instance) Errand {
	f.mu.Lock()
	defer f.mu.Unlock()
	return in.Errand
}

// aside says whether an instance is in the warm pool or in standby: it waits there to be told.
func aside(s State) bool { return s == Warm || s == Standby }

// arrive ends the drain of an instance that was sent somewhere: true when that was not its end.
func (f *Fleet) arrive(in *instance, why string) bool {
	switch f.errand(in) {
	case ToStandby:
		f.leaveTraffic(in)
		f.enter(in, Standby, why)
		return true
	case ToDetach:
		f.release(in, why)
		return true
	}
	return false
}

// leaveTraffic takes an instance's target out of the pool. What is still in flight on it goes on.
func (f *Fleet) leaveTraffic(in *instance) {
	if in.target != nil {
		f.pool.Drain(in.target, true, time.Now())
		f.pool.Remove(in.target, time.Now())
		f.options().Leave(in.target)
	}
	f.mu.Lock()
	in.target, in.prepared = nil, true
	f.mu.Unlock()
}

// release lets an instance go on without Weir. Its id is kept, so that no later Weir takes it for one that was lost.
func (f *Fleet) release(in *instance, why string) {
	f.leaveTraffic(in)
	f.forget(in, f.store.release)
	f.tell(in, Gone, why)
}

// standBy keeps an instance in standby. True: it is to serve again. False: it ended, was detached, or Weir ends.
func (f *Fleet) standBy(ctx context.Context, in *instance) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-in.handle.Done():
			f.mu.Lock()
			in.why = "it ended in standby: " + in.handle.Exit()
			f.mu.Unlock()
			f.bury(in)
			return false
		case od := <-in.orders:
			switch od.kind {
			case orderDrain, orderStop:
				f.leave(in, od.why)
				f.end(ctx, in)
				return false
			case orderErrand:
				if f.errand(in) == ToDetach {
					f.release(in, od.why)
					return false
				}
			case orderWake:
				f.mu.Lock()
				in.Launched, in.woken = time.Now(), true
				f.mu.Unlock()
				f.enter(in, Starting, od.why)
				return true
			}
		}
	}
}

// remind tells an adopted instance again what an earlier Weir told it and it has not begun.
func (in *instance) remind() {
	switch {
	case in.State == Standby && in.Errand == "":
		in.orders <- order{orderWake, "resumed by hand"}
	case in.State == Standby && in.Errand == ToDetach:
		in.orders <- order{orderErrand, "detached by hand"}
	case in.Errand == ToEnd && in.State != Draining && in.State != TerminatingWait && in.State != Stopping:
		in.orders <- order{orderDrain, "terminated by hand"}
	case in.Errand != "" && (in.State == Ready || in.State == Unhealthy):
		in.orders <- order{orderErrand, "sent to " + string(in.Errand) + " by hand"}
	}
}
