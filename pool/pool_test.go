package pool

import (
	"errors"
	"testing"
	"time"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/target"
)

var t0 = time.Unix(1e9, 0)

func newPool(t testing.TB, o Options) *Pool {
	t.Helper()
	if o.Balance == "" {
		o.Balance = "least_connections"
	}
	p, err := New("api", o, t0)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func healthy() health.Status { return health.Status{State: target.Healthy} }

func add(p *Pool, id string, slots int) *target.Target {
	x := target.New(id, id, 1, slots)
	p.Add(x, healthy(), t0)
	return x
}

// lease is a Lease that counts how often it was told.
type lease struct {
	Lease
	told int
}

func newLease() *lease {
	l := &lease{}
	l.Ready = func(*Lease) { l.told++ }
	return l
}

func acquire(t testing.TB, p *Pool, l *lease, want admit.Verdict, now time.Time) {
	t.Helper()
	if got, err := p.Acquire(&l.Lease, now); got != want || (err == nil) == (want == admit.Refuse) {
		t.Fatalf("verdict %d, %v; want %d", got, err, want)
	}
}

func TestTheSlotThatIsFreeNextTakesTheOldestRequest(t *testing.T) {
	p := newPool(t, Options{Limits: admit.Limits{Queue: 10}})
	add(p, "a", 1)
	add(p, "b", 1)
	ls := make([]*lease, 5)
	for i := range ls {
		ls[i] = newLease()
		acquire(t, p, ls[i], map[bool]admit.Verdict{true: admit.Run, false: admit.Queue}[i < 2], t0.Add(time.Duration(i)))
	}
	ls[1].Release(Outcome{Status: 200}, t0.Add(time.Second))
	if ls[2].Target() == nil || ls[2].told != 1 || ls[3].told != 0 {
		t.Fatal("the oldest waiting request was not the one that got the slot")
	}
	if ls[2].Target().ID != "b" {
		t.Errorf("it runs on %s, want b, whose slot was free", ls[2].Target().ID)
	}
	ls[1].Release(Outcome{}, t0) // a second time: nothing
	if s := p.Stats(t0.Add(time.Second)); s.InFlight != 2 || s.Waiting != 2 {
		t.Errorf("%d in flight, %d waiting; want 2 and 2", s.InFlight, s.Waiting)
	}
}

func TestANewTargetTakesWhatWaits(t *testing.T) {
	p := newPool(t, Options{Elastic: true, Limits: admit.Limits{Queue: 1000}})
	var ls []*lease
	for range 200 {
		l := newLease()
		acquire(t, p, l, admit.Queue, t0)
		ls = append(ls, l)
	}
	add(p, "first", 8)
	running := 0
	for i, l := range ls {
		if l.Target() != nil {
			running++
			if i >= 8 {
				t.Fatalf("request %d overtook", i)
			}
		}
	}
	if running != 8 {
		t.Fatalf("%d run, want 8", running)
	}
	for i := range ls { // each end starts the next
		if ls[i].Target() == nil {
			t.Fatalf("request %d never got a slot", i)
		}
		ls[i].Release(Outcome{Status: 200}, t0)
	}
}

func TestWaitingEndsInTime(t *testing.T) {
	p := newPool(t, Options{Limits: admit.Limits{Queue: 10, Timeout: time.Second}})
	add(p, "a", 1)
	first, second := newLease(), newLease()
	acquire(t, p, first, admit.Run, t0)
	acquire(t, p, second, admit.Queue, t0)
	p.Tick(t0.Add(999 * time.Millisecond))
	if second.told != 0 {
		t.Fatal("refused too early")
	}
	p.Tick(t0.Add(time.Second))
	var r *admit.Refusal
	if second.told != 1 || !errors.As(second.Err(), &r) || r.Limit != "queue.timeout" || r.RetryAfter < time.Second {
		t.Fatalf("told %d times, %v", second.told, second.Err())
	}
	if second.Cancel(t0) {
		t.Error("a refused request could be cancelled")
	}
}

func TestAFullQueueRefuses(t *testing.T) {
	p := newPool(t, Options{Limits: admit.Limits{Queue: 1}})
	add(p, "a", 1)
	acquire(t, p, newLease(), admit.Run, t0)
	acquire(t, p, newLease(), admit.Queue, t0)
	acquire(t, p, newLease(), admit.Refuse, t0)
	if s := p.Stats(t0); s.Full != 1 || s.Requests != 3 {
		t.Errorf("%+v", s)
	}
}

func TestRetryNeverGoesBackToATargetThatFailed(t *testing.T) {
	p := newPool(t, Options{Limits: admit.Limits{Queue: 10}})
	a, b := add(p, "a", 1), add(p, "b", 1)
	l, other := newLease(), newLease()
	acquire(t, p, l, admit.Run, t0)
	acquire(t, p, other, admit.Run, t0)
	failedOn := l.Target()
	// The other target is busy: the retry waits for it although the one that failed is free again.
	if v, err := l.Retry(Outcome{Failed: true}, t0); v != admit.Queue || err != nil {
		t.Fatalf("%v %v", v, err)
	}
	late := newLease()
	acquire(t, p, late, admit.Run, t0) // the free slot is of no use to the retry, but to others it is
	if late.Target() != failedOn {
		t.Fatalf("it runs on %v", late.Target())
	}
	other.Release(Outcome{Status: 200}, t0)
	if l.Target() == nil || l.Target() == failedOn {
		t.Fatalf("the retry runs on %v", l.Target())
	}
	if v, err := l.Retry(Outcome{Failed: true}, t0); v != admit.Refuse || !errors.Is(err, ErrNoOther) {
		t.Fatalf("both failed: %v %v", v, err)
	}
	if a.Failures()+b.Failures() != 2 {
		t.Errorf("%d failures", a.Failures()+b.Failures())
	}
}

func TestDrainTakesNothingNewAndCanBeTakenBack(t *testing.T) {
	p := newPool(t, Options{Limits: admit.Limits{Queue: 10}})
	a := add(p, "a", 2)
	l := newLease()
	acquire(t, p, l, admit.Run, t0)
	p.Drain(a, true, t0)
	w := newLease()
	acquire(t, p, w, admit.Queue, t0)
	if a.State() != target.Draining || a.InFlight() != 1 {
		t.Fatalf("%v with %d in flight", a.State(), a.InFlight())
	}
	p.Drain(a, false, t0)
	if w.Target() != a {
		t.Fatal("the drain was not taken back")
	}
}

func TestHoldsUntilTheFirstCheckThenFailsOpen(t *testing.T) {
	p := newPool(t, Options{FailOpen: 1, Limits: admit.Limits{Queue: 10}})
	a := target.New("a", "a", 1, 0)
	p.Add(a, health.Status{}, t0)
	l := newLease()
	acquire(t, p, l, admit.Queue, t0) // new is not in rotation
	p.Checked(a, health.Status{State: target.Unhealthy, Failures: 2}, t0)
	if l.Target() != a || !p.Stats(t0).FailedOpen {
		t.Fatal("with every target unhealthy it should fail open")
	}
	b := add(p, "b", 0)
	if p.Stats(t0).FailedOpen {
		t.Fatal("open although one is healthy")
	}
	for range 5 {
		l := newLease()
		acquire(t, p, l, admit.Run, t0)
		if l.Target() != b {
			t.Fatal("an unhealthy target got a request")
		}
	}
}

func TestFailuresEjectAndTimeBringsBack(t *testing.T) {
	p := newPool(t, Options{
		Limits:  admit.Limits{Queue: 10},
		Ejector: health.Ejector{ConsecutiveFailures: 5, Interval: 10 * time.Second, Base: 30 * time.Second, Max: 300 * time.Second, MaxPercent: 10},
	})
	a := add(p, "a", 0)
	for range 5 {
		l := newLease()
		acquire(t, p, l, admit.Run, t0)
		l.Release(Outcome{Status: 500, Failed: true}, t0)
	}
	if a.State() != target.Ejected {
		t.Fatalf("after 5 failures: %v", a.State())
	}
	l := newLease()
	acquire(t, p, l, admit.Queue, t0)
	p.Tick(t0.Add(29 * time.Second))
	if l.Target() != nil {
		t.Fatal("back too early")
	}
	p.Tick(t0.Add(30 * time.Second))
	if l.Target() != a || a.State() != target.Healthy {
		t.Fatalf("after 30 s: %v", a.State())
	}
}

func TestConfigureKeepsWhatWaits(t *testing.T) {
	p := newPool(t, Options{Limits: admit.Limits{Queue: 10}})
	add(p, "a", 1)
	l, w := newLease(), newLease()
	acquire(t, p, l, admit.Run, t0)
	acquire(t, p, w, admit.Queue, t0)
	if err := p.Configure(Options{Balance: "round_robin", Limits: admit.Limits{Queue: 1}}, t0); err != nil {
		t.Fatal(err)
	}
	l.Release(Outcome{Status: 200}, t0)
	if w.Target() == nil {
		t.Fatal("the request that waited was forgotten")
	}
	if err := p.Configure(Options{Balance: "nonsense"}, t0); err == nil {
		t.Fatal("no error")
	}
}

// arrive lets requests come at a steady rate and returns when the last one did.
func arrive(p *Pool, from time.Time, perSecond int, d time.Duration) time.Time {
	step := time.Second / time.Duration(perSecond)
	for now := from; now.Before(from.Add(d)); now = now.Add(step) {
		var l Lease
		p.Acquire(&l, now)
		l.Release(Outcome{Status: 200}, now)
	}
	return from.Add(d)
}

func TestTheRateFollowsWhatChanged(t *testing.T) {
	for _, c := range []struct {
		name     string
		rate     int
		after    time.Duration // how long after the load ended
		low, top float64
	}{
		{"a slow load", 1, 0, 0.8, 1.2},
		{"a fast load", 200, 0, 190, 210},
		{"two seconds after a slow one it may go on", 1, 2 * time.Second, 0.7, 1.2},
		{"six seconds after a load of 5/s it has ended", 5, 6 * time.Second, 0, 0},
		{"a second and a half after a fast one it has ended", 200, 1500 * time.Millisecond, 0, 0},
	} {
		p := newPool(t, Options{})
		add(p, "a", 0)
		end := arrive(p, t0, c.rate, time.Minute)
		if got := p.Stats(end.Add(c.after)).Rate; got < c.low || got > c.top {
			t.Errorf("%s: %.2f/s, want %v to %v", c.name, got, c.low, c.top)
		}
	}
	// A spike shows within a second.
	p := newPool(t, Options{})
	add(p, "a", 0)
	end := arrive(p, arrive(p, t0, 1, time.Minute), 100, time.Second)
	if got := p.Stats(end).Rate; got < 80 {
		t.Errorf("a second into a spike of 100/s the rate is %.1f/s", got)
	}
}
