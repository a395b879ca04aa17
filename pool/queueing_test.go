package pool

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/target"
)

func asking(a Ask) *lease {
	l := newLease()
	l.Ask = a
	return l
}

func TestHigherPrioritiesAreServedFirstAndShedLast(t *testing.T) {
	p := newPool(t, Options{Limits: admit.Limits{Queue: 3}})
	add(p, "a", 1)
	running := newLease()
	acquire(t, p, running, admit.Run, t0)
	low1, low2, high := asking(Ask{}), asking(Ask{}), asking(Ask{Priority: 2})
	for _, l := range []*lease{low1, low2, high} {
		acquire(t, p, l, admit.Queue, t0)
	}
	acquire(t, p, asking(Ask{}), admit.Refuse, t0) // no more important than any
	mid := asking(Ask{Priority: 1})
	acquire(t, p, mid, admit.Queue, t0)
	var r *admit.Refusal
	if low2.told != 1 || !errors.As(low2.Err(), &r) || r.RetryAfter == 0 || low1.told != 0 {
		t.Fatalf("the youngest of the least important was not the one that gave way: %v", low2.Err())
	}
	s := p.Stats(t0)
	if s.Shed != 1 || s.Full != 1 || s.Waiting != 3 || fmt.Sprint(s.Priorities) != "[{2 1} {1 1} {0 1}]" {
		t.Errorf("%d shed, %d found it full, waiting %v", s.Shed, s.Full, s.Priorities)
	}
	for _, l := range []*lease{high, mid, low1} {
		running.Release(Outcome{Status: 200}, t0)
		if l.Target() == nil {
			t.Fatalf("priority %d was passed over", l.Ask.Priority)
		}
		running = l
	}
}

func TestDeadlines(t *testing.T) {
	p := newPool(t, Options{Order: admit.Deadline, Limits: admit.Limits{Queue: 10, Timeout: time.Minute}})
	add(p, "a", 1)
	late := asking(Ask{Deadline: t0})
	acquire(t, p, late, admit.Refuse, t0) // a slot is free, but the answer is no use any more
	running := newLease()
	acquire(t, p, running, admit.Run, t0)
	none, far, near := asking(Ask{}), asking(Ask{Deadline: at(30)}), asking(Ask{Deadline: at(3)})
	soon := asking(Ask{Deadline: at(2)})
	for _, l := range []*lease{none, far, near, soon} {
		acquire(t, p, l, admit.Queue, t0)
	}
	p.Tick(at(1.9))
	if soon.told != 0 {
		t.Fatal("refused before its deadline")
	}
	// The deadline has passed but no Tick has noticed: the slot must not go to waste.
	running.Release(Outcome{Status: 200}, at(2))
	var r *admit.Refusal
	if !errors.As(soon.Err(), &r) || r.Status != 504 || soon.Target() != nil || near.Target() == nil {
		t.Fatalf("%v; near runs on %v", soon.Err(), near.Target())
	}
	near.Release(Outcome{Status: 200}, at(2))
	if far.Target() == nil {
		t.Fatal("the one without a deadline overtook")
	}
	p.Tick(at(60))
	if none.told != 1 || none.Err() == nil {
		t.Fatal("the queue's timeout did not end its waiting")
	}
	if s := p.Stats(at(60)); s.Late != 2 || s.TimedOut != 1 {
		t.Errorf("%d late, %d timed out", s.Late, s.TimedOut)
	}
}

func TestSessionsStayOnTheirTarget(t *testing.T) {
	p := newPool(t, Options{StickyWait: 2 * time.Second, Limits: admit.Limits{Queue: 10, Timeout: time.Minute}})
	a, b := add(p, "a", 1), add(p, "b", 1)
	onA, waits, onB := asking(Ask{Sticky: "a"}), asking(Ask{Sticky: "a"}), asking(Ask{Sticky: "gone"})
	acquire(t, p, onA, admit.Run, t0)
	acquire(t, p, waits, admit.Queue, t0) // b is free, but its session is on a
	acquire(t, p, onB, admit.Run, t0)     // no such target: any
	if onA.Target() != a || onB.Target() != b || p.Stats(t0).Targets[0].Waiting != 1 {
		t.Fatalf("on %v and %v", onA.Target(), onB.Target())
	}
	onB.Release(Outcome{Status: 200}, t0)
	if waits.Target() != nil {
		t.Fatal("it took another target at once")
	}
	onA.Release(Outcome{Status: 200}, at(1))
	if waits.Target() != a {
		t.Fatalf("it runs on %v", waits.Target())
	}
	patient := asking(Ask{Sticky: "a"})
	acquire(t, p, patient, admit.Queue, at(1))
	p.Tick(at(2.9))
	if patient.Target() != nil {
		t.Fatal("it gave its target up too early")
	}
	p.Tick(at(3))
	if patient.Target() != b {
		t.Fatal("after StickyWait any target will do")
	}
	// A target that leaves the rotation frees those that wait for it.
	patient.Release(Outcome{Status: 200}, at(3))
	other := asking(Ask{Sticky: "a"})
	acquire(t, p, other, admit.Queue, at(3))
	p.Drain(a, true, at(3))
	if other.Target() != b {
		t.Fatal("it waits for a target that drains")
	}
	waits.Release(Outcome{Status: 200}, at(3))
	last := asking(Ask{Sticky: "a"})
	acquire(t, p, last, admit.Queue, at(3)) // a is free, but a draining target takes no new requests
	if err := p.Configure(Options{Balance: "least_connections", StickyWait: -1, Limits: admit.Limits{Queue: 10}}, at(3)); err != nil {
		t.Fatal(err)
	}
	p.Drain(a, false, at(3))
	if last.Target() != a {
		t.Fatal("it was forgotten")
	}
	other.Release(Outcome{Status: 200}, at(3))
	hasty := asking(Ask{Sticky: "a"})
	acquire(t, p, hasty, admit.Run, at(3))
	if hasty.Target() != b {
		t.Error("without StickyWait it should not wait for its target")
	}
}

func TestPriorityGoesBeforeTheSession(t *testing.T) {
	p := newPool(t, Options{Limits: admit.Limits{Queue: 10}})
	add(p, "a", 1)
	running := newLease()
	acquire(t, p, running, admit.Run, t0)
	session, urgent := asking(Ask{Sticky: "a"}), asking(Ask{Priority: 1})
	acquire(t, p, session, admit.Queue, t0)
	acquire(t, p, urgent, admit.Queue, t0)
	running.Release(Outcome{Status: 200}, t0)
	if urgent.Target() == nil {
		t.Fatal("the session was served before the higher priority")
	}
	urgent.Release(Outcome{Status: 200}, t0)
	if session.Target() == nil {
		t.Fatal("the session was forgotten")
	}
}

func TestARetryThatWaitsGivesItsBudgetBack(t *testing.T) {
	p := newPool(t, Options{Limits: admit.Limits{Queue: 10, Timeout: time.Second}})
	add(p, "a", 1)
	add(p, "b", 1)
	for _, end := range []func(*lease){
		func(l *lease) { l.Cancel(t0) },
		func(l *lease) { p.Tick(at(1)) },
	} {
		l, other := newLease(), newLease()
		acquire(t, p, l, admit.Run, t0)
		acquire(t, p, other, admit.Run, t0)
		if v, err := l.Retry(Outcome{Failed: true}, t0); v != admit.Queue {
			t.Fatal(err)
		}
		if n := p.Stats(t0).Retrying; n != 1 {
			t.Fatalf("%d are tried again", n)
		}
		end(l)
		if s := p.Stats(t0); s.Retrying != 0 || s.Waiting != 0 {
			t.Fatalf("%d are tried again, %d wait", s.Retrying, s.Waiting)
		}
		other.Release(Outcome{Status: 200}, t0)
	}
}

func TestRetriesStayWithinTheBudget(t *testing.T) {
	p := newPool(t, Options{Limits: admit.Limits{Queue: 100}})
	for i := range 3 {
		add(p, fmt.Sprint(i), 0)
	}
	var ls []*lease
	for range 10 {
		l := newLease()
		acquire(t, p, l, admit.Run, t0)
		ls = append(ls, l)
	}
	for i, l := range ls {
		v, err := l.Retry(Outcome{Failed: true}, t0)
		if want := i < 3; (v == admit.Run) != want || !want && !errors.Is(err, ErrBudget) {
			t.Fatalf("retry %d: %d, %v", i, v, err)
		}
	}
	unsent := newLease()
	acquire(t, p, unsent, admit.Run, t0)
	if v, err := unsent.Retry(Outcome{Failed: true, Unsent: true}, t0); v != admit.Run {
		t.Fatalf("a request that no target has seen: %v", err)
	}
	unsent.Release(Outcome{Status: 200}, t0)
	// One that is tried again may be tried a third time: it is one retry at a time still.
	if v, err := ls[0].Retry(Outcome{Failed: true}, t0); v != admit.Run {
		t.Fatal(err)
	}
	ls[0].Release(Outcome{Status: 200}, t0)
	ls[1].Release(Outcome{Status: 502, Failed: true}, t0)
	ls[2].Release(Outcome{Cancelled: true}, t0)
	l := newLease()
	acquire(t, p, l, admit.Run, t0)
	if v, err := l.Retry(Outcome{Failed: true}, t0); v != admit.Run {
		t.Fatalf("the budget was not given back: %v", err)
	}
	s := p.Stats(t0)
	if s.Retries != 6 || s.RetriesWon != 2 || s.RetriesLost != 1 || s.RetriesNoBudget != 7 || s.Retrying != 1 {
		t.Errorf("%+v", s)
	}
}

func TestAHedgedRequestCountsOnce(t *testing.T) {
	p := newPool(t, Options{Limits: admit.Limits{Queue: 100}})
	a, b := add(p, "a", 1), add(p, "b", 1)
	for _, c := range []struct {
		name          string
		first, second Outcome
		secondEnds    bool // before the first
		ok            uint64
		cancelled     uint64
		won           uint64
	}{
		{"the second wins", Outcome{Cancelled: true}, Outcome{Status: 200}, true, 1, 0, 1},
		{"the first wins", Outcome{Status: 200}, Outcome{Cancelled: true}, false, 1, 0, 0},
		{"the first wins, the second ends first", Outcome{Status: 200}, Outcome{Cancelled: true}, true, 1, 0, 0},
		{"the first breaks, the second answers", Outcome{Failed: true}, Outcome{Status: 200}, false, 1, 0, 1},
		{"the client leaves", Outcome{Cancelled: true}, Outcome{Cancelled: true}, false, 0, 1, 0},
	} {
		before := p.Stats(t0)
		l, other := newLease(), newLease()
		acquire(t, p, l, admit.Run, t0)
		if v, err := p.Hedge(&l.Lease, &other.Lease, t0); v != admit.Run || err != nil || l.Target() == other.Target() {
			t.Fatalf("%s: %v, %v", c.name, v, err)
		}
		if c.secondEnds {
			other.Release(c.second, t0)
			l.Release(c.first, t0)
		} else {
			l.Release(c.first, t0)
			other.Release(c.second, t0)
		}
		s := p.Stats(t0)
		if s.Requests-before.Requests != 1 || s.Answers2-before.Answers2 != c.ok || s.Cancelled-before.Cancelled != c.cancelled ||
			s.HedgesWon-before.HedgesWon != c.won || s.Retrying != 0 || s.Broken != before.Broken {
			t.Errorf("%s: %+v", c.name, s)
		}
	}
	// It never waits and never takes a slot that somebody waits for.
	l, full := newLease(), newLease()
	acquire(t, p, l, admit.Run, t0)
	acquire(t, p, full, admit.Run, t0)
	if v, err := p.Hedge(&l.Lease, &newLease().Lease, t0); v != admit.Refuse || !errors.Is(err, ErrNoOther) {
		t.Errorf("%v, %v", v, err)
	}
	if a.InFlight()+b.InFlight() != 2 {
		t.Error("a hedge that was refused holds a slot")
	}
}

func TestANewOrderSortsWhatWaits(t *testing.T) {
	p := newPool(t, Options{Limits: admit.Limits{Queue: 10}})
	add(p, "a", 1)
	running := newLease()
	acquire(t, p, running, admit.Run, t0)
	far, near := asking(Ask{Deadline: at(30)}), asking(Ask{Deadline: at(20)})
	acquire(t, p, far, admit.Queue, t0)
	acquire(t, p, near, admit.Queue, t0)
	if err := p.Configure(Options{Balance: "least_connections", Order: admit.Deadline, Limits: admit.Limits{Queue: 10}}, t0); err != nil {
		t.Fatal(err)
	}
	running.Release(Outcome{Status: 200}, t0)
	if near.Target() == nil {
		t.Error("what waited is still served as it came")
	}
}

// TestEveryoneAtOnce drives one pool from many goroutines, with all that a request may ask for, while targets change. Every lease
// must be told once and every slot come back.
func TestEveryoneAtOnce(t *testing.T) {
	p := newPool(t, Options{
		Order: admit.ShortestFirst, SlowStart: time.Millisecond, StickyWait: time.Millisecond,
		Limits:  admit.Limits{Queue: 64, Timeout: time.Second},
		Ejector: health.Ejector{ConsecutiveFailures: 3, Interval: time.Millisecond, Base: time.Millisecond, MaxPercent: 50},
	})
	var ts []*target.Target
	for i := range 6 {
		x := target.New(fmt.Sprint(i), "", 1, 2)
		p.Add(x, healthy(), time.Now())
		ts = append(ts, x)
	}
	var users, world sync.WaitGroup
	done := make(chan struct{})
	world.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			x := ts[i%len(ts)]
			switch i % 5 {
			case 0:
				p.Drain(x, i%2 == 0, time.Now())
			case 1:
				p.Checked(x, health.Status{State: []target.State{target.Healthy, target.Healthy, target.Unhealthy}[i%3]}, time.Now())
			case 2:
				p.Update(time.Now(), func(tx *Tx) { tx.Remove(x); tx.Add(x, healthy()) })
			case 3:
				p.Stats(time.Now())
			}
			p.Tick(time.Now())
		}
	})
	var served, refusals atomic.Int64
	for g := range 16 {
		users.Go(func() {
			told := make(chan struct{}, 1)
			l := &Lease{Ready: func(*Lease) { told <- struct{}{} }}
			wait := func(v admit.Verdict, err error) error {
				if v == admit.Queue {
					<-told
					return l.Err()
				}
				return err
			}
			for i := range 300 {
				l.Ask = Ask{Priority: i % 3, Tenant: uint64(g % 4), Size: float64(i%7 + 1)}
				if g%2 == 0 {
					l.Ask.Sticky = ts[g%len(ts)].ID
				}
				if g%5 == 0 {
					l.Ask.Deadline = time.Now().Add(time.Millisecond)
				}
				err := wait(p.Acquire(l, time.Now()))
				if err == nil && i%10 == 0 {
					err = wait(l.Retry(Outcome{Failed: true}, time.Now()))
				}
				if err != nil {
					refusals.Add(1)
					continue
				}
				served.Add(1)
				l.Release(Outcome{Status: 200}, time.Now())
			}
		})
	}
	users.Wait()
	close(done)
	world.Wait()
	s := p.Stats(time.Now())
	if s.InFlight != 0 || s.Waiting != 0 || s.Retrying != 0 || served.Load() == 0 {
		t.Errorf("%d in flight, %d waiting, %d retrying; %d served, %d refused", s.InFlight, s.Waiting, s.Retrying, served.Load(), refusals.Load())
	}
	for _, x := range ts {
		if x.InFlight() != 0 {
			t.Errorf("%s has %d in flight", x.ID, x.InFlight())
		}
	}
}
