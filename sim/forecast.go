package sim

import (
	"context"
	"log/slog"
	"time"

	"github.com/weirlb/weir/control"
	"github.com/weirlb/weir/measure"
	"github.com/weirlb/weir/scale"
)

// Forecast is what a predict policy wants forecast. Of a run it can be [scale.RequestsPerSecond], [scale.InFlight] or [scale.QueueDepth].
type Forecast struct {
	control.ForecastOptions                                        // but Pool, Query and Lead
	LeadOf                  func(boots scale.Sample) time.Duration // how far ahead the policy looks
}

// Forecasts says whether a run can forecast a metric.
func Forecasts(metric string) bool {
	return metric == scale.RequestsPerSecond || metric == scale.InFlight || metric == scale.QueueDepth
}

// Production fits a forecast a hundred times in a season. A fit takes as long as thousands of requests, so a run has four in a season, and
// half as many from each maxFits on.
const (
	fitsInSeason = 4
	maxFits      = 100
)

// foresight is a run's history of what is forecast, and the forecaster of production, which reads it.
type foresight struct {
	*control.Forecaster
	e      *engine
	o      *Forecast
	points []measure.Point // each is the mean of the step that ends there

	arrived int // requests that the points count
	looked  time.Duration
	sum     float64 // of the gauge and time since the last point

	every, next time.Duration
	fits        int
}

// foresee begins to record.
func (e *engine) foresee(o *Forecast) *foresight {
	f := &foresight{e: e, o: o, every: o.Season / fitsInSeason, next: o.Season}
	options := o.ForecastOptions
	options.Pool, options.Lead = e.o.Name, func() time.Duration { return o.LeadOf(e.fleet.Boots()) }
	f.Forecaster = control.NewForecaster(options, f.read, make(chan struct{}, 1), slog.New(slog.DiscardHandler))
	e.events.push(event{at: o.Step, kind: stepped})
	return f
}

// look follows a gauge. It is called with every decision.
func (f *foresight) look() {
	r := f.e.result
	load := r.Waiting()
	if f.o.Metric == scale.InFlight {
		load = r.begun - r.over
	}
	f.sum += float64(float64(load) * (f.e.now - f.looked).Seconds())
	f.looked = f.e.now
}

// step ends a step of the history, and fits when it is time.
func (f *foresight) step() {
	f.look()
	v := f.sum
	if f.o.Metric == scale.RequestsPerSecond {
		v = float64(f.e.result.Requests - f.arrived)
	}
	f.points = append(f.points, measure.Point{Time: f.e.time(f.e.now), Value: v / f.o.Step.Seconds()})
	f.sum, f.arrived = 0, f.e.result.Requests
	if f.e.now >= f.next {
		f.Fit(context.Background(), f.e.time(f.e.now))
		if f.fits++; f.fits%maxFits == 0 {
			f.every *= 2
		}
		f.next = f.e.now + f.every
	}
	f.e.events.push(event{at: f.e.now + f.o.Step, kind: stepped})
}

// read is the history from from to to, which is now.
func (f *foresight) read(_ context.Context, _ string, from, to time.Time, _ time.Duration) ([]measure.Point, error) {
	i := len(f.points)
	for i > 0 && f.points[i-1].Time.After(from) {
		i--
	}
	return f.points[i:], nil
}

// accuracy notes how the forecasts did.
func (f *foresight) accuracy(r *Result) {
	r.Fits = f.fits
	if last := f.Last(); last != nil && last.Forecast != nil {
		r.Forecast = last.Forecast.Recent
	}
}
