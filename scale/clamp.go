package scale

import (
	"slices"
	"time"
)

// clamp is one pass of the clamps over a decision. Each names itself in bound when it changes the number.
type clamp struct {
	o       *Options
	obs     *Observation
	desired int
	bound   string

	min, max int  // the bounds of now, which the schedule may have moved
	plan     plan // what the schedule asks for

	// What the sentence for people needs.
	override *Override
	missing  string    // the policy that abstained
	peak     Peak      // what the scale-in window held on to
	watching bool      // the window has not been watched for its whole length
	warm     *Instance // the instance waited for
	launch   int       // on their way already, when max_launching bound
	limit    int       // added or taken away in the last minute, when a limit per minute bound
	process  Process   // that is suspended
}

func (c *clamp) set(bound string, n int) {
	if n != c.desired {
		c.desired, c.bound = n, bound
	}
}

func (c *clamp) manual(m *Override) {
	c.desired, c.bound, c.override = m.Desired, BoundManual, m
}

// scaleInWindow lets the capacity fall only to the highest that was asked for during the window, as the HPA's
// stabilization does, and not at all before a whole window has been watched.
func (c *clamp) scaleInWindow(h *history) {
	if c.desired >= c.obs.Desired {
		return
	}
	if c.obs.Time.Sub(h.since) < c.o.ScaleInWindow {
		c.watching = true
		c.set(BoundScaleInWindow, c.obs.Desired)
		return
	}
	c.peak = h.peak()
	c.set(BoundScaleInWindow, min(c.obs.Desired, max(c.desired, c.peak.Desired)))
}

// warming holds scale-in while an instance is about to be ready: until it works nobody knows what it will take off the
// others. One that is far overdue holds nothing.
func (c *clamp) warming() {
	if c.o.OwnTiming || c.desired >= c.obs.Desired {
		return
	}
	limit := c.obs.Boot.warmUpLimit()
	for i := range c.obs.Instances {
		in := &c.obs.Instances[i]
		if !in.coming() || in.Started.IsZero() && in.State == "pending" {
			continue // the launch has not begun, and may be waiting for a back-off
		}
		if in.Started.IsZero() || c.obs.Time.Sub(in.Started) < limit {
			c.warm = in
			c.set(BoundWarming, c.obs.Desired)
			return
		}
	}
}

// lastOne takes the 1 that a policy asks for in an idle pool as 0, for zeroAfter to decide: a processor is never quite idle,
// and a target on it would keep the last instance for ever.
func (c *clamp) lastOne() {
	if !c.o.OwnTiming && c.min == 0 && c.desired == 1 && c.bound == "" && c.obs.Desired > 0 && c.obs.idle() {
		c.set(BoundZeroAfter, 0)
	}
}

// zeroAfter keeps one instance for whatever waits or runs, and until the pool has been idle for ZeroAfter. A pool at zero
// stays there until something waits.
func (c *clamp) zeroAfter() {
	if c.desired > 0 || c.min > 0 {
		return
	}
	waiting, _ := c.obs.metric(QueueDepth)
	if (c.obs.Desired == 0 || c.o.OwnTiming) && !(waiting > 0) {
		return
	}
	idle, known := c.obs.metric(IdleSeconds)
	if c.obs.idle() && known && idle >= c.o.ZeroAfter.Seconds() {
		return
	}
	c.set(BoundZeroAfter, 1)
}

// maxLaunching lets the capacity grow only by what may be on its way. It never shrinks it.
func (c *clamp) maxLaunching() {
	if c.o.MaxLaunching <= 0 || c.desired <= c.obs.Desired {
		return
	}
	ready, coming := c.obs.capacity()
	c.launch = coming
	c.set(BoundMaxLaunching, min(c.desired, max(c.obs.Desired, ready+max(coming, c.o.MaxLaunching))))
}

// perMinute bounds how many are added and taken away in a minute, given those of the last one.
func (c *clamp) perMinute(out, in int) {
	if most := c.o.MaxOutPerMinute; most > 0 && c.desired > c.obs.Desired {
		c.limit = out
		c.set(BoundMaxOutPerMinute, min(c.desired, c.obs.Desired+max(0, most-out)))
	}
	if most := c.o.MaxInPerMinute; most > 0 && c.desired < c.obs.Desired {
		c.limit = in
		c.set(BoundMaxInPerMinute, max(c.desired, c.obs.Desired-max(0, most-in)))
	}
}

func (c *clamp) bounds() {
	c.set(BoundMax, min(c.desired, c.max))
	c.set(BoundMin, max(c.desired, c.min))
}

// schedule sets the capacity that an action asks for just now, whatever the policies say. From the next decision on they go on from it.
func (c *clamp) schedule() {
	c.desired, c.bound = *c.plan.set.Desired, BoundSchedule
}

// suspended holds the capacity where it is when what would change it is suspended. Nothing, not even min and max, moves it then.
func (c *clamp) suspended() {
	if c.desired > c.obs.Desired && c.o.Suspends(Launch) {
		c.process = Launch
		c.set(BoundSuspended, c.obs.Desired)
	}
	if c.desired < c.obs.Desired && c.o.Suspends(Terminate) {
		c.process = Terminate
		c.set(BoundSuspended, c.obs.Desired)
	}
}

// explain writes the sentence for people: what changed, who asked for it with which arithmetic, what bound it.
func (c *clamp) explain(leader int, rec *Decision) string {
	var buf [640]byte
	w := words(buf[:0])
	switch {
	case c.desired > rec.Previous:
		w = w.text("out from ").int(rec.Previous).text(" to ").int(c.desired)
	case c.desired < rec.Previous:
		w = w.text("in from ").int(rec.Previous).text(" to ").int(c.desired)
	default:
		w = w.text("stays at ").int(c.desired)
	}
	switch {
	case c.override != nil:
		w = w.text(": set to ").int(c.override.Desired).text(" by hand")
		if !c.override.Until.IsZero() {
			w = w.text(" until ").text(c.override.Until.UTC().Format(time.RFC3339))
		}
	case c.plan.set != nil && c.bound == BoundSchedule:
		w = w.text(": ").text(c.plan.set.String()).text(" sets it to ").int(*c.plan.set.Desired)
	case leader >= 0:
		p := &rec.Proposals[leader]
		w = w.text(": ").text(p.Policy).text(" asks for ").int(p.Desired).text(", ").text(p.Why)
	case quiet(rec.Proposals) >= 0:
		p := &rec.Proposals[quiet(rec.Proposals)]
		w = w.text(": ").text(p.Policy).text(" asks for nothing now, ").text(p.Why)
	case len(rec.Proposals) > 0:
		w = w.text(": no policy has anything to go by; ").text(rec.Proposals[0].Policy).text(": ").text(rec.Proposals[0].Why)
	default:
		w = w.text(": there are no policies")
	}
	if idle, known := c.obs.metric(IdleSeconds); known && c.desired == 0 && rec.Previous > 0 && c.override == nil {
		w = w.text("; the last one goes, idle for ").secs(idle)
	}
	return c.obs.say(c.explainBound(w))
}

// quiet is the first proposal that knows its data and asks for nothing, or -1.
func quiet(ps []Proposal) int {
	return slices.IndexFunc(ps, func(p Proposal) bool { return p.Neutral })
}

func (c *clamp) explainBound(w words) words {
	switch c.bound {
	case BoundMissingData:
		w = w.text("; held at ").int(c.desired).text(" because ").text(c.missing).text(" has no data to agree")
	case BoundScaleInWindow:
		w = w.text("; held at ").int(c.desired).text(" by scale_in_window ").span(c.o.ScaleInWindow)
		if c.watching {
			w = w.text(", which has not been watched for its whole length yet")
		} else {
			w = w.text(": ").int(c.peak.Desired).text(" were asked for ").span(c.obs.Time.Sub(c.peak.Time)).text(" ago")
		}
	case BoundWarming:
		w = w.text("; held at ").int(c.desired).text(" while ").text(c.warm.ID).text(" is ").text(c.warm.State)
	case BoundZeroAfter:
		w = c.explainZero(w)
	case BoundMaxLaunching:
		w = w.text("; bound to ").int(c.desired).text(" by max_launching ").int(c.o.MaxLaunching).text(" with ").int(c.launch).text(" on their way")
	case BoundMaxOutPerMinute:
		w = w.text("; bound to ").int(c.desired).text(" by max_out_per_minute ").int(c.o.MaxOutPerMinute).text(" with ").int(c.limit).text(" added in the last minute")
	case BoundMaxInPerMinute:
		w = w.text("; bound to ").int(c.desired).text(" by max_in_per_minute ").int(c.o.MaxInPerMinute).text(" with ").int(c.limit).text(" taken away in the last minute")
	case BoundMax:
		w = by(w.text("; bound to ").int(c.desired).text(" by max"), c.plan.maxBy)
	case BoundMin:
		w = by(w.text("; bound to ").int(c.desired).text(" by min"), c.plan.minBy)
	case BoundBudget:
		b := c.budgetOf()
		w = w.text("; bound to ").int(c.desired).text(" by a budget of ").num(b.PerHour).text(" an hour")
		if b.PerMonth > 0 {
			w = w.text(", which is left of ").num(b.PerMonth).text(" a month with ").num(b.Spent).text(" spent")
		}
	case BoundSuspended:
		if c.process == "" {
			return w.text("; held at ").int(c.desired).text(" because alarm_notification is suspended")
		}
		w = w.text("; held at ").int(c.desired).text(" because ").text(string(c.process)).text(" is suspended")
	}
	return w
}

// by adds which action set a bound.
func by(w words, a *Action) words {
	if a != nil {
		w = w.text(" of ").text(a.String())
	}
	return w
}

func (c *clamp) explainZero(w words) words {
	idle, known := c.obs.metric(IdleSeconds)
	waiting, _ := c.obs.metric(QueueDepth)
	switch {
	case c.desired == 0:
		return w
	case waiting > 0:
		return w.text("; at least 1 for what waits")
	case !c.obs.idle():
		return w.text("; at least 1 while requests run, or may run unknown to Weir")
	case !known:
		return w.text("; held at 1 because idle_seconds is unknown")
	}
	return w.text("; held at 1 until the pool has been idle for ").span(c.o.ZeroAfter).text(", idle for ").secs(idle)
}
