package balance

import (
	"math"
	"testing"
	"time"

	"github.com/weirlb/weir/target"
)

func TestPeakEWMAIsFinagles(t *testing.T) {
	var p peak
	p.observe(time.Second, 0)
	if p.cost != 1 {
		t.Errorf("the first is taken as it is, got %v", p.cost)
	}
	p.observe(3*time.Second, 0.5)
	if p.cost != 3 {
		t.Errorf("a peak counts at once, got %v", p.cost)
	}
	p.observe(time.Second, 1.5) // one tau later
	if want := 3/math.E + 1*(1-1/math.E); math.Abs(p.cost-want) > 1e-12 {
		t.Errorf("%v, want cost*e^(-dt/tau) + rtt*(1-e^(-dt/tau)) = %v", p.cost, want)
	}
	if got, want := p.now(2.5), p.cost/math.E; math.Abs(got-want) > 1e-12 {
		t.Errorf("without answers it decays to %v, want %v", got, want)
	}
}

// load = cost*(pending+1): with costs of 10 and 30 ms the fast one takes three in flight for one of the other.
func TestLeastResponseTimeWeighsByWhatIsPending(t *testing.T) {
	ts := targets(1, 1)
	p := newPool(t, Options{Name: "least_response_time"}, ts)
	slow := map[*target.Target]time.Duration{ts[0]: 10 * time.Millisecond, ts[1]: 30 * time.Millisecond}
	for range 2 { // each is tried once
		p.one(Request{}, func(t *target.Target) Outcome { return Outcome{Took: slow[t]} })
	}
	for range 40 {
		p.begin(Request{})
	}
	if a, b := ts[0].InFlight(), ts[1].InFlight(); a != 30 || b != 10 {
		t.Errorf("%d and %d in flight, want 30 and 10", a, b)
	}
}

// fair says what each of ten targets got of 100 s of a request each 10 ms, one after the other.
func fair(t *testing.T, name string, answer func(i int) Outcome) (got [10]int) {
	t.Helper()
	ts := many(10, even, 0)
	p := newPool(t, Options{Name: name}, ts)
	for start := p.now; p.now.Sub(start) < 100*time.Second; {
		p.now = p.now.Add(10 * time.Millisecond)
		p.one(Request{}, func(x *target.Target) Outcome {
			for i := range ts {
				if ts[i] == x {
					got[i]++
					return answer(i)
				}
			}
			panic("unknown target")
		})
	}
	return got
}

func TestNobodyStarves(t *testing.T) {
	for _, name := range []string{"least_response_time", "prequal"} {
		got := fair(t, name, func(i int) Outcome {
			if i == 0 {
				return Outcome{Took: 500 * time.Millisecond} // the others are 100 times as fast
			}
			return Outcome{Took: 5 * time.Millisecond}
		})
		if got[0] == 0 || got[0] > 30 {
			t.Errorf("%s: the slow one of ten got %d requests in 100 s: %v", name, got[0], got)
		}
		for i := 1; i < 10; i++ {
			if got[i] < 200 {
				t.Errorf("%s: target %d got only %d, although as fast as others: %v", name, i, got[i], got)
			}
		}
	}
}

// What fails at once must not look fast: a real server that did so got all traffic elsewhere.
func TestFailingFastAttractsNothing(t *testing.T) {
	for _, name := range []string{"least_response_time", "prequal"} {
		got := fair(t, name, func(i int) Outcome {
			if i == 0 {
				return Outcome{Failed: true, Took: 100 * time.Microsecond}
			}
			return Outcome{Took: 20 * time.Millisecond}
		})
		if got[0] == 0 || got[0] > 50 {
			t.Errorf("%s: the failing one of ten got %d: %v", name, got[0], got)
		}
	}
}

func TestAHangingTargetIsLearntFromClientsThatLeave(t *testing.T) {
	for _, name := range []string{"least_response_time", "prequal"} {
		ts := targets(1, 1)
		p := newPool(t, Options{Name: name}, ts)
		for range 200 {
			p.one(Request{}, func(x *target.Target) Outcome {
				if x == ts[0] {
					return Outcome{Cancelled: true, Took: 5 * time.Second}
				}
				return Outcome{Took: 50 * time.Millisecond}
			})
		}
		if n := ts[0].Requests(); n == 0 || n > 20 {
			t.Errorf("%s: %d of 200 requests went to a target on which all clients gave up", name, n)
		}
	}
}

// The hot-cold rule: over the quantile of requests in flight a target is hot, however fast it is.
func TestPrequalPrefersTheFastOfTheCold(t *testing.T) {
	ts := many(4, even, 0)
	p := newPool(t, Options{Name: "prequal"}, ts)
	took := []time.Duration{1 * time.Millisecond, 20 * time.Millisecond, 40 * time.Millisecond, 80 * time.Millisecond}
	for i, x := range ts {
		p.count(x)
		p.now = p.now.Add(took[i])
		p.end(0, Outcome{})
	}
	if got := p.begin(Request{}); got != ts[0] {
		t.Errorf("all are cold: picked %s, want the fastest", got.ID)
	}
	if got := p.begin(Request{}); got != ts[1] {
		t.Errorf("the fastest is hot with 1 in flight, as the 0.84 quantile of 1 0 0 0 is 0.52: picked %s, want the next", got.ID)
	}
	for _, x := range ts {
		for x.InFlight() < 2 {
			p.count(x)
		}
	}
	if got := p.begin(Request{}); got != ts[0] {
		t.Errorf("none has more than others, so none is hot: picked %s, want the fastest", got.ID)
	}
}

func TestLatencyIsTheMedianAtAboutThisLoad(t *testing.T) {
	ts := targets(1)
	p := newPool(t, Options{Name: "prequal"}, ts).Picker.(*prequal)
	k := &p.known[0]
	for i, a := range []answer{{0, 1}, {0, 2}, {0, 3}, {1, 2}, {1, 2}, {9, 50}, {9, 60}, {8, 70}, {9, 80}, {10, 55}} {
		k.recent[i] = a
		k.n++
	}
	if got := math.Exp(p.estimate(k, ts[0])); math.Abs(got-2) > 1e-6 {
		t.Errorf("idle: %v s, want 2", got)
	}
	for range 9 {
		ts[0].Begin()
	}
	if got := math.Exp(p.estimate(k, ts[0])); math.Abs(got-60) > 1e-4 {
		t.Errorf("with 9 in flight: %v s, want 60", got)
	}
}
