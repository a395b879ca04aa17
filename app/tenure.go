package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/control"
	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/fleet/plan"
	"github.com/weirlb/weir/measure"
	"github.com/weirlb/weir/measure/history"
	"github.com/weirlb/weir/pool"
)

// tenure is the time in which this process holds the state, and what works on it. An upgrade ends it, and begins another one when the
// new process fails.
type tenure struct {
	db      *bolt.DB
	store   *fleet.Store
	journal *control.Journal
	ledger  *control.Ledger
	history *history.DB     // nil when it could not be opened
	asker   *measure.Asker  // of the queries of policies
	alarms  *control.Alarms // nil when they cannot be watched

	ctx    context.Context // ends with the tenure
	cancel context.CancelFunc
	works  sync.WaitGroup // what ends instances of pools that are gone
}

// openState opens the database in the state directory, which must be there.
func openState(ctx context.Context, dir string, m config.Metrics, log *slog.Logger) (*tenure, error) {
	db, err := bolt.Open(filepath.Join(dir, "weir.db"), 0o600, &bolt.Options{Timeout: 3 * time.Second})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("state: another Weir is using %s; stop it, or give this one a state directory of its own", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("state: opening the database: %w", err)
	}
	t := &tenure{db: db}
	if t.store, err = fleet.NewStore(db); err == nil {
		t.journal, err = control.NewJournal(db)
	}
	if err == nil {
		t.ledger, err = control.NewLedger(db)
	}
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("state: %w", err)
	}
	t.ctx, t.cancel = context.WithCancel(ctx)
	t.remember(dir, m, log)
	return t, nil
}

// end closes the database once all that works on it has ended; the pools' scaling must have.
func (t *tenure) end() error {
	t.cancel()
	t.works.Wait()
	t.asker.Wait()
	var err error
	if t.history != nil {
		err = t.history.Close()
	}
	return errors.Join(err, t.db.Close())
}

// stateDir makes the state directory and returns it as an absolute path.
func stateDir(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("state: %w", err)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", fmt.Errorf("state: creating the directory: %w; write a directory that Weir may write to", err)
	}
	return dir, nil
}

// scaling is what moves the capacity of a pool. Its instances outlive it.
type scaling struct {
	tenure   *tenure
	ctx      context.Context
	forecast atomic.Pointer[foresight] // nil without a predict policy

	fleet  *fleet.Fleet
	loop   *control.Loop
	cancel context.CancelFunc
	ended  func() // stops deciding, and returns when that has ended
}

// newScaling adopts a pool's instances. It decides nothing before run.
func (a *App) newScaling(t *tenure, lp *livePool, c *config.Pool) (*scaling, error) {
	p := lp.pool
	s := &scaling{ended: func() {}}
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(t.ctx)
	var err error
	s.tenure, s.ctx = t, ctx
	s.fleet, err = fleet.New(ctx, p, a.provider, t.store, &a.samples, a.fleetOptions(lp, c), a.log, a.instanceChanged)
	if err != nil {
		s.cancel()
		return nil, fmt.Errorf("pool %s: %w", p.Name, err)
	}
	s.loop = control.New(control.Options{
		Pool: p, Fleet: s.fleet, Samples: &a.samples, Journal: t.journal, Forecast: s.curve, Slots: slotsOf(c), Mix: mixOf(c), ShedAfter: shedAfter(c),
		Attendant: s.fleet, Reserve: s.fleet, Warm: warmPool(c), Termination: terminationOf(c.Scale), Lifecycle: livesOf(c),
		Remedies: a.remediesOf(t, p.Name, c), Remedied: func(instance string, t control.Treatment) { a.remedied(p.Name, instance, t) },
		Asker: t.asker, Scale: scaleOptions(p.Name, c.Scale), Desired: desiredOf(c.Scale), Log: a.log, Decided: a.decided,
		Versions: s.fleet, Refresh: refreshOptions(c.Refresh), Refreshed: func(r plan.Refresh) { a.refreshed(p.Name, r) },
	})
	t.asker.Watch(p.Name, queriesOf(c))
	a.foresee(lp, s, c)
	return s, nil
}

// run begins to decide.
func (s *scaling) run() {
	ctx, cancel := context.WithCancel(context.Background())
	var deciding sync.WaitGroup
	deciding.Go(func() { s.loop.Run(ctx) })
	s.ended = func() {
		cancel()
		deciding.Wait()
	}
}

// stop ends deciding and the care for instances.
func (s *scaling) stop() {
	s.ended()
	s.cancel()
	s.fleet.Wait()
}

// bringHome ends what an earlier Weir launched here and no pool of this config wants: instances of pools that are gone, and
// processes that no record knows.
func (a *App) bringHome(t *tenure) error {
	names, err := t.store.Pools()
	if err != nil {
		return err
	}
	for _, name := range names {
		if lp := a.pools[name]; lp != nil && lp.scales() {
			continue
		}
		p, err := pool.New(name, pool.Options{Balance: config.LeastConnections}, time.Now())
		if err != nil {
			return err
		}
		a.log.Info("a pool that is not in the config any more still has instances; ending them", "pool", name)
		f, err := fleet.New(t.ctx, p, a.provider, t.store, &a.samples, a.retiring(), a.log, a.instanceChanged)
		if err != nil {
			return err
		}
		t.works.Go(func() {
			a.retire(t, f, name)
			t.works.Go(f.Wait)
		})
	}
	return a.endOrphans(t)
}

// retire ends all instances of a pool that is gone.
func (a *App) retire(t *tenure, f *fleet.Fleet, name string) {
	if err := f.Retire(t.ctx, "its pool is not in the config any more"); err != nil && t.ctx.Err() == nil {
		a.log.Warn("instances of a removed pool still run", "pool", name, "error", err)
	}
}

// endOrphans ends processes that carry this state directory's mark and that no record knows.
func (a *App) endOrphans(t *tenure) error {
	found, err := a.provider.List()
	if err != nil {
		a.log.Warn("looking for instances that no record knows", "error", err)
		return nil
	}
	runs := make(map[string]bool, len(found))
	for _, f := range found {
		runs[f.ID] = true
	}
	if err := t.store.ForgetDetached(func(id string) bool { return runs[id] }); err != nil {
		a.log.Warn("forgetting detached instances that have ended", "error", err)
	}
	for _, f := range found {
		if t.store.Known(f.ID) {
			continue
		}
		h, err := a.provider.Adopt(t.ctx, f.ID, "")
		if err != nil {
			continue // it has ended meanwhile
		}
		a.log.Warn("ending an instance that no record knows", "instance", f.ID)
		h.Stop(10 * time.Second)
	}
	return nil
}
