package control

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/weirlb/weir/forecast"
	"github.com/weirlb/weir/measure"
	"github.com/weirlb/weir/scale"
)

// ForecastOptions say what is forecast for a pool.
type ForecastOptions struct {
	Pool     string
	Metric   string // the name that the policy knows it under
	Query    string // PromQL of the history
	History  time.Duration
	Step     time.Duration
	Season   time.Duration
	Location *time.Location
	Quantile float64              // that the policy is to be ready for
	Lead     func() time.Duration // how far ahead the policy looks now
}

// Horizon is how far a forecast goes: two short seasons.
func (o *ForecastOptions) Horizon() time.Duration { return 2 * o.Season }

// every is the time between two fits: a hundredth of a season, 15 minutes for a day, and no less than a step.
func (o *ForecastOptions) every() time.Duration { return max(o.Season/96, o.Step, time.Second) }

// Forecasted is one fit, which does not change any more.
type Forecasted struct {
	Made     time.Time
	Metric   string
	Forecast *forecast.Forecast // nil when there is none, and Err says why
	Err      error
	Actual   forecast.Series // the history it was made from
	Lead     time.Duration   // that Forecast.Recent is about
	Said     []Said          // what this and earlier fits of this process have said, the oldest first, a season of it and what is yet to come
	curve    scale.Curve
}

// Said is what was expected of a step when there was just time left to launch for it: nothing that was known later changes it.
type Said struct {
	Time   time.Time // when the step begins
	Point  float64
	Values []float64 // by quantile of the forecast
}

// Forecaster fits a pool's forecast anew now and then, beside the loop that reads it.
type Forecaster struct {
	o     ForecastOptions
	read  func(ctx context.Context, promql string, from, to time.Time, step time.Duration) ([]measure.Point, error)
	log   *slog.Logger
	turn  chan struct{}
	last  atomic.Pointer[Forecasted]
	noted string // the reason that was logged last
}

// NewForecaster returns one that reads the history by read. turn, of capacity 1, is shared by all that must not fit at the same time.
func NewForecaster(o ForecastOptions, read func(context.Context, string, time.Time, time.Time, time.Duration) ([]measure.Point, error), turn chan struct{}, log *slog.Logger) *Forecaster {
	return &Forecaster{o: o, read: read, turn: turn, log: log}
}

// Last is the newest fit; nil: there was none yet.
func (f *Forecaster) Last() *Forecasted { return f.last.Load() }

// curveAhead is how much of the forecast a decision gets to see, in steps beyond the lead.
const curveAhead = 2

// Curve is what a decision at now reads of the newest fit. It is nil when there is none.
func (f *Forecaster) Curve(now time.Time) *scale.Curve {
	last := f.last.Load()
	if last == nil || last.Forecast == nil {
		return nil
	}
	c := last.curve
	from := int(now.Sub(c.Start) / c.Step)
	to := int((now.Add(f.o.Lead()).Sub(c.Start))/c.Step) + curveAhead
	if from < 0 || from >= len(c.Values) {
		return nil
	}
	c.Start, c.Values = c.Start.Add(time.Duration(from)*c.Step), c.Values[from:min(max(to, from+1), len(c.Values))]
	return &c
}

// Query is the PromQL of what is forecast.
func (f *Forecaster) Query() string { return f.o.Query }

// At is what was said of a time, a lead before it, and the quantiles of its values; nil: nothing.
func (f *Forecaster) At(t time.Time) (quantiles []float64, _ *Said) {
	last := f.last.Load()
	if last == nil || last.Forecast == nil {
		return nil, nil
	}
	for i := range slices.Backward(last.Said) {
		if s := &last.Said[i]; !t.Before(s.Time) {
			if t.Before(s.Time.Add(last.Forecast.Step)) && len(s.Values) == len(last.Forecast.Quantiles) {
				return last.Forecast.Quantiles, s
			}
			break
		}
	}
	return nil, nil
}

// Run fits until ctx ends.
func (f *Forecaster) Run(ctx context.Context) {
	t := time.NewTicker(f.o.every())
	defer t.Stop()
	for {
		select {
		case f.turn <- struct{}{}:
			f.Fit(ctx, time.Now())
			<-f.turn
		case <-ctx.Done():
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// Fit replaces the newest forecast by one made at now. When that cannot be, the one before stays for as long as it reaches. Run calls it.
func (f *Forecaster) Fit(ctx context.Context, now time.Time) {
	made := f.make(ctx, now)
	if ctx.Err() != nil {
		return
	}
	if before := f.last.Load(); before != nil {
		made.Said = f.said(before.Said, made)
	} else {
		made.Said = f.said(nil, made)
	}
	why := ""
	if made.Err != nil {
		why = made.Err.Error()
		if before := f.last.Load(); before != nil && before.Forecast != nil {
			keep := *before
			keep.Err, keep.Said = made.Err, made.Said
			made = &keep
		}
	}
	if why != f.noted {
		f.noted = why
		switch {
		case why == "":
			f.log.Info("the load is forecast", "pool", f.o.Pool, "metric", f.o.Metric)
		case errors.Is(made.Err, forecast.ErrShort):
			f.log.Info("the load cannot be forecast yet", "pool", f.o.Pool, "why", why)
		default:
			f.log.Warn("the load could not be forecast", "pool", f.o.Pool, "error", why)
		}
	}
	f.last.Store(made)
}

// said goes on with what was said before: with the steps from a lead ahead until the next fit's.
func (f *Forecaster) said(before []Said, m *Forecasted) []Said {
	old := m.Made.Add(-f.o.Season)
	var out []Said
	for _, s := range before {
		if !s.Time.Before(old) {
			out = append(out, s)
		}
	}
	fc := m.Forecast
	if fc == nil {
		return out
	}
	from, to := m.Made.Add(m.Lead-fc.Step), m.Made.Add(m.Lead+f.o.every())
	if n := len(out); n > 0 && !from.After(out[n-1].Time) {
		from = out[n-1].Time.Add(1)
	}
	for i, v := range fc.Point {
		at := fc.Start.Add(time.Duration(i) * fc.Step)
		if !at.Before(to) {
			break
		}
		if at.Before(from) {
			continue
		}
		s := Said{Time: at, Point: v}
		for q := range fc.Values {
			s.Values = append(s.Values, fc.Values[q][i])
		}
		out = append(out, s)
	}
	return out
}

func (f *Forecaster) make(ctx context.Context, now time.Time) *Forecasted {
	m := &Forecasted{Made: now, Metric: f.o.Metric, Lead: f.o.Lead()}
	to := now.Truncate(f.o.Step)
	from := to.Add(-f.o.History)
	points, err := f.read(ctx, f.o.Query, from, to, f.o.Step)
	if err != nil {
		m.Err = err
		return m
	}
	m.Actual = seriesOf(points, from, to, f.o.Step)
	quantiles := []float64{0.05, 0.5, 0.95}
	at := 0
	for at < len(quantiles) && quantiles[at] < f.o.Quantile {
		at++
	}
	if at == len(quantiles) || quantiles[at] != f.o.Quantile {
		quantiles = append(quantiles[:at:at], append([]float64{f.o.Quantile}, quantiles[at:]...)...)
	}
	m.Forecast, m.Err = forecast.New(m.Actual, forecast.Options{
		Horizon: f.o.Horizon(), Quantiles: quantiles, Location: f.o.Location, Season: f.o.Season, Lead: m.Lead, Ready: f.o.Quantile,
	})
	if m.Err != nil {
		m.Forecast = nil
		return m
	}
	r := m.Forecast.Recent
	m.curve = scale.Curve{
		Metric: f.o.Metric, Start: m.Forecast.Start, Step: m.Forecast.Step, Values: m.Forecast.Values[at],
		Tried: r.Tried, Error: r.Loss, Reactive: r.Reacting,
	}
	return m
}

// seriesOf lays points on even steps; the value of a step is that at its end. What is missing is NaN.
func seriesOf(points []measure.Point, from, to time.Time, step time.Duration) forecast.Series {
	s := forecast.Series{Start: from, Step: step, Values: make([]float64, int(to.Sub(from)/step))}
	for i := range s.Values {
		s.Values[i] = math.NaN()
	}
	for _, p := range points {
		if i := int(p.Time.Sub(from)/step) - 1; i >= 0 && i < len(s.Values) {
			s.Values[i] = p.Value
		}
	}
	return s
}
