// Package health turns the outcomes of checks and of real answers into the state of a target. It is pure: now is an
// argument, and a status is a value.
package health

import (
	"fmt"
	"time"

	"github.com/weirlb/weir/target"
)

// Reason codes, in the words that users of AWS target groups know.
const (
	CodeInitial  = "Elb.InitialHealthChecking"
	CodeFailed   = "Target.FailedHealthChecks"
	CodeMismatch = "Target.ResponseCodeMismatch"
	CodeTimeout  = "Target.Timeout"
	CodeEjected  = "Target.Ejected"
	CodeDraining = "Target.DeregistrationInProgress"
)

// Rule is when a target's state changes. Zero values count as 1.
type Rule struct {
	Healthy   int // passes in a row that make an unhealthy target healthy; a new one needs one
	Unhealthy int // failures in a row that make a healthy target unhealthy
}

// Outcome is the result of one check.
type Outcome struct {
	Pass    bool
	Code    string // one of the codes, when it failed
	Reason  string // for people: what was asked, what came, what was expected
	Latency time.Duration
}

// Status is what checks have shown of a target so far. The zero value is a target that was never checked.
type Status struct {
	State     target.State
	Code      string
	Reason    string
	Since     time.Time // of the state
	LastCheck time.Time
	Passed    bool // at least once
	Passes    int  // in a row
	Failures  int  // in a row
}

// Next is the status after one more check. A target that never passed is in rotation after its first pass and not before,
// however long it took to start; only one that was healthy once has to win back trust with Healthy passes.
func (r Rule) Next(s Status, o Outcome, now time.Time) Status {
	was := s.State
	s.LastCheck, s.Code, s.Reason = now, o.Code, o.Reason
	if s.Since.IsZero() {
		s.Since = now
	}
	if o.Pass {
		s.Passes, s.Failures = s.Passes+1, 0
		if !s.Passed || s.Passes >= max(r.Healthy, 1) {
			s.State, s.Passed = target.Healthy, true
		}
	} else {
		s.Passes, s.Failures = 0, s.Failures+1
		if s.Failures >= max(r.Unhealthy, 1) {
			s.State = target.Unhealthy
		}
	}
	if s.State == target.Initial && s.Code == "" {
		s.Code = CodeInitial
	}
	if s.State != was {
		s.Since = now
	}
	return s
}

// FailOpen says whether requests go to all targets because fewer than minimum of total are healthy: a check that is wrong about
// all of them must not take the service down (AWS and Envoy do the same). Targets that drain are not among the total.
func FailOpen(healthy, total, minimum int) bool {
	return total > 0 && healthy < min(minimum, total)
}

// Ejector takes targets out of rotation by what their answers to real requests show, as Envoy's outlier detection does for
// consecutive failures. The zero value never ejects.
type Ejector struct {
	ConsecutiveFailures int           // 5xx or no connection, in a row
	Interval            time.Duration // between two sweeps
	Base                time.Duration // of the first ejection; the n-th in a row takes n times as long
	Max                 time.Duration // the longest ejection
	MaxPercent          int           // of the pool may be ejected at a time, but always at least one target
}

// Enabled says whether the ejector ejects at all.
func (e Ejector) Enabled() bool { return e.ConsecutiveFailures > 0 }

// Ejection is what a target's answers have shown so far.
type Ejection struct {
	Failures int       // in a row
	Times    int       // ejections in a row, less one for each sweep that found it in rotation
	Until    time.Time // ejected until then; zero when it is not
}

// Ejected says whether the target is ejected at now.
func (x Ejection) Ejected(now time.Time) bool { return now.Before(x.Until) }

// Reason says why the target is ejected and for how long.
func (x Ejection) Reason(now time.Time) string {
	return fmt.Sprintf("ejected after failures in a row, ejection %d, for %v more", x.Times, x.Until.Sub(now).Round(time.Second))
}

// Observe is the ejection after one more answer. ejected of total targets are ejected already.
func (e Ejector) Observe(x Ejection, ok bool, ejected, total int, now time.Time) Ejection {
	if ok {
		x.Failures = 0
		return x
	}
	x.Failures++
	if x.Failures < e.ConsecutiveFailures || x.Ejected(now) {
		return x
	}
	if ejected >= max(total*e.MaxPercent/100, 1) {
		return x
	}
	x.Failures = 0
	x.Times++
	x.Until = now.Add(min(time.Duration(x.Times)*e.Base, e.Max))
	return x
}

// Sweep is called every Interval: a target that is in rotation is forgiven one ejection.
func (e Ejector) Sweep(x Ejection, now time.Time) Ejection {
	if !x.Ejected(now) && x.Times > 0 {
		x.Times--
	}
	return x
}

// Pass is the ejection after an active check has passed: the target is back at once.
func (x Ejection) Pass() Ejection {
	x.Failures, x.Until = 0, time.Time{}
	return x
}
