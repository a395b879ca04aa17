// Package planner finds a config for what a user knows: how many users there are, how long a request takes, how far a spike goes and what may be spent.
// Every candidate is tried in the simulator, which runs the production code.
package planner

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/weirlb/weir/fleet/plan"
	"github.com/weirlb/weir/scale"
	"github.com/weirlb/weir/sim"
)

// Type is a machine that may be used.
type Type struct {
	Name           string
	OnDemand, Spot float64       // per hour; Spot 0: there is none
	Slots          int           // requests that it works on at a time
	Boot           time.Duration // from the launch to ready, the model loaded
	Wake           time.Duration // from starting one again that was stopped to ready; 0: as long as a boot
}

// Question is what is to be planned for.
type Question struct {
	Users     float64       // that wait for an answer at the same time, at the highest of a spike
	Low, High time.Duration // that a request takes on an idle slot; anything between is as likely
	Spike     float64       // the highest in terms of a usual day's highest; 1: there are none
	Budget    float64       // of a month
	Types     []Type

	// Traffic, when it was recorded, says what Users, Low, High and Spike say else. Markets are what the spot markets had to give meanwhile, from its start on;
	// without them there are as many machines as are asked for, and none is taken back.
	Traffic *Traffic
	Markets []sim.Market

	Wait       time.Duration // in the queue that 95 of 100 are promised on a usual day; 0: half of a mean request, at most 10 s
	Patience   time.Duration // after which users leave; 0: a minute
	SpikeHours float64       // that spikes last in a month, together; 0: 4
	Seed       uint64

	seen *recorded     // of Traffic
	pace float64       // how many times faster than life everything is; 0: 1
	day  time.Duration // how long a usual day is played; 0: dayLength
}

// HoursPerMonth is what a month is taken for.
const HoursPerMonth = 730

// What a usual day is taken for, where nothing was recorded.
const (
	nightShare = 0.3 // of the day's highest load that is there at its lowest
)

// fill sets what was left out, and says what is wrong with the rest.
func (q *Question) fill() (err error) {
	mean := (q.Low + q.High) / 2
	if q.Traffic != nil && q.seen == nil {
		if q.seen, err = q.Traffic.read(); err != nil {
			return err
		}
		r := q.seen
		mean = r.Mean
		q.Low, q.High = r.Mean, r.High
		q.Users = max(1, r.Highest)
		q.Spike = min(max(1, r.Highest/max(r.Usual, 1e-9)), 1e4)
	}
	if q.Wait == 0 {
		q.Wait = min(mean/2, 10*time.Second)
	}
	if q.Patience == 0 {
		q.Patience = time.Minute
	}
	if q.day == 0 {
		q.day = dayLength
	}
	if q.SpikeHours == 0 {
		q.SpikeHours = 4
	}
	switch {
	case !(q.Users >= 1) || q.Users > 1e6:
		return fmt.Errorf("%g users cannot be planned for; give 1 to 1000000", q.Users)
	case q.Low <= 0 || q.High < q.Low || q.High > 24*time.Hour:
		return fmt.Errorf("a request of %v to %v cannot be planned for; give the shortest and the longest, as in 10s..30s", q.Low, q.High)
	case !(q.Spike >= 1) || q.Spike > 1e4:
		return fmt.Errorf("a spike of %gx cannot be planned for; give 1x to 10000x", q.Spike)
	case !(q.Budget > 0):
		return fmt.Errorf("a budget of %g a month buys nothing; give what may be spent, as in 8000/month", q.Budget)
	case q.Wait < 0 || q.Patience <= 0 || !(q.SpikeHours > 0) || q.SpikeHours > HoursPerMonth:
		return fmt.Errorf("wait, patience and the hours of spikes in a month must be above 0")
	case len(q.Markets) > 0 && q.Traffic == nil:
		return fmt.Errorf("recorded spot markets are played beside recorded traffic; give that, too")
	case len(q.Types) == 0:
		return fmt.Errorf("there are no types of machines")
	}
	for _, t := range q.Types {
		if t.Name == "" || !(t.OnDemand > 0) || t.Spot < 0 || t.Slots < 1 || t.Boot < 0 || t.Wake < 0 {
			return fmt.Errorf("type %q: needs a name, a price on demand above 0 and one slot at least", t.Name)
		}
	}
	return nil
}

// Facts are what follows from a question by arithmetic alone.
type Facts struct {
	Type      Type          // the cheapest for a request, by its spot price where there is one
	Mean      time.Duration // of a request
	SCV       float64       // squared coefficient of variation of requests
	Base      float64       // requests at the same time, at the highest of a usual day
	Rate      float64       // of arrivals then, a second
	NightRate float64
	Usual     int     // instances that keep the promise at the highest of a usual day
	Night     int     // and at its lowest
	Peak      int     // and at the highest of a spike
	Busy      int     // and in the hours that a recording has its load in; 0: no hours stand out
	PerHour   float64 // that the budget comes to, spread evenly
}

func facts(q *Question) Facts {
	f := Facts{Mean: (q.Low + q.High) / 2, Base: q.Users / q.Spike, PerHour: q.Budget / HoursPerMonth}
	night, highest := nightShare*f.Base, q.Users
	f.Type = slices.MinFunc(q.Types, func(a, b Type) int {
		return compare(a.cheapest()/float64(a.Slots), b.cheapest()/float64(b.Slots))
	})
	spread := (q.High - q.Low).Seconds()
	f.SCV = spread * spread / 12 / (f.Mean.Seconds() * f.Mean.Seconds()) // of a uniform distribution
	if r := q.seen; r != nil {
		f.Mean, f.SCV, f.Base, night, highest = r.Mean, r.SCV, r.Usual, r.Night, r.Highest
	}
	s := f.Mean.Seconds()
	f.Rate, f.NightRate = f.Base/s, night/s // Little's law
	need := func(load float64) int {
		return max(1, int(math.Ceil(float64(scale.FewestSlots(load, f.SCV, q.Wait.Seconds()/s))/float64(f.Type.Slots))))
	}
	f.Usual, f.Night, f.Peak = need(f.Base), need(night), need(highest)
	if q.seen != nil {
		f.Busy = need(q.seen.rhythm.Load)
	}
	return f
}

func (t *Type) cheapest() float64 {
	if t.Spot > 0 {
		return t.Spot
	}
	return t.OnDemand
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Shape is what candidates differ in.
type Shape struct {
	OnDemandBase    int     `json:"on_demand_base"`
	OnDemandPercent int     `json:"on_demand_percent"`
	Min             int     `json:"min"`
	Max             int     `json:"max"`
	QueueLimit      int     `json:"queue_limit"`
	Warm            int     `json:"warm,omitempty"`    // that are prepared beside those of a usual day, and stopped
	DayMin          int     `json:"day_min,omitempty"` // in the hours from DayFrom to DayTo; 0: there is no schedule
	DayFrom         int     `json:"day_from,omitempty"`
	DayTo           int     `json:"day_to,omitempty"`
	PerHour         float64 `json:"per_hour"` // most that the instances may cost
}

// Plan is a candidate, with what the simulator says of it.
type Plan struct {
	Shape
	Monthly   float64 `json:"per_month"`        // of usual days
	Spikes    float64 `json:"spikes_per_month"` // what the spikes of a month cost besides
	Usual     Outcome `json:"usual"`            // of a usual day
	InSpike   Outcome `json:"in_spike"`         // of the time of a spike
	Fits      bool    `json:"fits"`             // the budget
	Interrupt float64 `json:"spot_share"`       // part of a usual day's highest capacity that may be taken back
	Market    Market  `json:"market,omitzero"`  // how it fared on the recorded spot markets
	Tried     *Plan   `json:"tried,omitempty"`  // with a warm pool, or without the one that this has
}

// Market is how a plan fared on recorded spot markets, all the time that was recorded.
type Market struct {
	TakenBack int     `json:"taken_back"` // instances
	Refused   int     `json:"refused"`    // launches
	Cut       int     `json:"cut"`        // requests
	Share     float64 `json:"spot_share"` // of the instance-hours
	OnDemand  float64 `json:"on_demand"`  // what the same instances would have cost in a month on demand
}

// Outcome is what users would see.
type Outcome struct {
	Requests        int
	Kept            float64 // part that waited no longer than promised
	Served          float64
	WaitP95         time.Duration
	Peak            int     // most instances at a time
	InstanceSeconds float64 // of all instances together
}

// Answer is the best plan and what was thought of on the way.
type Answer struct {
	Question Question `json:"question"`
	Facts    Facts    `json:"facts"`
	Best     Plan     `json:"best"`
	Others   []Plan   `json:"others"` // the better ones first
}

// Solve tries candidates and returns the best: of those within the budget that keep the promise on usual days, the one that serves most of a spike; of
// equals the one with less to be taken back, and then the cheaper. Where none is within the budget it is the cheapest. progress is told how many of all
// were tried; nil: nobody is.
func Solve(ctx context.Context, q Question, progress func(done, of int)) (*Answer, error) {
	err := q.fill()
	if err != nil {
		return nil, err
	}
	f := facts(&q)
	shapes := candidates(&q, &f)
	plans := make([]Plan, 0, len(shapes))
	for i, s := range shapes {
		p, err := fit(ctx, &q, &f, s)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(plans, func(o Plan) bool { return o.Shape == p.Shape }) { // two may have become one as they were made smaller
			plans = append(plans, p)
		}
		if progress != nil {
			progress(i+1, len(shapes))
		}
	}
	slices.SortStableFunc(plans, better)
	if plans[0], err = prepare(ctx, &q, &f, plans[0]); err != nil {
		return nil, err
	}
	return &Answer{Question: q, Facts: f, Best: plans[0], Others: plans[1:]}, nil
}

// fits is how often a candidate is made smaller that costs more than there is.
const fits = 3

// fit tries a candidate, and with fewer instances in a spike when only that is too dear.
func fit(ctx context.Context, q *Question, f *Facts, s Shape) (p Plan, err error) {
	for range fits {
		if p, err = try(ctx, q, f, s); err != nil || p.Fits {
			return p, err
		}
		if q.seen != nil && q.seen.whole { // spikes are among the rest
			s.Max = max(1, int(0.97*float64(s.Max)*q.Budget/p.Monthly))
			s.fill(q, f)
			continue
		}
		if p.Monthly > q.Budget || p.Spikes == 0 {
			return p, nil
		}
		// A little less than what is left pays for.
		less := f.Usual + int(0.97*float64(s.Max-f.Usual)*(q.Budget-p.Monthly)/p.Spikes)
		if less >= s.Max {
			return p, nil
		}
		s.Max = max(f.Usual, less)
		s.fill(q, f)
	}
	return p, nil
}

// prepare gives the best plan a warm pool for what a spike needs more than a usual day, when instances that were stopped wake sooner than others boot and the
// simulator shows that it helps.
func prepare(ctx context.Context, q *Question, f *Facts, best Plan) (Plan, error) {
	if f.Type.Wake == 0 || f.Type.Wake >= f.Type.Boot || best.Max <= f.Usual || !best.Fits {
		return best, nil
	}
	s := best.Shape
	s.Warm = best.Max - f.Usual
	warm, err := try(ctx, q, f, s)
	if err != nil {
		return best, err
	}
	a, b := best, warm
	if helps(&best, &warm) {
		a, b = warm, best
	}
	a.Tried = &b
	return a, nil
}

// helps reports whether a warm pool is worth what it costs: it serves more of a spike, or as much of it with a fifth less to wait.
func helps(without, with *Plan) bool {
	if !with.Fits || with.Usual.Kept < min(0.95, without.Usual.Kept) {
		return false
	}
	more := with.InSpike.Served - without.InSpike.Served
	return more > 0.01 || more > -0.005 && with.InSpike.WaitP95 < without.InSpike.WaitP95*4/5
}

// better orders plans, the best first.
func better(a, b Plan) int {
	good := func(p *Plan) bool { return p.Fits && p.Usual.Kept >= 0.95 }
	switch x, y := good(&a), good(&b); {
	case x != y && x:
		return -1
	case x != y:
		return 1
	case !x:
		return compare(a.Monthly+a.Spikes, b.Monthly+b.Spikes)
	}
	if d := a.InSpike.Served - b.InSpike.Served; math.Abs(d) > 0.01 {
		return compare(0, d)
	}
	if d := a.Interrupt - b.Interrupt; math.Abs(d) > 0.01 {
		return compare(d, 0)
	}
	return compare(a.Monthly+a.Spikes, b.Monthly+b.Spikes)
}

// candidates are the shapes to try: how much is on demand, and whether the night is as wide as the day.
func candidates(q *Question, f *Facts) (out []Shape) {
	shares := []int{100, 50, 20, 0}
	if f.Type.Spot == 0 {
		shares = shares[:1]
	}
	for _, percent := range shares {
		for _, base := range []int{0, (f.Night + 3) / 4, f.Night} { // that much of the night's load is never taken back
			for _, least := range leasts(q, f) {
				if percent == 100 && base > 0 || percent > 0 && percent < 100 && base != f.Night {
					continue
				}
				s := Shape{OnDemandBase: base, OnDemandPercent: percent, Min: least}
				s.Max = most(q, f, &s)
				s.fill(q, f)
				if !slices.Contains(out, s) {
					out = append(out, s)
				}
				// The same with a schedule, where the recording has hours for one.
				if r := q.seen; r != nil && r.rhythm.From != r.rhythm.To && f.Busy > s.Min && least <= f.Night {
					s.DayMin, s.DayFrom, s.DayTo = min(f.Busy, s.Max), r.rhythm.From, r.rhythm.To
					out = append(out, s)
				}
			}
		}
	}
	return out
}

// leasts are the minimums to try. To have none is for what is idle at times, and was seen to be.
func leasts(q *Question, f *Facts) []int {
	if q.seen != nil && q.seen.Night < 0.05 {
		return slices.Compact([]int{0, f.Night, f.Usual})
	}
	return slices.Compact([]int{f.Night, f.Usual})
}

// fill sets what follows from the rest of a shape.
func (s *Shape) fill(q *Question, f *Facts) {
	s.Min, s.DayMin = min(s.Min, s.Max), min(s.DayMin, s.Max)
	s.QueueLimit = max(1, int(float64(s.Max*f.Type.Slots)*q.Patience.Seconds()/f.Mean.Seconds()))
	s.PerHour = math.Ceil(100*s.mix(f).Cost(s.Max)) / 100
}

// most is how many instances the budget pays for in a spike, when the rest of the month is as usual: no more than a spike needs, and no fewer than a usual
// day does.
func most(q *Question, f *Facts, s *Shape) int {
	if q.seen != nil && q.seen.whole {
		return f.Peak // what it costs is seen when it is played
	}
	m := s.mix(f)
	usual := m.Cost((max(s.Min, f.Night)+f.Usual)/2) * (HoursPerMonth - q.SpikeHours)
	perHour := max(0, q.Budget-usual) / q.SpikeHours
	return max(f.Usual, m.Affordable(perHour, f.Peak))
}

// zones are those of the recorded markets.
func (q *Question) zones() (zones []string) {
	for _, m := range q.Markets {
		if m.Zone != "" && !slices.Contains(zones, m.Zone) {
			zones = append(zones, m.Zone)
		}
	}
	return zones
}

func (s *Shape) mix(f *Facts) *plan.Mix {
	return &plan.Mix{
		Base: s.OnDemandBase, Percent: s.OnDemandPercent, Fallback: true,
		Types: []plan.MachineType{{Name: f.Type.Name, OnDemand: f.Type.OnDemand, Spot: f.Type.Spot}},
	}
}
