package control

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/measure"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/scale"
	"github.com/weirlb/weir/target"
)

// provider launches instances that are up three seconds later and end when they are asked to.
type provider struct {
	mu       sync.Mutex
	launches []time.Time
	up       map[string]time.Time
}

type instance struct {
	p    *provider
	id   string
	done chan struct{}
}

func (p *provider) Launch(_ context.Context, s fleet.Spec) (fleet.Handle, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.launches = append(p.launches, time.Now())
	p.up[s.ID] = time.Now().Add(3 * time.Second)
	return &instance{p, s.ID, make(chan struct{})}, nil
}

func (p *provider) Adopt(context.Context, string, string) (fleet.Handle, error) {
	return nil, fleet.ErrGone
}

func (i *instance) Ref() string                 { return i.id }
func (i *instance) Addr() string                { return i.id }
func (i *instance) Done() <-chan struct{}       { return i.done }
func (i *instance) Exit() string                { return "asked to" }
func (i *instance) Usage() (fleet.Usage, error) { return fleet.Usage{CPU: 10}, nil }
func (i *instance) Stop(time.Duration)          { close(i.done) }

func (p *provider) watch(ctx context.Context, addr string, s health.Status, report func(health.Status)) {
	for ctx.Err() == nil {
		p.mu.Lock()
		up := !time.Now().Before(p.up[addr])
		p.mu.Unlock()
		s = health.Rule{}.Next(s, health.Outcome{Pass: up}, time.Now())
		report(s)
		select {
		case <-ctx.Done():
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// rig is a pool with its fleet and its loop, in made-up time.
type rig struct {
	p       *provider
	pool    *pool.Pool
	fleet   *fleet.Fleet
	loop    *Loop
	journal *Journal
}

func inRig(t *testing.T, o scale.Options, test func(*rig)) {
	path := filepath.Join(t.TempDir(), "weir.db")
	synctest.Test(t, func(t *testing.T) {
		db, err := bolt.Open(path, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		store, err := fleet.NewStore(db)
		if err != nil {
			t.Fatal(err)
		}
		r := &rig{p: &provider{up: map[string]time.Time{}}}
		if r.journal, err = NewJournal(db); err != nil {
			t.Fatal(err)
		}
		wake := func() { r.loop.Wake() }
		r.pool, err = pool.New("api", pool.Options{Balance: "least_connections", Elastic: true, Limits: admit.Limits{Queue: 1000}, Wake: wake}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		log := slog.New(slog.DiscardHandler)
		var samples measure.Store
		r.fleet, err = fleet.New(ctx, r.pool, r.p, store, &samples, fleet.Options{
			Slots: 2, Drain: time.Minute, StartTimeout: time.Minute, StopTimeout: time.Second, Watch: r.p.watch,
			Join: func(*target.Target) {}, Leave: func(*target.Target) {},
		}, log, nil)
		if err != nil {
			t.Fatal(err)
		}
		o.Pool = "api"
		r.loop = New(Options{
			Pool: r.pool, Fleet: r.fleet, Samples: &samples, Journal: r.journal, Slots: 2, Scale: o, Desired: o.Min, Log: log,
		})
		var run sync.WaitGroup
		run.Go(func() { r.loop.Run(ctx) })
		test(r)
		cancel()
		run.Wait()
		r.fleet.Wait()
	})
}

func (r *rig) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (r *rig) ready() (n int) {
	for _, v := range r.fleet.Instances(time.Now()) {
		if v.State == fleet.Ready {
			n++
		}
	}
	return n
}

func TestAQueueIsAnsweredWithinASecond(t *testing.T) {
	inRig(t, scale.Options{Max: 5, Policies: []scale.Policy{scale.Queue{WaitP95: time.Second}}}, func(r *rig) {
		r.after(10*time.Second + 300*time.Millisecond)
		if len(r.p.launches) != 0 {
			t.Fatal("launched without need")
		}
		formed := time.Now()
		l := &pool.Lease{Ready: func(*pool.Lease) {}}
		r.pool.Acquire(l, formed)
		r.after(999 * time.Millisecond)
		if len(r.p.launches) == 0 {
			t.Fatal("no launch within a second")
		}
		// In made-up time only what waits takes time: the loop did not wait for its next tick.
		if d := r.p.launches[0].Sub(formed); d >= 500*time.Millisecond {
			t.Errorf("the launch came %v after the queue formed", d)
		}
		ds, err := r.journal.Find("api", time.Time{}, time.Time{}, 1000)
		if err != nil {
			t.Fatal(err)
		}
		changes := 0
		for _, d := range ds {
			if d.Desired != d.Previous {
				changes++
				if d.Why == "" || len(d.Proposals) != 1 || d.Proposals[0].Why == "" {
					t.Errorf("a decision without its reasons: %+v", d)
				}
			}
		}
		if changes != 1 {
			t.Errorf("%d changes of capacity, want 1: %+v", changes, ds)
		}
	})
}

func TestLoadingInstancesAreNotDoubled(t *testing.T) {
	inRig(t, scale.Options{Max: 20, Policies: []scale.Policy{scale.Target{Metric: "queue_depth", Value: 5}}}, func(r *rig) {
		for range 12 {
			r.pool.Acquire(&pool.Lease{Ready: func(*pool.Lease) {}}, time.Now())
		}
		r.after(2900 * time.Millisecond) // while they load
		if n := len(r.p.launches); n != 3 {
			t.Errorf("%d launches for 12 waiting at 5 each, want ceil(12/5) = 3", n)
		}
	})
}

func TestManualHoldsUntilItIsOver(t *testing.T) {
	inRig(t, scale.Options{Min: 1, Max: 4, Policies: []scale.Policy{scale.Target{Metric: "queue_depth", Value: 5}}}, func(r *rig) {
		if err := r.loop.Manual(9, time.Time{}); err == nil {
			t.Error("beyond max: no error")
		}
		if err := r.loop.Manual(3, time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		r.after(10 * time.Second)
		if desired, _, manual := r.loop.Last(); desired != 3 || manual == nil || r.ready() != 3 {
			t.Fatalf("desired %d, manual %v, %d ready", desired, manual, r.ready())
		}
		r.after(2 * time.Minute)
		if desired, _, manual := r.loop.Last(); desired != 1 || manual != nil || r.ready() != 1 {
			t.Errorf("a minute after its end: desired %d, manual %v, %d ready", desired, manual, r.ready())
		}
	})
}

func TestNothingFailsOpenWhileAnInstanceIsOnItsWay(t *testing.T) {
	inRig(t, scale.Options{Min: 1, Max: 1}, func(r *rig) {
		err := r.pool.Configure(pool.Options{Balance: "least_connections", Elastic: true, Limits: admit.Limits{Queue: 1000}, FailOpen: 1}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		r.after(10 * time.Second)
		if r.ready() != 1 {
			t.Fatalf("%d ready", r.ready())
		}
		r.p.mu.Lock()
		for id := range r.p.up {
			r.p.up[id] = time.Now().Add(time.Hour) // its checks fail from now on
		}
		launched := len(r.p.launches)
		r.p.mu.Unlock()
		for range 30 { // three seconds: as long as a boot takes
			r.after(100 * time.Millisecond)
			r.p.mu.Lock()
			replaced := len(r.p.launches) > launched
			r.p.mu.Unlock()
			if open := r.pool.Summary(time.Now()).FailedOpen; replaced && open && r.ready() == 0 {
				t.Fatal("the pool has failed open while a replacement is on its way")
			}
		}
		r.after(5 * time.Second)
		if r.ready() != 1 {
			t.Errorf("%d ready: it was not replaced", r.ready())
		}
	})
}

func TestARestartedLoopGoesOn(t *testing.T) {
	inRig(t, scale.Options{Min: 1, Max: 4, Policies: []scale.Policy{scale.Target{Metric: "queue_depth", Value: 5}}}, func(r *rig) {
		if err := r.loop.Manual(4, time.Time{}); err != nil {
			t.Fatal(err)
		}
		r.after(5 * time.Second)
		again := New(r.loop.o)
		if desired, _, manual := again.Last(); desired != 4 || manual == nil || manual.Desired != 4 {
			t.Errorf("desired %d, manual %+v", desired, manual)
		}
		r.loop.Auto()
	})
}

func TestTheJournalFindsBySpanNewestFirst(t *testing.T) {
	db, err := bolt.Open(filepath.Join(t.TempDir(), "weir.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	j, err := NewJournal(db)
	if err != nil {
		t.Fatal(err)
	}
	t0 := time.Unix(1e9, 0).UTC()
	for i := range 20 {
		d := scale.Decision{Time: t0.Add(time.Duration(i) * time.Second), Pool: fmt.Sprintf("p%d", i%2), Previous: 1, Desired: 1 + i%4/2}
		if d.Desired == d.Previous {
			j.Add(d)
		} else if err := j.Keep(d, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		pool     string
		from, to time.Time
		limit    int
		want     int
	}{
		{"", time.Time{}, time.Time{}, 100, 20},
		{"p0", time.Time{}, time.Time{}, 100, 10},
		{"p1", time.Time{}, time.Time{}, 3, 3},
		{"", t0.Add(5 * time.Second), t0.Add(8 * time.Second), 100, 4},
		{"none", time.Time{}, time.Time{}, 100, 0},
	} {
		ds, err := j.Find(c.pool, c.from, c.to, c.limit)
		if err != nil || len(ds) != c.want {
			t.Errorf("%+v: %d decisions, %v", c, len(ds), err)
		}
		for i := 1; i < len(ds); i++ {
			if ds[i].Time.After(ds[i-1].Time) {
				t.Errorf("%+v: not the newest first", c)
			}
		}
	}
	// What changed something survives a restart.
	j, err = NewJournal(db)
	if err != nil {
		t.Fatal(err)
	}
	if ds, err := j.Find("", time.Time{}, time.Time{}, 100); err != nil || len(ds) != 10 {
		t.Errorf("after a restart: %d decisions, %v; want the 10 that changed something", len(ds), err)
	}
}

// upAtOnce reports once that the instance is ready.
func (p *provider) upAtOnce(ctx context.Context, _ string, s health.Status, report func(health.Status)) {
	report(health.Rule{}.Next(s, health.Outcome{Pass: true}, time.Now()))
	<-ctx.Done()
}
