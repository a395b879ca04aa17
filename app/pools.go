package app

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/l7"
	"github.com/weirlb/weir/measure/scrape"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/probe"
	"github.com/weirlb/weir/target"
)

// livePool is one pool with all that keeps it alive: the checks of its fixed targets, or its fleet and its loop.
type livePool struct {
	name    string
	log     *slog.Logger
	cfg     atomic.Pointer[config.Pool]
	pool    *pool.Pool
	scaled  atomic.Pointer[scaling] // nil with fixed targets
	ctx     context.Context
	cancel  context.CancelFunc
	runs    sync.WaitGroup
	ejected map[string]bool // targets that were when notice looked last; its own

	mirrored atomic.Uint64 // copies of other pools' requests

	fixed map[string]*fixed // by address; of reloads

	overriding sync.Mutex // held while an override is read, changed and set

	mu     sync.Mutex
	agents map[*target.Target]*agent // of those that are in the pool
	reads  map[*target.Target]*read  // of their metrics

	scraper *scrape.Scraper
}

// fixed is a target that the config names.
type fixed struct {
	t      *target.Target
	status health.Status // guarded by mu: the newest, kept across a reload
	mu     sync.Mutex
	check  probe.Check
	cancel context.CancelFunc // ends its checks; nil when it has none
}

// agent is the watch of the agent of a target.
type agent struct {
	probe.Agent
	cancel context.CancelFunc
}

// newPool starts a pool. Everything that can fail does so before anything is launched.
func (a *App) newPool(name string, c *config.Pool) (*livePool, error) {
	lp := &livePool{name: name, log: a.log, fixed: map[string]*fixed{}, ejected: map[string]bool{}, agents: map[*target.Target]*agent{}}
	lp.reads, lp.scraper = map[*target.Target]*read{}, a.scraper()
	lp.cfg.Store(c)
	lp.ctx, lp.cancel = context.WithCancel(a.ctx)
	p, err := pool.New(name, poolOptions(c, lp.wake), time.Now())
	if err != nil {
		return nil, err
	}
	lp.pool = p
	if c.Template == nil {
		lp.fix(c)
		return lp, nil
	}
	s, err := a.newScaling(a.tenure, lp, c)
	if err != nil {
		lp.stop()
		return nil, err
	}
	lp.scaled.Store(s)
	return lp, nil
}

// config is what the pool is configured by now.
func (lp *livePool) config() *config.Pool { return lp.cfg.Load() }

// scales says whether the pool has a fleet.
func (lp *livePool) scales() bool { return lp.config().Template != nil }

// run starts the loop of a pool that scales.
func (lp *livePool) run() {
	if s := lp.scaled.Load(); s != nil {
		s.run()
	}
}

// wake is called by the pool when a request begins to wait.
func (lp *livePool) wake() {
	if s := lp.scaled.Load(); s != nil {
		s.loop.Wake()
	}
}

// configure applies a changed config to a running pool: what stays the same is not touched, health included.
func (lp *livePool) configure(a *App, c *config.Pool) error {
	if err := lp.pool.Configure(poolOptions(c, lp.wake), time.Now()); err != nil {
		return err
	}
	lp.cfg.Store(c)
	if s := lp.scaled.Load(); s != nil {
		s.fleet.Configure(a.fleetOptions(lp, c))
		s.loop.KeepWarm(warmPool(c))
		s.loop.EndFirst(terminationOf(c.Scale))
		s.loop.Live(livesOf(c))
		s.loop.Remedy(a.remediesOf(a.tenure, lp.name, c))
		s.loop.ConfigureMix(mixOf(c))
		s.loop.ShedAfter(shedAfter(c))
		s.loop.Configure(slotsOf(c), scaleOptions(lp.name, c.Scale), refreshOptions(c.Refresh))
		a.foresee(lp, s, c)
		a.tenure.asker.Watch(lp.name, queriesOf(c))
	} else {
		lp.fix(c)
	}
	for _, t := range lp.members() {
		lp.attend(t)
	}
	return nil
}

// members are the targets that are in the pool now.
func (lp *livePool) members() (ts []*target.Target) {
	lp.pool.Update(time.Now(), func(tx *pool.Tx) { ts = slices.Collect(tx.Targets) })
	return ts
}

// fix makes the pool's fixed targets those of the config, all at the same moment.
func (lp *livePool) fix(c *config.Pool) {
	check, checked := readiness(c)
	now := time.Now()
	wanted := map[string]bool{}
	var fresh, gone []*fixed
	for _, ct := range c.Targets {
		wanted[ct.Address] = true
		f := lp.fixed[ct.Address]
		if f == nil {
			f = &fixed{t: target.New(ct.Address, ct.Address, ct.Weight, slotsFor(c, ct))}
			lp.join(f.t)
			if !checked {
				f.status = health.Status{State: target.Healthy, Passed: true, Reason: "not checked", Since: now}
			}
			lp.fixed[ct.Address] = f
			fresh = append(fresh, f)
		}
		f.t.SetWeight(ct.Weight)
		f.t.SetSlots(slotsFor(c, ct))
	}
	for addr, f := range lp.fixed {
		if !wanted[addr] {
			delete(lp.fixed, addr)
			if f.cancel != nil {
				f.cancel()
			}
			gone = append(gone, f)
		}
	}
	lp.pool.Update(now, func(tx *pool.Tx) {
		for _, f := range fresh {
			tx.Add(f.t, f.status)
		}
		for _, f := range gone {
			tx.Remove(f.t) // what is in flight on it goes on
		}
	})
	for _, f := range gone {
		lp.leave(f.t)
	}
	for _, f := range lp.fixed {
		lp.watch(f, check, checked)
	}
}

// watch starts, replaces or ends a fixed target's checks. A check that has not changed goes on undisturbed.
func (lp *livePool) watch(f *fixed, check probe.Check, checked bool) {
	if f.cancel != nil {
		if checked && check.Equal(f.check) {
			return
		}
		f.cancel()
		f.cancel = nil
		if !checked {
			f.status = health.Status{State: target.Healthy, Passed: true, Reason: "not checked", Since: time.Now()}
			lp.pool.Checked(f.t, f.status, time.Now())
		}
	}
	if !checked {
		return
	}
	f.mu.Lock()
	from := f.status
	f.mu.Unlock()
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
				lp.log.Info("target", "pool", lp.name, "target", f.t.ID, "from", was, "to", s.State, "why", s.Reason)
			}
			lp.pool.Checked(f.t, s, time.Now())
		})
	})
}

// join prepares a target for the pool, leave cleans up after one that has left it.
func (lp *livePool) join(t *target.Target) {
	l7.Link(t, maxIdle, time.Duration(lp.config().Timeouts.KeepAlive))
	lp.attend(t)
}

func (lp *livePool) leave(t *target.Target) {
	lp.mu.Lock()
	if g := lp.agents[t]; g != nil {
		g.cancel()
		delete(lp.agents, t)
	}
	if g := lp.reads[t]; g != nil {
		g.cancel()
		delete(lp.reads, t)
	}
	lp.mu.Unlock()
	l7.Unlink(t)
}

// attend starts, replaces or ends the watch of a target's agent and of its metrics. It does not block.
func (lp *livePool) attend(t *target.Target) {
	var want probe.Agent
	if c := lp.config().Agent; c != nil {
		want = probe.Agent{Port: c.Port, Interval: time.Duration(c.Interval)}
	}
	lp.mu.Lock()
	defer lp.mu.Unlock()
	lp.read(t)
	if g := lp.agents[t]; g != nil {
		if g.Agent == want {
			return
		}
		g.cancel()
		delete(lp.agents, t)
		if want == (probe.Agent{}) {
			// Nobody takes its last word back any more.
			lp.runs.Go(func() { lp.pool.Reported(t.ID, acquitted, time.Now()) })
		}
	}
	if want == (probe.Agent{}) {
		return
	}
	ctx, cancel := context.WithCancel(lp.ctx)
	lp.agents[t] = &agent{want, cancel}
	lp.runs.Go(func() {
		want.Watch(ctx, t.Addr, func(w health.Word) { lp.pool.Reported(t.ID, w, time.Now()) }, func(err error) {
			if err != nil {
				lp.log.Warn("an agent does not answer; what it said last stays", "pool", lp.name, "target", t.ID, "error", err)
			} else {
				lp.log.Info("the agent answers", "pool", lp.name, "target", t.ID)
			}
		})
	})
}

// acquitted is the word of an agent that wants nothing.
var acquitted = health.Word{Percent: new(100), Slots: new(0), Drain: new(false), Down: new(false)}

// notice logs ejections, and their ends, since it was called last.
func (lp *livePool) notice(ts []pool.TargetStats) {
	now := map[string]bool{}
	for _, t := range ts {
		switch id := t.Target.ID; {
		case t.State == target.Ejected:
			now[id] = true
			if !lp.ejected[id] {
				lp.log.Warn("a target is ejected", "pool", lp.name, "target", id, "why", t.Reason)
			}
		case lp.ejected[id]:
			lp.log.Info("a target is back after its ejection", "pool", lp.name, "target", id, "state", t.State, "why", t.Reason)
		}
	}
	lp.ejected = now
}

// forget takes targets out of the pool whose instances a new fleet does not have: they ended while nobody looked.
func (lp *livePool) forget(f *fleet.Fleet) {
	there := map[string]bool{}
	for _, v := range f.Instances(time.Now()) {
		there[v.ID] = true
	}
	for _, t := range lp.members() {
		if !there[t.ID] {
			lp.pool.Remove(t, time.Now())
			lp.leave(t)
		}
	}
}

// stop ends what keeps the pool alive. Its instances go on.
func (lp *livePool) stop() {
	if s := lp.scaled.Load(); s != nil {
		s.stop()
	}
	lp.cancel()
	lp.runs.Wait()
}

// override changes what an operator wants of a target; what change leaves alone stays.
func (lp *livePool) override(id string, change func(*pool.Override)) error {
	lp.overriding.Lock()
	defer lp.overriding.Unlock()
	before := lp.pool.Overrides()[id]
	o := before
	change(&o)
	now := time.Now()
	if !lp.pool.Override(id, o, now) {
		lp.pool.Override(id, before, now)
		return fmt.Errorf("pool %s has no target %s that takes traffic; it has %s: %w", lp.name, id, lp.targets(), admin.ErrNotFound)
	}
	return nil
}

// targets names the pool's targets, for messages.
func (lp *livePool) targets() string {
	var ids []string
	for _, t := range lp.members() {
		ids = append(ids, t.ID)
	}
	if len(ids) == 0 {
		return "none now"
	}
	slices.Sort(ids)
	more := ""
	if n := len(ids); n > 10 {
		ids, more = ids[:10], fmt.Sprintf(" and %d more", n-10)
	}
	return fmt.Sprint(ids) + more
}

// inFlight counts what is in flight on each target that has any.
func (lp *livePool) inFlight(into map[string]int) {
	for _, t := range lp.members() {
		if n := t.InFlight(); n > 0 {
			into[t.ID] += n
		}
	}
}
