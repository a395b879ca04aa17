package scale

import "time"

// Options is how a pool scales.
type Options struct {
	Pool          string        // its name, for the record
	Min, Max      int           // bounds of the desired capacity, in instances; a Max below Min counts as Min
	Policies      []Policy      // the largest proposal wins; with none the capacity stays as it is
	ScaleInWindow time.Duration // scale in only to the highest capacity asked for during this time; 0 scales in at once
	ZeroAfter     time.Duration // with Min 0: how long the pool must have been idle before its last instance goes
	MaxLaunching  int           // most instances that may be on their way at a time; 0 sets no limit
}

// Names of the clamps, as Decision.Bound shows them, in the order in which they are applied. The last one that changed
// the number is the one that bound the result.
const (
	BoundMissingData   = "missing_data"    // a policy that abstains holds scale-in
	BoundManual        = "manual"          // a person set the capacity; the three clamps below do not apply
	BoundScaleInWindow = "scale_in_window" // more was asked for a short while ago, or the window has not been watched for its whole length
	BoundWarming       = "warming"         // no scale-in while an instance is about to be ready
	BoundZeroAfter     = "zero_after"      // the last instance stays until the pool has been idle for long enough
	BoundMaxLaunching  = "max_launching"   // no more than this many on their way
	BoundMax           = "max"
	BoundMin           = "min"
)

// Decider turns observations of one pool into decisions. It carries a little history from one to the next, which State
// exports and Restore takes back. It is not safe for concurrent use.
type Decider struct {
	o       Options
	history history
	manual  *Override
}

// New returns a Decider without history: until it has watched for a whole ScaleInWindow it does not scale in.
func New(o Options) *Decider {
	o.Min = max(0, o.Min)
	o.Max = max(o.Min, o.Max)
	return &Decider{o: o}
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
	rec := Decision{Time: obs.Time, Pool: d.o.Pool, Previous: obs.Desired}
	c := clamp{o: &d.o, obs: obs, desired: obs.Desired}
	leader := d.propose(&rec, &c)
	if leader >= 0 {
		c.lastOne()
	}
	d.history.record(obs.Time, min(c.desired, d.o.Max), d.o.ScaleInWindow)

	if d.manual.active(obs.Time) {
		c.manual(d.manual)
	} else {
		d.manual = nil
		c.scaleInWindow(&d.history)
		c.warming()
		c.zeroAfter()
	}
	c.maxLaunching()
	c.bounds()

	rec.Desired, rec.Bound = c.desired, c.bound
	rec.Why = c.explain(leader, &rec)
	return rec
}

// propose asks every policy and starts c from the largest proposal. It returns that proposal's index, or -1.
func (d *Decider) propose(rec *Decision, c *clamp) (leader int) {
	leader = -1
	if len(d.o.Policies) == 0 {
		return leader
	}
	rec.Proposals = make([]Proposal, len(d.o.Policies))
	abstained := -1
	for i, policy := range d.o.Policies {
		p := policy.Propose(c.obs)
		rec.Proposals[i] = p
		switch {
		case p.Abstain:
			abstained = i
		case leader < 0 || p.Desired > rec.Proposals[leader].Desired:
			leader = i
		}
	}
	if leader < 0 {
		return leader
	}
	c.desired = max(0, rec.Proposals[leader].Desired)
	if abstained >= 0 && c.desired < c.obs.Desired {
		c.set(BoundMissingData, c.obs.Desired)
		c.missing = rec.Proposals[abstained].Policy
	}
	return leader
}
