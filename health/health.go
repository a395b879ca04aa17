// Package health turns the outcomes of checks and of real answers into the state of a target. It is pure: now is an
// argument, and a status is a value.
//
// Two things decide together. [Rule] follows the active checks, which ask a target how it is; [Ejector] follows the answers
// to real requests, which show how it is. [FailOpen] keeps both from taking a whole pool out.
package health

import (
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

	// Grace is how long a new target stays initial at least, from its first check on, whatever fails meanwhile: it is
	// checked often only to notice its first pass, and a pool that still starts must not fail open for that.
	Grace time.Duration
}

// Outcome is the result of one check.
type Outcome struct {
	Pass    bool
	Code    string   // one of the codes, when it failed
	Reason  string   // for people: what was asked, what came, what was expected
	Failing []string // which of the checks that have a name failed, or FailingTimeout or FailingOther
	Latency time.Duration
}

// Status is what checks have shown of a target so far. The zero value is a target that was never checked.
type Status struct {
	State     target.State // Initial, Healthy or Unhealthy; ejection and draining are the pool's to add
	Code      string       // of the last check; "" when it passed, even while the target is still unhealthy
	Reason    string       // of the last check, for people
	Failing   []string     // in the last check
	Since     time.Time    // of the state
	LastCheck time.Time
	Passed    bool // at least once
	Passes    int  // in a row
	Failures  int  // in a row
}

// Next is the status after one more check. A target that never passed is in rotation after its first pass and not before,
// however long it took to start; only one that was healthy once has to win back trust with Healthy passes. (An ALB asks one
// pass of a new target too.)
func (r Rule) Next(s Status, o Outcome, now time.Time) Status {
	was := s.State
	s.LastCheck, s.Code, s.Reason, s.Failing = now, o.Code, o.Reason, o.Failing
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
		if s.Failures >= max(r.Unhealthy, 1) && (s.State != target.Initial || now.Sub(s.Since) >= r.Grace) {
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

// FailOpen says whether requests go to all targets because fewer than minimum of total are healthy: a check that is wrong
// about all of them must not take the service down (AWS and Envoy do the same). "All" is every target but those that drain,
// so total leaves those out: an unhealthy, an ejected and a new target may each still answer, one that drains was told to
// leave. A pool smaller than minimum fails open only when not all of it is healthy, and a minimum of 0 never does.
func FailOpen(healthy, total, minimum int) bool {
	return healthy < min(minimum, total)
}
