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

func TestANewTargetServesFromItsFirstPassAndNotBefore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Rule{Healthy: rapid.IntRange(0, 5).Draw(t, "healthy"), Unhealthy: rapid.IntRange(0, 5).Draw(t, "unhealthy")}
		var s Status
		for range rapid.IntRange(0, 30).Draw(t, "failures") {
			if s = r.Next(s, Outcome{Code: CodeTimeout}, t0); s.State == target.Healthy || s.Passed {
				t.Fatalf("in rotation without a pass: %+v", s)
			}
		}
		if s = r.Next(s, Outcome{Pass: true}, t0); s.State != target.Healthy || s.Code != "" {
			t.Fatalf("one pass is enough for a new target: %+v", s)
		}
	})
}

func TestANewTargetIsGivenItsGrace(t *testing.T) {
	r := Rule{Healthy: 2, Unhealthy: 2, Grace: 5 * time.Second}
	for checks, want := range map[string]target.State{
		"-----":     target.Initial, // the fifth is 4 s after the first
		"------":    target.Unhealthy,
		"-----+":    target.Healthy,
		"+--":       target.Unhealthy, // only new ones have any
		"------+--": target.Unhealthy,
	} {
		if got := run(r, Status{}, checks).State; got != want {
			t.Errorf("%q: %v, want %v", checks, got, want)
		}
	}
}

// A reload hands the status to a new rule; what was counted counts on.
func TestAStatusOutlivesItsRule(t *testing.T) {
	s := run(Rule{Healthy: 5, Unhealthy: 5}, Status{}, "+--")
	if s = (Rule{Healthy: 2, Unhealthy: 3}).Next(s, Outcome{}, t0); s.State != target.Unhealthy {
		t.Errorf("the third failure in a row under a rule of three: %+v", s)
	}
}

func TestFailOpenNeverShutsByFewerHealthy(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.IntRange(0, 50).Draw(t, "total")
		healthy := rapid.IntRange(0, total).Draw(t, "healthy")
		minimum := rapid.IntRange(0, 60).Draw(t, "minimum")
		open := FailOpen(healthy, total, minimum)
		if open && healthy == total {
			t.Fatal("open although all are healthy")
		}
		if healthy > 0 && open && !FailOpen(healthy-1, total, minimum) {
			t.Fatal("open, and shut with one healthy target less")
		}
	})
}
