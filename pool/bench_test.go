package pool

import (
	"fmt"
	"testing"
	"time"

	"github.com/weirlb/weir/admit"
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
