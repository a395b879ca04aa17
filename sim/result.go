package sim

import (
	"cmp"
	"math"
	"time"

	"github.com/weirlb/weir/fleet/plan"
	"github.com/weirlb/weir/forecast"
	"github.com/weirlb/weir/scale"
)

// Result is what a run's users and owner would have seen.
type Result struct {
	Policy        string        `json:"policy"`
	Setting       string        `json:"-"` // that a baseline was tuned to
	Requests      int           `json:"requests"`
	Lost          int           `json:"lost"`          // refused because the queue was full or they waited too long, or cut
	Cut           int           `json:"cut,omitempty"` // broken off because their instance was gone
	Wait          Times         `json:"-"`
	Latency       Times         `json:"-"`
	Kept          float64       `json:"kept"` // part of the requests that waited no longer than promised; those lost did not
	InstanceHours float64       `json:"instance_hours"`
	Cost          float64       `json:"cost"`
	Changes       int           `json:"scale_events"` // decisions that changed the capacity
	Launches      int           `json:"launches"`
	ColdStarts    int           `json:"cold_starts"`
	Woken         int           `json:"woken,omitempty"` // instances that came from the warm pool
	Switches      int           `json:"model_switches"`
	PromptTokens  int64         `json:"prompt_tokens,omitempty"`
	CachedTokens  int64         `json:"cached_tokens,omitempty"`
	Peak          int           `json:"peak_instances"`
	Ticks         int           `json:"decisions"`
	Span          time.Duration `json:"-"`

	Failures      int     `json:"failed_launches,omitempty"`
	Crashes       int     `json:"crashes,omitempty"`          // instances that ended by themselves
	Interruptions int     `json:"interruptions,omitempty"`    // notices of a spot market that an instance is taken back
	Refused       int     `json:"capacity_refused,omitempty"` // launches that a spot market had no machine for
	SpotHours     float64 `json:"spot_hours,omitempty"`       // of the instance-hours
	OnDemand      float64 `json:"cost_on_demand,omitempty"`   // what the same instances would have cost on demand

	Fits     int               `json:"forecasts,omitempty"` // that were made for a predict policy
	Forecast forecast.Accuracy `json:"-"`                   // of the last of them

	Curve     []Point          `json:"-"` // the run in even steps of time
	Decisions []scale.Decision `json:"-"` // that changed the capacity

	o        Options
	begun    int
	over     int
	kept     int
	counted  time.Duration
	n, spot  int     // instances, and those of them that are spot
	perHour  float64 // what they cost
	instants float64 // instance-seconds
	spots    float64 // of them spot
	spent    float64
	drawn    drawn
}

// Point is the run at one moment.
type Point struct {
	At        time.Duration `json:"at"`
	Arrivals  int           `json:"arrivals"` // since the point before
	Lost      int           `json:"lost"`     // since the point before
	Waiting   int           `json:"waiting"`  // at most since the point before
	Running   int           `json:"running"`
	Instances int           `json:"instances"` // loading and draining ones included
	WaitMax   time.Duration `json:"wait_max"`  // of those that began since the point before
	Spot      int           `json:"spot"`      // of the instances
	Cost      float64       `json:"cost"`      // since the start
}

// draw adds a point to the curve when a step is over, or when the run is.
func (r *Result) draw(now time.Duration, last bool) {
	n := len(r.Curve)
	if n > 0 && now-r.Curve[n-1].At < r.o.Step && !last {
		return
	}
	r.Curve = append(r.Curve, Point{
		At: now, Arrivals: r.Requests - r.drawn.requests, Lost: r.Lost - r.drawn.lost,
		Waiting: max(r.drawn.waiting, r.Waiting()), Running: r.begun - r.over, Instances: r.n, WaitMax: r.drawn.wait,
		Spot: r.spot, Cost: r.spent + float64(r.perHour*(now-r.counted).Hours()),
	})
	r.drawn = drawn{requests: r.Requests, lost: r.Lost}
}

// drawn is what the curve shows already.
type drawn struct {
	requests, lost int
	waiting        int           // most since then
	wait           time.Duration // the longest since then
}

func newResult(o Options) *Result { return &Result{Policy: o.Name, o: o} }

// Waiting is how many requests wait, InFlight how many wait or run.
func (r *Result) Waiting() int  { return r.Requests - r.begun - (r.Lost - r.Cut) }
func (r *Result) InFlight() int { return r.Requests - r.over - (r.Lost - r.Cut) }

func (r *Result) waited(_, d time.Duration) {
	r.begun++
	r.Wait.add(d)
	r.drawn.wait = max(r.drawn.wait, d)
	if d <= r.o.Promise {
		r.kept++
	}
}

func (r *Result) refused(time.Duration, error) { r.Lost++ }

// cut accounts for a request that had begun after a wait.
func (r *Result) cut(wait time.Duration) {
	r.over++
	r.Cut++
	r.Lost++
	if wait <= r.o.Promise {
		r.kept--
	}
}

func (r *Result) answered(d time.Duration) {
	r.over++
	r.Latency.add(d)
}

func (r *Result) decided(d scale.Decision) {
	r.Changes++
	if !r.o.Terse {
		r.Decisions = append(r.Decisions, d)
	}
}

// runs notes that from now on there are n more instances of a kind, or fewer.
func (r *Result) runs(now time.Duration, as plan.Placement, n int) {
	r.count(now)
	r.n += n
	r.perHour += float64(float64(n) * r.price(as))
	if as.Market == plan.Spot {
		r.spot += n
	}
	r.Peak = max(r.Peak, r.n)
}

// count accounts for the time since it was called last. The conversions here and below keep a compiler from fusing the product with the sum, which some
// processors can and others cannot: the last digit is to be the same on all.
func (r *Result) count(now time.Duration) {
	span := now - r.counted
	r.instants += float64(float64(r.n) * span.Seconds())
	r.spots += float64(float64(r.spot) * span.Seconds())
	r.spent += float64(r.perHour * span.Hours())
	r.counted = now
}

// price is what an instance costs in an hour.
func (r *Result) price(as plan.Placement) float64 {
	if r.o.Mix == nil {
		return r.o.Price
	}
	return cmp.Or(r.o.Mix.Price(as), r.o.Price)
}

// ran accounts for an instance that has ended.
func (r *Result) ran(as plan.Placement, d time.Duration) {
	price := r.price(as)
	r.Cost += float64(price * d.Hours())
	if r.o.Mix != nil {
		r.OnDemand += float64(cmp.Or(r.o.Mix.Price(plan.Placement{Type: as.Type, Market: plan.OnDemand}), price) * d.Hours())
	}
}

// finish accounts for what still runs when the last request is answered.
func (e *engine) finish() {
	for _, in := range e.fleet.instances {
		if in.paid {
			e.result.ran(in.as, e.now-in.paidFrom)
		}
	}
	if e.ahead != nil {
		e.ahead.accuracy(e.result)
	}
	e.result.draw(e.now, true)
	e.result.count(e.now)
	e.result.InstanceHours, e.result.SpotHours = e.result.instants/3600, e.result.spots/3600
	e.result.Span = e.now
	if n := e.result.Requests; n > 0 {
		e.result.Kept = float64(e.result.kept) / float64(n)
	}
}

// Times is a distribution of durations: counts in buckets that are 1 % wide, from 10 microseconds to a month.
type Times struct {
	counts [nTimes]uint32
	n      int
	sum    time.Duration
	max    time.Duration
}

const (
	timesFrom = 10 * time.Microsecond
	timesStep = 1.01
	nTimes    = 2700
)

func (t *Times) add(d time.Duration) {
	i := 0
	if d > timesFrom {
		i = min(1+int(math.Log(float64(d)/float64(timesFrom))/math.Log(timesStep)), nTimes-1)
	}
	t.counts[i]++
	t.n++
	t.sum += d
	t.max = max(t.max, d)
}

// Quantile returns the duration that a part q of all does not exceed, to 1 %; 0 when there are none.
func (t *Times) Quantile(q float64) time.Duration {
	rank, seen := max(int(math.Ceil(q*float64(t.n))), 1), 0
	for i, c := range &t.counts {
		if seen += int(c); c > 0 && seen >= rank {
			if i == 0 {
				return 0
			}
			return min(time.Duration(float64(timesFrom)*math.Pow(timesStep, float64(i))), t.max)
		}
	}
	return 0
}

// Mean is the mean.
func (t *Times) Mean() time.Duration {
	if t.n == 0 {
		return 0
	}
	return t.sum / time.Duration(t.n)
}

// Max is the longest.
func (t *Times) Max() time.Duration { return t.max }
