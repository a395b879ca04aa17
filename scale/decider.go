package scale

import (
	"slices"
	"time"
)

// Options is how a pool scales.
type Options struct {
	Pool          string        // its name, for the record
	Min, Max      int           // bounds of the desired capacity, in instances; a Max below Min counts as Min
	Policies      []Policy      // with none the capacity stays as it is
	Combine       Combination   // how several proposals become one
	Schedule      []*Action     // what moves the bounds and the capacity at set times
	ScaleInWindow time.Duration // scale in only to the highest capacity asked for during this time; 0 scales in at once
	ZeroAfter     time.Duration // with Min 0: how long the pool must have been idle before its last instance goes
	MaxLaunching  int           // most instances that may be on their way at a time; 0 sets no limit

	MaxOutPerMinute int // most instances added in any minute; 0 sets no limit
	MaxInPerMinute  int // most instances taken away in any minute; 0 sets no limit

	// OwnTiming says that the policies hold back by themselves, as those of an HPA and of KEDA do: instances that are about to be
	// ready hold no scale-in, and the last instance goes when the policies say so and nothing waits.
	OwnTiming bool

	Suspended []Process // what is not to happen

	Budget *Budget // nil sets no limit
}

// Combination is how several proposals become one.
type Combination string

// The combinations. The zero Combination is CombineAWS. Both take the largest proposal, and let nobody scale in while a policy lacks its
// data.
const (
	CombineAWS Combination = "aws" // out if any policy says so, in only if all that have a vote do: one that asks for nothing now has none
	CombineMax Combination = "max" // as an HPA: one that asks for nothing now votes for the capacity there is
)

// Process is a part of scaling that can be suspended, as in an Auto Scaling group.
type Process string

// The processes. Launch and Terminate also stop the fleet; ReplaceUnhealthy is the fleet's alone.
const (
	Launch            Process = "launch"             // the capacity does not grow and nothing is launched
	Terminate         Process = "terminate"          // the capacity does not shrink and nothing is ended
	AlarmNotification Process = "alarm_notification" // the policies propose, and nobody listens
	ScheduledActions  Process = "scheduled_actions"
	ReplaceUnhealthy  Process = "replace_unhealthy"
)

// Suspends reports whether a process is suspended.
func (o *Options) Suspends(p Process) bool { return slices.Contains(o.Suspended, p) }

// Names of the clamps, as Decision.Bound shows them, in the order in which they are applied. The last one that changed
// the number is the one that bound the result.
const (
	BoundMissingData     = "missing_data"       // a policy that abstains holds scale-in
	BoundSuspended       = "suspended"          // alarm_notification is suspended; and, last of all, launch or terminate
	BoundManual          = "manual"             // a person set the capacity; the five clamps below do not apply
	BoundSchedule        = "schedule"           // a scheduled action set the capacity just now; the three below do not apply
	BoundScaleInWindow   = "scale_in_window"    // more was asked for a short while ago, or the window has not been watched for its whole length
	BoundWarming         = "warming"            // no scale-in while an instance is about to be ready
	BoundZeroAfter       = "zero_after"         // the last instance stays until the pool has been idle for long enough
	BoundMaxOutPerMinute = "max_out_per_minute" // no more than this many added in a minute
	BoundMaxInPerMinute  = "max_in_per_minute"  // no more than this many taken away in a minute
	BoundMaxLaunching    = "max_launching"      // no more than this many on their way
	BoundMax             = "max"
	BoundMin             = "min"
	BoundBudget          = "budget" // no more than the money pays for, whatever min and people say
)

// Decider turns observations of one pool into decisions. It carries a little history from one to the next, which State
// exports and Restore takes back. It is not safe for concurrent use.
type Decider struct {
	o        Options
	history  history
	manual   *Override
	moves    []Move
	calendar calendar

	// Memory that is used again. Most pools decide the same every second, and then the record of a decision shares its proposals and
	// sentences with the one before.
	obs       Observation
	asked     []Proposal
	proposals []Proposal // of the decision before
	said      []string
}

// New returns a Decider without history: until it has watched for a whole ScaleInWindow it does not scale in.
func New(o Options) *Decider {
	o.Min = max(0, o.Min)
	o.Max = max(o.Min, o.Max)
	return &Decider{o: o, calendar: newCalendar(o.Schedule)}
}

// Manual sets the desired capacity to n, within min and max, until the given time, or until Auto when it is zero. The
// policies go on proposing, for the record.
func (d *Decider) Manual(n int, until time.Time) { d.manual = &Override{Desired: n, Until: until} }

// Auto ends Manual.
func (d *Decider) Auto() { d.manual = nil }

// Decide returns the capacity to have from now on. Observations must come in the order of their time; when the clock was
// set back, the history before is forgotten.
//
// The largest proposal wins, so that the pool grows if any policy says so and shrinks only if all do. Then the clamps
// apply, in the order of the Bound constants.
func (d *Decider) Decide(obs *Observation) Decision {
	d.obs = *obs
	d.obs.said = d.said
	obs = &d.obs
	rec := Decision{Time: obs.Time, Pool: d.o.Pool, Previous: obs.Desired}
	c := clamp{o: &d.o, obs: obs, desired: obs.Desired, min: d.o.Min, max: d.o.Max}
	if len(d.o.Schedule) > 0 && !d.o.Suspends(ScheduledActions) {
		c.plan = d.calendar.at(obs.Time, d.history.last)
		c.min, c.max = c.plan.bounds(d.o.Min, d.o.Max)
	}
	leader := d.propose(&rec, &c)
	if leader >= 0 {
		c.lastOne()
	}
	if c.plan.set != nil {
		c.schedule()
	}
	d.history.record(obs.Time, min(c.desired, c.max), d.o.ScaleInWindow)

	if d.manual.active(obs.Time) {
		c.manual(d.manual)
	} else {
		d.manual = nil
		if c.plan.set == nil {
			c.scaleInWindow(&d.history)
			c.warming()
			c.zeroAfter()
		}
		c.perMinute(d.recent(obs.Time))
	}
	c.maxLaunching()
	c.bounds()
	c.budget()
	c.suspended()
	d.moved(obs.Time, c.desired-obs.Desired)

	rec.Desired, rec.Bound = c.desired, c.bound
	rec.Why = c.explain(leader, &rec)
	d.remember(&rec)
	return rec
}

// remember notes what was said, for the next decision to say it again.
func (d *Decider) remember(rec *Decision) {
	d.said = append(d.said[:0], rec.Why)
	for i := range rec.Proposals {
		d.said = append(d.said, rec.Proposals[i].Why)
	}
}

// propose asks every policy and starts c from the largest proposal that has a vote. It returns that proposal's index, or -1.
func (d *Decider) propose(rec *Decision, c *clamp) (leader int) {
	leader = -1
	if len(d.o.Policies) == 0 {
		return leader
	}
	rec.Proposals = d.ask(c.obs)
	abstained, stay := -1, false
	for i, p := range rec.Proposals {
		switch {
		case p.Floor:
		case p.Abstain:
			abstained = i
		case p.Neutral:
			stay = true
		case leader < 0 || p.Desired > rec.Proposals[leader].Desired:
			leader = i
		}
	}
	if d.o.Suspends(AlarmNotification) {
		if leader >= 0 && max(0, rec.Proposals[leader].Desired) != c.desired {
			c.bound = BoundSuspended
		}
		return leader
	}
	if leader < 0 {
		return raise(leader, rec, c)
	}
	c.desired = max(0, rec.Proposals[leader].Desired)
	if stay && d.o.Combine == CombineMax && c.desired < c.obs.Desired {
		c.desired, leader = c.obs.Desired, -1
	}
	if abstained >= 0 && c.desired < c.obs.Desired {
		c.set(BoundMissingData, c.obs.Desired)
		c.missing = rec.Proposals[abstained].Policy
	}
	return raise(leader, rec, c)
}

// ask has every policy make its proposal. Who holds on to a decision must not write to them: the next one may share them.
func (d *Decider) ask(obs *Observation) []Proposal {
	d.asked = d.asked[:0]
	for _, policy := range d.o.Policies {
		d.asked = append(d.asked, policy.Propose(obs))
	}
	if !slices.Equal(d.asked, d.proposals) {
		d.proposals = slices.Clone(d.asked)
	}
	return d.proposals
}

// raise applies the proposals that are floors to what the others came to. It returns the index of the one that raised it most, or leader.
func raise(leader int, rec *Decision, c *clamp) int {
	for i := range rec.Proposals {
		p := &rec.Proposals[i]
		if !p.Floor {
			continue
		}
		c.max = max(c.max, p.Max)
		if p.Desired > c.desired {
			c.desired, leader = p.Desired, i
			c.bound, c.missing = "", ""
		}
	}
	return leader
}

// recent forgets what moved more than a minute ago and sums up the rest. A clock that was set back forgets all.
func (d *Decider) recent(now time.Time) (out, in int) {
	d.moves = slices.DeleteFunc(d.moves, func(m Move) bool { return now.Sub(m.Time) >= time.Minute || m.Time.After(now) })
	for _, m := range d.moves {
		out += max(0, m.By)
		in += max(0, -m.By)
	}
	return out, in
}

// moved notes a change, when a limit per minute asks for it.
func (d *Decider) moved(now time.Time, by int) {
	if by != 0 && (d.o.MaxOutPerMinute > 0 || d.o.MaxInPerMinute > 0) {
		d.moves = append(d.moves, Move{now, by})
	}
}
