// Package app wires Weir together, in one visible order: what may fail comes first, what serves comes last, and a shutdown
// goes the way back.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/control"
	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/l7"
	"github.com/weirlb/weir/listen"
	"github.com/weirlb/weir/measure"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/provider/process"
)

// Options are what the command line knows and the file does not.
type Options struct {
	Version string
	Config  string // path of the file, for a reload; "" when there is none
	Log     *slog.Logger
}

// App is a running Weir.
type App struct {
	log     *slog.Logger
	version string
	path    string // of the config
	started time.Time

	ctx    context.Context // of the loops
	cancel context.CancelFunc
	loops  sync.WaitGroup

	db       *bolt.DB
	store    *fleet.Store
	journal  *control.Journal
	samples  measure.Store
	provider *process.Provider
	engine   *l7.Engine
	web      *web

	mu        sync.Mutex // guards what a reload changes
	cfg       *config.Config
	shared    *shared
	pools     map[string]*livePool
	listeners map[string]*listener // by the config's address
}

type listener struct {
	*l7.Listener
	address string // as the config has it
}

// Start starts Weir. When it fails, nothing it started is left.
func Start(c *config.Config, o Options) (_ *App, err error) {
	a := &App{
		log: o.Log, version: o.Version, path: o.Config, started: time.Now(), cfg: c,
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
		}
	}()

	// What the config asks of this machine.
	if err := Check(c); err != nil {
		return nil, err
	}
	sockets, err := open(c, nil)
	if err != nil {
		return nil, err
	}
	undo = append(undo, func() { closeAll(sockets) })
	admin, err := listen.TCP(c.Admin.Address)
	if err != nil {
		return nil, fmt.Errorf("admin.address: %w", err)
	}
	undo = append(undo, func() { admin.Close() })

	// What survives Weir.
	if err := a.openState(c.State); err != nil {
		return nil, err
	}
	undo = append(undo, func() { a.db.Close() })

	// Pools, which adopt what still runs; then the loops that change things.
	if a.engine, err = l7.NewEngine(runtime.GOMAXPROCS(0)); err != nil {
		return nil, fmt.Errorf("starting the HTTP engine: %w", err)
	}
	undo = append(undo, a.engine.Close)
	a.web = newWeb(a, c.Admin.Token)
	for name, pc := range c.Pools {
		lp, err := a.newPool(a.ctx, name, pc)
		if err != nil {
			return nil, err
		}
		undo = append(undo, lp.stop)
		a.pools[name] = lp
	}
	if err := a.bringHome(); err != nil {
		return nil, err
	}

	if a.shared, err = share(c, nil, a.version, a.log); err != nil {
		return nil, err
	}
	undo = append(undo, func() { a.shared.release(nil) })

	// From here on nothing fails: serve.
	for _, l := range c.Listen {
		site, err := siteOf(c, l, a.pools, a.shared)
		if err != nil {
			return nil, err
		}
		a.serve(l.Address, sockets[l.Address], site)
	}
	for _, lp := range a.pools {
		lp.run()
	}
	a.loops.Go(a.tick)
	a.web.serve(admin)
	a.log.Info("Weir is up", "version", o.Version, "dashboard", "http://"+addressOf(admin.Addr())+"/", "pools", len(a.pools))
	return a, nil
}

// open opens the sockets of all listeners, or none.
func open(c *config.Config, have map[string]*listener) (map[string]net.Listener, error) {
	sockets := map[string]net.Listener{}
	for _, l := range c.Listen {
		if have[l.Address] != nil {
			continue
		}
		ln, err := listen.TCP(l.Address)
		if err != nil {
			closeAll(sockets)
			return nil, err
		}
		sockets[l.Address] = ln
	}
	return sockets, nil
}

func closeAll(sockets map[string]net.Listener) {
	for _, ln := range sockets {
		ln.Close()
	}
}

// openState opens the state directory and what is in it.
func (a *App) openState(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("state: creating the directory: %w; write a directory that Weir may write to", err)
	}
	a.db, err = bolt.Open(filepath.Join(dir, "weir.db"), 0o600, &bolt.Options{Timeout: 3 * time.Second})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return fmt.Errorf("state: another Weir is using %s; stop it, or give this one a state directory of its own", dir)
	}
	if err != nil {
		return fmt.Errorf("state: opening the database: %w", err)
	}
	if a.store, err = fleet.NewStore(a.db); err == nil {
		a.journal, err = control.NewJournal(a.db)
	}
	if err == nil {
		a.provider, err = process.New(process.Options{Dir: dir, Log: a.log})
	}
	if err != nil {
		a.db.Close()
		return fmt.Errorf("state: %w", err)
	}
	return nil
}

func (a *App) serve(address string, ln net.Listener, site *l7.Site) {
	a.listeners[address] = &listener{Listener: a.engine.Serve(ln, site, l7.ServeOptions{H2C: true}), address: address}
	a.log.Info("listening", "address", addressOf(ln.Addr()))
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
				if n%100 == 0 {
					l7.Expire(lp.pool.Stats(now).Targets, now)
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
		listeners[address] = l.Addr().String()
	}
	return listeners, a.web.address()
}

// Shutdown ends Weir: new connections are refused, what is in flight finishes, then the instances are drained and
// ended, unless keep says that they are left for the next Weir to adopt. When ctx ends first, what is left is cut and the error says so.
func (a *App) Shutdown(ctx context.Context, keep bool) error {
	a.log.Info("shutting down: finishing what is in flight", "connections", a.engine.Active())
	err := a.engine.Shutdown(ctx)
	if err != nil {
		err = fmt.Errorf("%d connections were cut at the deadline: %w", a.engine.Active(), err)
	}
	pools := a.snapshot()
	var retire sync.WaitGroup
	for _, lp := range pools {
		if lp.fleet == nil || keep {
			continue
		}
		lp.endLoop()
		retire.Go(func() {
			if e := lp.fleet.Retire(ctx, "Weir shuts down"); e != nil {
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
	a.web.close()
	a.engine.Close()
	a.shared.release(nil)
	return errors.Join(err, a.db.Close())
}

// bringHome ends what an earlier Weir launched here and no pool of this config wants: instances of pools that are gone, and
// processes that no record knows.
func (a *App) bringHome() error {
	names, err := a.store.Pools()
	if err != nil {
		return err
	}
	for _, name := range names {
		if lp := a.pools[name]; lp != nil && lp.fleet != nil {
			continue
		}
		p, err := pool.New(name, pool.Options{Balance: config.LeastConnections}, time.Now())
		if err != nil {
			return err
		}
		a.log.Info("a pool that is not in the config any more still has instances; ending them", "pool", name)
		ctx, cancel := context.WithCancel(a.ctx)
		f, err := fleet.New(ctx, p, a.provider, a.store, &a.samples, farewell(), a.log, a.instanceChanged)
		if err != nil {
			cancel()
			return err
		}
		a.loops.Go(func() { a.retire(f, cancel, name) })
	}
	return a.endOrphans()
}
