package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Notice says that a provider takes an instance back, or may.
type Notice struct {
	Kind     NoticeKind `json:"kind"`
	Deadline time.Time  `json:"deadline,omitzero"` // of an interruption: when it is gone
}

// NoticeKind is what a notice is about, in the words of EC2.
type NoticeKind string

// The kinds of notices.
const (
	Interruption NoticeKind = "interruption" // it is taken back at the deadline
	Rebalance    NoticeKind = "rebalance"    // it is at an elevated risk of that
)

func (n Notice) String() string {
	if n.Kind == Interruption {
		return "it is taken back at " + n.Deadline.UTC().Format("15:04:05 UTC")
	}
	return "it is at an elevated risk of being taken back"
}

// leastNeed is the least time that an instance is given to drain before it is taken back.
const leastNeed = time.Second

// Noticed instances serve on, and do not count: so their replacements are launched at once, elsewhere. Each is drained when there are enough
// ready ones without it, and one that is taken back at the latest when what is in flight on it needs the time that is left: DrainNeed before its
// deadline. Of those that are only at risk, a quarter of Desired, at least one, are replaced at a time.
func (p *plan) surveyNoticed(one *Instance) bool {
	switch {
	case one.Notice.Kind == "" || one.State == "draining":
		return false
	case one.Notice.Kind == Interruption && one.onItsWay() && !one.Spare:
		p.lost = append(p.lost, one)
	case one.State != "ready" && one.State != "unhealthy":
		return false
	case one.Notice.Kind == Interruption:
		p.noticed = append(p.noticed, one)
	default:
		p.atRisk = append(p.atRisk, one)
	}
	return true
}

// settleRisks keeps as many of those at risk as ready as must wait for their turn.
func (p *plan) settleRisks() {
	slices.SortFunc(p.atRisk, idlest)
	n := min(len(p.atRisk), AtATime(p.in.Desired))
	p.ready = append(p.ready, p.atRisk[n:]...)
	p.noticed = append(p.noticed, p.atRisk[:n]...)
}

// drainNoticed drains the noticed instances without which there are enough, and those that have only the time left that they need.
func (p *plan) drainNoticed() {
	for _, one := range p.lost {
		p.do(Stop{ID: one.ID, Why: "it is not ready yet, and " + one.Notice.String()})
	}
	slices.SortFunc(p.noticed, func(a, b *Instance) int {
		return cmp.Or(compareDeadlines(a.Notice.Deadline, b.Notice.Deadline), cmp.Compare(a.InFlight, b.InFlight), cmp.Compare(a.ID, b.ID))
	})
	enough := max(0, len(p.ready)+len(p.noticed)-p.in.Desired) // may go
	for _, one := range p.noticed {
		left := one.Notice.Deadline.Sub(p.in.Now)
		switch {
		case enough > 0:
			enough--
			p.do(Drain{ID: one.ID, Why: fmt.Sprintf("%s, and %d of %d desired are ready without it", one.Notice, len(p.ready), p.in.Desired)})
		case one.Notice.Kind == Interruption && left <= max(leastNeed, p.in.DrainNeed):
			p.do(Drain{ID: one.ID, Why: fmt.Sprintf("%s, and what runs on it may take %v", one.Notice, max(leastNeed, p.in.DrainNeed).Round(time.Second))})
		}
	}
}

// compareDeadlines has the ones without a deadline last.
func compareDeadlines(a, b time.Time) int {
	switch {
	case a.IsZero() && b.IsZero():
		return 0
	case a.IsZero():
		return 1
	case b.IsZero():
		return -1
	}
	return a.Compare(b)
}

// fullest is the zone that most of the instances are in.
func fullest(all []*Instance) func(zone string) int {
	in := map[string]int{}
	for _, one := range all {
		in[one.Zone]++
	}
	return func(zone string) int { return in[zone] }
}
