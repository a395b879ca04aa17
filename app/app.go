// Package app wires Weir together, in one visible order: what may fail comes first, what serves comes last, and a shutdown
// goes the way back.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/l7"
	"github.com/weirlb/weir/listen"
	"github.com/weirlb/weir/listen/acme"
	"github.com/weirlb/weir/listen/handover"
	"github.com/weirlb/weir/measure"
	"github.com/weirlb/weir/measure/history"
	"github.com/weirlb/weir/provider/process"
)

// Inheritance is what an earlier process, or systemd, gave this one.
type Inheritance = handover.Inheritance

// Inherited returns what this process was given. Call it once, before anything else, and hand it to Start.
func Inherited() (*Inheritance, error) { return handover.Inherited() }

// Options are what the command line knows and the file does not.
type Options struct {
	Version   string
	Config    string // path of the file, for a reload; "" when there is none
	Log       *slog.Logger
	Inherited *Inheritance  // nil: nothing
	Deadline  time.Duration // for what is in flight when another process takes over; 0: 5 min
}

// App is a running Weir.
type App struct {
	log     *slog.Logger
	o       Options
	started time.Time
	memo    memo // from the process before

	ctx    context.Context // of the loops
	cancel context.CancelFunc
	loops  sync.WaitGroup

	samples   measure.Store
	wondering chan struct{}              // full while a what-if is answered: one at a time
	fitting   chan struct{}              // full while a forecast is fitted: one at a time
	kept      atomic.Pointer[history.DB] // of the tenure, for those that cannot wait for the lock
	provider  *process.Provider
	engine    *l7.Engine
	web       *web
	leaving   *leavers
	issuers   atomic.Pointer[[]*acme.Issuer]
	up        chan struct{} // closed when Start is done
	replaced  chan struct{} // closed when another process has taken over

	changing sync.Mutex // held by what reads a file, and by an upgrade: one at a time
	loaded   stamp      // of the files that were read last; guarded by changing
	watching context.CancelFunc

	mu        sync.Mutex // guards what a reload or an upgrade changes
	cfg       *config.Config
	tenure    *tenure
	shared    *shared
	pools     map[string]*livePool
	listeners map[string]*listener // by the config's address
}

// Start starts Weir. When it fails, nothing it started is left, and the process that it was to take over from goes on.
func Start(c *config.Config, o Options) (_ *App, err error) {
	if o.Inherited == nil {
		o.Inherited = &Inheritance{}
	}
	if o.Deadline == 0 {
		o.Deadline = 5 * time.Minute
	}
	a := &App{
		log: o.Log, o: o, started: time.Now(), cfg: c, up: make(chan struct{}), replaced: make(chan struct{}),
		fitting: make(chan struct{}, 1), wondering: make(chan struct{}, 1),
		pools: map[string]*livePool{}, listeners: map[string]*listener{},
	}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	var undo []func()
	defer func() {
		if err != nil {
			a.cancel()
			for i := len(undo) - 1; i >= 0; i-- {
				undo[i]()
			}
			o.Inherited.Fail(err)
			o.Inherited.Close()
		}
	}()

	// What the config asks of this machine.
	if a.memo, err = readMemo(o.Inherited.Memo()); err != nil {
		return nil, err
	}
	if err := Check(c); err != nil {
		return nil, err
	}
	a.loaded = stampOf(a.o.Config).with(c)
	opened, err := a.open(c, o.Inherited, a.memo.Tickets)
	if err != nil {
		return nil, err
	}
	undo = append(undo, func() {
		for _, l := range a.listeners {
			l.close(a.engine)
		}
		opened.close()
	})
	if a.web, err = newWeb(a, c.Admin, o.Inherited); err != nil {
		return nil, err
	}
	undo = append(undo, a.web.abandon)

	// What survives Weir. An earlier process lets go of it now.
	dir, err := stateDir(c.State)
	if err != nil {
		return nil, err
	}
	if err := o.Inherited.Prepare(a.ctx); err != nil {
		return nil, err
	}
	a.leaving = newLeavers(dir)
	if a.tenure, err = openState(a.ctx, dir, c.Metrics, a.log); err != nil {
		return nil, err
	}
	undo = append(undo, func() { a.tenure.end() })
	if a.provider, err = process.New(process.Options{Dir: dir, Log: a.log}); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}

	// Pools, which adopt what still runs.
	if a.engine, err = l7.NewEngine(runtime.GOMAXPROCS(0)); err != nil {
		return nil, fmt.Errorf("starting the HTTP engine: %w", err)
	}
	undo = append(undo, a.engine.Close)
	for name, pc := range c.Pools {
		lp, err := a.newPool(name, pc)
		if err != nil {
			return nil, err
		}
		undo = append(undo, lp.stop)
		a.pools[name] = lp
	}
	a.memo.restore(a.pools)

	if a.shared, err = a.share(c, nil); err != nil {
		return nil, err
	}
	undo = append(undo, func() { a.shared.release(nil) })

	// Serve, beside the earlier process, until that leaves.
	for _, l := range c.Listen {
		site, err := siteOf(c, l, a.pools, a.shared)
		if err != nil {
			return nil, err
		}
		a.serve(l, opened[l.Address], site)
	}
	a.listIssuers()
	a.loops.Go(a.tick)
	defer close(a.up) // who asks for a reload or an upgrade from now on waits for it
	a.changing.Lock()
	defer a.changing.Unlock()
	a.web.serve()
	if err := o.Inherited.Ready(a.ctx); err != nil {
		return nil, err
	}

	// From here on nothing fails, and this process is on its own: change things.
	if err := a.bringHome(a.tenure); err != nil {
		a.log.Error("instances of pools that are gone may still run", "error", err)
	}
	for _, lp := range a.pools {
		lp.run()
	}
	a.record(a.tenure)
	a.charge(a.tenure)
	a.sound(a.tenure, c)
	a.watch(c)
	notify("READY=1")
	a.log.Info("Weir is up", "version", o.Version, "dashboard", a.web.url(), "pools", len(a.pools), "generation", a.memo.Generation)
	return a, nil
}

// tick drives what has no goroutine of its own: queue timeouts, ejections, idle connections to targets.
func (a *App) tick() {
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	for n := 0; ; n++ {
		select {
		case <-a.ctx.Done():
			return
		case now := <-t.C:
			for _, lp := range a.snapshot() {
				lp.pool.Tick(now)
				if n%20 != 0 {
					continue
				}
				ts := lp.pool.Stats(now).Targets
				lp.notice(ts)
				if n%100 == 0 {
					l7.Expire(ts, now)
				}
			}
		}
	}
}

// snapshot returns the pools, in no order.
func (a *App) snapshot() []*livePool {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]*livePool, 0, len(a.pools))
	for _, lp := range a.pools {
		out = append(out, lp)
	}
	return out
}

// Addresses returns where the listeners and the admin page can be reached, as host:port: with port 0 in the file only this tells.
func (a *App) Addresses() (listeners map[string]string, admin string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	listeners = map[string]string{}
	for address, l := range a.listeners {
		listeners[address] = l.addr().String()
	}
	return listeners, a.web.address()
}

// idlePatience is how long a connection that asks nothing stays open in a process that another one has replaced: its next request may be on
// its way.
const idlePatience = 5 * time.Second

// Shutdown ends Weir: new connections are refused, what is in flight finishes, then the instances are drained and
// ended, unless keep says that they are left for the next Weir to adopt, or another process has replaced this one. When ctx ends
// first, what is left is cut and the error says so.
func (a *App) Shutdown(ctx context.Context, keep bool) error {
	a.changing.Lock() // an upgrade that is under way goes first
	a.unwatch()
	a.changing.Unlock()
	gone := a.isReplaced()
	if gone {
		keep = true
		a.web.close()
		idle, cancel := context.WithTimeout(ctx, idlePatience)
		a.engine.Leave(idle)
		cancel()
	} else {
		notify("STOPPING=1")
	}
	a.log.Info("shutting down: finishing what is in flight", "connections", a.engine.Active(), "until", deadlineOf(ctx))
	err := a.finish(ctx)
	if err != nil {
		err = fmt.Errorf("%d connections were cut at the deadline: %w", a.engine.Active(), err)
	}
	pools := a.snapshot()
	var retire sync.WaitGroup
	for _, lp := range pools {
		s := lp.scaled.Load()
		if s == nil || keep {
			continue
		}
		s.ended()
		retire.Go(func() {
			if e := s.fleet.Retire(ctx, "Weir shuts down"); e != nil {
				a.log.Warn("instances are left running; the next start adopts them", "error", e)
			}
		})
	}
	retire.Wait()
	a.cancel()
	for _, lp := range pools {
		lp.stop()
	}
	a.loops.Wait()
	if !gone {
		a.web.close()
	}
	for _, l := range a.listeners {
		l.close(a.engine)
	}
	a.engine.Close()
	a.shared.release(nil)
	if a.memo.farewell != nil {
		a.memo.farewell.end()
	}
	if gone {
		return err // the state is another process's
	}
	return errors.Join(err, a.tenure.end())
}

// finish shuts the engine down, and says now and then how much is left.
func (a *App) finish(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- a.engine.Shutdown(ctx) }()
	t := time.NewTicker(10 * time.Second)
	defer t.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-t.C:
			a.log.Info("still finishing what is in flight", "connections", a.engine.Active(), "until", deadlineOf(ctx))
		}
	}
}

func deadlineOf(ctx context.Context) time.Time {
	d, _ := ctx.Deadline()
	return d
}

// openAdmin opens the admin API's socket.
func openAdmin(address string, given *Inheritance) (net.Listener, error) {
	lns, err := listen.Open(address, listen.Options{Inherited: given.Take(address)})
	if err != nil {
		return nil, fmt.Errorf("admin.address: %w", err)
	}
	for _, ln := range lns[1:] {
		ln.Close()
	}
	return lns[0], nil
}
