package app

import (
	"context"
	"fmt"
	"net"
	"reflect"
	"time"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/target"
)

// Apply changes over to another config without a drop: pools, targets and listeners that stay are not touched, their health and
// queues included. When anything in the new config cannot be, nothing changes.
func (a *App) Apply(c *config.Config) error {
	if err := Check(c); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.State != a.cfg.State {
		return fmt.Errorf("state: %s cannot become %s while Weir runs; restart it", a.cfg.State, c.State)
	}
	if c.Admin != a.cfg.Admin {
		return fmt.Errorf("admin: cannot change while Weir runs; restart it")
	}
	for name, pc := range c.Pools {
		if lp := a.pools[name]; lp != nil && (lp.fleet != nil) != (pc.Template != nil) {
			return fmt.Errorf("pools.%s: a pool cannot change between targets and a template while Weir runs; give the new one another name", name)
		}
	}
	sockets, err := open(c, a.listeners)
	if err != nil {
		return err
	}
	common, err := share(c, a.shared, a.version, a.log)
	if err != nil {
		closeAll(sockets)
		return err
	}
	fresh := map[string]*livePool{}
	for name, pc := range c.Pools {
		if a.pools[name] != nil {
			continue
		}
		lp, err := a.newPool(a.ctx, name, pc)
		if err != nil {
			closeAll(sockets)
			common.release(a.shared)
			for _, lp := range fresh {
				lp.stop()
			}
			return err
		}
		fresh[name] = lp
	}

	// From here on nothing fails.
	removed := map[string]*livePool{}
	for name, lp := range a.pools {
		pc := c.Pools[name]
		switch {
		case pc == nil:
			removed[name] = lp
			delete(a.pools, name)
		case !reflect.DeepEqual(lp.config(), pc):
			if err := lp.configure(pc, a.log); err != nil {
				a.log.Error("a pool could not be changed", "pool", name, "error", err) // config has checked all there is
			}
		}
	}
	for name, lp := range fresh {
		a.pools[name] = lp
		lp.run()
	}
	before := a.shared
	a.shared = common
	a.relisten(c, sockets)
	common.meters.Retain(routeNames(c))
	a.cfg = c
	a.loops.Go(func() { before.retire(a.ctx, common) })
	for name, lp := range removed {
		a.loops.Go(func() { a.removePool(name, lp) })
	}
	a.log.Info("reloaded", "pools", len(a.pools), "added", len(fresh), "removed", len(removed))
	return nil
}

// relisten gives every listener its new routes, adds new ones and closes those that are gone; connections of
// the latter finish what is in flight.
func (a *App) relisten(c *config.Config, sockets map[string]net.Listener) {
	wanted := map[string]bool{}
	for _, l := range c.Listen {
		wanted[l.Address] = true
		site, err := siteOf(c, l, a.pools, a.shared)
		if err != nil {
			a.log.Error("routes could not be changed", "address", l.Address, "error", err) // Check has built them before
			continue
		}
		if have := a.listeners[l.Address]; have != nil {
			have.SetSite(site)
		} else {
			a.serve(l.Address, sockets[l.Address], site)
		}
	}
	for address, l := range a.listeners {
		if !wanted[address] {
			a.engine.Forget(l.Listener)
			delete(a.listeners, address)
			a.log.Info("not listening any more", "address", address)
		}
	}
}

// removePool lets a pool that left the config finish, ends its instances and forgets it.
func (a *App) removePool(name string, lp *livePool) {
	if lp.fleet != nil {
		lp.endLoop()
		if err := lp.fleet.Retire(a.ctx, "its pool is not in the config any more"); err != nil && a.ctx.Err() == nil {
			a.log.Warn("instances of a removed pool still run", "pool", name, "error", err)
		}
	}
	// Requests that were routed before the change still hold slots or wait.
	for deadline := time.Now().Add(time.Duration(lp.config().Drain)); time.Now().Before(deadline); {
		s := lp.pool.Stats(time.Now())
		if s.InFlight == 0 && s.Waiting == 0 {
			break
		}
		select {
		case <-a.ctx.Done():
			return
		case <-time.After(100 * time.Millisecond):
			lp.pool.Tick(time.Now())
		}
	}
	lp.stop()
}

// retire ends all instances of a fleet that only exists to end them.
func (a *App) retire(f *fleet.Fleet, cancel context.CancelFunc, name string) {
	if err := f.Retire(a.ctx, "its pool is not in the config any more"); err != nil && a.ctx.Err() == nil {
		a.log.Warn("instances of a removed pool still run", "pool", name, "error", err)
	}
	cancel()
	f.Wait()
}

// farewell are the options of a fleet that only ends its instances.
func farewell() fleet.Options {
	return fleet.Options{
		Drain: time.Second, StartTimeout: time.Second, StopTimeout: 30 * time.Second,
		Watch: func(ctx context.Context, _ string, _ health.Status, _ func(health.Status)) { <-ctx.Done() },
		Join:  func(*target.Target) {}, Leave: func(*target.Target) {},
	}
}

// endOrphans ends processes that carry this state directory's mark and that no record knows.
func (a *App) endOrphans() error {
	found, err := a.provider.List()
	if err != nil {
		a.log.Warn("looking for instances that no record knows", "error", err)
		return nil
	}
	for _, f := range found {
		if a.store.Known(f.ID) {
			continue
		}
		h, err := a.provider.Adopt(a.ctx, f.ID, "")
		if err != nil {
			continue // it has ended meanwhile
		}
		a.log.Warn("ending an instance that no record knows", "instance", f.ID)
		h.Stop(10 * time.Second)
	}
	return nil
}
