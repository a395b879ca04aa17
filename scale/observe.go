package scale

import (
	"math"
	"time"
)

// metric returns the pool's metric of that name. What is absent, negative, infinite or not a number is unknown,
// which is never the same as 0.
func (obs *Observation) metric(name string) (v float64, known bool) {
	v, known = obs.Metrics[name]
	return v, known && v >= 0 && !math.IsInf(v, 1)
}

// idle reports whether the pool certainly has nothing waiting and nothing running.
func (obs *Observation) idle() bool {
	waiting, known := obs.metric(QueueDepth)
	running, alsoKnown := obs.metric(InFlight)
	return known && alsoKnown && waiting == 0 && running == 0
}

// coming reports whether the instance is on its way to ready: it counts as capacity, and it cannot work yet.
func (in *Instance) coming() bool {
	return in.State == "pending" || in.State == "starting" || in.State == "warming"
}

func (in *Instance) ready() bool { return in.State == "ready" }

// capacity counts the instances that work and those that will. Unhealthy and draining ones are neither.
func (obs *Observation) capacity() (ready, coming int) {
	for i := range obs.Instances {
		switch in := &obs.Instances[i]; {
		case in.ready():
			ready++
		case in.coming():
			coming++
		}
	}
	return ready, coming
}

// Taken for the truth until the first measurement is in.
const (
	priorService = 1.0  // seconds
	priorBoot    = 10.0 // seconds
	priorWarmUp  = 300.0
)

// service returns the mean service time in seconds, at least a microsecond, and its squared coefficient of variation:
// 0 when every request takes the same time, 1 when the times are exponential.
func (s Sample) service() (mean, scv float64, measured bool) {
	if s.Count <= 0 || !(s.Mean > 0) || math.IsInf(s.Mean, 1) {
		return priorService, 1, false
	}
	mean, scv = max(s.Mean, 1e-6), 1
	if s.Count > 1 && s.SD >= 0 && !math.IsInf(s.SD, 1) {
		scv = (s.SD / mean) * (s.SD / mean)
	}
	return mean, scv, true
}

// boot returns when half and when nine of ten launches are ready, in seconds after they began.
func (s Sample) boot() (p50, p90 float64, measured bool) {
	if s.Count <= 0 || !(s.P90 > 0) || math.IsInf(s.P90, 1) {
		return priorBoot, priorBoot, false
	}
	if !(s.P50 > 0) || s.P50 > s.P90 {
		return s.P90, s.P90, true
	}
	return s.P50, s.P90, true
}

// warmUpLimit is how old an instance may be and still hold back scale-in because it is about to be ready. One
// that takes three times as long as nine of ten others is stuck, and must not keep the whole pool large.
func (s Sample) warmUpLimit() time.Duration {
	if _, p90, measured := s.boot(); measured {
		return seconds(max(3*p90, 30))
	}
	return seconds(priorWarmUp)
}

// eta returns how many seconds from now an instance that is still coming will be ready: at its median boot; when that
// has passed, at its 90th percentile; and when that has passed too, soon, for it is still capacity.
func (in *Instance) eta(now time.Time, p50, p90 float64) float64 {
	age := 0.0
	if !in.Started.IsZero() {
		age = max(0, now.Sub(in.Started).Seconds())
	}
	overdue := min(p90, max(1, p90/10))
	switch {
	case age < p50:
		return max(p50-age, min(overdue, p50))
	case age < p90:
		return max(p90-age, overdue)
	}
	return overdue
}

func seconds(s float64) time.Duration {
	const longest = float64(math.MaxInt64 / int64(time.Second))
	return time.Duration(min(s, longest) * float64(time.Second))
}

// Most instances that any policy proposes, so that no input can overflow an int.
const mostInstances = 1_000_000

// ceil rounds up to whole instances, 0 to mostInstances. A relative excess under one in a billion is the dust of
// floating-point division, not load: 3.0000000001 is 3.
func ceil(x float64) int {
	if !(x > 0) {
		return 0
	}
	return int(min(math.Ceil(x*(1-1e-9)), mostInstances))
}
