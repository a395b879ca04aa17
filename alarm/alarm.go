// Package alarm decides whether a metric is where it should not be: M of the newest N points beyond a threshold, as CloudWatch's alarms
// do it, with points that are missing treated in one of four ways. It holds no clock: now is an argument.
package alarm

import "fmt"

// State is what an alarm says.
type State string

// The states of an alarm, in CloudWatch's words.
const (
	OK               State = "OK"
	Alarm            State = "ALARM"
	InsufficientData State = "INSUFFICIENT_DATA"
)

// Comparison is how a breaching value lies to the threshold.
type Comparison string

// The comparisons. The zero Comparison is Above.
const (
	Above   Comparison = "above"    // GreaterThanThreshold
	AtLeast Comparison = "at_least" // GreaterThanOrEqualToThreshold
	Below   Comparison = "below"    // LessThanThreshold
	AtMost  Comparison = "at_most"  // LessThanOrEqualToThreshold
)

// Treatment is what a missing point counts as.
type Treatment string

// The treatments of missing points. The zero Treatment is Missing.
const (
	Missing      Treatment = "missing"       // as missing: with none left, the state is INSUFFICIENT_DATA
	Ignore       Treatment = "ignore"        // the state stays
	Breaching    Treatment = "breaching"     // as beyond the threshold
	NotBreaching Treatment = "not_breaching" // as within the threshold
)

// Rule is when an alarm goes off: Breach of the newest Points points lie beyond Threshold.
type Rule struct {
	Threshold  float64
	Comparison Comparison
	Points     int // N, at least 1
	Breach     int // M, 1 to Points; 0 is Points
	Missing    Treatment
}

// Range is how many of the newest points an evaluation looks at. It is more than Points, as CloudWatch's evaluation range is, so that a point
// that came late or never does not decide by itself.
func (r Rule) Range() int { return max(1, r.Points) + 2 }

// Breaches reports whether v lies beyond the threshold.
func (r Rule) Breaches(v float64) bool {
	switch r.Comparison {
	case AtLeast:
		return v >= r.Threshold
	case Below:
		return v < r.Threshold
	case AtMost:
		return v <= r.Threshold
	}
	return v > r.Threshold
}

// Evaluate returns the state that follows was, given points, the oldest first, of which the newest Range count. It follows "Configuring how
// CloudWatch alarms treat missing data" of the CloudWatch guide: real points count as long as there are Points of them, and only what
// lacks is filled by the treatment. Where that leaves it open, with fewer real points than Breach of which the oldest that breaches is too
// new to tell, the state stays.
func (r Rule) Evaluate(points []Point, was State) State {
	n := max(1, r.Points)
	m := min(n, r.Breach)
	if m <= 0 {
		m = n
	}
	points = points[max(0, len(points)-r.Range()):]
	real, breaching, oldest, otherwise := 0, 0, 0, false // of the newest n real ones
	for i := len(points) - 1; i >= 0 && real < n; i-- {
		if !points[i].Known {
			continue
		}
		real++
		if r.Breaches(points[i].Value) {
			breaching++
			oldest = len(points) - i // how many periods ago it began
			otherwise = real > breaching
		}
	}
	switch {
	case real == n:
		return either(breaching >= m)
	case real == 0:
		return r.none(was)
	case r.Missing == Breaching:
		return either(breaching+n-real >= m)
	case r.Missing == NotBreaching || real >= m:
		return either(breaching >= m)
	case breaching == 0:
		return OK
	case oldest >= m && !otherwise && r.Missing != Ignore:
		return Alarm
	}
	return keep(was)
}

// none is the state when every point is missing.
func (r Rule) none(was State) State {
	switch r.Missing {
	case Breaching:
		return Alarm
	case NotBreaching:
		return OK
	case Ignore:
		return keep(was)
	}
	return InsufficientData
}

func either(alarm bool) State {
	if alarm {
		return Alarm
	}
	return OK
}

func keep(was State) State {
	if was == "" {
		return InsufficientData
	}
	return was
}

// String is the rule in words: "above 50 in 3 of 3 points".
func (r Rule) String() string {
	n := max(1, r.Points)
	m := r.Breach
	if m <= 0 || m > n {
		m = n
	}
	words := map[Comparison]string{AtLeast: "at least", Below: "below", AtMost: "at most"}[r.Comparison]
	if words == "" {
		words = "above"
	}
	return fmt.Sprintf("%s %g in %d of %d points", words, r.Threshold, m, n)
}
