package control

import (
	"fmt"
	"maps"
	"time"

	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/fleet/plan"
	"github.com/weirlb/weir/health"
)

// Remedies are what is done for instances that fail checks.
type Remedies struct {
	Rules    map[string]health.Remedy // by the check's name
	Patience map[string]time.Duration // by a check whose remedy is Reload: how long that may take to help

	// Reload tells an instance to load again, as the remedy of a check. It must not block.
	Reload func(instance, addr, check string)
}

// Treatment is what is being done for an unhealthy instance.
type Treatment struct {
	Remedy health.Remedy `json:"remedy"`
	Check  string        `json:"check"`
	Since  time.Time     `json:"since"`
	Why    string        `json:"why"`
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
	maps.Copy(out, l.treated)
	return out
}

// RemedyCounts are how often each remedy was begun since the start.
func (l *Loop) RemedyCounts() []RemedyCount {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]RemedyCount(nil), l.remedied...)
}

// treat gives an unhealthy instance of the plan its remedy. A reload has its time to help, and then the instance is replaced.
func (l *Loop) treat(one *plan.Instance, v *fleet.View, now time.Time) {
	remedy, check := health.RemedyOf(v.Failing, l.o.Remedies.Rules)
	if check == "" {
		return
	}
	t, known := l.treated[v.ID]
	switch {
	case (!known || t.Check != check) && l.mustWait(v.ID, remedy):
		one.Check, one.Remedy = check, plan.RemedyWait // for its turn
		return
	case !known || t.Check != check:
		t = Treatment{Remedy: remedy, Check: check, Since: now, Why: fmt.Sprintf("its check %s fails (%s): %s", check, v.Why, inWords[remedy])}
		l.begun(v, t)
	case t.Remedy == health.Reload && now.Sub(t.Since) >= l.o.Remedies.Patience[check]:
		t = Treatment{Remedy: health.Replace, Check: check, Since: now, Why: fmt.Sprintf("its check %s still fails %v after it was told to load again: %s",
			check, l.o.Remedies.Patience[check], inWords[health.Replace])}
		l.begun(v, t)
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

// mustWait reports whether as many instances are being reloaded, or restarted, as may be at a time: a check that fails everywhere must not take the
// rest of the pool with it. For the other remedies the plan sees to that.
func (l *Loop) mustWait(id string, remedy health.Remedy) bool {
	if remedy != health.Reload && remedy != health.Restart {
		return false
	}
	n := 0
	for other, t := range l.treated {
		if other != id && t.Remedy == remedy {
			n++
		}
	}
	return n >= plan.AtATime(l.desired)
}

var inWords = map[health.Remedy]string{
	health.ScaleUp: "another instance is launched beside it", health.Reload: "it is told to load again",
	health.Replace: "it is replaced", health.Restart: "it is restarted",
}

func (l *Loop) begun(v *fleet.View, t Treatment) {
	if l.treated == nil {
		l.treated = map[string]Treatment{}
	}
	l.treated[v.ID] = t
	l.count(t)
	l.o.Log.Warn("a remedy begins", "pool", l.o.Pool.Name, "instance", v.ID, "remedy", t.Remedy, "check", t.Check, "why", t.Why)
	if l.o.Remedied != nil {
		l.o.Remedied(v.ID, t)
	}
	if t.Remedy == health.Reload && l.o.Remedies.Reload != nil {
		l.o.Remedies.Reload(v.ID, v.Addr, t.Check)
	}
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

// cured forgets the instances that are not unhealthy any more, or gone.
func (l *Loop) cured(views []fleet.View) {
	if len(l.treated) == 0 {
		return
	}
	sick := make(map[string]bool, len(l.treated))
	for i := range views {
		if views[i].State == fleet.Unhealthy {
			sick[views[i].ID] = true
		}
	}
	for id := range l.treated {
		if !sick[id] {
			delete(l.treated, id)
		}
	}
}
