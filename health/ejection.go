package health

import (
	"fmt"
	"time"
)

// Ejector takes targets out of rotation by what their answers to real requests show, as Envoy's outlier detection does for
// consecutive failures. The zero value never ejects.
type Ejector struct {
	ConsecutiveFailures int           // 5xx or no connection, in a row
	Interval            time.Duration // between two sweeps
	Base                time.Duration // of the first ejection; the n-th in a row takes n times as long
	Max                 time.Duration // the longest ejection; less than Base counts as Base
	MaxPercent          int           // of the pool may be ejected at a time, but always at least one target
}

// Enabled says whether the ejector ejects at all.
func (e Ejector) Enabled() bool { return e.ConsecutiveFailures > 0 }

// Ejection is what a target's answers have shown so far. The zero value is a target that has shown nothing.
type Ejection struct {
	Failures int       // in a row, while it is not ejected
	Times    int       // ejections in a row, less one for each sweep that found it in rotation
	Until    time.Time // the end of the last ejection; zero when that was noticed
}

// Ejected says whether the target is ejected at now.
func (x Ejection) Ejected(now time.Time) bool { return now.Before(x.Until) }

// Reason says why the target is ejected and for how long.
func (x Ejection) Reason(now time.Time) string {
	return fmt.Sprintf("ejected after failures in a row, ejection %d, for %v more", x.Times, x.Until.Sub(now).Round(time.Second))
}

// Observe is the ejection after one more answer. ejected of total targets are ejected already, by which the caller holds the
// pool to [Ejector.Most].
//
// Answers that arrive during an ejection belong to requests from before it and count for nothing, so that a target comes
// back with a clean row. A row that only the share of the pool keeps from an ejection goes on: the next failure ejects once
// there is room.
func (e Ejector) Observe(x Ejection, ok bool, ejected, total int, now time.Time) Ejection {
	if !e.Enabled() || x.Ejected(now) {
		return x
	}
	x.Until = time.Time{}
	if ok {
		x.Failures = 0
		return x
	}
	x.Failures++
	if x.Failures < e.ConsecutiveFailures || ejected >= e.Most(total) {
		return x
	}
	x.Failures = 0
	if x.Times <= e.longest() {
		x.Times++
	}
	x.Until = now.Add(e.length(x.Times))
	return x
}

// Most is how many of total targets may be ejected at a time: MaxPercent of them, rounded down, and at least one.
func (e Ejector) Most(total int) int { return max(total*e.MaxPercent/100, 1) }

// longest is the number of ejections in a row after which they grow no longer. The count stops one above it, as in Envoy:
// a target that was bad all day is forgiven in minutes once it is good.
func (e Ejector) longest() int {
	base := max(e.Base, 1)
	return int((max(e.Base, e.Max) + base - 1) / base)
}

// length is how long the n-th ejection in a row takes.
func (e Ejector) length(n int) time.Duration {
	if n >= e.longest() {
		return max(e.Base, e.Max)
	}
	return time.Duration(n) * e.Base
}

// Sweep is called every Interval: a target that is in rotation is forgiven one ejection. Unlike in Envoy, where a sweep also
// ends ejections, they end to the moment.
func (e Ejector) Sweep(x Ejection, now time.Time) Ejection {
	if x.Ejected(now) {
		return x
	}
	x.Until = time.Time{}
	x.Times = max(x.Times-1, 0)
	return x
}

// Pass is the ejection after an active check has passed: an ejected target is back at once, with a clean row. The row of one
// that is not ejected goes on, or frequent checks would hide a target whose health check is fine and whose answers are not.
func (x Ejection) Pass() Ejection {
	if x.Until.IsZero() {
		return x
	}
	x.Failures, x.Until = 0, time.Time{}
	return x
}
