package planner

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/weirlb/weir/app"
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/fleet/plan"
	"github.com/weirlb/weir/sim"
)

// A usual day is played in a quarter of its length: its load changes four times as fast, so what keeps the promise there keeps it all the better.
const (
	dayLength = 6 * time.Hour
	step      = time.Minute
)

// A spike rises within two minutes, and stays for twenty.
const (
	calm       = 5 * time.Minute
	rise       = 2 * time.Minute
	spikeStays = 20 * time.Minute
	after      = 15 * time.Minute
)

// usualRate is the load of a day: a wave between the night's and the day's highest.
func (f *Facts) usualRate(day, at time.Duration) float64 {
	wave := (1 - math.Cos(2*math.Pi*float64(at)/float64(day))) / 2
	return f.NightRate + (f.Rate-f.NightRate)*wave
}

// spikeRate is the load of a spike on top of the middle of a usual day.
func (f *Facts) spikeRate(q *Question, at time.Duration) float64 {
	usual := (f.Rate + f.NightRate) / 2
	switch highest := q.Users / f.Mean.Seconds(); {
	case at < calm || at >= calm+rise+spikeStays:
		return usual
	case at < calm+rise:
		return usual + (highest-usual)*float64(at-calm)/float64(rise)
	default:
		return highest
	}
}

// arrivals draws requests of a Poisson process with a rate that changes, by thinning one with the highest (P. A. W. Lewis and G. S. Shedler, 1979).
func arrivals(q *Question, span time.Duration, highest float64, rate func(time.Duration) float64) func(yield func(sim.Request) bool) {
	return func(yield func(sim.Request) bool) {
		r := rand.New(rand.NewPCG(q.Seed, 0x706c616e))
		for at := time.Duration(0); ; {
			at += time.Duration(r.ExpFloat64() / highest * float64(time.Second))
			if at >= span {
				return
			}
			takes := q.Low + time.Duration(r.Float64()*float64(q.High-q.Low))
			if r.Float64() < rate(at)/highest && !yield(sim.Request{At: at, Service: takes}) {
				return
			}
		}
	}
}

// try runs a candidate through a usual day and a spike.
func try(ctx context.Context, q *Question, f *Facts, s Shape) (Plan, error) {
	p := Plan{Shape: s, Fits: true} // until its cost is known
	c, err := config.Parse("plan", []byte(YAML(q, f, &p)), os.LookupEnv)
	if err != nil {
		return p, err
	}
	options := func() sim.Options {
		o := app.Simulation("api", c.Pools["api"])
		o.Start = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
		o.Seed, o.Step, o.Promise = q.Seed, step, q.Wait
		o.Boot = app.Boots([]time.Duration{f.Type.Boot})
		o.Prepared = s.Warm // once, and not every day: they come back
		if f.Type.Wake > 0 {
			o.Wake = app.Boots([]time.Duration{f.Type.Wake})
		}
		o.Forecast = nil // fits take longer than all the rest; a plan is to hold before anything is learned
		return o
	}
	if q.seen != nil {
		err := q.seen.try(ctx, q, s.mix(f), options, &p)
		p.weigh(q, f, s.mix(f))
		return p, err
	}
	usual, err := sim.Run(ctx, options(), arrivals(q, q.day, f.Rate, func(at time.Duration) float64 { return f.usualRate(q.day, at) }))
	if err != nil {
		return p, err
	}
	mix := s.mix(f)
	p.Usual, p.Monthly = outcomeOf(usual), perHour(usual, mix, q.day)*HoursPerMonth
	p.InSpike = p.Usual
	if q.Spike > 1 {
		surge, span := (&Answer{Question: *q, Facts: *f}).Surge()
		o := options()
		o.Desired = f.Usual
		spike, err := sim.Run(ctx, o, surge)
		if err != nil {
			return p, err
		}
		// What the time of a spike costs more than a usual one.
		more := max(0, perHour(spike, mix, span)-p.Monthly/HoursPerMonth) * span.Hours()
		p.InSpike, p.Spikes = outcomeOf(spike), more*q.SpikeHours/spikeStays.Hours()
	}
	p.weigh(q, f, mix)
	return p, nil
}

// weigh sets what follows from what a plan costs.
func (p *Plan) weigh(q *Question, f *Facts, mix *plan.Mix) {
	p.Fits = p.Monthly+p.Spikes <= q.Budget
	if n := f.Usual; n > 0 && len(q.Markets) == 0 { // else it was seen what becomes of it
		p.Interrupt = float64(n-mix.OnDemandOf(n)) / float64(n)
	}
}

// try runs a candidate through what was recorded, and its busiest time alone.
func (r *recorded) try(ctx context.Context, q *Question, mix *plan.Mix, options func() sim.Options, p *Plan) error {
	o := options()
	o.Start = r.Start.Add(r.usualFrom)
	span := r.usual[len(r.usual)-1].At
	o.Step, o.Markets = max(step, (span/3000).Round(time.Second)), from(q.Markets, r.usualFrom)
	usual, err := sim.Run(ctx, o, slices.Values(r.usual))
	if err != nil {
		return err
	}
	price := func(r *sim.Result) float64 {
		if len(q.Markets) > 0 {
			return r.Cost / r.Span.Hours()
		}
		return perHour(r, mix, r.Span)
	}
	p.Usual, p.Monthly = outcomeOf(usual), price(usual)*HoursPerMonth
	if len(q.Markets) > 0 {
		p.Market = Market{usual.Interruptions, usual.Refused, usual.Cut, usual.SpotHours / max(usual.InstanceHours, 1e-9), usual.OnDemand / usual.Span.Hours() * HoursPerMonth}
	}
	o = options()
	o.Start, o.Markets = r.Start.Add(r.peakFrom), from(q.Markets, r.peakFrom)
	peak, err := sim.Run(ctx, o, slices.Values(r.peak))
	if err != nil {
		return err
	}
	p.InSpike = outcomeOf(peak)
	if !r.whole { // else its cost is among the rest
		p.Spikes = max(0, price(peak)-p.Monthly/HoursPerMonth) * q.SpikeHours
	}
	return nil
}

// from is what markets have from a time on; they begin anew at their end.
func from(markets []sim.Market, at time.Duration) []sim.Market {
	out := slices.Clone(markets)
	for i := range out {
		m := &out[i]
		first := int(at/m.Gap) % len(m.Counts)
		m.Counts = slices.Concat(m.Counts[first:], m.Counts[:first])
	}
	return out
}

func outcomeOf(r *sim.Result) Outcome {
	o := Outcome{Requests: r.Requests, Kept: r.Kept, WaitP95: r.Wait.Quantile(0.95), Peak: r.Peak, InstanceSeconds: r.InstanceHours * 3600}
	if r.Requests > 0 {
		o.Served = 1 - float64(r.Lost)/float64(r.Requests)
	}
	return o
}

// perHour is what a run cost in an hour, by the mix.
func perHour(r *sim.Result, mix *plan.Mix, span time.Duration) float64 {
	total, last := 0.0, time.Duration(0)
	for _, p := range r.Curve {
		total += mix.Cost(p.Instances) * (p.At - last).Hours()
		last = p.At
	}
	return total / max(span, last).Hours()
}
