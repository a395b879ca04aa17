package health

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// envoy has Envoy's defaults.
var envoy = Ejector{ConsecutiveFailures: 5, Interval: 10 * time.Second, Base: 30 * time.Second, Max: 300 * time.Second, MaxPercent: 10}

// fail observes n failures of a target in a pool of ten that has ejected nobody.
func fail(x Ejection, n int, now time.Time) Ejection {
	for range n {
		x = envoy.Observe(x, false, 0, 10, now)
	}
	return x
}

func TestFiveFailuresInARowEject(t *testing.T) {
	x := fail(Ejection{}, 4, t0)
	if x.Ejected(t0) {
		t.Fatal("ejected after 4 failures")
	}
	x = envoy.Observe(x, true, 0, 10, t0)
	if x = fail(x, 4, t0); x.Ejected(t0) {
		t.Fatal("a good answer did not break the row")
	}
	if x = fail(x, 1, t0); !x.Ejected(t0) || x.Until.Sub(t0) != 30*time.Second {
		t.Fatalf("after 5 in a row: %+v, want ejected for 30 s", x)
	}
	if !x.Ejected(t0.Add(30*time.Second-1)) || x.Ejected(t0.Add(30*time.Second)) {
		t.Error("30 s do not end after 30 s")
	}
}

func TestEjectionsGrowWithTheirNumberUpToTheLongest(t *testing.T) {
	now := t0
	var x Ejection
	for n := 1; n <= 40; n++ {
		if x = fail(x, 5, now); !x.Ejected(now) {
			t.Fatalf("ejection %d: not ejected", n)
		}
		if got, want := x.Until.Sub(now), min(time.Duration(n)*30*time.Second, 300*time.Second); got != want {
			t.Fatalf("ejection %d lasts %v, want %v", n, got, want)
		}
		if envoy.Sweep(x, now.Add(time.Second)) != x {
			t.Fatal("a sweep forgave a target while it was ejected")
		}
		now = x.Until
	}
	// Envoy counts no further than one above the longest, however many there were: 300 s / 30 s + 1.
	if x.Times != 11 {
		t.Fatalf("%d ejections are counted, want 11", x.Times)
	}
	for range 11 {
		x = envoy.Sweep(x, now)
	}
	if x = fail(x, 5, now); x.Until.Sub(now) != 30*time.Second {
		t.Errorf("after 11 good sweeps an ejection lasts %v, want 30 s", x.Until.Sub(now))
	}
}

func TestAnswersDuringAnEjectionCountForNothing(t *testing.T) {
	x := fail(Ejection{}, 5, t0)
	until := x.Until
	x = fail(x, 100, t0.Add(time.Second)) // requests that were in flight
	if !x.Until.Equal(until) || x.Times != 1 {
		t.Errorf("failures during an ejection changed it: %+v", x)
	}
	if x = fail(x, 4, until); x.Ejected(until) {
		t.Error("it came back with failures from before on its row")
	}
	if x = fail(x, 1, until); !x.Ejected(until) {
		t.Error("five new failures did not eject it again")
	}
}

func TestAtMostAShareIsEjectedButAlwaysOne(t *testing.T) {
	one := Ejection{Failures: 4}
	for _, c := range []struct {
		ejected, total int
		want           bool
	}{{0, 1, true}, {0, 3, true}, {1, 3, false}, {1, 19, false}, {1, 20, true}, {2, 20, false}} {
		x := envoy.Observe(one, false, c.ejected, c.total, t0)
		if got := x.Ejected(t0); got != c.want {
			t.Errorf("%+v: ejected %v", c, got)
		}
		if !c.want && !envoy.Observe(x, false, 0, c.total, t0).Ejected(t0) {
			t.Errorf("%+v: the row is lost, though only the share kept it in", c)
		}
	}
}

func TestAPassingCheckEndsAnEjectionAndNothingElse(t *testing.T) {
	x := fail(Ejection{}, 5, t0).Pass()
	if x.Ejected(t0) || x.Failures != 0 || x.Times != 1 {
		t.Errorf("back at once, the ejection not forgotten: %+v", x)
	}
	x = fail(Ejection{}, 4, t0).Pass()
	if x = fail(x, 1, t0); !x.Ejected(t0) {
		t.Error("a passing check hid a target whose answers fail")
	}
}

func TestTheZeroEjectorNeverEjects(t *testing.T) {
	var x Ejection
	for range 1000 {
		x = Ejector{}.Observe(x, false, 0, 10, t0)
	}
	if x != (Ejection{}) {
		t.Errorf("%+v", x)
	}
}

// TestEjectionOverAPool lets a pool live through any history and holds it to the rule.
func TestEjectionOverAPool(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := Ejector{
			ConsecutiveFailures: rapid.IntRange(1, 6).Draw(t, "failures"), Interval: 10 * time.Second,
			Base: time.Duration(rapid.IntRange(1, 60).Draw(t, "base")) * time.Second,
			Max:  time.Duration(rapid.IntRange(0, 300).Draw(t, "max")) * time.Second, MaxPercent: rapid.IntRange(0, 100).Draw(t, "percent"),
		}
		pool := make([]Ejection, rapid.IntRange(1, 30).Draw(t, "targets"))
		rows := make([]int, len(pool)) // failures in a row, as a bystander counts them
		now := t0
		ejected := func() (n int) {
			for _, x := range pool {
				if x.Ejected(now) {
					n++
				}
			}
			return n
		}
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			i := rapid.IntRange(0, len(pool)-1).Draw(t, "target")
			was := pool[i]
			switch step := rapid.IntRange(0, 9).Draw(t, "step"); step {
			case 0:
				now = now.Add(time.Duration(rapid.IntRange(1, 60).Draw(t, "later")) * time.Second)
			case 1:
				for j := range pool {
					pool[j] = e.Sweep(pool[j], now)
				}
			case 2:
				if pool[i] = was.Pass(); pool[i].Ejected(now) {
					t.Fatal("ejected after a pass")
				}
				if was.Ejected(now) {
					rows[i] = 0
				}
			default:
				ok := step == 3
				pool[i] = e.Observe(was, ok, ejected(), len(pool), now)
				if was.Ejected(now) {
					if pool[i] != was {
						t.Fatalf("an answer changed an ejection: %+v, then %+v", was, pool[i])
					}
					continue
				}
				if rows[i]++; ok {
					rows[i] = 0
				}
				if pool[i].Ejected(now) {
					if rows[i] < e.ConsecutiveFailures {
						t.Fatalf("ejected after %d failures in a row", rows[i])
					}
					if d := pool[i].Until.Sub(now); d < e.Base || d > max(e.Base, e.Max) {
						t.Fatalf("ejected for %v", d)
					}
					rows[i] = 0
				}
			}
			if n, most := ejected(), max(len(pool)*e.MaxPercent/100, 1); n > most {
				t.Fatalf("%d of %d are ejected, at most %d may be", n, len(pool), most)
			}
		}
	})
}
