package probe

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/target"
)

// Watch checks addr until ctx ends and calls report with the status after each check, from its own goroutine, which it
// holds up while it runs.
//
// from is what is known already: a reload hands it over, so that nothing is forgotten. A new target is checked at once; one
// that was checked before when its next check is due; any other at a random moment of the first interval, so that a
// restart does not check everything at the same time.
//
// While a target has never passed, requests may be held for it, so the checks come faster (StartInterval), and slow
// down again: the interval is at least a 500th of the time it was awaited. What takes two minutes to start is noticed within
// a quarter of a second, and what has been dead since yesterday is not asked four times a second. It is called unhealthy no
// sooner than checks at the ordinary interval would (unless Rule.Grace says when).
func Watch(ctx context.Context, addr string, c Check, from health.Status, report func(health.Status)) {
	s, since, rule := from, time.Now(), c.rule()
	t := time.NewTimer(c.first(from, since))
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		began := time.Now()
		o := c.Once(ctx, addr)
		if ctx.Err() != nil {
			return // the check was cut, the target is not to blame
		}
		now := time.Now()
		s = rule.Next(s, o, now)
		report(s)
		t.Reset(time.Until(began.Add(c.pace(s, now.Sub(since)))))
	}
}

// first is how long to wait before the first check.
func (c Check) first(from health.Status, now time.Time) time.Duration {
	pace := c.pace(from, 0)
	switch {
	case from.State == target.Initial:
		return 0
	case from.LastCheck.IsZero():
		return rand.N(pace)
	}
	return min(max(from.LastCheck.Add(pace).Sub(now), 0), pace)
}

// rule is the check's rule with the grace that makes up for the fast checks of new targets.
func (c Check) rule() health.Rule {
	r := c.Rule
	if r.Grace == 0 {
		r.Grace = time.Duration(max(r.Unhealthy, 1)-1) * c.interval()
	}
	return r
}

func (c Check) interval() time.Duration { return or(c.Interval, 15*time.Second) }

// pace is the interval for a target with status s that Watch has asked for so long.
func (c Check) pace(s health.Status, awaited time.Duration) time.Duration {
	if s.Passed {
		return c.interval()
	}
	return min(c.interval(), max(or(c.StartInterval, 250*time.Millisecond), awaited/500))
}
