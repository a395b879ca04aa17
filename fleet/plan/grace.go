package plan

import (
	"fmt"
	"time"

	"github.com/weirlb/weir/scale"
)

// graceBoots is from how many measured boots a grace is learned.
const graceBoots = 5

// Grace is how long after its launch an instance that fails its checks is not replaced. It takes no traffic meanwhile.
type Grace struct {
	For time.Duration
	Why string // where that comes from
}

// GraceOf is the configured grace, or without one (nil) factor times the p99 of the measured boots, and none before 5 of them are known.
func GraceOf(configured *time.Duration, factor float64, boots scale.Sample) Grace {
	switch {
	case configured != nil:
		return Grace{*configured, "configured"}
	case factor <= 0:
		return Grace{0, "neither configured nor to be learned"}
	case boots.Count < graceBoots:
		return Grace{0, fmt.Sprintf("not learned yet: %d of %d boots", boots.Count, graceBoots)}
	}
	d := time.Duration(factor * boots.P99 * float64(time.Second)).Round(100 * time.Millisecond)
	return Grace{d, fmt.Sprintf("learned: %.3g times the p99 of %.3g s of %d boots", factor, boots.P99, boots.Count)}
}

func (g Grace) String() string { return fmt.Sprintf("%v, %s", g.For, g.Why) }

// Until is when the grace of an instance ends that began to get ready at begun.
func (g Grace) Until(begun time.Time) time.Time { return begun.Add(g.For) }

// graced reports whether an instance that fails its checks is still within its grace.
func (p *plan) graced(one *Instance) bool {
	begun := one.Begun
	if begun.IsZero() {
		begun = one.Started
	}
	return p.in.Grace.For > 0 && !begun.IsZero() && p.in.Now.Before(p.in.Grace.Until(begun))
}

// graceOver says for a plan that the grace of what it replaces is over, when there was one.
func (p *plan) graceOver() string {
	if p.in.Grace.For == 0 {
		return ""
	}
	return fmt.Sprintf(" (the grace of %v is over)", p.in.Grace)
}
