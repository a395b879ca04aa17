package plan

import (
	"cmp"
	"fmt"
	"slices"
)

// Remedy is what is done for an unhealthy instance in place of replacing it, which is the zero value.
type Remedy string

// The remedies beside replacing.
const (
	RemedyRestart Remedy = "restart"  // end it at once, for a new one
	RemedyWait    Remedy = "wait"     // something is being done for it: leave it as it is
	RemedyScaleUp Remedy = "scale_up" // launch another one, and leave it as it is
)

// treat sorts an unhealthy instance by its remedy.
func (p *plan) treat(one *Instance) {
	switch one.Remedy {
	case RemedyRestart:
		p.restart = append(p.restart, one)
	case RemedyWait:
		p.ready = append(p.ready, one) // it counts, so that no other is launched for it
	case RemedyScaleUp:
		p.helped++
	default:
		p.sick = append(p.sick, one)
	}
}

// restartSick ends the instances whose remedy is a restart, as many as may be replaced at a time: those that were restarted and are on their way
// count. The others wait for their turn.
func (p *plan) restartSick() {
	slices.SortFunc(p.restart, func(a, b *Instance) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID)) })
	n := min(len(p.restart), max(0, AtATime(p.in.Desired)-len(p.coming)))
	for _, one := range p.restart[:n] {
		p.do(Stop{ID: one.ID, Why: fmt.Sprintf("restarted, as its check %s fails", one.Check)})
	}
	p.ready = append(p.ready, p.restart[n:]...)
}
