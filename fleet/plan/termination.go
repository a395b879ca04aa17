package plan

import (
	"cmp"
	"time"
)

// Termination is a rule for which instance a scale-in ends first, in the words of EC2 Auto Scaling.
type Termination string

// The rules. Without any, the idlest goes first; what a rule finds equal the next one decides, and in the end who is idlest.
const (
	TerminateDefault          Termination = "Default" // OldestLaunchTemplate, then ClosestToNextInstanceHour
	OldestInstance            Termination = "OldestInstance"
	NewestInstance            Termination = "NewestInstance"
	OldestLaunchTemplate      Termination = "OldestLaunchTemplate"
	ClosestToNextInstanceHour Termination = "ClosestToNextInstanceHour" // the least of a paid hour is wasted
)

// first orders instances by which is to be ended first.
func (in *Input) first(a, b *Instance) int {
	for _, rule := range in.Termination {
		if c := rule.compare(a, b, in.Now); c != 0 {
			return c
		}
	}
	return idlest(a, b)
}

func (t Termination) compare(a, b *Instance, now time.Time) int {
	switch t {
	case OldestInstance:
		return a.born().Compare(b.born())
	case NewestInstance:
		return b.born().Compare(a.born())
	case OldestLaunchTemplate:
		return cmp.Compare(a.Version, b.Version)
	case ClosestToNextInstanceHour:
		return cmp.Compare(leftOfHour(a, now), leftOfHour(b, now))
	case TerminateDefault:
		return cmp.Or(cmp.Compare(a.Version, b.Version), cmp.Compare(leftOfHour(a, now), leftOfHour(b, now)))
	}
	return 0
}

// leftOfHour is how long until an instance has run for another whole hour.
func leftOfHour(i *Instance, now time.Time) time.Duration {
	return time.Hour - max(now.Sub(i.born()), 0)%time.Hour
}
