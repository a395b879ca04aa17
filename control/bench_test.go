package control

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/fleet/plan"
	"github.com/weirlb/weir/measure"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/scale"
	"github.com/weirlb/weir/target"
)

// BenchmarkTick is one second of the control plane of a large Weir: 1,000 pools of ten ready instances each, with two policies each. In idle
// pools every decision is like the one before; in busy ones requests come by chance, so that the reasons of each decision are new. The
// memory that a second costs (B/op) is in busy pools mostly those reasons, which the journal keeps.
func BenchmarkTick(b *testing.B) {
	b.Run("idle", func(b *testing.B) { tick(b, 0) })
	b.Run("busy", func(b *testing.B) { tick(b, 6) })
}

// TestAnIdleStepMakesNoGarbage holds what BenchmarkTick measures: what a step needs it has from the one before.
func TestAnIdleStepMakesNoGarbage(t *testing.T) {
	w := newWeir(t, &bolt.Options{NoSync: true})
	l := w.loop("api", 10)
	w.ready([]*Loop{l}, 10)
	now := time.Now()
	step := func() {
		now = now.Add(Every)
		l.Step(now)
	}
	for range recentKept + tapeLength {
		step()
	}
	// A few are left: the names of policies, and the decider's state once in a while.
	if n := testing.AllocsPerRun(200, step); n > 10 {
		t.Errorf("%.1f allocations in a step that decides the same as the one before", n)
	}
}

// tick has up to so many requests in each second and pool.
func tick(b *testing.B, requests int) {
	const pools, size = 1000, 10
	w := newWeir(b, &bolt.Options{NoSync: true})
	loops := make([]*Loop, pools)
	for i := range loops {
		loops[i] = w.loop(fmt.Sprintf("pool-%d", i), size)
	}
	w.ready(loops, size)
	now, chance := time.Now(), rand.New(rand.NewPCG(1, 2))
	second := func() {
		now = now.Add(Every)
		for _, l := range loops {
			l.Step(now)
		}
	}
	traffic := func() {
		for _, l := range loops {
			for range chance.IntN(requests + 1) {
				lease := &pool.Lease{Ready: func(*pool.Lease) {}}
				l.o.Pool.Acquire(lease, now)
				lease.Release(pool.Outcome{}, now)
			}
		}
	}
	for range recentAll/pools + tapeLength { // until all memory is there that is used again
		traffic()
		second()
	}
	b.ReportAllocs()
	var cpu time.Duration
	n := 0
	b.ResetTimer()
	for b.Loop() {
		b.StopTimer()
		traffic()
		b.StartTimer()
		before := spent(b)
		second()
		cpu += spent(b) - before
		n++
	}
	b.ReportMetric(float64(cpu.Microseconds())/1000/float64(n), "cpu-ms/op")
	for _, l := range loops {
		if d, _, _ := l.Last(); d != size {
			b.Fatalf("the load is steady, and %d are desired: %s", d, l.last.Why)
		}
	}
}

// spent is the CPU time of this process. What a tick takes by the clock is as much a matter of what else the machine does.
func spent(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkLaunch is the time from a queue's forming to the provider's being told to launch, through the real loop, with all that is written
// to disk in between: in a Weir of one pool, and beside 1,000 pools with ten instances each that decide once a second as well.
func BenchmarkLaunch(b *testing.B) {
	for _, others := range []int{0, 1000} {
		b.Run(fmt.Sprintf("beside_%d_pools", others), func(b *testing.B) { launch(b, others) })
	}
}

func launch(b *testing.B, others int) {
	w := newWeir(b, nil)
	loops := make([]*Loop, others)
	for i := range loops {
		loops[i] = w.loop(fmt.Sprintf("pool-%d", i), 10)
	}
	w.ready(loops, 10)
	for _, l := range loops {
		w.runs.Go(func() { l.Run(w.ctx) })
	}
	var sum, most time.Duration
	n := 0
	for b.Loop() {
		l := w.loop(fmt.Sprintf("new-%d", n), 0)
		ctx, cancel := context.WithCancel(w.ctx)
		w.runs.Go(func() { l.Run(ctx) })
		for _, d, _ := l.Last(); d.Time.IsZero(); _, d, _ = l.Last() {
			time.Sleep(time.Millisecond) // until it waits for its next second
		}
		w.p.mu.Lock()
		before := len(w.p.launches)
		w.p.mu.Unlock()
		formed := time.Now()
		l.o.Pool.Acquire(&pool.Lease{Ready: func(*pool.Lease) {}}, formed)
		took := w.launched(before).Sub(formed)
		sum += took
		most = max(most, took)
		n++
		cancel()
	}
	b.ReportMetric(sum.Seconds()*1000/float64(n), "ms/launch")
	b.ReportMetric(most.Seconds()*1000, "max-ms/launch")
	b.ReportMetric(0, "ns/op") // which has the making of a pool in it
}

// weir is what the pools of a benchmark share.
type weir struct {
	tb      testing.TB
	ctx     context.Context
	store   *fleet.Store
	journal *Journal
	samples measure.Store
	p       *provider
	fleets  []*fleet.Fleet
	runs    sync.WaitGroup
}

func newWeir(tb testing.TB, o *bolt.Options) *weir {
	db, err := bolt.Open(filepath.Join(tb.TempDir(), "weir.db"), 0o600, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { db.Close() })
	w := &weir{tb: tb, p: &provider{up: map[string]time.Time{}}}
	if w.store, err = fleet.NewStore(db); err != nil {
		tb.Fatal(err)
	}
	if w.journal, err = NewJournal(db); err != nil {
		tb.Fatal(err)
	}
	var cancel context.CancelFunc
	w.ctx, cancel = context.WithCancel(context.Background())
	tb.Cleanup(func() {
		cancel()
		w.runs.Wait()
		for _, f := range w.fleets {
			f.Wait()
		}
	})
	return w
}

// loop returns the loop of a new pool, whose instances are launched and ready at once.
func (w *weir) loop(name string, size int) *Loop {
	var l *Loop
	po, err := pool.New(name, pool.Options{
		Balance: "least_connections", Elastic: true, Limits: admit.Limits{Queue: 1000}, Wake: func() { l.Wake() },
	}, time.Now())
	if err != nil {
		w.tb.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	f, err := fleet.New(w.ctx, po, w.p, w.store, &w.samples, fleet.Options{
		Slots: 2, Drain: time.Minute, StartTimeout: time.Hour, StopTimeout: time.Second, Watch: w.p.upAtOnce,
		Join: func(*target.Target) {}, Leave: func(*target.Target) {},
	}, log, nil)
	if err != nil {
		w.tb.Fatal(err)
	}
	f.Launch(size, plan.Placement{})
	o := scale.Options{
		Pool: name, Min: size, Max: max(1, 2*size), ScaleInWindow: time.Minute,
		Policies: []scale.Policy{scale.Queue{WaitP95: 2 * time.Second}, scale.Target{Metric: scale.CPUUtilization, Value: 60}},
	}
	l = New(Options{Pool: po, Fleet: f, Samples: &w.samples, Journal: w.journal, Slots: 2, Scale: o, Desired: size, Log: log})
	w.fleets = append(w.fleets, f)
	return l
}

// ready waits until all loops have so many ready instances.
func (w *weir) ready(loops []*Loop, size int) {
	for _, l := range loops {
		for {
			ready := 0
			for _, v := range l.o.Fleet.AppendInstances(nil, time.Now()) {
				if v.State == fleet.Ready {
					ready++
				}
			}
			if ready == size {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
}

// launched waits for the next launch after so many, and returns when it was.
func (w *weir) launched(before int) time.Time {
	for {
		w.p.mu.Lock()
		if len(w.p.launches) > before {
			defer w.p.mu.Unlock()
			return w.p.launches[before]
		}
		w.p.mu.Unlock()
		time.Sleep(100 * time.Microsecond)
	}
}
