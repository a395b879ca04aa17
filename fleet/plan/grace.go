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
	For        time.Duration
	Configured bool
	Factor     float64      // otherwise: For in terms of the p99 of boots; 0 learns none
	Boots      scale.Sample // that it was learned from, or is not yet
}

// GraceOf is the configured grace, or without one (nil) factor times the p99 of the measured boots, and none before 5 of them are known.
func GraceOf(configured *time.Duration, factor float64, boots scale.Sample) Grace {
	if configured != nil {
		return Grace{For: *configured, Configured: true}
	}
	g := Grace{Factor: factor, Boots: boots}
	if boots.Count >= graceBoots {
		g.For = time.Duration(factor * boots.P99 * float64(time.Second)).Round(100 * time.Millisecond)
	}
	return g
}

// Why says where it comes from.
func (g Grace) Why() string {
	switch {
	case g.Configured:
		return "configured"
	case g.Factor == 0:
		return "neither configured nor to be learned"
	case g.Boots.Count < graceBoots:
		return fmt.Sprintf("not learned yet: %d of %d boots", g.Boots.Count, graceBoots)
	}
	return fmt.Sprintf("learned: %.3g times the p99 of %.3g s of %d boots", g.Factor, g.Boots.P99, g.Boots.Count)
}

func (g Grace) String() string { return fmt.Sprintf("%v, %s", g.For, g.Why()) }

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
