package pool

import (
	"fmt"
	"testing"
	"time"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/balance"
	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/target"
)

// BenchmarkFreeSlot is a request that finds a free slot: acquire and release.
func BenchmarkFreeSlot(b *testing.B) {
	p := newPool(b, Options{Limits: admit.Limits{Queue: 10}})
	for i := range 8 {
		add(p, fmt.Sprint(i), 4)
	}
	l := newLease()
	b.ReportAllocs()
	now := t0
	for b.Loop() {
		now = now.Add(time.Millisecond)
		p.Acquire(&l.Lease, now)
		l.Release(Outcome{Status: 200}, now)
	}
}

// BenchmarkPlainQueue is a request that waits behind others in a queue without priorities, tenants or an order: one joins, one
// is served.
func BenchmarkPlainQueue(b *testing.B) {
	for _, n := range []int{10, 1000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := newPool(b, Options{Limits: admit.Limits{Queue: 1 << 20, Timeout: time.Hour}})
			add(p, "a", 1)
			ls := make([]*lease, n+1)
			now := t0
			for i := range ls {
				ls[i] = newLease()
				p.Acquire(&ls[i].Lease, now)
			}
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(time.Microsecond)
				ls[i].Release(Outcome{Status: 200}, now)
				p.Acquire(&ls[i].Lease, now)
				i = (i + 1) % len(ls)
			}
		})
	}
}

const many10k = 10_000

func manyTargets(b *testing.B, algorithm string) (*Pool, []*target.Target) {
	p := newPool(b, Options{Balance: algorithm, Limits: admit.Limits{Queue: 1000}})
	ts := make([]*target.Target, many10k)
	for i := range ts {
		ts[i] = target.New(fmt.Sprint(i), "", 1, 4)
	}
	p.Update(t0, func(tx *Tx) {
		for _, x := range ts {
			tx.Add(x, healthy())
		}
	})
	return p, ts
}

// BenchmarkManyTargets is acquire and release in a pool of 10,000 targets.
func BenchmarkManyTargets(b *testing.B) {
	for _, algorithm := range balance.Names() {
		b.Run(algorithm, func(b *testing.B) {
			p, _ := manyTargets(b, algorithm)
			ls := make([]*lease, 5000)
			now := t0
			for i := range ls {
				ls[i] = newLease()
				ls[i].Ask.Key = uint64(i) * 0x9e3779b97f4a7c15
				p.Acquire(&ls[i].Lease, now)
			}
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				l := ls[i%len(ls)]
				now = now.Add(time.Microsecond)
				l.Release(Outcome{Status: 200, FirstByte: time.Millisecond}, now)
				p.Acquire(&l.Lease, now)
				i++
			}
		})
	}
}

// BenchmarkReload is how long a pool of 10,000 targets stands still: while all are replaced, while each reports its checks with
// every second one changing, and while the weight of one changes.
func BenchmarkReload(b *testing.B) {
	for _, algorithm := range []string{"least_connections", "weighted_round_robin"} {
		b.Run(algorithm+"/replace", func(b *testing.B) {
			p, ts := manyTargets(b, algorithm)
			for b.Loop() {
				p.Update(t0, func(tx *Tx) {
					for _, x := range ts {
						tx.Remove(x)
					}
				})
				p.Update(t0, func(tx *Tx) {
					for _, x := range ts {
						tx.Add(x, healthy())
					}
				})
			}
		})
		b.Run(algorithm+"/one-by-one", func(b *testing.B) {
			now := t0
			for b.Loop() {
				p := newPool(b, Options{Balance: algorithm})
				for i := range many10k {
					now = now.Add(time.Microsecond)
					p.Add(target.New(fmt.Sprint(i), "", 1, 4), healthy(), now)
				}
				p.Tick(now.Add(25 * time.Millisecond))
			}
		})
		b.Run(algorithm+"/checks", func(b *testing.B) {
			p, ts := manyTargets(b, algorithm)
			now := t0
			states := []health.Status{{State: target.Unhealthy}, healthy()}
			turn := 0
			for b.Loop() {
				turn++
				for i, x := range ts {
					now = now.Add(time.Microsecond)
					p.Checked(x, states[(i*turn)%2], now)
				}
				p.Tick(now.Add(25 * time.Millisecond))
			}
		})
		b.Run(algorithm+"/override", func(b *testing.B) {
			p, _ := manyTargets(b, algorithm)
			w := 0
			now := t0
			for b.Loop() {
				w++
				now = now.Add(time.Second)
				p.Override("77", Override{Weight: &w}, now)
			}
		})
	}
}

// BenchmarkStats is what a look at a pool of 10,000 targets costs.
func BenchmarkStats(b *testing.B) {
	p, _ := manyTargets(b, "least_connections")
	b.Run("with targets", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p.Stats(t0)
		}
	})
	b.Run("without", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p.Summary(t0)
		}
	})
}

// BenchmarkAttributes is what priorities, tenants and an order cost a request that waits behind 100,000 others.
func BenchmarkAttributes(b *testing.B) {
	for _, c := range []struct {
		name  string
		order admit.Order
		ask   func(i int) Ask
	}{
		{"priorities", admit.FIFO, func(i int) Ask { return Ask{Priority: i % 5} }},
		{"tenants", admit.FIFO, func(i int) Ask { return Ask{Tenant: uint64(i%1000 + 1)} }},
		{"deadline", admit.Deadline, func(i int) Ask { return Ask{Deadline: t0.Add(time.Duration(i*7919%100_000+3600) * time.Second)} }},
		{"shortest_first", admit.ShortestFirst, func(i int) Ask { return Ask{Size: float64(i*7919%1000 + 1)} }},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := newPool(b, Options{Order: c.order, Limits: admit.Limits{Queue: 1 << 20, Timeout: time.Hour}})
			add(p, "a", 1)
			now := t0
			var running *Lease
			free := func(l *Lease) { running = l }
			for i := range 100_001 {
				l := &Lease{Ready: free, Ask: c.ask(i)}
				if v, _ := p.Acquire(l, now); v == admit.Run {
					running = l
				}
			}
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				i++
				now = now.Add(time.Microsecond)
				l := running
				l.Release(Outcome{Status: 200}, now)
				l.Ask = c.ask(i)
				p.Acquire(l, now)
			}
		})
	}
}
