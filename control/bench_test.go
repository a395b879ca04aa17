package control

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
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

// BenchmarkTick is one second of the control plane of a large Weir: 1,000 pools of ten ready instances each, two policies each, under
// steady load.
func BenchmarkTick(b *testing.B) {
	const pools, size = 1000, 10
	loops := bench(b, pools, size)
	now := time.Now()
	tick := func() {
		now = now.Add(Every)
		for _, l := range loops {
			l.Step(now)
		}
	}
	for range 2 * tapeLength { // until all memory is there that is used again
		tick()
	}
	b.ReportAllocs()
	b.ResetTimer()
	before, n := spent(b), 0
	for b.Loop() {
		tick()
		n++
	}
	b.ReportMetric(float64((spent(b)-before).Microseconds())/1000/float64(n), "cpu-ms/op")
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

// bench returns loops over pools with so many ready instances each.
func bench(b *testing.B, pools, size int) []*Loop {
	db, err := bolt.Open(filepath.Join(b.TempDir(), "weir.db"), 0o600, &bolt.Options{NoSync: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	store, err := fleet.NewStore(db)
	if err != nil {
		b.Fatal(err)
	}
	journal, err := NewJournal(db)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.Cleanup(cancel)
	log := slog.New(slog.DiscardHandler)
	samples := new(measure.Store)
	loops := make([]*Loop, pools)
	for i := range loops {
		p := &provider{up: map[string]time.Time{}}
		po, err := pool.New(fmt.Sprintf("pool-%d", i), pool.Options{Balance: "least_connections", Elastic: true, Limits: admit.Limits{Queue: 1000}}, time.Now())
		if err != nil {
			b.Fatal(err)
		}
		f, err := fleet.New(ctx, po, p, store, samples, fleet.Options{
			Slots: 2, Drain: time.Minute, StartTimeout: time.Hour, StopTimeout: time.Second, Watch: p.upAtOnce,
			Join: func(*target.Target) {}, Leave: func(*target.Target) {},
		}, log, nil)
		if err != nil {
			b.Fatal(err)
		}
		f.Launch(size, plan.Placement{})
		o := scale.Options{
			Pool: po.Name, Min: size, Max: 2 * size, ScaleInWindow: time.Minute,
			Policies: []scale.Policy{scale.Queue{WaitP95: 2 * time.Second}, scale.Target{Metric: scale.CPUUtilization, Value: 60}},
		}
		loops[i] = New(Options{Pool: po, Fleet: f, Samples: samples, Journal: journal, Slots: 2, Scale: o, Desired: size, Log: log})
		b.Cleanup(f.Wait)
	}
	b.Cleanup(cancel)
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
	return loops
}
