package health

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weirlb/weir/target"
)

var t0 = time.Unix(1e9, 0)

// run feeds a string of checks: + passes, - fails.
func run(r Rule, s Status, checks string) Status {
	for i, c := range checks {
		s = r.Next(s, Outcome{Pass: c == '+'}, t0.Add(time.Duration(i)*time.Second))
	}
	return s
}

func TestThresholds(t *testing.T) {
	alb := Rule{Healthy: 5, Unhealthy: 2} // the defaults of AWS
	for _, c := range []struct {
		checks string
		want   target.State
	}{
		{"", target.Initial},
		{"+", target.Healthy}, // a new target needs one pass
		{"-", target.Initial},
		{"-+", target.Healthy},
		{"--", target.Unhealthy},
		{"------+", target.Healthy}, // it took long to start
		{"+--++++", target.Unhealthy},
		{"+--+++++", target.Healthy},
		{"+--++++-", target.Unhealthy},
		{"+--++++-+++++", target.Healthy},
		{"+-", target.Healthy},
		{"+-+-+-", target.Healthy},
		{"+--", target.Unhealthy},
	} {
		if got := run(alb, Status{}, c.checks).State; got != c.want {
			t.Errorf("%q: %v, want %v", c.checks, got, c.want)
		}
	}
}

func TestSinceIsOfTheState(t *testing.T) {
	s := run(Rule{Healthy: 2, Unhealthy: 2}, Status{}, "+++--")
	if want := t0.Add(4 * time.Second); !s.Since.Equal(want) || !s.LastCheck.Equal(want) {
		t.Errorf("since %v, last check %v, want both %v", s.Since, s.LastCheck, want)
	}
}

func TestFailOpen(t *testing.T) {
	for _, c := range []struct {
		healthy, total, minimum int
		want                    bool
	}{{0, 3, 1, true}, {1, 3, 1, false}, {1, 3, 2, true}, {0, 0, 1, false}, {2, 2, 5, false}, {0, 3, 0, false}} {
		if got := FailOpen(c.healthy, c.total, c.minimum); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// Envoy's defaults.
var envoy = Ejector{ConsecutiveFailures: 5, Interval: 10 * time.Second, Base: 30 * time.Second, Max: 300 * time.Second, MaxPercent: 10}

func fail(x Ejection, n int, now time.Time) Ejection {
	for range n {
		x = envoy.Observe(x, false, 0, 10, now)
	}
	return x
}

func TestEjectionGrowsAndIsForgiven(t *testing.T) {
	now := t0
	x := fail(Ejection{}, 4, now)
	if x.Ejected(now) {
		t.Fatal("ejected after 4 failures")
	}
	x = envoy.Observe(x, true, 0, 10, now)
	if x = fail(x, 4, now); x.Ejected(now) {
		t.Fatal("a good answer did not break the row")
	}
	for n := 1; n <= 12; n++ {
		if x = fail(x, 5, now); !x.Ejected(now) {
			t.Fatalf("ejection %d: not ejected", n)
		}
		want := min(time.Duration(n)*30*time.Second, 300*time.Second)
		if n == 1 {
			x = Ejection{Times: 1, Until: now.Add(30 * time.Second)}
		}
		if got := x.Until.Sub(now); got != want {
			t.Fatalf("ejection %d lasts %v, want %v", n, got, want)
		}
		if y := envoy.Sweep(x, now.Add(time.Second)); y.Times != x.Times {
			t.Fatal("a sweep forgave a target while it was ejected")
		}
		now = x.Until
	}
	for range 12 {
		x = envoy.Sweep(x, now)
	}
	if x = fail(x, 5, now); x.Until.Sub(now) != 30*time.Second {
		t.Errorf("after 12 good sweeps an ejection lasts %v, want 30 s", x.Until.Sub(now))
	}
}

func TestAtMostAShareIsEjectedButAlwaysOne(t *testing.T) {
	one := Ejection{Failures: 4}
	for _, c := range []struct {
		ejected, total int
		want           bool
	}{{0, 1, true}, {0, 3, true}, {1, 3, false}, {1, 20, true}, {2, 20, false}} {
		if got := envoy.Observe(one, false, c.ejected, c.total, t0).Ejected(t0); got != c.want {
			t.Errorf("%+v: ejected %v", c, got)
		}
	}
}

func TestAPassingCheckEndsAnEjection(t *testing.T) {
	if x := fail(Ejection{}, 5, t0).Pass(); x.Ejected(t0) || x.Failures != 0 {
		t.Errorf("%+v", x)
	}
}

func TestStateFollowsTheLastRow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Rule{Healthy: rapid.IntRange(1, 5).Draw(t, "healthy"), Unhealthy: rapid.IntRange(1, 5).Draw(t, "unhealthy")}
		checks := rapid.SliceOfN(rapid.Bool(), 1, 60).Draw(t, "checks")
		var s Status
		row := 0
		for i, pass := range checks {
			if i > 0 && pass == checks[i-1] {
				row++
			} else {
				row = 1
			}
			s = r.Next(s, Outcome{Pass: pass}, t0)
			if pass && row >= r.Healthy && s.State != target.Healthy {
				t.Fatalf("%d passes in a row and %v", row, s.State)
			}
			if !pass && row >= r.Unhealthy && s.State != target.Unhealthy {
				t.Fatalf("%d failures in a row and %v", row, s.State)
			}
		}
	})
}
