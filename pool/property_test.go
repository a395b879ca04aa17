package pool

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/balance"
	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/target"
)

// machine does random things to a pool. After each, what must hold at all times is checked.
type machine struct {
	*rapid.T
	p    *Pool
	now  time.Time
	ts   []*target.Target
	open []*lease // waiting or held
	asks bool     // requests ask for more than the next free slot
	ids  int
}

func (m *machine) pick(name string) *target.Target {
	if len(m.ts) == 0 {
		return nil
	}
	return rapid.SampledFrom(m.ts).Draw(m.T, name)
}

func (m *machine) ask() (a Ask) {
	if !m.asks {
		return a
	}
	a.Priority = rapid.IntRange(-1, 1).Draw(m.T, "priority")
	a.Tenant = rapid.Uint64Range(0, 2).Draw(m.T, "tenant")
	a.Size = rapid.Float64Range(0, 10).Draw(m.T, "size")
	a.Key = rapid.Uint64().Draw(m.T, "key")
	if x := m.pick("session"); x != nil && rapid.IntRange(0, 2).Draw(m.T, "sticky") == 0 {
		a.Sticky = x.ID
	}
	if rapid.IntRange(0, 3).Draw(m.T, "deadline") == 0 {
		a.Deadline = m.now.Add(time.Duration(rapid.IntRange(0, 8000).Draw(m.T, "ms")) * time.Millisecond)
	}
	return a
}

func (m *machine) act(do string) {
	switch do {
	case "add":
		m.ids++
		id := fmt.Sprint(m.ids)
		x := target.New(id, id, rapid.IntRange(1, 3).Draw(m.T, "weight"), rapid.IntRange(1, 3).Draw(m.T, "slots"))
		m.ts = append(m.ts, x)
		m.p.Add(x, healthy(), m.now)
	case "remove":
		if x := m.pick("target"); x != nil {
			m.p.Remove(x, m.now)
			m.ts = slices.DeleteFunc(m.ts, func(y *target.Target) bool { return y == x })
		}
	case "drain":
		if x := m.pick("target"); x != nil {
			m.p.Drain(x, rapid.Bool().Draw(m.T, "on"), m.now)
		}
	case "check":
		if x := m.pick("target"); x != nil {
			m.p.Checked(x, health.Status{State: rapid.SampledFrom([]target.State{target.Healthy, target.Unhealthy}).Draw(m.T, "state")}, m.now)
		}
	case "override":
		if x := m.pick("target"); x != nil {
			m.p.Override(x.ID, Override{Slots: new(rapid.IntRange(1, 3).Draw(m.T, "slots"))}, m.now)
		}
	case "acquire":
		l := asking(m.ask())
		if v, _ := m.p.Acquire(&l.Lease, m.now); v != admit.Refuse {
			m.open = append(m.open, l)
		}
	case "tick":
		m.p.Tick(m.now)
	}
	if len(m.open) == 0 {
		return
	}
	l := rapid.SampledFrom(m.open).Draw(m.T, "lease")
	switch do {
	case "release":
		l.Release(Outcome{Status: 200}, m.now)
	case "fail":
		l.Release(Outcome{Failed: true}, m.now)
	case "cancel":
		l.Cancel(m.now)
	case "retry":
		if l.state == held {
			l.Retry(Outcome{Failed: true}, m.now)
		}
	case "hedge":
		other := newLease()
		if v, _ := m.p.Hedge(&l.Lease, &other.Lease, m.now); v == admit.Run {
			m.open = append(m.open, other)
		}
	}
}

func (m *machine) check() {
	running, waits := 0, 0
	m.open = slices.DeleteFunc(m.open, func(l *lease) bool {
		switch l.state {
		case held:
			running++
		case waiting:
			waits++
		default:
			return true
		}
		return false
	})
	if s := m.p.Stats(m.now); s.InFlight != running || s.Waiting != waits || waits > 0 && s.OldestWait < 0 {
		m.Fatalf("the pool counts %d in flight and %d waiting, there are %d and %d", s.InFlight, s.Waiting, running, waits)
	}
	for _, x := range m.p.rotation {
		if x.InFlight() > 3 {
			m.Fatalf("%d in flight, no target ever had that many slots", x.InFlight())
		}
		if !x.Free() {
			continue
		}
		for _, l := range m.open {
			if l.state == waiting && len(l.skip) == 0 && (l.Ask.Sticky == "" || l.Ask.Sticky == x.ID) {
				m.Fatalf("a request waits beside a free slot of %s", x.ID)
			}
		}
	}
}

// TestSlotsAndQueueAlwaysAddUp with every algorithm and every order: no target is ever given more than it has slots for, no slot stays free
// beside a request that could use it, and no request is lost or told twice.
func TestSlotsAndQueueAlwaysAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{T: t, now: t0, asks: rapid.Bool().Draw(t, "asks")}
		var err error
		m.p, err = New("api", Options{
			Balance:    rapid.SampledFrom(balance.Names()).Draw(t, "balance"),
			Order:      rapid.SampledFrom([]admit.Order{admit.FIFO, admit.Deadline, admit.ShortestFirst}).Draw(t, "order"),
			SlowStart:  time.Duration(rapid.IntRange(0, 10).Draw(t, "slow start")) * time.Second,
			StickyWait: time.Duration(rapid.IntRange(-1, 3).Draw(t, "sticky wait")) * time.Second,
			Ejector:    health.Ejector{ConsecutiveFailures: 2, Interval: time.Second, Base: 2 * time.Second, MaxPercent: 50},
			FailOpen:   rapid.IntRange(0, 1).Draw(t, "fail open"),
			Limits:     admit.Limits{Queue: 5, Timeout: 10 * time.Second},
		}, t0)
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			m.now = m.now.Add(time.Duration(rapid.IntRange(0, 1500).Draw(t, "ms")) * time.Millisecond)
			m.act(rapid.SampledFrom([]string{
				"add", "remove", "drain", "check", "override", "acquire", "acquire", "acquire", "acquire", "acquire",
				"release", "release", "release", "fail", "cancel", "retry", "hedge", "tick",
			}).Draw(t, "do"))
			m.check()
		}
		// In the end everything comes back.
		for len(m.open) > 0 {
			m.now = m.now.Add(time.Second)
			for _, l := range m.open {
				l.Release(Outcome{Status: 200}, m.now)
			}
			m.p.Tick(m.now)
			m.check()
		}
		for _, x := range m.ts {
			if x.InFlight() != 0 {
				t.Fatalf("%s has %d in flight in the end", x.ID, x.InFlight())
			}
		}
	})
}

// TestWhoAsksForNothingIsServedAsItCame: without attributes the queue is first come, first served, whatever the targets do.
func TestWhoAsksForNothingIsServedAsItCame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		order := rapid.SampledFrom([]admit.Order{admit.FIFO, admit.Deadline}).Draw(t, "order")
		p, err := New("api", Options{Balance: "least_connections", Order: order, Limits: admit.Limits{Queue: 100}}, t0)
		if err != nil {
			t.Fatal(err)
		}
		now, number, last := t0, 0, -1
		var held []*Lease
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 1000).Draw(t, "ms")) * time.Millisecond)
			switch rapid.SampledFrom([]string{"add", "acquire", "acquire", "acquire", "release", "tick"}).Draw(t, "do") {
			case "add":
				p.Add(target.New(fmt.Sprint(number, now), "", 1, 1), healthy(), now)
			case "acquire":
				mine := number
				number++
				granted := func(l *Lease) {
					if mine != last+1 {
						t.Fatalf("request %d got a slot after %d", mine, last)
					}
					last = mine
					held = append(held, l)
				}
				l := &Lease{Ready: granted}
				if v, _ := p.Acquire(l, now); v == admit.Run {
					granted(l)
				}
			case "release":
				if len(held) > 0 {
					i := rapid.IntRange(0, len(held)-1).Draw(t, "which")
					l := held[i]
					held = slices.Delete(held, i, i+1)
					l.Release(Outcome{Status: 200}, now)
				}
			case "tick":
				p.Tick(now)
			}
		}
	})
}
