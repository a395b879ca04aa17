package admit

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var t0 = time.Unix(1e9, 0)

// waiter is a request in a test, beside what a plain model needs to know.
type waiter struct {
	Entry
	r    Request
	side *Side
}

func (x *waiter) push(q *Line, s *Side) {
	x.Owner, x.side = x, s
	q.Push(&x.Entry, &x.r, s, time.Time{})
}

func TestPrioritiesComeFirstThenArrival(t *testing.T) {
	q := NewLine(Rule{}, t0)
	var want []*waiter
	for i, priority := range []int{0, 5, -1, 5, 0, 1000, -1000} {
		x := &waiter{r: Request{Arrived: t0.Add(time.Duration(i)), Priority: priority}}
		q.Arrive(&x.Entry)
		x.push(q, nil)
		want = append(want, x)
	}
	slices.SortStableFunc(want, func(a, b *waiter) int { return b.r.Priority - a.r.Priority })
	for i, x := range want {
		got := q.First().Owner.(*waiter)
		if got != x {
			t.Fatalf("place %d: priority %d, want %d", i, got.r.Priority, x.r.Priority)
		}
		q.Remove(&got.Entry)
		q.Forget(&got.Entry)
	}
	if q.First() != nil || q.Len() != 0 {
		t.Fatal("the queue is not empty")
	}
}

func TestTheNearestDeadlineComesFirst(t *testing.T) {
	q := NewLine(Rule{Order: Deadline, Timeout: 10 * time.Second}, t0)
	at := func(s int) time.Time { return t0.Add(time.Duration(s) * time.Second) }
	items := []*waiter{
		{r: Request{Arrived: at(0)}}, // counts as 10
		{r: Request{Arrived: at(1), Deadline: at(30)}},
		{r: Request{Arrived: at(2), Deadline: at(5)}},
		{r: Request{Arrived: at(3), Deadline: at(11)}},
	}
	for _, x := range items {
		q.Arrive(&x.Entry)
		x.push(q, nil)
	}
	for _, i := range []int{2, 0, 3, 1} {
		if got := q.First().Owner.(*waiter); got != items[i] {
			t.Fatalf("%+v came before %+v", got.r, items[i].r)
		}
		q.Remove(&items[i].Entry)
	}
}

func TestTheLeastImportantIsShed(t *testing.T) {
	for _, c := range []struct {
		name    string
		waiting []Request // in the order of their arrival
		fresh   Request
		want    int // place in waiting, -1: none
	}{
		{"nobody waits", nil, Request{}, -1},
		{"equals stay", []Request{{}, {}}, Request{}, -1},
		{"the youngest of the lowest priority", []Request{{Priority: 1}, {Priority: 0}, {Priority: 0}, {Priority: 2}}, Request{Priority: 1}, 2},
		{"the new one is the least important", []Request{{Priority: 1}, {Priority: 2}}, Request{}, -1},
		{"the tenant with most gives way", []Request{{Tenant: 1}, {Tenant: 2}, {Tenant: 1}, {Tenant: 1}}, Request{Tenant: 2}, 3},
		{"a tenant with as many does not", []Request{{Tenant: 1}, {Tenant: 2}, {Tenant: 1}}, Request{Tenant: 2}, -1},
		{"priority goes before the tenant's share", []Request{{Tenant: 2}, {Tenant: 1, Priority: 1}, {Tenant: 1, Priority: 1}}, Request{Tenant: 2, Priority: 1}, 0},
	} {
		q := NewLine(Rule{}, t0)
		var items []*waiter
		for _, r := range c.waiting {
			x := &waiter{r: r}
			x.r.Arrived = t0
			q.Arrive(&x.Entry)
			x.push(q, nil)
			items = append(items, x)
		}
		got := -1
		if e := q.Shed(&c.fresh); e != nil {
			got = slices.Index(items, e.Owner.(*waiter))
		}
		if got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestTheSideIsLeftInTime(t *testing.T) {
	q := NewLine(Rule{Timeout: 10 * time.Second}, t0)
	var s Side
	x := &waiter{r: Request{Arrived: t0}}
	x.Owner = x
	q.Arrive(&x.Entry)
	q.Push(&x.Entry, &x.r, &s, t0.Add(time.Second))
	if q.First() != nil || s.First() != &x.Entry || q.Len() != 1 || q.Free() != 0 {
		t.Fatal("it does not wait in the side alone")
	}
	if e, _ := q.Expired(t0.Add(999 * time.Millisecond)); e != nil {
		t.Fatal("too early")
	}
	e, loose := q.Expired(t0.Add(time.Second))
	if e != &x.Entry || !loose {
		t.Fatal("it was not told that the side's time is over")
	}
	q.Loosen(e)
	if q.First() != e || s.Len() != 0 {
		t.Fatal("it does not wait for any slot now")
	}
	if e, loose := q.Expired(t0.Add(10 * time.Second)); e != &x.Entry || loose {
		t.Fatal("its time in the queue did not end")
	}
}

// TestALineIsItsModel does random things to a queue and compares it with a slice that is sorted each time.
func TestALineIsItsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule := Rule{Order: rapid.SampledFrom([]Order{FIFO, Deadline, ShortestFirst}).Draw(t, "order"), Ageing: 2, Timeout: 20 * time.Second}
		q := NewLine(rule, t0)
		var sides [2]Side
		var all []*waiter
		now := t0
		drop := func(x *waiter) {
			q.Remove(&x.Entry)
			q.Forget(&x.Entry)
			all = slices.DeleteFunc(all, func(y *waiter) bool { return y == x })
		}
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 1000).Draw(t, "ms")) * time.Millisecond)
			switch rapid.SampledFrom([]string{"push", "push", "push", "side", "serve", "cancel", "loosen", "expire", "rule"}).Draw(t, "do") {
			case "push", "side":
				x := &waiter{r: Request{
					Arrived: now, Priority: rapid.IntRange(-1, 1).Draw(t, "priority"),
					Service: time.Duration(rapid.IntRange(0, 5).Draw(t, "service")) * time.Second,
				}}
				if rapid.Bool().Draw(t, "deadline") {
					x.r.Deadline = now.Add(time.Duration(rapid.IntRange(1, 30).Draw(t, "deadline in")) * time.Second)
				}
				q.Arrive(&x.Entry)
				all = append(all, x)
				var s *Side
				if i := rapid.IntRange(-3, 1).Draw(t, "side"); i >= 0 {
					s = &sides[i]
				}
				x.push(q, s)
			case "serve":
				if e := q.First(); e != nil {
					drop(e.Owner.(*waiter))
				}
			case "cancel":
				if len(all) > 0 {
					drop(rapid.SampledFrom(all).Draw(t, "which"))
				}
			case "loosen":
				for i := range sides {
					if e := sides[i].First(); e != nil {
						q.Loosen(e)
						e.Owner.(*waiter).side = nil
					}
				}
			case "expire":
				for e, _ := q.Expired(now); e != nil; e, _ = q.Expired(now) {
					x := e.Owner.(*waiter)
					if now.Before(x.r.Arrived.Add(rule.Timeout)) && (x.r.Deadline.IsZero() || now.Before(x.r.Deadline)) {
						t.Fatal("expired too early")
					}
					drop(x)
				}
			case "rule":
				rule.Ageing = float64(rapid.IntRange(1, 4).Draw(t, "ageing"))
				q.Configure(rule)
				for _, x := range all {
					q.Again(&x.Entry, &x.r)
				}
			}
			check(t, q, rule, all, sides[:])
		}
	})
}

func check(t *rapid.T, q *Line, rule Rule, all []*waiter, sides []Side) {
	sorted := slices.SortedStableFunc(slices.Values(all), func(a, b *waiter) int {
		if a.r.Priority != b.r.Priority {
			return b.r.Priority - a.r.Priority
		}
		if x, y := rule.key(&a.r, t0), rule.key(&b.r, t0); x != y {
			return int(x - y)
		}
		return int(a.number) - int(b.number)
	})
	first := func(s *Side) *Entry {
		for _, x := range sorted {
			if x.side == s {
				return &x.Entry
			}
		}
		return nil
	}
	if got := q.First(); got != first(nil) {
		t.Fatalf("first is %v", got)
	}
	free, waiting := 0, 0
	for _, x := range all {
		if x.side == nil {
			free++
		}
	}
	for i := range sides {
		if got := sides[i].First(); got != first(&sides[i]) {
			t.Fatalf("first of side %d is %v", i, got)
		}
	}
	for _, n := range q.Waiting {
		waiting += n
	}
	if q.Len() != len(all) || q.Free() != free || waiting != len(all) {
		t.Fatalf("%d wait, %d for any, %d by priority; want %d and %d", q.Len(), q.Free(), waiting, len(all), free)
	}
}

func BenchmarkLine(b *testing.B) {
	for _, c := range []struct {
		name string
		rule Rule
		ask  func(i int) Request
	}{
		{"fifo", Rule{Timeout: time.Hour}, func(int) Request { return Request{} }},
		{"priorities", Rule{Timeout: time.Hour}, func(i int) Request { return Request{Priority: i % 7} }},
		{"deadline", Rule{Order: Deadline}, func(i int) Request { return Request{Deadline: t0.Add(time.Duration(i*7919%100_000) * time.Hour)} }},
		{"shortest_first", Rule{Order: ShortestFirst, Timeout: 1000 * time.Hour}, func(i int) Request { return Request{Service: time.Duration(i*7919%100_000) * time.Second} }},
		{"tenants", Rule{Timeout: time.Hour}, func(i int) Request { return Request{Tenant: uint64(i%1000 + 1)} }},
	} {
		b.Run(c.name, func(b *testing.B) {
			const n = 100_000
			q := NewLine(c.rule, t0)
			items := make([]waiter, n)
			now := t0
			push := func(i int, x *waiter) {
				x.r = c.ask(i)
				x.r.Arrived = now
				q.Arrive(&x.Entry)
				x.push(q, nil)
			}
			for i := range items {
				push(i, &items[i])
			}
			i := n
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(time.Microsecond)
				x := q.First().Owner.(*waiter)
				q.Remove(&x.Entry)
				q.Start(&x.Entry, &x.r)
				q.End(&x.Entry, time.Second)
				push(i, x)
				i++
			}
		})
	}
}

func TestQueueingAllocatesNothing(t *testing.T) {
	q := NewLine(Rule{Order: ShortestFirst, Timeout: time.Hour}, t0)
	items := make([]waiter, 1000)
	now, i := t0, 0
	turn := func() {
		x := &items[i%len(items)]
		if x.Waits() {
			q.Remove(&x.Entry)
			q.Start(&x.Entry, &x.r)
			q.End(&x.Entry, time.Second)
		}
		now = now.Add(time.Millisecond)
		x.r = Request{Arrived: now, Priority: i % 3, Tenant: uint64(i % 11), Service: time.Duration(i * 7919 % 1000)}
		q.Arrive(&x.Entry)
		x.push(q, nil)
		q.Sweep(now)
		i++
	}
	for range 10 * len(items) {
		turn()
	}
	if n := testing.AllocsPerRun(5000, turn); n > 0 {
		t.Errorf("%v allocations for a request", n)
	}
}

func TestOrdersHaveNames(t *testing.T) {
	for _, name := range Orders() {
		o, err := ParseOrder(name)
		if err != nil || o.String() != name {
			t.Errorf("%s: %v, %v", name, o, err)
		}
	}
	if o, err := ParseOrder(""); o != FIFO || err != nil {
		t.Errorf("the default is %v, %v", o, err)
	}
	if _, err := ParseOrder("lifo"); err == nil {
		t.Error("lifo is no error")
	}
	if s := fmt.Sprint(ShortestFirst); s != "shortest_first" {
		t.Error(s)
	}
}

func TestBudget(t *testing.T) {
	for _, c := range []struct {
		b                Budget
		retrying, active int
		want             bool
	}{
		{Budget{}, 2, 1, true}, // three are always allowed
		{Budget{}, 3, 1, false},
		{Budget{}, 3, 19, false},
		{Budget{}, 3, 20, true}, // 20 % of 20
		{Budget{}, 19, 100, true},
		{Budget{}, 20, 100, false},
		{Budget{Percent: 50, Min: 1}, 0, 0, true},
		{Budget{Percent: 50, Min: 1}, 1, 3, false},
		{Budget{Percent: 50, Min: -1}, 0, 1, false},
	} {
		if got := c.b.Allows(c.retrying, c.active); got != c.want {
			t.Errorf("%+v with %d of %d: %v", c.b, c.retrying, c.active, got)
		}
	}
}
