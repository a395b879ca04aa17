package app

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/control"
	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/l7"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/probe"
	"github.com/weirlb/weir/target"
)

// livePool is one pool with all that keeps it alive: the checks of its fixed targets, or its fleet and its loop.
type livePool struct {
	name   string
	cfg    atomic.Pointer[config.Pool]
	pool   *pool.Pool
	fixed  map[string]*fixed // by address
	fleet  *fleet.Fleet
	loop   *control.Loop
	ctx    context.Context
	cancel context.CancelFunc
	runs   sync.WaitGroup

	endLoop func() // stops scaling and waits until it has; instances and checks go on
}

// fixed is a target that the config names.
type fixed struct {
	t      *target.Target
	status health.Status // guarded by mu: the newest, kept across a reload
	mu     sync.Mutex
	check  probe.Check
	cancel context.CancelFunc // ends its checks; nil when it has none
}

// newPool starts a pool. Everything that can fail does so before anything is launched.
func (a *App) newPool(ctx context.Context, name string, c *config.Pool) (*livePool, error) {
	lp := &livePool{name: name, fixed: map[string]*fixed{}, endLoop: func() {}}
	lp.cfg.Store(c)
	lp.ctx, lp.cancel = context.WithCancel(ctx)
	p, err := pool.New(name, poolOptions(c, lp.wake), time.Now())
	if err != nil {
		return nil, err
	}
	lp.pool = p
	if c.Template == nil {
		lp.fix(c, a.log)
		return lp, nil
	}
	lp.fleet, err = fleet.New(lp.ctx, p, a.provider, a.store, &a.samples, fleetOptions(c), a.log, a.instanceChanged)
	if err != nil {
		return nil, fmt.Errorf("pool %s: %w", name, err)
	}
	lp.loop = control.New(control.Options{
		Pool: p, Fleet: lp.fleet, Samples: &a.samples, Journal: a.journal, Slots: slotsOf(c),
		Scale: scaleOptions(name, c.Scale), Desired: desiredOf(c.Scale), Log: a.log, Decided: a.decided,
	})
	return lp, nil
}

// config is what the pool is configured by now.
func (lp *livePool) config() *config.Pool { return lp.cfg.Load() }

// run starts the loop of a pool that scales.
func (lp *livePool) run() {
	if lp.loop == nil {
		return
	}
	ctx, cancel := context.WithCancel(lp.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		lp.loop.Run(ctx)
	}()
	lp.endLoop = func() {
		cancel()
		<-done
	}
}

// wake is called by the pool when a request begins to wait.
func (lp *livePool) wake() {
	if lp.loop != nil {
		lp.loop.Wake()
	}
}

// configure applies a changed config to a running pool: what stays the same is not touched, health included.
func (lp *livePool) configure(c *config.Pool, log *slog.Logger) error {
	if err := lp.pool.Configure(poolOptions(c, lp.wake), time.Now()); err != nil {
		return err
	}
	lp.cfg.Store(c)
	if c.Template == nil {
		lp.fix(c, log)
		return nil
	}
	lp.fleet.Configure(fleetOptions(c))
	lp.loop.Configure(slotsOf(c), scaleOptions(lp.name, c.Scale))
	return nil
}

// fix makes the pool's fixed targets those of the config.
func (lp *livePool) fix(c *config.Pool, log *slog.Logger) {
	check, checked := readiness(c)
	now := time.Now()
	wanted := map[string]bool{}
	for _, ct := range c.Targets {
		wanted[ct.Address] = true
		f := lp.fixed[ct.Address]
		if f == nil {
			f = &fixed{t: target.New(ct.Address, ct.Address, ct.Weight, slotsFor(c, ct))}
			link(c)(f.t)
			if !checked {
				f.status = health.Status{State: target.Healthy, Passed: true, Reason: "not checked", Since: now}
			}
			lp.fixed[ct.Address] = f
			lp.pool.Add(f.t, f.status, now)
		}
		f.t.SetWeight(ct.Weight)
		f.t.SetSlots(slotsFor(c, ct))
		lp.watch(f, check, checked, log)
	}
	for addr, f := range lp.fixed {
		if !wanted[addr] {
			delete(lp.fixed, addr)
			if f.cancel != nil {
				f.cancel()
			}
			lp.pool.Remove(f.t, now) // what is in flight on it goes on
			l7.Unlink(f.t)
		}
	}
}

// watch starts, replaces or ends a fixed target's checks. A check that has not changed goes on undisturbed.
func (lp *livePool) watch(f *fixed, check probe.Check, checked bool, log *slog.Logger) {
	if f.cancel != nil {
		if checked && check.Equal(f.check) {
			return
		}
		f.cancel()
		f.cancel = nil
	}
	f.mu.Lock()
	from := f.status
	f.mu.Unlock()
	if !checked {
		lp.pool.Checked(f.t, health.Status{State: target.Healthy, Passed: true, Reason: "not checked", Since: time.Now()}, time.Now())
		return
	}
	f.check = check
	var ctx context.Context
	ctx, f.cancel = context.WithCancel(lp.ctx)
	lp.runs.Go(func() {
		probe.Watch(ctx, f.t.Addr, check, from, func(s health.Status) {
			f.mu.Lock()
			was := f.status.State
			f.status = s
			f.mu.Unlock()
			if s.State != was {
				log.Info("target", "pool", lp.name, "target", f.t.ID, "from", was, "to", s.State, "why", s.Reason)
			}
			lp.pool.Checked(f.t, s, time.Now())
		})
	})
}

// stop ends what keeps the pool alive. Its instances go on.
func (lp *livePool) stop() {
	lp.endLoop()
	lp.cancel()
	lp.runs.Wait()
	if lp.fleet != nil {
		lp.fleet.Wait()
	}
}
