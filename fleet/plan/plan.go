// Package plan decides what to do to the instances of one pool so that their number becomes the desired one: launch,
// take back, drain, stop. It is a pure function of what is there and the time.
package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Input is all that a plan depends on. Times are of one clock; a zero time is unknown and starts no deadline.
type Input struct {
	Now       time.Time
	Desired   int // instances wanted, ready or on their way
	Instances []Instance
	Waiting   int // requests waiting in the pool's queue

	MaxLaunching int           // most instances on their way at a time; 0 sets no limit
	Backoff      time.Time     // no launch before this: the last ones crashed
	StartTimeout time.Duration // an instance that is not ready after this is ended; 0 waits for ever
	DrainTimeout time.Duration // a draining instance is ended after this even if it is busy; 0 waits for ever

	Mix     *Mix                // what launches ask for; nil leaves it to the provider
	Refused *Refusals           // where capacity was refused lately; nil is nowhere
	Offers  map[Placement]Offer // what is known of the markets

	Moves Moves    // of a refresh; the zero value is of none
	Warm  WarmPool // the zero value is of none

	Termination []Termination // by which rules scale-in chooses; none: the idlest

	DrainNeed time.Duration // what is in flight on an instance may take so long

	MaxLifetime time.Duration // instances are replaced before they have run for longer; 0 lets them run
	Grace       Grace         // of instances that fail their checks
}

// Instance is one instance as the plan sees it.
type Instance struct {
	ID        string
	State     string    // as in package fleet: pending, starting, warming, ready, unhealthy, draining, stopping, gone, warm
	Started   time.Time // when its launch began, or the last time that it was woken or resumed
	Begun     time.Time // when it began to get ready: after its launch hooks; zero is Started
	Born      time.Time // when its launch began; zero is Started
	Since     time.Time // when it came into State
	InFlight  int       // requests running on it
	Healthy   bool      // passes its readiness check; matters when ready or draining
	Notice    Notice    // that it is taken back; the zero value is none
	Remedy    Remedy    // when it is not Healthy
	Check     string    // that the remedy is for
	Dead      bool      // failed its liveness check for good: to be ended, whatever runs on it
	Protected bool      // not to be drained for scale-in
	Version   int       // of the template it was launched from; lower is older
	Spare     bool      // belongs to the warm pool: prepared, being prepared, or draining to go there
	Cost      float64   // per hour, in any one currency
	Placement           // what it is and where
}

// Placement is what an instance is and where it runs. The zero value is the provider's choice.
type Placement struct {
	Type   string `json:"type,omitempty"`   // of the machine, as its price list names it
	Market string `json:"market,omitempty"` // on_demand or spot
	Zone   string `json:"zone,omitempty"`
}

// Action is one step of a plan: Launch, Undrain, Drain, Stop, or Wake, Prepare and Park for a warm pool.
type Action interface {
	fmt.Stringer
	action()
}

// Launch starts N new instances; the caller adds them to the pool as pending at once, so that the next plan counts them.
type Launch struct {
	N   int
	As  Placement
	Why string
}

// Undrain gives a draining instance back to traffic.
type Undrain struct {
	ID  string
	Why string
}

// Drain takes a ready or unhealthy instance out of traffic. What runs on it goes on; a later plan stops it.
type Drain struct {
	ID  string
	Why string
}

// Stop ends an instance now.
type Stop struct {
	ID  string
	Why string
}

func (Launch) action()  {}
func (Undrain) action() {}
func (Drain) action()   {}
func (Stop) action()    {}

func (a Launch) String() string  { return fmt.Sprintf("launch %d: %s", a.N, a.Why) }
func (a Undrain) String() string { return fmt.Sprintf("undrain %s: %s", a.ID, a.Why) }
func (a Drain) String() string   { return fmt.Sprintf("drain %s: %s", a.ID, a.Why) }
func (a Stop) String() string    { return fmt.Sprintf("stop %s: %s", a.ID, a.Why) }

// Plan returns the steps to take now, at most one for an instance. Pending, starting, warming and healthy ready instances
// count towards Desired; draining, stopping and gone ones do not. Once the steps are taken and their effect is in the
// input, the same input asks for nothing more, except to stop what has drained.
//
// Too few: a healthy draining instance that still lives is taken back, for nothing is cheaper or sooner; the rest is
// launched, within MaxLaunching and not before Backoff.
//
// Too many: those that are not ready go first, unless requests wait, because then a loading instance is help that has
// been paid for, and it replaces no ready one before it is ready itself; they are stopped, having nothing to drain. Then
// ready ones are drained: the fewest in flight first, of those the oldest template, the dearest, the newest. Protected
// ones stay.
//
// A refresh drains outdated instances as far as Moves allows, launches Surge more than desired, takes no outdated instance back, and lets outdated
// ones go first in a scale-in.
//
// A warm pool serves what is missing before anything is launched: a prepared instance is ready much sooner. It is restocked when nothing else is
// to be done, and takes back what scale-in ends, with Reuse.
//
// Instances that are near the end of MaxLifetime are replaced, a few at a time, beyond Desired for as long as that takes.
//
// Instances with a [Notice] are replaced before they are taken back, and those that stand in on demand for spot when there is spot again.
//
// Unhealthy instances are replaced once their Grace is over: a new one is launched first, and the unhealthy one is drained when it is not needed to
// make up the number any more. Not all at once: a check that fails everywhere is often the check's fault, and must
// neither double the pool nor empty it, so at most a quarter of Desired, at least one, is replaced at a time. A [Remedy] does something else for it.
func Plan(in Input) []Action { return new(Planner).Plan(in) }

// Planner makes plans in the same memory, for a pool that is planned every second. It carries nothing over from one to the next.
type Planner struct {
	in   Input
	work plan
}

// Plan does what the function Plan does. It may order the instances of the input anew in its own memory, and keeps them until the next one.
func (pl *Planner) Plan(in Input) []Action {
	pl.in = in
	p := &pl.work
	p.survey(&pl.in)
	p.settleRisks()
	p.stopHopeless()
	p.restartSick()
	p.discard()
	p.drainOutdated()
	p.drainReplaced()
	p.drainNoticed()
	p.renew()
	for p.missing() > 0 && p.takeBack() {
		p.drainReplaced() // what was taken back may replace an unhealthy one
	}
	p.returnToSpot()
	if missing := p.missing(); missing > 0 {
		p.launch(missing)
	} else {
		p.shrink(-missing)
	}
	p.restock()
	p.stopDrained()
	return p.actions
}

// AtATime is how many unhealthy instances may be replaced, or be treated otherwise, at a time.
func AtATime(desired int) int { return max(1, desired/4) }

// missing is how many instances there are too few; below 0, how many too many.
func (p *plan) missing() int {
	return p.in.Desired + p.in.Moves.Surge + p.renewing + p.returning - len(p.coming) - len(p.ready) - max(0, len(p.sick)+p.helped-AtATime(p.in.Desired))
}

// plan is the work on one input: the instances by what they are good for, and the steps so far.
type plan struct {
	in        *Input
	coming    []*Instance
	ready     []*Instance
	sick      []*Instance
	draining  []*Instance
	hopeless  []*Instance
	warm      []*Instance // prepared, or being prepared
	parking   int         // how many drain to join them
	noticed   []*Instance // ready, and to be replaced before they are taken back
	atRisk    []*Instance // ready, and may be taken back
	lost      []*Instance // on their way, and taken back before they are of use
	restart   []*Instance // unhealthy, and to be ended for a new one at once
	helped    int         // unhealthy ones that stay, and beside which another one is launched
	renewing  int         // how many are to be launched beyond Desired for those that are too old
	returning int         // how many of spot are to be launched beyond Desired for those that stand in on demand
	actions   []Action
}

// survey begins with a new input, in the memory of the one before.
func (p *plan) survey(in *Input) {
	*p = plan{
		in: in, coming: p.coming[:0], ready: p.ready[:0], sick: p.sick[:0], draining: p.draining[:0], hopeless: p.hopeless[:0], warm: p.warm[:0], restart: p.restart[:0],
		noticed: p.noticed[:0], atRisk: p.atRisk[:0], lost: p.lost[:0],
	}
	for i := range in.Instances {
		one := &in.Instances[i]
		switch {
		case one.State == "stopping" || one.State == "gone":
		case one.Dead || p.overdue(one):
			p.hopeless = append(p.hopeless, one)
		case p.surveyNoticed(one):
		case one.Spare && (one.State == "warm" || one.onItsWay()):
			p.warm = append(p.warm, one)
		case one.onItsWay() || one.State == "warm":
			p.coming = append(p.coming, one)
		case one.State == "ready" && one.Healthy, (one.State == "ready" || one.State == "unhealthy") && p.graced(one):
			p.ready = append(p.ready, one)
		case one.State == "ready" || one.State == "unhealthy":
			p.treat(one)
		case one.State == "draining":
			p.draining = append(p.draining, one)
			if one.Spare {
				p.parking++
			}
		}
	}
}

func (i *Instance) onItsWay() bool {
	return i.State == "pending" || i.State == "starting" || i.State == "warming"
}

func (p *plan) overdue(one *Instance) bool {
	return one.onItsWay() && passed(p.in.Now, one.Started, p.in.StartTimeout)
}

// passed reports whether a time that began at from is over; unknown beginnings and limits of 0 never end.
func passed(now, from time.Time, limit time.Duration) bool {
	return limit > 0 && !from.IsZero() && now.Sub(from) >= limit
}

func (p *plan) do(a Action) { p.actions = append(p.actions, a) }

func (p *plan) stopHopeless() {
	for _, one := range p.hopeless {
		why := "failed its liveness check"
		if !one.Dead {
			why = fmt.Sprintf("not ready %v after its launch", p.in.StartTimeout)
		}
		p.do(Stop{ID: one.ID, Why: why})
	}
}

// outdated reports whether a refresh is to replace the instance.
func (p *plan) outdated(one *Instance) bool {
	return p.in.Moves.Version != 0 && one.Version != p.in.Moves.Version
}

// drainOutdated drains what a refresh may replace now: unhealthy ones first, then the idlest. Protected ones are replaced too, for they are
// protected from scale-in alone.
func (p *plan) drainOutdated() {
	n := p.in.Moves.Replace
	for _, from := range []*[]*Instance{&p.sick, &p.ready} {
		slices.SortFunc(*from, idlest)
		*from = slices.DeleteFunc(*from, func(one *Instance) bool {
			if n == 0 || !p.outdated(one) {
				return false
			}
			n--
			p.do(Drain{ID: one.ID, Why: fmt.Sprintf("version %d is replaced by version %d", one.Version, p.in.Moves.Version)})
			return true
		})
	}
	// What is on its way and outdated already will not be of use.
	p.coming = slices.DeleteFunc(p.coming, func(one *Instance) bool {
		if !p.outdated(one) {
			return false
		}
		p.do(Stop{ID: one.ID, Why: fmt.Sprintf("version %d is replaced by version %d", one.Version, p.in.Moves.Version)})
		return true
	})
}

// drainReplaced drains the unhealthy instances without which there are enough: their replacements are ready, or fewer
// are desired than there were.
func (p *plan) drainReplaced() {
	n := min(len(p.sick), max(0, len(p.ready)+len(p.sick)-p.in.Desired))
	slices.SortFunc(p.sick, idlest)
	for _, one := range p.sick[:n] {
		p.do(Drain{ID: one.ID, Why: fmt.Sprintf("unhealthy, and %d ready of %d desired do without it", len(p.ready), p.in.Desired) + p.graceOver()})
	}
	p.sick = p.sick[n:]
}

// takeBack gives the instance that has drained for the shortest time back to traffic, if there is one that is healthy and
// whose time is not up.
func (p *plan) takeBack() bool {
	var best *Instance
	for _, one := range p.draining {
		if !one.Healthy || one.Notice.Kind != "" || one.InFlight > 0 && p.drained(one) || p.outdated(one) || p.aged(one) {
			continue
		}
		if best == nil || cmp.Or(one.Since.Compare(best.Since), cmp.Compare(best.ID, one.ID)) > 0 {
			best = one
		}
	}
	if best == nil {
		return false
	}
	p.do(Undrain{ID: best.ID, Why: fmt.Sprintf("%d desired, and it still runs", p.in.Desired)})
	if best.Spare {
		p.parking--
	}
	p.draining = slices.DeleteFunc(p.draining, func(one *Instance) bool { return one == best })
	p.ready = append(p.ready, best)
	return true
}

// launch takes what is missing from the warm pool and starts the rest, as many as may be started now.
func (p *plan) launch(missing int) {
	missing -= p.wake(missing)
	if p.in.Now.Before(p.in.Backoff) {
		return
	}
	if most := p.in.MaxLaunching; most > 0 {
		missing = min(missing, most-len(p.coming))
	}
	switch {
	case missing <= 0:
	case p.in.Mix == nil:
		p.do(Launch{N: missing, Why: p.whyLaunch()})
	default:
		p.launchMix(missing)
	}
}

func (p *plan) whyLaunch() string {
	why := fmt.Sprintf("%d desired, %d ready, %d on their way", p.in.Desired, len(p.ready), len(p.coming))
	if len(p.sick) > 0 {
		why += fmt.Sprintf(", %d unhealthy", len(p.sick)) + p.graceOver()
	}
	if n := len(p.noticed) + len(p.lost); n > 0 {
		why += fmt.Sprintf(", %d to be taken back", n)
	}
	if p.returning > 0 {
		why += fmt.Sprintf(", %d on demand to be replaced by spot", p.returning)
	}
	if p.renewing > 0 {
		why += fmt.Sprintf(", %d to be replaced for their age", p.renewing)
	}
	return why
}

// shrink ends as many as are too many, as far as it may.
func (p *plan) shrink(extra int) {
	if p.in.Waiting > 0 {
		p.drainIdlest(extra - len(p.coming))
		return
	}
	p.drainIdlest(extra - p.stopComing(extra))
}

// stopComing stops up to n instances that are on their way, and returns how many.
func (p *plan) stopComing(n int) (stopped int) {
	slices.SortFunc(p.coming, furthest)
	for _, one := range p.coming {
		if stopped == n {
			break
		}
		if !one.Protected {
			stopped++
			p.do(Stop{ID: one.ID, Why: fmt.Sprintf("%d desired, nothing waits, and it is not ready yet", p.in.Desired)})
		}
	}
	return stopped
}

// drainIdlest drains up to n ready instances.
func (p *plan) drainIdlest(n int) {
	slices.SortFunc(p.ready, func(a, b *Instance) int {
		if old, older := p.outdated(a), p.outdated(b); old != older && a.InFlight == b.InFlight && len(p.in.Termination) == 0 {
			if old {
				return -1
			}
			return 1
		}
		return p.in.first(a, b)
	})
	for len(p.ready) > 0 && n > 0 {
		one := p.nextOut()
		if !one.Protected {
			n--
			why := fmt.Sprintf("%d desired, and it is the idlest with %d in flight", p.in.Desired, one.InFlight)
			if len(p.in.Termination) > 0 {
				why = fmt.Sprintf("%d desired, and %s chose it, with %d in flight", p.in.Desired, p.in.Termination[0], one.InFlight)
			}
			if p.room() > 0 && !p.outdated(one) {
				p.parking++
				p.do(Park{ID: one.ID, Why: why})
				continue
			}
			p.do(Drain{ID: one.ID, Why: why})
		}
	}
}

// furthest orders what is on its way by how far from ready it is: pending, starting, warming; the newest first.
func furthest(a, b *Instance) int {
	stage := func(i *Instance) int { return slices.Index([]string{"pending", "starting", "warming"}, i.State) }
	return cmp.Or(cmp.Compare(stage(a), stage(b)), b.Started.Compare(a.Started), cmp.Compare(a.ID, b.ID))
}

// idlest orders instances by how little is lost with them. The newest goes before an older one that is the same in
// everything else, because the older one's caches are warmer.
func idlest(a, b *Instance) int {
	return cmp.Or(
		cmp.Compare(a.InFlight, b.InFlight),
		cmp.Compare(a.Version, b.Version),
		cmp.Compare(b.Cost, a.Cost),
		b.Started.Compare(a.Started),
		cmp.Compare(a.ID, b.ID),
	)
}

// stopDrained ends the draining instances that have nothing left to do or no time left to do it.
func (p *plan) stopDrained() {
	for _, one := range p.draining {
		if !p.drained(one) || one.Spare && one.InFlight == 0 {
			continue // the fleet itself takes what has drained to the warm pool
		}
		why := "drained"
		if one.InFlight > 0 {
			why = fmt.Sprintf("still %d in flight after draining for %v", one.InFlight, p.in.DrainTimeout)
		}
		p.do(Stop{ID: one.ID, Why: why})
	}
}

func (p *plan) drained(one *Instance) bool {
	return one.InFlight == 0 || passed(p.in.Now, one.Since, p.in.DrainTimeout)
}
