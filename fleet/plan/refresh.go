package plan

import (
	"fmt"
	"time"
)

// RefreshOptions are how instances are replaced by ones of another template, as in an EC2 Auto Scaling instance refresh.
type RefreshOptions struct {
	MinHealthy      int           // percent of Desired that stay ready and healthy; 90 when 0
	MaxHealthy      int           // percent of Desired that there may be at most; above 100 new ones are launched before old ones go; 100 when 0
	Checkpoints     []int         // percent of Desired replaced at which to pause; ascending
	CheckpointDelay time.Duration // of such a pause
	Bake            time.Duration // to watch the new ones when all are replaced, before it counts as done
	Rollback        bool          // when it fails, go back to the template before
	Failures        int           // launches in a row that may fail; 2 when 0
	Timeout         time.Duration // for one batch; 0 waits for ever
	Gate            Gate
}

// Gate is what the answers of new instances must be like. Zero values do not look.
type Gate struct {
	ErrorRate float64 // most failed requests, as a part of all
	Latency   float64 // mean latency of the new ones, in terms of that of the old ones
	Requests  uint64  // before that many were answered nothing is judged; 20 when 0
}

// The states of a Refresh.
const (
	Refreshing  = "running"
	AtCheck     = "checkpoint" // pauses at a checkpoint
	Baking      = "baking"
	RollingBack = "rolling_back"
	Succeeded   = "succeeded"
	Failed      = "failed"
	RolledBack  = "rolled_back"
	Cancelled   = "cancelled"
)

// Refresh is one refresh under way, or the last one that there was. It is a value that survives Weir.
type Refresh struct {
	From    int       `json:"from"` // version to go back to
	To      int       `json:"to"`   // version that all instances are to have
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
	State   string    `json:"state"`
	Why     string    `json:"why"`               // in words, what it does or why it ended
	Cause   string    `json:"cause,omitempty"`   // why it went wrong
	Reached int       `json:"reached"`           // checkpoints up to this percentage are behind it
	Until   time.Time `json:"until,omitzero"`    // end of a pause
	Percent int       `json:"percent"`           // replaced
	Done    int       `json:"done"`              // ready instances of the version that is wanted
	Of      int       `json:"of"`                // instances there are to be
	Batch   int       `json:"batch,omitempty"`   // instances that are being replaced; 0 between two batches
	Since   time.Time `json:"since,omitzero"`    // begin of the batch
	Left    int       `json:"left,omitempty"`    // instances of other versions that are to be left when the batch is done
	Surging bool      `json:"surging,omitempty"` // the batch launches before it drains
}

// Active reports whether there is still something to do.
func (r *Refresh) Active() bool {
	return r != nil && (r.State == Refreshing || r.State == AtCheck || r.State == Baking || r.State == RollingBack)
}

// Wanted is the version that instances are to have now.
func (r *Refresh) Wanted() int {
	if r.State == RollingBack {
		return r.From
	}
	return r.To
}

// Health is what is seen of the instances of a refresh.
type Health struct {
	Failures int    // launches in a row that never became ready
	Why      string // the last of them failed
	New, Old Answers
}

// Answers are what a set of instances answered since the refresh began.
type Answers struct {
	Requests, Failed uint64
	Latency          time.Duration // mean; 0 when unknown
}

// Moves are how far the plan may go for a refresh now.
type Moves struct {
	Version int // of the instances that are to stay; others are outdated
	Replace int // outdated ready instances to drain, whatever the desired capacity is
	Surge   int // instances to launch beyond the desired capacity
}

// Step takes a refresh further and says what may be done now. in is the input of the plan that follows.
//
// It works in batches, as an instance refresh of EC2 Auto Scaling does: batch = max(1, desired - ceil(desired * MinHealthy / 100)), cut to
// the next checkpoint, and the next batch begins when the one before has been replaced. Where taking a batch down would leave
// fewer than MinHealthy ready, which in AWS happens to the smallest groups, new instances are launched first: it never goes below.
func (r *Refresh) Step(o RefreshOptions, in *Input, h Health) Moves {
	o.fill()
	c := r.census(in)
	r.Percent, r.Done, r.Of = percent(c.current, in.Desired), min(c.current, in.Desired), in.Desired
	if r.State == Refreshing || r.State == AtCheck || r.State == Baking {
		if why := o.verdict(h, r, in.Now); why != "" {
			r.fail(o, why, in.Now)
			c = r.census(in)
		}
	}
	switch {
	case r.State == AtCheck || r.State == Baking:
		if in.Now.Before(r.Until) {
			return Moves{Version: r.Wanted()}
		}
		if r.State == Baking {
			r.end(Succeeded, fmt.Sprintf("all %d instances are of version %d, and did well for %v", c.current, r.To, o.Bake), in.Now)
			return Moves{Version: r.Wanted()}
		}
		r.State = Refreshing
	case !r.Active():
		return Moves{Version: r.Wanted()}
	}
	if r.Batch > 0 && !r.batchDone(&c, in) {
		return r.moves(&c, in)
	}
	r.Batch = 0
	if c.outdated == 0 {
		r.complete(&o, &c, in)
		return Moves{Version: r.Wanted()}
	}
	if r.pause(&o, in) {
		return Moves{Version: r.Wanted()}
	}
	if c.coming > 0 || c.ready < in.Desired {
		r.Why = fmt.Sprintf("%d %% replaced; waits until all %d desired are ready", r.Percent, in.Desired)
		return Moves{Version: r.Wanted()}
	}
	r.begin(&o, &c, in)
	return r.moves(&c, in)
}

func (o *RefreshOptions) fill() {
	if o.MinHealthy <= 0 {
		o.MinHealthy = 90
	}
	if o.MaxHealthy <= 0 {
		o.MaxHealthy = 100
	}
	if o.Failures <= 0 {
		o.Failures = 2
	}
	if o.Gate.Requests == 0 {
		o.Gate.Requests = 20
	}
}

// verdict says why a refresh has failed, "" when it has not.
func (o *RefreshOptions) verdict(h Health, r *Refresh, now time.Time) string {
	if h.Failures >= o.Failures {
		return fmt.Sprintf("%d launches in a row failed: %s", h.Failures, h.Why)
	}
	if r.Batch > 0 && passed(now, r.Since, o.Timeout) {
		return fmt.Sprintf("a batch of %d was not replaced within %v", r.Batch, o.Timeout)
	}
	if h.New.Requests < o.Gate.Requests {
		return ""
	}
	if rate := float64(h.New.Failed) / float64(h.New.Requests); o.Gate.ErrorRate > 0 && rate > o.Gate.ErrorRate {
		return fmt.Sprintf("%.3g %% of %d requests failed on the new instances, and %.3g %% may", 100*rate, h.New.Requests, 100*o.Gate.ErrorRate)
	}
	if o.Gate.Latency > 0 && h.Old.Latency > 0 && float64(h.New.Latency) > o.Gate.Latency*float64(h.Old.Latency) {
		return fmt.Sprintf("new instances take %v on average, more than %.3g times the %v of the old ones", h.New.Latency.Round(time.Millisecond), o.Gate.Latency, h.Old.Latency.Round(time.Millisecond))
	}
	return ""
}

func (r *Refresh) fail(o RefreshOptions, why string, now time.Time) {
	r.Batch = 0
	if o.Rollback {
		r.State, r.Why, r.Cause = RollingBack, why, why
		return
	}
	r.Cause = why
	r.end(Failed, why, now)
}

func (r *Refresh) end(state, why string, now time.Time) {
	r.State, r.Why, r.Ended, r.Batch = state, why, now, 0
}

// Cancel ends it where it stands; what was replaced stays replaced.
func (r *Refresh) Cancel(now time.Time) { r.end(Cancelled, "cancelled by hand", now) }

// GoBack begins a rollback.
func (r *Refresh) GoBack() {
	r.State, r.Why, r.Cause, r.Batch = RollingBack, "rolls back by hand", "it was told to", 0
}

// census counts the instances that matter to a refresh.
type census struct {
	ready    int // and healthy, of whatever version
	current  int // ready ones of the version wanted
	coming   int
	outdated int // that are not on their way out
}

func (r *Refresh) census(in *Input) (c census) {
	for i := range in.Instances {
		one := &in.Instances[i]
		old := one.Version != r.Wanted()
		switch {
		case one.Spare: // the warm pool follows by itself
		case one.onItsWay():
			c.coming++
			if old {
				c.outdated++
			}
		case one.State == "ready" || one.State == "unhealthy":
			if one.State == "ready" && one.Healthy && !one.Dead {
				c.ready++
				if !old {
					c.current++
				}
			}
			if old {
				c.outdated++
			}
		}
	}
	return c
}

func percent(n, of int) int {
	if of <= 0 {
		return 100
	}
	return min(100*n/of, 100)
}

// minHealthy is how many must stay ready.
func (o *RefreshOptions) minHealthy(desired int) int { return (desired*o.MinHealthy + 99) / 100 }

// begin begins a batch.
func (r *Refresh) begin(o *RefreshOptions, c *census, in *Input) {
	atLeast := o.minHealthy(in.Desired)
	size := min(max(1, in.Desired-atLeast), c.outdated)
	surge := in.Desired*o.MaxHealthy/100 - in.Desired
	r.Surging = surge > 0 || c.ready-size < atLeast
	if r.Surging && surge > 0 {
		size = min(surge, c.outdated)
	}
	if next := r.nextCheckpoint(o); next > 0 {
		size = min(size, max(1, (in.Desired*next+99)/100-c.current))
	}
	r.Batch, r.Left, r.Since = size, c.outdated-size, in.Now
	r.Why = fmt.Sprintf("%d %% replaced; replaces %d of the %d left", r.Percent, size, c.outdated)
	if r.State == RollingBack {
		r.Why = "rolls back: " + r.Why
	}
}

// moves are what the batch under way allows.
func (r *Refresh) moves(c *census, in *Input) Moves {
	m := Moves{Version: r.Wanted()}
	toGo := max(0, c.outdated-r.Left)
	if !r.Surging {
		m.Replace = toGo
		return m
	}
	m.Replace = max(0, min(toGo, c.ready-in.Desired)) // as many as are ready beyond what is desired
	m.Surge = toGo - m.Replace
	return m
}

func (r *Refresh) batchDone(c *census, in *Input) bool {
	return c.outdated <= r.Left && c.coming == 0 && c.ready >= in.Desired
}

// nextCheckpoint is the lowest one ahead, 0 when there is none.
func (r *Refresh) nextCheckpoint(o *RefreshOptions) int {
	if r.State == RollingBack {
		return 0
	}
	for _, p := range o.Checkpoints {
		if p > r.Reached && p < 100 {
			return p
		}
	}
	return 0
}

// pause begins a pause when a checkpoint is reached, and passes over those that lie below it.
func (r *Refresh) pause(o *RefreshOptions, in *Input) bool {
	if r.State == RollingBack {
		return false
	}
	reached := 0
	for _, p := range o.Checkpoints {
		if p > r.Reached && p <= r.Percent && p < 100 {
			reached = p
		}
	}
	if reached == 0 {
		return false
	}
	r.Reached, r.State, r.Until = reached, AtCheck, in.Now.Add(o.CheckpointDelay)
	r.Why = fmt.Sprintf("checkpoint %d %%: waits until %s", reached, r.Until.UTC().Format(time.TimeOnly+" UTC"))
	return o.CheckpointDelay > 0
}

// complete ends a refresh that has nothing left to replace.
func (r *Refresh) complete(o *RefreshOptions, c *census, in *Input) {
	switch {
	case c.coming > 0 || c.ready < in.Desired:
		r.Why = fmt.Sprintf("the last of %d get ready", in.Desired)
	case r.State == RollingBack:
		r.end(RolledBack, "all instances are of version "+fmt.Sprint(r.From)+" again, because "+r.Cause, in.Now)
	case o.Bake > 0:
		r.State, r.Until = Baking, in.Now.Add(o.Bake)
		r.Why = fmt.Sprintf("all are replaced; watches them until %s", r.Until.UTC().Format(time.TimeOnly+" UTC"))
	default:
		r.end(Succeeded, fmt.Sprintf("all %d instances are of version %d", c.current, r.To), in.Now)
	}
}
