package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/weirlb/weir/fleet/plan"
)

// Warm is the state of an instance of the warm pool: prepared, and without traffic.
const Warm State = "warm"

// Rest is what becomes of an instance in the warm pool.
type Rest string

// The ways to rest, as AWS names them.
const (
	RestStopped    Rest = "stopped"    // ended once it was warmed up, and launched again: what it read is in the system's cache, what it wrote is on disk
	RestHibernated Rest = "hibernated" // suspended with its memory; ready again in milliseconds
	RestRunning    Rest = "running"    // goes on
)

// Suspender is a Handle that can hold an instance still, with its memory. Both methods may be called again.
type Suspender interface {
	Suspend() error
	Resume() error
}

// Prepare begins n launches for the warm pool.
func (f *Fleet) Prepare(n int, as plan.Placement) { f.begin(n, as, true) }

// Wake takes an instance of the warm pool, or one on its way there, into traffic.
func (f *Fleet) Wake(id, why string) error { return f.order(id, order{orderWake, why}) }

// Park drains an instance and takes it into the warm pool.
func (f *Fleet) Park(id, why string) error { return f.order(id, order{orderPark, why}) }

// rest keeps an instance in the warm pool. True: it was woken. False: it ended, or Weir ends.
//
// The state was written down before the instance is ended or suspended, and the next one is before it is launched or resumed, so that the next
// Weir finishes what a crash cut short.
func (f *Fleet) rest(ctx context.Context, in *instance) bool {
	how := f.options().Rest
	if err := f.still(ctx, in, how); err != nil {
		if ctx.Err() == nil {
			f.failed(in, "it cannot be kept in the warm pool: "+err.Error())
			f.end(ctx, in)
		}
		return false
	}
	var done <-chan struct{} // nil, which never ends, when nothing runs
	if in.handle != nil {
		done = in.handle.Done()
	}
	for {
		select {
		case <-ctx.Done():
			return false
		case <-done:
			f.mu.Lock()
			in.why = "it ended in the warm pool: " + in.handle.Exit()
			f.mu.Unlock()
			f.bury(in)
			return false
		case od := <-in.orders:
			switch od.kind {
			case orderDrain, orderStop:
				f.leave(in, od.why)
				f.end(ctx, in)
				return false
			case orderWake, orderKeep:
				f.mu.Lock()
				in.Launched, in.woken, in.rested = time.Now(), true, true
				f.mu.Unlock()
				if in.handle == nil {
					f.enter(in, Pending, od.why) // it is launched again
					return true
				}
				if !f.hold(in, OnLaunch, AtWarmPool, AtPool, od.why) {
					f.enter(in, Starting, od.why)
				}
				if err := resume(in.handle); err != nil {
					f.failed(in, "it does not go on: "+err.Error())
					f.end(ctx, in)
					return false
				}
				return true
			}
		}
	}
}

// still has an instance rest.
func (f *Fleet) still(ctx context.Context, in *instance, how Rest) error {
	if in.handle == nil || how == RestRunning {
		return nil
	}
	if s, ok := in.handle.(Suspender); how == RestHibernated {
		if !ok {
			return errors.New("its provider cannot suspend it; write warm_pool.state: stopped or running")
		}
		return s.Suspend()
	}
	in.handle.Stop(f.options().StopTimeout)
	select {
	case <-in.handle.Done():
	case <-ctx.Done():
		return ctx.Err()
	}
	f.mu.Lock()
	in.handle, in.Ref, in.prepared = nil, "", false
	f.mu.Unlock()
	return f.write(in)
}

// resume has an instance that may be suspended go on.
func resume(h Handle) error {
	if s, ok := h.(Suspender); ok {
		return s.Resume()
	}
	return nil
}

// park takes an instance that is warmed up, or has drained, into the warm pool.
func (f *Fleet) park(in *instance, why string) {
	f.leaveTraffic(in)
	f.mu.Lock()
	in.Protected = f.o.Protect // as one that is new, when it serves again
	f.mu.Unlock()
	f.enter(in, Warm, why)
}

// prepare says why an instance joins the warm pool, and learns from its boot.
func (f *Fleet) prepare(in *instance) {
	boot := time.Since(in.Launched)
	f.learn(boot)
	f.park(in, fmt.Sprintf("prepared in %.1f s", boot.Seconds()))
}
