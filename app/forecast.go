package app

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/control"
	"github.com/weirlb/weir/measure"
	"github.com/weirlb/weir/scale"
)

// predictionOf is the predict policy of a pool; nil: it has none.
func predictionOf(c *config.Pool) *config.PredictPolicy {
	if c.Scale == nil {
		return nil
	}
	for _, p := range c.Scale.Policies {
		if p.Predict != nil {
			return p.Predict
		}
	}
	return nil
}

// foresee starts, replaces or ends the forecast of a pool.
func (a *App) foresee(lp *livePool, s *scaling, c *config.Pool) {
	p := predictionOf(c)
	if old := s.forecast.Load(); old != nil {
		if p != nil && reflect.DeepEqual(old.of, *p) {
			return
		}
		old.cancel()
		s.forecast.Store(nil)
	}
	if p == nil {
		return
	}
	o := forecastOptions(p)
	o.Pool, o.Query = lp.name, forecastQuery(lp.name, p, time.Duration(a.cfg.Metrics.Interval))
	o.Lead = func() time.Duration { return leadOf(p, s.fleet.Boots()) }
	ctx, cancel := context.WithCancel(s.ctx)
	f := &foresight{Forecaster: control.NewForecaster(o, s.tenure.read, a.fitting, a.log), of: *p, cancel: cancel}
	s.forecast.Store(f)
	s.tenure.works.Go(func() { f.Run(ctx) })
}

// forecastOptions translates what they can say without a pool.
func forecastOptions(p *config.PredictPolicy) control.ForecastOptions {
	zone, err := time.LoadLocation(p.Timezone)
	if err != nil {
		zone = time.UTC // the config has refused it
	}
	return control.ForecastOptions{
		Metric: p.Measured(), History: time.Duration(p.History), Step: time.Duration(p.Step), Season: time.Duration(p.Season), Location: zone, Quantile: p.Quantile,
	}
}

// foresight is a running forecast, and what it was configured by.
type foresight struct {
	*control.Forecaster
	of     config.PredictPolicy
	cancel context.CancelFunc
}

// curve is what a decision reads.
func (s *scaling) curve(now time.Time) *scale.Curve {
	if f := s.forecast.Load(); f != nil {
		return f.Curve(now)
	}
	return nil
}

func leadOf(p *config.PredictPolicy, boots scale.Sample) time.Duration {
	return scale.NewPredict(p.Options()).Lead(boots)
}

// forecastQuery is the PromQL of a pool's total, averaged over each step so that nothing between two steps is lost. interval is the time
// between two values of the history. Requests are counted: the rate that policies see covers up to a minute, which would blur shorter steps.
func forecastQuery(pool string, p *config.PredictPolicy, interval time.Duration) string {
	step := time.Duration(p.Step)
	mean := func(name string) string {
		return fmt.Sprintf("sum(avg_over_time({__name__=%s,pool=%s}[%dms]))", strconv.Quote(name), strconv.Quote(pool), max(step, interval).Milliseconds())
	}
	switch {
	case p.Query != "":
		return p.Query
	case p.Metric == config.MetricRequestsPerSecond:
		// A rate needs two values, which do not come by the millisecond.
		return fmt.Sprintf("sum(rate(weir_received_requests_total{pool=%s}[%dms]))", strconv.Quote(pool), max(step, interval*9/4).Milliseconds())
	case p.Metric == config.MetricInFlight:
		return mean("weir_in_flight_requests")
	case p.Metric == config.MetricQueueDepth:
		return mean("weir_queue_depth")
	}
	return mean(p.Metric) + " or " + mean("weir_instance_"+p.Metric) // pushed for the pool, or measured of its instances
}

// Forecast says what a pool's load is expected to be; a horizon of 0 is a season.
func (a *App) Forecast(pool string, horizon time.Duration) (*admin.Forecast, error) {
	lp, err := a.pool(pool)
	if err != nil {
		return nil, err
	}
	s := lp.scaled.Load()
	var f *foresight
	if s != nil {
		f = s.forecast.Load()
	}
	if f == nil {
		return nil, fmt.Errorf("pool %s has no predict policy; add {predict: {mode: forecast_only}} to its scale.policies: %w", pool, admin.ErrNotFound)
	}
	last := f.Last()
	if last == nil {
		return &admin.Forecast{Pool: pool, Metric: f.of.Measured(), Why: "the first fit is under way"}, nil
	}
	season, step := time.Duration(f.of.Season), time.Duration(f.of.Step)
	out := forecastView(pool, last, cmp.Or(horizon, season))
	out.Season, out.StepSeconds = season.Seconds(), step.Seconds()
	out.Policy = s.foresight(f.of)
	a.compare(s, f, out, time.Now())
	return out, nil
}

// foresight is what the predict policy said last; nil: nothing yet.
func (s *scaling) foresight(of config.PredictPolicy) *admin.ForecastPolicy {
	_, d, _ := s.loop.Last()
	name := scale.NewPredict(of.Options()).Name()
	for _, p := range d.Proposals {
		if p.Policy == name {
			return &admin.ForecastPolicy{Mode: of.Mode, Desired: p.Desired, Demoted: p.Demoted, Why: p.Why}
		}
	}
	return nil
}

// forecastSeries is what was said of each moment, a lead before it, in the history.
const forecastSeries = "weir_forecast"

// compare adds what was measured in the last season, and what had been forecast for it before this Weir started. What cannot be read is left
// out: the forecast stands without.
func (a *App) compare(s *scaling, f *foresight, out *admin.Forecast, now time.Time) {
	step, season := time.Duration(f.of.Step), time.Duration(f.of.Season)
	ctx, cancel := context.WithTimeout(s.ctx, comparePatience)
	defer cancel()
	to := now.Truncate(step)
	from := to.Add(-season)
	read := func(query string) []measure.Point {
		points, err := s.tenure.read(ctx, query, from.Add(step), to, step)
		if err != nil {
			a.log.Debug("what a forecast is compared with could not be read", "pool", out.Pool, "error", err)
		}
		return slices.DeleteFunc(points, func(p measure.Point) bool { return math.IsNaN(p.Value) || math.IsInf(p.Value, 0) })
	}
	for _, p := range read(f.Query()) {
		out.Actual = append(out.Actual, admin.ForecastPoint{Time: p.Time.Add(-step), Value: p.Value}) // a step's value is that at its end
	}
	before := map[time.Time][]float64{}
	for i, q := range out.Quantiles {
		query := fmt.Sprintf("avg_over_time(%s{pool=%s,quantile=%s}[%dms])", forecastSeries, strconv.Quote(out.Pool), strconv.Quote(number(q)), step.Milliseconds())
		for _, p := range read(query) {
			at := p.Time.Add(-step)
			if len(out.Said) > 0 && !at.Before(out.Said[0].Time) {
				break
			}
			if len(before[at]) == i {
				before[at] = append(before[at], p.Value)
			}
		}
	}
	var said []admin.ForecastStep
	for at, values := range before {
		if len(values) == len(out.Quantiles) { // the policy may have had other ones then
			said = append(said, admin.ForecastStep{Time: at, Point: values[slices.Index(out.Quantiles, 0.5)], Values: values})
		}
	}
	slices.SortFunc(said, func(a, b admin.ForecastStep) int { return a.Time.Compare(b.Time) })
	out.Said = append(said, out.Said...)
}

// comparePatience is how long it may take to read the past: somebody waits for the answer.
const comparePatience = 5 * time.Second

func forecastView(pool string, last *control.Forecasted, horizon time.Duration) *admin.Forecast {
	out := &admin.Forecast{Pool: pool, Metric: last.Metric, Made: last.Made, LeadSeconds: last.Lead.Seconds()}
	if last.Err != nil {
		out.Why = last.Err.Error()
	}
	fc := last.Forecast
	if fc == nil {
		return out
	}
	out.StepSeconds, out.Quantiles = fc.Step.Seconds(), fc.Quantiles
	r := fc.Recent
	out.Accuracy = &admin.Accuracy{Tried: r.Tried, WAPE: r.WAPE, Reactive: r.Persistence, Loss: r.Loss, ReactiveLoss: r.Reacting}
	missed, total := 0.0, 0.0
	for _, s := range last.Said {
		out.Said = append(out.Said, admin.ForecastStep{Time: s.Time, Point: s.Point, Values: s.Values})
		i := int(s.Time.Sub(last.Actual.Start) / fc.Step)
		if i < 0 || i >= len(last.Actual.Values) || math.IsNaN(last.Actual.Values[i]) {
			continue
		}
		out.Accuracy.LiveTried++
		missed += math.Abs(s.Point - last.Actual.Values[i])
		total += math.Abs(last.Actual.Values[i])
	}
	if total > 0 {
		out.Accuracy.LiveWAPE = missed / total
	}
	for i, v := range fc.Point {
		if time.Duration(i)*fc.Step >= horizon {
			break
		}
		step := admin.ForecastStep{Time: fc.Start.Add(time.Duration(i) * fc.Step), Point: v}
		for q := range fc.Values {
			step.Values = append(step.Values, fc.Values[q][i])
		}
		out.Steps = append(out.Steps, step)
	}
	for _, m := range fc.Models {
		if m.Weight >= 0.01 {
			out.Models = append(out.Models, admin.ForecastModel{Name: m.Model, Weight: m.Weight})
		}
	}
	return out
}
