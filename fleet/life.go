package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/target"
)

// live is the life of one instance, from launch or adoption to its end; one goroutine runs it. It may lead through the warm pool and standby more
// than once.
func (f *Fleet) live(in *instance) {
	ctx, cancel := context.WithCancel(f.ctx)
	defer cancel()
	for !aside(in.State) || f.wait(ctx, in) {
		if !f.work(ctx, in) {
			return
		}
	}
}

// wait keeps an instance where it waits to be told. True: it is to serve. False: it ended, or Weir ends.
func (f *Fleet) wait(ctx context.Context, in *instance) bool {
	if in.State == Standby {
		return f.standBy(ctx, in)
	}
	return f.rest(ctx, in)
}

// work is an instance's way from its launch, or from the warm pool or standby, to its end or back there. True: it is there.
func (f *Fleet) work(ctx context.Context, in *instance) (there bool) {
	if in.handle == nil {
		if err := f.launch(in); err != nil {
			if errors.Is(err, ErrCapacity) {
				f.refuse(in, err)
			} else {
				f.failed(in, "it could not be launched: "+err.Error())
			}
			f.bury(in)
			return false
		}
	} else if in.State == Pending { // a crash came between its launch and this
		f.greet(in)
	}
	if in.State == PendingWait && !f.welcome(ctx, in) {
		return false
	}
	reports := make(chan health.Status, 1)
	dead := make(chan string, 1)
	watched, cancel := context.WithCancel(ctx)
	defer cancel()
	f.check(watched, in, reports, dead)
	for in.State == Starting || in.State == Warming {
		if !f.start(ctx, in, reports, dead) || in.State == PendingWait && !f.welcome(ctx, in) {
			return false
		}
	}
	if in.State == Draining {
		f.linger(ctx, in)
		if ctx.Err() != nil {
			return false
		}
		if f.arrive(in, in.why) {
			return aside(in.State)
		}
		f.end(ctx, in)
		return false
	}
	if in.State == Stopping || in.State == TerminatingWait {
		f.end(ctx, in)
		return false
	}
	if !aside(in.State) && !f.serve(ctx, in, reports, dead) && !aside(in.State) {
		f.end(ctx, in)
	}
	return aside(in.State)
}

// linger waits until an adopted instance that drained has nothing in flight, which another process may have, and no longer than Drain.
func (f *Fleet) linger(ctx context.Context, in *instance) {
	deadline := time.NewTimer(f.options().Drain)
	defer deadline.Stop()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for f.busy(in) > 0 {
		select {
		case <-ctx.Done():
			return
		case <-in.handle.Done():
			return
		case <-deadline.C:
			return
		case <-poll.C:
		}
	}
}

// launch writes the instance down, launches it and writes down how to find it: a crash in between leaves a record by which
// the next Weir finds it.
func (f *Fleet) launch(in *instance) error {
	if err := f.write(in); err != nil {
		return fmt.Errorf("recording it first: %w", err)
	}
	h, err := f.provider.Launch(f.ctx, Spec{ID: in.ID, Pool: in.Pool, Template: f.template(in.Version), Placement: in.Placement, MarketFile: f.options().MarketFile})
	if err != nil {
		return err
	}
	f.mu.Lock()
	in.handle, in.Ref, in.Born = h, h.Ref(), time.Now()
	f.refused.Grant(in.Placement)
	f.mu.Unlock()
	f.greet(in)
	return nil
}

// check starts the instance's checks. Reports arrive on reports, the newest replacing one that was not read yet; what
// its liveness says arrives on dead.
func (f *Fleet) check(ctx context.Context, in *instance, reports chan health.Status, dead chan string) {
	o, addr := f.options(), in.handle.Addr() // of this round of its life
	from := health.Status{}
	if in.target != nil {
		from = health.Status{State: target.Healthy, Passed: true, Reason: "adopted", Since: time.Now()}
	}
	f.lives.Go(func() {
		o.Watch(ctx, addr, from, func(s health.Status) {
			select {
			case <-reports:
			default:
			}
			reports <- s
		})
	})
	if o.Live == nil {
		return
	}
	f.lives.Go(func() {
		o.Live(ctx, addr, func(s health.Status) {
			if s.State == target.Unhealthy {
				select {
				case dead <- s.Reason:
				default:
				}
			}
		})
	})
}

// start brings an instance from its launch to ready, or to the warm pool. It is back in PendingWait when it was prepared for the warm pool
// and is to serve instead. False: it ended, and was buried.
func (f *Fleet) start(ctx context.Context, in *instance, reports chan health.Status, dead chan string) bool {
	o := f.options()
	late := time.NewTimer(time.Until(in.begun().Add(o.StartTimeout)))
	defer late.Stop()
	warmed := make(chan error, 1)
	last := "it was not checked yet"
	for {
		select {
		case <-ctx.Done():
			return false // Weir ends; the instance goes on and is adopted by the next one
		case <-in.handle.Done():
			f.failed(in, "it ended before it was ready: "+in.handle.Exit())
			f.bury(in)
			return false
		case <-late.C:
			f.failed(in, fmt.Sprintf("it was not ready within %v; its last check: %s", o.StartTimeout, last))
			f.end(ctx, in)
			return false
		case why := <-dead:
			if in.State == Warming {
				f.failed(in, "it failed its liveness check: "+why)
				f.end(ctx, in)
				return false
			}
		case od := <-in.orders:
			if od.kind == orderDrain || od.kind == orderStop {
				f.leave(in, od.why)
				f.end(ctx, in)
				return false
			}
		case s := <-reports:
			last = s.Reason
			if s.State != target.Healthy || in.State == Warming {
				continue
			}
			f.enter(in, Warming, "")
			if o.WarmUp == nil || in.prepared {
				warmed <- nil
				continue
			}
			f.lives.Go(func() { warmed <- o.WarmUp(ctx, in.handle.Addr()) })
		case err := <-warmed:
			if err != nil {
				f.failed(in, "its warm-up request failed: "+err.Error())
				f.end(ctx, in)
				return false
			}
			switch {
			case f.isSpare(in):
				f.prepare(in)
			case in.To == AtWarmPool && f.hold(in, OnLaunch, AtWarmPool, AtPool, "woken while it was prepared"):
				in.prepared = true
			default:
				f.booted(in)
			}
			return true
		}
	}
}

// booted takes a new instance into the pool and learns from its boot.
func (f *Fleet) booted(in *instance) {
	boot, how := time.Since(in.Launched), "after a boot of %.1f s"
	if in.woken {
		how = "%.1f s after it was woken"
		f.learnWake(in, boot)
	} else {
		f.learn(boot)
	}
	f.mu.Lock()
	if in.record.Ready.IsZero() { // for the first time: what a person said later stays
		in.Protected = f.o.Protect
	}
	in.record.Ready, in.prepared = time.Now(), true
	f.failures, f.notBefore, f.lastFail = 0, time.Time{}, ""
	f.mu.Unlock()
	f.join(in, health.Status{State: target.Healthy, Passed: true, Reason: "ready", Since: time.Now()})
	f.enter(in, Ready, fmt.Sprintf(how, boot.Seconds()))
}

// learn notes how long a boot took.
func (f *Fleet) learn(boot time.Duration) {
	f.mu.Lock()
	f.failures, f.notBefore, f.lastFail = 0, time.Time{}, ""
	f.boots.Add(boot)
	boots := slices.Clone(f.boots.seconds)
	f.mu.Unlock()
	if err := f.store.putBoots(f.pool.Name, boots); err != nil {
		f.log.Warn("a measured boot could not be recorded", "pool", f.pool.Name, "error", err)
	}
}

// learnWake notes how long an instance of the warm pool took from waking until it was ready; one that comes from elsewhere says nothing of that.
func (f *Fleet) learnWake(in *instance, took time.Duration) {
	f.mu.Lock()
	if !in.rested {
		f.mu.Unlock()
		return
	}
	in.rested = false
	f.wakes.Add(took)
	wakes := slices.Clone(f.wakes.seconds)
	f.mu.Unlock()
	if err := f.store.putWakes(f.pool.Name, wakes); err != nil {
		f.log.Warn("how long a waking took could not be recorded", "pool", f.pool.Name, "error", err)
	}
}

func (f *Fleet) isSpare(in *instance) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return in.Spare
}

// join makes the instance a target.
func (f *Fleet) join(in *instance, s health.Status) {
	o := f.options()
	t, there := f.pool.Member(in.ID) // from an earlier fleet of this pool, with what is in flight on it
	if !there {
		t = target.New(in.ID, in.handle.Addr(), 1, o.Slots)
		o.Join(t)
	}
	f.mu.Lock()
	in.target = t
	f.mu.Unlock()
	if !there {
		f.pool.Add(t, s, time.Now())
	}
}

// serve watches a ready instance. True: it ended by itself, or Weir ends. False: it is to be ended now, or is in the warm pool.
func (f *Fleet) serve(ctx context.Context, in *instance, reports chan health.Status, dead chan string) bool {
	for {
		select {
		case <-ctx.Done():
			return true
		case <-in.handle.Done():
			f.crashed(in)
			return true
		case why := <-dead:
			f.enter(in, Unhealthy, "liveness: "+why)
			f.leave(in, "it failed its liveness check: "+why)
			return false
		case s := <-reports:
			f.pool.Checked(in.target, s, time.Now())
			f.mu.Lock()
			in.failing = s.Failing
			f.mu.Unlock()
			switch {
			case s.State == target.Unhealthy && in.State == Ready:
				f.enter(in, Unhealthy, s.Reason)
			case s.State == target.Healthy && in.State == Unhealthy:
				f.enter(in, Ready, "its checks pass again")
			}
		case od := <-in.orders:
			switch od.kind {
			case orderStop:
				f.leave(in, od.why)
				return false
			case orderDrain, orderPark, orderErrand:
				if !f.drain(ctx, in, od.why) {
					return ctx.Err() != nil || in.State == Gone
				}
			}
		}
	}
}

// drain waits until nothing is in flight. True: the drain was taken back. False: the instance ended, is to be ended or in the warm pool, or Weir
// ends.
func (f *Fleet) drain(ctx context.Context, in *instance, why string) bool {
	was := in.State
	f.enter(in, Draining, why)
	f.pool.Drain(in.target, true, time.Now())
	deadline := time.NewTimer(f.options().Drain)
	defer deadline.Stop()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for f.busy(in) > 0 {
		select {
		case <-ctx.Done():
			return false
		case <-in.handle.Done():
			f.crashed(in)
			return false
		case <-deadline.C:
			if f.arrive(in, why) {
				return false // what is in flight goes on: the instance does
			}
			f.leave(in, fmt.Sprintf("%d requests were still in flight after the drain's %v", f.busy(in), f.options().Drain))
			return false
		case od := <-in.orders:
			if (od.kind == orderKeep || od.kind == orderWake) && f.errand(in) == "" {
				f.pool.Drain(in.target, false, time.Now())
				f.enter(in, was, od.why)
				return true
			}
			if od.kind == orderStop {
				f.leave(in, od.why)
				return false
			}
		case <-poll.C:
		}
	}
	if f.arrive(in, why) {
		return false
	}
	if f.isSpare(in) {
		return f.retreat(ctx, in, why)
	}
	f.leave(in, why)
	return false
}

// retreat takes an instance that has drained into the warm pool, after the hooks of its way out of the pool. It is never back in traffic: false, as
// of drain.
func (f *Fleet) retreat(ctx context.Context, in *instance, why string) bool {
	if f.hold(in, OnTerminate, AtPool, AtWarmPool, why) && !f.farewell(ctx, in) {
		return false
	}
	if f.isSpare(in) {
		f.park(in, why)
	} else {
		f.enter(in, Stopping, "it was wanted back when its way out had begun")
	}
	return false
}

// end asks the instance to end, sees that it does, and buries it.
func (f *Fleet) end(ctx context.Context, in *instance) {
	if in.State != Stopping && in.State != TerminatingWait {
		f.leave(in, in.why)
	}
	if in.target != nil {
		f.pool.Drain(in.target, true, time.Now())
	}
	if in.handle == nil { // of the warm pool, and stopped
		f.bury(in)
		return
	}
	if in.State == TerminatingWait {
		if !f.farewell(ctx, in) {
			return // the next Weir goes on with its hooks
		}
		f.enter(in, Stopping, in.why)
	}
	in.handle.Stop(f.options().StopTimeout)
	select {
	case <-in.handle.Done():
		f.bury(in)
	case <-ctx.Done(): // the next Weir finds the record and ends it
	}
}

// crashed notes that an instance that served ended by itself.
func (f *Fleet) crashed(in *instance) {
	why := "it ended by itself: " + in.handle.Exit()
	f.log.Error("an instance ended by itself; another is launched as the pool needs it", "pool", in.Pool, "instance", in.ID, "exit", in.handle.Exit())
	f.mu.Lock()
	f.restarts++
	in.why = why
	if time.Since(in.record.Ready) < CrashLoop {
		f.backOff(why) // a crash loop that gets as far as ready
	}
	f.mu.Unlock()
	f.bury(in)
}

// failed notes a launch that never became ready, and puts off the next one.
func (f *Fleet) failed(in *instance, why string) {
	f.log.Error("an instance failed to start", "pool", in.Pool, "instance", in.ID, "why", why)
	f.mu.Lock()
	in.why = why
	if in.Version != f.failedVersion {
		f.failures, f.failedVersion = 0, in.Version
	}
	f.backOff(in.ID + ": " + why)
	f.mu.Unlock()
}

// backOff doubles the time until the next launch. The lock is held.
func (f *Fleet) backOff(why string) {
	f.failures++
	f.notBefore, f.lastFail = time.Now().Add(f.o.Backoff.After(f.failures)), why
}

// bury forgets an instance that has ended.
func (f *Fleet) bury(in *instance) {
	f.taken(in)
	if in.target != nil {
		f.pool.Remove(in.target, time.Now())
		f.options().Leave(in.target)
	}
	f.forget(in, f.store.remove)
	f.tell(in, Gone, in.why)
}

// forget ends Weir's care for an instance.
func (f *Fleet) forget(in *instance, record func(id string) error) {
	f.samples.Forget(in.ID)
	f.mu.Lock()
	in.State = Gone // nothing is written about it from here on
	f.mu.Unlock()
	in.writing <- struct{}{}
	err := record(in.ID)
	<-in.writing
	if err != nil {
		f.log.Warn("an instance that is gone could not be taken out of the records", "instance", in.ID, "error", err)
	}
	f.mu.Lock()
	delete(f.instances, in.ID)
	f.mu.Unlock()
}

// enter moves an instance to a state, on disk too.
func (f *Fleet) enter(in *instance, s State, why string) {
	f.mu.Lock()
	in.State, in.why, in.since = s, why, time.Now()
	f.mu.Unlock()
	if err := f.write(in); err != nil {
		f.log.Warn("an instance's state could not be recorded", "instance", in.ID, "error", err)
	}
	f.tell(in, s, why)
}

func (f *Fleet) tell(in *instance, s State, why string) {
	f.log.Info("instance", "pool", in.Pool, "instance", in.ID, "state", s, "why", why)
	f.happened(in, StateChanged, s, why)
}

// happened tells whoever wants to know.
func (f *Fleet) happened(in *instance, kind EventKind, s State, why string) {
	if f.changed != nil {
		f.changed(Event{Time: time.Now(), Pool: in.Pool, Instance: in.ID, State: s, Kind: kind, Why: why})
	}
}
