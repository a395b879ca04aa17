package pool

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/target"
)

func at(s float64) time.Time { return t0.Add(time.Duration(s * float64(time.Second))) }

func join(p *Pool, id string, slots int, now time.Time) *target.Target {
	x := target.New(id, id, 1, slots)
	p.Add(x, healthy(), now)
	return x
}

func TestSlowStartRampsShareAndSlots(t *testing.T) {
	for _, balance := range []string{"round_robin", "weighted_round_robin", "least_connections"} {
		t.Run(balance, func(t *testing.T) {
			p := newPool(t, Options{Balance: balance, SlowStart: 100 * time.Second})
			a := join(p, "a", 10, t0)
			b := join(p, "b", 10, t0)
			if a.Limit() != 10 || b.Limit() != 10 {
				t.Fatal("a pool that is cold as a whole started slowly")
			}
			c := join(p, "c", 10, at(10))
			if c.Limit() != 1 || c.Share() != 1 {
				t.Fatalf("c begins with %d slots and a share of %d, want 1 and 1", c.Limit(), c.Share())
			}
			for _, s := range []struct {
				after       float64
				limit, part int
			}{{1, 1, 10}, {10, 1, 100}, {25, 3, 250}, {50, 5, 500}, {91, 10, 910}, {100, 10, 1000}} {
				p.Tick(at(10 + s.after))
				if c.Limit() != s.limit || c.Share() != s.part {
					t.Errorf("after %v s: %d slots, share %d; want %d and %d", s.after, c.Limit(), c.Share(), s.limit, s.part)
				}
			}
			if c.Slots() != 10 {
				t.Errorf("%d slots are configured", c.Slots())
			}
		})
	}
}

func TestSlowStartOfATargetThatRecovers(t *testing.T) {
	p := newPool(t, Options{SlowStart: 100 * time.Second})
	a, b := join(p, "a", 10, t0), join(p, "b", 10, t0)
	p.Tick(at(200))
	p.Checked(a, health.Status{State: target.Unhealthy}, at(200))
	p.Checked(a, healthy(), at(210))
	if a.Limit() != 1 || b.Limit() != 10 {
		t.Fatalf("limits %d and %d, want 1 and 10", a.Limit(), b.Limit())
	}
	p.Tick(at(260))
	if a.Limit() != 5 {
		t.Fatalf("limit %d in the middle, want 5", a.Limit())
	}
	// Nobody else is left that is warm: who recovers now must carry everything.
	p.Checked(b, health.Status{State: target.Unhealthy}, at(261))
	p.Checked(b, healthy(), at(262))
	if b.Limit() != 10 {
		t.Errorf("b starts slowly beside one that does itself: limit %d", b.Limit())
	}
	// Unhealthy ends it, and with no slow start in the options it ends as well.
	p.Checked(a, health.Status{State: target.Unhealthy}, at(263))
	if a.Limit() != 10 || a.Share() != 1000 {
		t.Errorf("limit %d, share %d of an unhealthy target", a.Limit(), a.Share())
	}
	p.Checked(a, healthy(), at(270))
	if err := p.Configure(Options{Balance: "least_connections"}, at(271)); err != nil {
		t.Fatal(err)
	}
	p.Tick(at(273))
	if a.Limit() != 10 {
		t.Errorf("limit %d without a slow start", a.Limit())
	}
}

func TestSlowStartEndsWhenTheAnswersAreGood(t *testing.T) {
	for _, c := range []struct {
		name string
		took time.Duration
		ends bool
	}{{"as fast as the others", 110 * time.Millisecond, true}, {"still slow", 300 * time.Millisecond, false}} {
		t.Run(c.name, func(t *testing.T) {
			p := newPool(t, Options{SlowStart: time.Hour})
			a := join(p, "a", 1, t0)
			now := at(10)
			serve := func(id string, n int, took time.Duration) {
				for range n {
					l := newLease()
					l.Ask.Sticky = id
					acquire(t, p, l, admit.Run, now)
					now = now.Add(took)
					l.Release(Outcome{Status: 200}, now)
				}
			}
			serve("a", 100, 100*time.Millisecond)
			b := join(p, "b", 8, now)
			serve("b", 30, c.took)
			p.Tick(now.Add(2 * time.Second))
			if got := b.Limit() == 8; got != c.ends || a.Limit() != 1 {
				t.Errorf("limit %d after 30 answers of %v", b.Limit(), c.took)
			}
		})
	}
}

func TestOverridesOutliveReloads(t *testing.T) {
	p := newPool(t, Options{Limits: admit.Limits{Queue: 10}})
	a := add(p, "a", 1)
	weight, slots, yes := 5, 3, true
	if !p.Override("a", Override{Weight: &weight, Slots: &slots}, t0) || p.Override("b", Override{Drain: &yes}, t0) {
		t.Fatal("which targets there are is wrong")
	}
	a.SetWeight(2) // what a reload does
	a.SetSlots(7)
	if a.Weight() != 5 || a.Slots() != 3 || a.Limit() != 3 || a.Share() != 5000 {
		t.Errorf("weight %d, slots %d", a.Weight(), a.Slots())
	}
	b := add(p, "b", 1)
	if b.State() != target.Draining {
		t.Errorf("b comes back %v although it was to drain", b.State())
	}
	p.Override("a", Override{}, t0)
	if a.Weight() != 2 || a.Slots() != 7 || len(p.Overrides()) != 1 {
		t.Errorf("weight %d, slots %d after clearing", a.Weight(), a.Slots())
	}
}

func TestATargetsAgentIsBelieved(t *testing.T) {
	p := newPool(t, Options{Limits: admit.Limits{Queue: 10}})
	a := target.New("a", "a", 4, 10)
	p.Add(a, healthy(), t0)
	for _, s := range []struct {
		says  string
		state target.State
		share int
		limit int
	}{
		{"75%", target.Healthy, 3000, 10},
		{"maxconn:3", target.Healthy, 3000, 3},
		{"drain", target.Draining, 3000, 3},
		{"up", target.Draining, 3000, 3},
		{"ready 50% maxconn:0", target.Healthy, 2000, 10},
		{"down # out of memory", target.Unhealthy, 2000, 10},
		{"100%", target.Unhealthy, 4000, 10},
		{"up", target.Healthy, 4000, 10},
		{"0%", target.Draining, 1, 10},
		{"100%", target.Healthy, 4000, 10},
	} {
		w, err := health.ParseWord(s.says)
		if err != nil {
			t.Fatal(err)
		}
		p.Reported("a", w, t0)
		if a.State() != s.state || a.Share() != s.share || a.Limit() != s.limit {
			t.Errorf("after %q: %v, share %d, limit %d; want %v, %d, %d", s.says, a.State(), a.Share(), a.Limit(), s.state, s.share, s.limit)
		}
	}
	p.Reported("a", health.Word{Drain: new(true)}, t0)
	p.Override("a", Override{Drain: new(false)}, t0)
	if a.State() != target.Healthy {
		t.Error("the operator's word does not go before the agent's")
	}
}

func TestNoFailOpenWhileAReplacementComes(t *testing.T) {
	p := newPool(t, Options{Elastic: true, FailOpen: 1, Limits: admit.Limits{Queue: 10}})
	a := add(p, "a", 1)
	p.Expect(1, t0)
	p.Checked(a, health.Status{State: target.Unhealthy}, t0)
	l := newLease()
	acquire(t, p, l, admit.Queue, t0)
	if p.Stats(t0).FailedOpen {
		t.Fatal("open although an instance is on its way")
	}
	p.Expect(0, t0)
	if l.Target() != a || !p.Stats(t0).FailedOpen {
		t.Fatal("with nothing on its way it should fail open")
	}
}

func TestDrainingSaysUntilWhen(t *testing.T) {
	p := newPool(t, Options{Drain: 5 * time.Minute})
	a := add(p, "a", 1)
	p.Drain(a, true, at(10))
	s := p.Stats(at(20)).Targets[0]
	if s.State != target.Draining || !s.Until.Equal(at(310)) {
		t.Errorf("%v until %v", s.State, s.Until)
	}
}

func TestStatsTellOfTargets(t *testing.T) {
	p := newPool(t, Options{})
	add(p, "a", 0)
	for range 100 {
		l := newLease()
		acquire(t, p, l, admit.Run, t0)
		l.Release(Outcome{Status: 200, FirstByte: 50 * time.Millisecond}, at(0.2))
	}
	s := p.Stats(at(1)).Targets[0]
	if math.Abs(s.Latency.Seconds()-0.2) > 1e-6 || math.Abs(s.FirstByte.Seconds()-0.05) > 1e-6 || s.Part != 1 {
		t.Errorf("%+v", s)
	}
}

// TestManyTargets: ten thousand come at once, change one by one and go, and each step is cheap.
func TestManyTargets(t *testing.T) {
	const n = 10_000
	p := newPool(t, Options{FailOpen: 1, Limits: admit.Limits{Queue: n}})
	ts := make([]*target.Target, n)
	p.Update(t0, func(tx *Tx) {
		for i := range ts {
			ts[i] = target.New(fmt.Sprint(i), "", 1, 1)
			tx.Add(ts[i], health.Status{})
		}
	})
	l := newLease()
	acquire(t, p, l, admit.Queue, t0)
	for _, x := range ts {
		p.Checked(x, healthy(), t0)
	}
	p.Tick(at(0.02))
	if s := p.Stats(at(0.02)); s.Slots != n || l.Target() == nil {
		t.Fatalf("%d slots", s.Slots)
	}
	// Whoever drains or is removed gets nothing from that moment on.
	for _, x := range ts[:20] {
		p.Drain(x, true, at(0.02))
	}
	p.Update(at(0.02), func(tx *Tx) {
		for _, x := range ts[20 : n-2] {
			tx.Remove(x)
		}
	})
	for range 2 {
		l := newLease()
		p.Acquire(&l.Lease, at(0.02))
		if x := l.Target(); x != nil && x != ts[n-1] && x != ts[n-2] {
			t.Fatalf("a request went to %s", x.ID)
		}
	}
	l.Release(Outcome{}, at(0.02)) // of a target that is gone
	if _, ok := p.Member("5"); !ok {
		t.Error("a draining target is gone")
	}
	if _, ok := p.Member("100"); ok {
		t.Error("a removed target is still there")
	}
}
