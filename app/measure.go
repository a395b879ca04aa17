package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/measure"
	"github.com/weirlb/weir/measure/history"
	"github.com/weirlb/weir/measure/prom"
	"github.com/weirlb/weir/measure/scrape"
	"github.com/weirlb/weir/target"
	"github.com/weirlb/weir/telemetry"
	"github.com/weirlb/weir/window"
)

// remember opens the history of a tenure and begins to answer queries. Without a history Weir runs on: what asks it gets no answer.
func (t *tenure) remember(dir string, m config.Metrics, log *slog.Logger) {
	sources := map[string]measure.Source{}
	var err error
	t.history, err = history.Open(history.Options{
		Dir: filepath.Join(dir, "metrics"), Retention: time.Duration(m.Retention), Detail: time.Duration(m.Detail), MaxBytes: int64(m.MaxSize), Log: log,
	})
	if err != nil {
		log.Error("measured values are not kept, and policies with a query have no answer", "error", err)
		t.history = nil
		sources[""] = noHistory{err}
	} else {
		sources[""] = t.history
	}
	if p := m.Prometheus; p != nil {
		sources[config.FromPrometheus] = prom.New(prom.Options{
			URL: p.URL, Token: p.Token, User: p.User, Password: p.Password, Headers: p.Headers, Timeout: time.Duration(p.Timeout),
		})
	}
	t.asker = measure.NewAsker(t.ctx, sources, log)
}

// noHistory answers for a history that could not be opened.
type noHistory struct{ err error }

func (n noHistory) Query(context.Context, string, time.Time) (float64, bool, error) {
	return 0, false, n.err
}

// record keeps Weir's own numbers until the tenure ends.
func (a *App) record(t *tenure) {
	a.kept.Store(t.history)
	every := time.Duration(a.cfg.Metrics.Interval)
	t.works.Go(func() { a.watchGPUs(t.ctx, every, t.history) })
	t.works.Go(func() {
		r := recorder{app: a, fresh: 3 * every, own: telemetry.Registry(a.Metrics)}
		if t.history != nil {
			r.scope = t.history.Scope()
		}
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			r.round(time.Now())
			select {
			case <-t.ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
}

// recorder turns Weir's own numbers into series: those that GET /metrics shows, under the same names, and what is measured of each
// instance, which are too many and too short-lived for there.
type recorder struct {
	app    *App
	scope  *history.Scope // nil when there is no history
	fresh  time.Duration  // for how long a policy believes what a round finds
	own    *prometheus.Registry
	now    time.Time
	batch  []history.Sample
	label  labels.Builder
	failed bool
}

func (r *recorder) round(now time.Time) {
	r.now, r.batch = now, r.batch[:0]
	families, err := r.own.Gather()
	for _, f := range families {
		r.family(f)
	}
	for _, lp := range r.app.sorted() {
		r.pool(lp)
	}
	if r.scope != nil {
		err = errors.Join(err, r.scope.Append(now, r.batch))
	}
	switch {
	case err != nil && !r.failed:
		r.app.log.Error("measured values could not be kept", "error", err)
	case err == nil && r.failed:
		r.app.log.Info("measured values are kept again")
	}
	r.failed = err != nil
}

// pool adds what is known of a pool and its instances beyond what GET /metrics shows.
func (r *recorder) pool(lp *livePool) {
	s := lp.pool.Stats(r.now)
	r.add("weir_requests_per_second", measure.Gauge, s.Rate, "pool", lp.name)
	if s.Latency.Count > 0 {
		// A policy sees it under these names.
		r.app.samples.SetFor(measure.PoolKey(lp.name), "latency", s.Latency.P95, r.now, r.fresh)
		r.app.samples.SetFor(measure.PoolKey(lp.name), "wait", s.Wait.P95, r.now, r.fresh)
	}
	for name, q := range map[string]window.Summary{"weir_latency_seconds": s.Latency, "weir_wait_seconds": s.Wait} {
		if q.Count == 0 {
			continue // no requests have no latency
		}
		r.add(name, measure.Gauge, q.P50, "pool", lp.name, "quantile", "0.5")
		r.add(name, measure.Gauge, q.P95, "pool", lp.name, "quantile", "0.95")
		r.add(name, measure.Gauge, q.P99, "pool", lp.name, "quantile", "0.99")
	}
	scaled := lp.scaled.Load()
	if scaled == nil {
		for _, t := range s.Targets {
			r.metrics("weir_target_", "target", lp.name, t.Target.ID)
		}
		return
	}
	if f := scaled.forecast.Load(); f != nil {
		if quantiles, said := f.At(r.now); said != nil {
			for i, q := range quantiles {
				r.add(forecastSeries, measure.Gauge, said.Values[i], "pool", lp.name, "quantile", number(q))
			}
		}
	}
	for _, v := range scaled.fleet.Instances(r.now) {
		r.metrics("weir_instance_", "instance", lp.name, v.ID)
		r.add("weir_instance_in_flight", measure.Gauge, float64(v.InFlight), "pool", lp.name, "instance", v.ID)
	}
}

func (r *recorder) metrics(prefix, label, pool, id string) {
	for name, v := range r.app.samples.Of(id, r.now, nil) {
		r.add(prefix+name, measure.Gauge, v, "pool", pool, label, id)
	}
}

// family adds the series of one name, in the way that GET /metrics writes them.
func (r *recorder) family(f *dto.MetricFamily) {
	name := f.GetName()
	for _, m := range f.Metric {
		l := make([]string, 0, 2*len(m.Label)+2)
		for _, p := range m.Label {
			l = append(l, p.GetName(), p.GetValue())
		}
		switch {
		case m.Counter != nil:
			r.add(name, measure.Counter, m.Counter.GetValue(), l...)
		case m.Gauge != nil:
			r.add(name, measure.Gauge, m.Gauge.GetValue(), l...)
		case m.Untyped != nil:
			r.add(name, measure.Gauge, m.Untyped.GetValue(), l...)
		case m.Summary != nil:
			for _, q := range m.Summary.Quantile {
				r.add(name, measure.Gauge, q.GetValue(), append(slices.Clone(l), "quantile", number(q.GetQuantile()))...)
			}
			r.add(name+"_sum", measure.Counter, m.Summary.GetSampleSum(), l...)
			r.add(name+"_count", measure.Counter, float64(m.Summary.GetSampleCount()), l...)
		case m.Histogram != nil:
			for _, b := range m.Histogram.Bucket {
				r.add(name+"_bucket", measure.Counter, float64(b.GetCumulativeCount()), append(slices.Clone(l), "le", number(b.GetUpperBound()))...)
			}
			r.add(name+"_bucket", measure.Counter, float64(m.Histogram.GetSampleCount()), append(slices.Clone(l), "le", "+Inf")...)
			r.add(name+"_sum", measure.Counter, m.Histogram.GetSampleSum(), l...)
			r.add(name+"_count", measure.Counter, float64(m.Histogram.GetSampleCount()), l...)
		}
	}
}

// number writes a bound as Prometheus does.
func number(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

func (r *recorder) add(name string, kind measure.Kind, v float64, l ...string) {
	r.label.Reset(labels.EmptyLabels())
	r.label.Set(model.MetricNameLabel, name)
	for i := 0; i < len(l); i += 2 {
		r.label.Set(l[i], l[i+1])
	}
	r.batch = append(r.batch, history.Sample{Labels: r.label.Labels(), Kind: kind, Time: r.now, Value: v})
}

// scraper reads the metrics of targets.
func (a *App) scraper() *scrape.Scraper {
	return &scrape.Scraper{Samples: &a.samples, History: a.kept.Load, Log: a.log}
}

// read is the reading of a target's metrics.
type read struct {
	scrape.Options
	cancel context.CancelFunc
}

// read starts, replaces or ends the reading of a target's metrics. The pool's lock is held.
func (lp *livePool) read(t *target.Target) {
	c := lp.config()
	var want scrape.Options
	if m := c.Metrics; m != nil {
		want = scrape.Options{
			Path: m.Path, Port: m.Port, Preset: c.Preset, Interval: time.Duration(m.Interval), Timeout: time.Duration(m.Timeout),
			MaxSeries: m.MaxSeries, Names: m.Names,
		}
	}
	if g := lp.reads[t]; g != nil {
		if g.Equal(want) {
			return
		}
		g.cancel()
		delete(lp.reads, t)
	}
	if c.Metrics == nil {
		return
	}
	ctx, cancel := context.WithCancel(lp.ctx)
	lp.reads[t] = &read{want, cancel}
	to := scrape.Target{Pool: lp.name, ID: t.ID, Addr: t.Addr, Label: "target", Told: func(values map[string]float64) { lp.told(t, values) }}
	if lp.scales() {
		to.Label = "instance"
	}
	lp.runs.Go(func() { lp.scraper.Watch(ctx, to, want) })
}

// told has balance: least_utilization go by what a target's metrics say, where its answers say nothing.
func (lp *livePool) told(t *target.Target, values map[string]float64) {
	c := lp.config()
	if c.Utilization == nil || c.LoadReport != "off" {
		return
	}
	if v, ok := values[c.Utilization.Metric]; ok {
		if strings.HasSuffix(c.Utilization.Metric, "_utilization") {
			v /= 100 // these are in percent
		}
		t.SetReport(target.Report{Utilization: v, At: time.Now()})
	}
}

// queriesOf are the queries that the policies of a pool need.
func queriesOf(c *config.Pool) (qs []measure.Query) {
	for _, x := range queriesAt("", c) {
		if !slices.Contains(qs, x.Query) {
			qs = append(qs, x.Query)
		}
	}
	return qs
}

// queryAt is a query with its place in the file.
type queryAt struct {
	measure.Query
	path string
}

// queriesAt finds the queries of a pool wherever its scaling says query, and, beside it, who answers.
func queriesAt(path string, c *config.Pool) (qs []queryAt) {
	if c.Scale != nil {
		gather(path+".scale", reflect.ValueOf(c.Scale), &qs)
	}
	return qs
}

// gather finds the queries in a part of the config, however deep they are.
func gather(path string, v reflect.Value, qs *[]queryAt) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			gather(path, v.Elem(), qs)
		}
	case reflect.Slice:
		for i := range v.Len() {
			gather(fmt.Sprintf("%s[%d]", path, i), v.Index(i), qs)
		}
	case reflect.Struct:
		if q := v.FieldByName("Query"); q.IsValid() && q.Kind() == reflect.String && q.String() != "" {
			one := queryAt{measure.Query{Text: q.String()}, path + ".query"}
			if from := v.FieldByName("From"); from.IsValid() && from.Kind() == reflect.String && from.String() == config.FromPrometheus {
				one.Source = config.FromPrometheus
			}
			*qs = append(*qs, one)
		}
		for f, x := range v.Fields() {
			key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			gather(path+"."+key, x, qs)
		}
	}
}

// checkQueries finds queries that cannot be answered, of a pool at path.
func checkQueries(path string, c *config.Pool, m config.Metrics) (errs config.Errors) {
	from := map[string]string{}
	for _, q := range queriesAt(path, c) {
		if err := history.Check(q.Text); err != nil {
			errs = append(errs, config.Error{Path: q.path, Message: "is not PromQL: " + err.Error()})
		}
		if q.Source == config.FromPrometheus && m.Prometheus == nil {
			errs = append(errs, config.Error{Path: q.path, Message: "is for a Prometheus server, and none is named; add metrics: {prometheus: {url: ...}}, or leave out from"})
		}
		if other, ok := from[q.Text]; ok && other != q.Source {
			errs = append(errs, config.Error{Path: q.path, Message: "is asked of two sources in this pool; write it in two ways, such as with + 0, to tell the answers apart"})
		}
		from[q.Text] = q.Source
	}
	return errs
}

// Push takes values that a user sent: all of them, or none. It implements admin.Pusher.
func (a *App) Push(values []measure.Pushed) error {
	batch := make([]history.Sample, 0, len(values))
	for i, p := range values {
		if p.Pool != "" {
			lp, err := a.pool(p.Pool)
			if err == nil && p.Instance != "" && !lp.has(p.Instance) {
				err = fmt.Errorf("pool %s has no instance or target %s: %w", p.Pool, p.Instance, admin.ErrNotFound)
			}
			if err != nil {
				return fmt.Errorf("item %d: %w", i, err)
			}
		}
		b := labels.NewBuilder(labels.FromMap(p.Labels)).Set(model.MetricNameLabel, p.Name).Set("pool", p.Pool).Set("instance", p.Instance)
		batch = append(batch, history.Sample{Labels: b.Labels(), Time: p.Time, Value: *p.Value})
	}
	if db := a.kept.Load(); db != nil {
		if err := db.Append(batch); err != nil {
			return err
		}
	}
	for _, p := range values {
		if p.Pool == "" || len(p.Labels) > 0 {
			continue // for queries alone: a policy's metric is one number
		}
		key := cmp.Or(p.Instance, measure.PoolKey(p.Pool))
		a.samples.SetFor(key, p.Name, *p.Value, p.Time, measure.PushedFresh)
	}
	return nil
}

// has reports whether a pool has an instance, or a target, of that name.
func (lp *livePool) has(id string) bool {
	if s := lp.scaled.Load(); s != nil {
		return slices.ContainsFunc(s.fleet.Instances(time.Now()), func(v fleet.View) bool { return v.ID == id })
	}
	return slices.ContainsFunc(lp.members(), func(t *target.Target) bool { return t.ID == id })
}

// History evaluates a PromQL expression about what was measured, at every step of a span; see [history.DB.Range].
func (a *App) History(ctx context.Context, promql string, from, to time.Time, step time.Duration) ([]measure.Point, error) {
	a.mu.Lock()
	t := a.tenure
	a.mu.Unlock()
	return t.read(ctx, promql, from, to, step)
}

// read is [App.History] of a tenure.
func (t *tenure) read(ctx context.Context, promql string, from, to time.Time, step time.Duration) ([]measure.Point, error) {
	if t.history == nil {
		return nil, errors.New("there is no history of what was measured; see the log of the start")
	}
	return t.history.Range(ctx, promql, from, to, step)
}
