package app

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/target"
)

// Reload reads the config file again. It implements admin.Keeper.
func (a *App) Reload() error {
	a.changing.Lock()
	defer a.changing.Unlock()
	return a.reload()
}

// reload is Reload for those that hold a.changing.
func (a *App) reload() error {
	if a.o.Config == "" {
		return fmt.Errorf("this Weir was not started from a file")
	}
	if a.isReplaced() {
		return fmt.Errorf("another process has taken over; it reads its own file")
	}
	file := stampOf(a.o.Config)
	a.loaded = file.with(a.cfg)
	c, err := config.Load(a.o.Config)
	if err != nil {
		return err
	}
	for _, w := range c.Warnings {
		a.log.Warn(w.Error())
	}
	loaded := file.with(c)
	if err := a.apply(c); err != nil {
		return err
	}
	a.loaded = loaded
	a.watch(c)
	a.web.Publish(admin.Event{Type: admin.EventNotice, Text: "the config was loaded again"})
	return nil
}

// Apply changes over to another config without a drop: pools, targets and listeners that stay are not touched, their health and
// queues included. When anything in the new config cannot be, nothing changes.
func (a *App) Apply(c *config.Config) error {
	a.changing.Lock()
	defer a.changing.Unlock()
	return a.apply(c)
}

func (a *App) apply(c *config.Config) error {
	if err := Check(c); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.canChange(c); err != nil {
		return err
	}
	opened, err := a.open(c, nil, nil)
	if err != nil {
		return err
	}
	common, err := a.share(c, a.shared)
	if err != nil {
		opened.close()
		return err
	}
	fresh := map[string]*livePool{}
	for name, pc := range c.Pools {
		if a.pools[name] != nil {
			continue
		}
		lp, err := a.newPool(name, pc)
		if err != nil {
			opened.close()
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
			a.tenure.asker.Watch(name, nil)
		case !reflect.DeepEqual(lp.config(), pc):
			if err := lp.configure(a, pc); err != nil {
				a.log.Error("a pool could not be changed", "pool", name, "error", err) // config has checked all there is
			}
		}
	}
	for name, lp := range fresh {
		a.pools[name] = lp
		lp.run()
	}
	before := a.shared
	before.written.replaced(before, common)
	a.shared = common
	a.relisten(c, opened)
	a.listIssuers()
	common.meters.Retain(routeNames(c))
	a.tenure.setAlarms(c, a.cfg)
	a.cfg = c
	if common.log == before.log {
		if err := common.log.Reopen(); err != nil {
			a.log.Error("the access log goes on in the file it had", "error", err)
		}
	}
	a.loops.Go(func() { before.retire(a.ctx, common) })
	for name, lp := range removed {
		a.tenure.works.Go(func() { a.removePool(a.tenure, name, lp) })
	}
	a.log.Info("reloaded", "pools", len(a.pools), "added", len(fresh), "removed", len(removed))
	return nil
}

// canChange refuses what only a restart can change.
func (a *App) canChange(c *config.Config) error {
	if c.State != a.cfg.State {
		return fmt.Errorf("state: %s cannot become %s while Weir runs; restart it", a.cfg.State, c.State)
	}
	if c.Admin != a.cfg.Admin {
		return fmt.Errorf("admin: cannot change while Weir runs; restart it")
	}
	if !reflect.DeepEqual(c.Metrics, a.cfg.Metrics) {
		return fmt.Errorf("metrics: cannot change while Weir runs; restart it")
	}
	for name, pc := range c.Pools {
		if lp := a.pools[name]; lp != nil && lp.scales() != (pc.Template != nil) {
			return fmt.Errorf("pools.%s: a pool cannot change between targets and a template while Weir runs; give the new one another name", name)
		}
	}
	return nil
}

// removePool lets a pool that left the config finish, ends its instances and forgets it.
func (a *App) removePool(t *tenure, name string, lp *livePool) {
	defer lp.stop()
	if s := lp.scaled.Load(); s != nil {
		s.ended()
		a.retire(t, s.fleet, name)
	}
	// Requests that were routed before the change still hold slots or wait.
	for deadline := time.Now().Add(time.Duration(lp.config().Drain)); time.Now().Before(deadline); {
		s := lp.pool.Summary(time.Now())
		if s.InFlight == 0 && s.Waiting == 0 {
			break
		}
		select {
		case <-t.ctx.Done():
			return
		case <-time.After(100 * time.Millisecond):
			lp.pool.Tick(time.Now())
		}
	}
}

// retiring are the options of a fleet that only ends its instances.
func (a *App) retiring() fleet.Options {
	return fleet.Options{
		Drain: 5 * time.Minute, StartTimeout: time.Second, StopTimeout: 30 * time.Second,
		Watch: func(ctx context.Context, _ string, _ health.Status, _ func(health.Status)) { <-ctx.Done() },
		Join:  func(*target.Target) {}, Leave: func(*target.Target) {}, Elsewhere: a.leaving.inFlight,
	}
}
