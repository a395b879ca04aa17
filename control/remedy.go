package control

import (
	"fmt"
	"time"

	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/fleet/plan"
	"github.com/weirlb/weir/health"
)

// Remedies are what is done for instances that fail checks.
type Remedies struct {
	Rules    map[string]health.Remedy // by the check's name
	Patience map[string]time.Duration // by a check whose remedy is Reload: how long that may take to help

	// PerHour is how many remedies may begin within an hour; 0 is twice the instances desired, and at least 10. A check that fails on new
	// instances too is not mended by more of them.
	PerHour int

	// Reload tells an instance to load again, as the remedy of a check. It must not block.
	Reload func(instance, addr, check string)
}

// Treatment is what is being done for an unhealthy instance.
type Treatment struct {
	Remedy health.Remedy `json:"remedy"`
	Check  string        `json:"check"`
	Since  time.Time     `json:"since"`
	Why    string        `json:"why"`
	Held   bool          `json:"held,omitempty"` // it has not begun: Why says what it waits for

	Eased bool `json:"eased,omitempty"` // the instance is healthy again, since so short a time that the remedy still counts
}

// RemedyCount is how often a remedy was begun for a check.
type RemedyCount struct {
	Check  string
	Remedy health.Remedy
	N      uint64
}

// Remedy changes what is done for instances that fail checks.
func (l *Loop) Remedy(r Remedies) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.o.Remedies = r
}

// Treatments are what is being done now, by instance.
func (l *Loop) Treatments() map[string]Treatment {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[string]Treatment, len(l.treated))
	for id, t := range l.treated {
		if !t.Eased {
			out[id] = t
		}
	}
	return out
}

// RemedyCounts are how often each remedy was begun since the start.
func (l *Loop) RemedyCounts() []RemedyCount {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]RemedyCount(nil), l.remedied...)
}

// treat gives an unhealthy instance of the plan its remedy, once its grace is over. A reload has its time to help, and then the instance is replaced.
func (l *Loop) treat(one *plan.Instance, v *fleet.View, grace plan.Grace, now time.Time) {
	remedy, check := health.RemedyOf(v.Failing, l.o.Remedies.Rules)
	if check == "" || now.Before(grace.Until(v.Begun)) {
		return
	}
	t, known := l.treated[v.ID]
	other := !known || t.Check != check
	t.Eased = false
	switch {
	case other || t.Held:
		why := fmt.Sprintf("its check %s fails (%s): ", check, v.Why)
		if held := l.heldBack(v.ID, remedy, now); held != "" {
			if other {
				l.hold(v, Treatment{Remedy: remedy, Check: check, Since: now, Why: why + held, Held: true})
			}
			one.Check, one.Remedy = check, plan.RemedyWait
			return
		}
		t = Treatment{Remedy: remedy, Check: check, Since: now, Why: why + inWords[remedy]}
		l.apply(v, t, now)
	case t.Remedy == health.Reload && now.Sub(t.Since) >= l.o.Remedies.Patience[check]:
		t = Treatment{Remedy: health.Replace, Check: check, Since: now, Why: fmt.Sprintf("its check %s still fails %v after it was told to load again: %s",
			check, l.o.Remedies.Patience[check], inWords[health.Replace])}
		l.apply(v, t, now)
	default:
		l.treated[v.ID] = t
	}
	one.Check = check
	switch t.Remedy {
	case health.Restart:
		one.Remedy = plan.RemedyRestart
	case health.Reload:
		one.Remedy = plan.RemedyWait
	case health.ScaleUp:
		one.Remedy = plan.RemedyScaleUp
	}
}

// heldBack says why a remedy may not begin yet; "": it may. A check that fails everywhere must not take the rest of the pool with it: only so
// many instances are reloaded, or restarted, at a time (for the other remedies the plan sees to that), and only so many remedies begin in an hour.
func (l *Loop) heldBack(id string, remedy health.Remedy, now time.Time) string {
	if n := len(l.recent(now)); n >= l.perHour() {
		return fmt.Sprintf("but %d remedies have begun within the last hour, which is the limit (health.remedies_per_hour): it is left as it is; see why the check fails", n)
	}
	if remedy != health.Reload && remedy != health.Restart {
		return ""
	}
	n := 0
	for other, t := range l.treated {
		if other != id && t.Remedy == remedy && !t.Held && !t.Eased {
			n++
		}
	}
	if n >= plan.AtATime(l.desired) {
		return fmt.Sprintf("its %s waits, as %d at a time may", remedy, n)
	}
	return ""
}

func (l *Loop) perHour() int {
	if n := l.o.Remedies.PerHour; n > 0 {
		return n
	}
	return max(2*l.desired, 10)
}

// recent are the remedies that began within the last hour.
func (l *Loop) recent(now time.Time) []time.Time {
	for len(l.remedies) > 0 && now.Sub(l.remedies[0]) >= time.Hour {
		l.remedies = l.remedies[1:]
	}
	return l.remedies
}

var inWords = map[health.Remedy]string{
	health.ScaleUp: "another instance is launched beside it", health.Reload: "it is told to load again",
	health.Replace: "it is replaced", health.Restart: "it is restarted",
}

// hold notes that an instance's remedy waits.
func (l *Loop) hold(v *fleet.View, t Treatment) {
	l.treatWith(v.ID, t)
	l.o.Log.Warn("a remedy waits", "pool", l.o.Pool.Name, "instance", v.ID, "remedy", t.Remedy, "check", t.Check, "why", t.Why)
	if l.o.Remedied != nil {
		l.o.Remedied(v.ID, t)
	}
}

// apply begins a remedy. It is on disk before, so that a Weir that dies does not begin it again.
func (l *Loop) apply(v *fleet.View, t Treatment, now time.Time) {
	l.treatWith(v.ID, t)
	l.remedies = append(l.recent(now), now)
	if l.o.Journal != nil {
		l.saveBy(l.o.Journal.saveNow)
	}
	l.count(t)
	l.o.Log.Warn("a remedy begins", "pool", l.o.Pool.Name, "instance", v.ID, "remedy", t.Remedy, "check", t.Check, "why", t.Why)
	if l.o.Remedied != nil {
		l.o.Remedied(v.ID, t)
	}
	if t.Remedy == health.Reload && l.o.Remedies.Reload != nil {
		l.o.Remedies.Reload(v.ID, v.Addr, t.Check)
	}
}

func (l *Loop) treatWith(id string, t Treatment) {
	if l.treated == nil {
		l.treated = map[string]Treatment{}
	}
	l.treated[id] = t
}

func (l *Loop) count(t Treatment) {
	for i := range l.remedied {
		if c := &l.remedied[i]; c.Check == t.Check && c.Remedy == t.Remedy {
			c.N++
			return
		}
	}
	l.remedied = append(l.remedied, RemedyCount{t.Check, t.Remedy, 1})
}

// cured forgets the instances that are gone, and those that are not unhealthy any more. One that was told to load again is remembered for as long
// as that may take: its health comes and goes meanwhile, and a Weir that has just started does not know it yet.
func (l *Loop) cured(views []fleet.View, now time.Time) {
	if len(l.treated) == 0 {
		return
	}
	sick := make(map[string]bool, len(l.treated))
	for i := range views {
		sick[views[i].ID] = views[i].State == fleet.Unhealthy
	}
	for id, t := range l.treated {
		ill, here := sick[id]
		switch {
		case ill:
		case here && t.Remedy == health.Reload && !t.Held && now.Sub(t.Since) < l.o.Remedies.Patience[t.Check]:
			t.Eased = true
			l.treated[id] = t
		default:
			delete(l.treated, id)
		}
	}
}
