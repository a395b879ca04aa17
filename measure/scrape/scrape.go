// Package scrape reads what targets tell about themselves, mostly in the form of Prometheus: all of it goes to the history, and what
// policies understand to the samples of each instance.
package scrape

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"github.com/weirlb/weir/measure"
	"github.com/weirlb/weir/measure/history"
)

// Options are how the targets of a pool tell about themselves. Two that are equal behave the same.
type Options struct {
	Path      string
	Port      int    // 0: the target's own
	Preset    string // "" for none
	Interval  time.Duration
	Timeout   time.Duration
	MaxSeries int               // of one target; those beyond it are left out of the history, and counted
	Names     map[string]string // of series, by the name that a policy uses
}

// Equal reports whether both read the same.
func (o Options) Equal(p Options) bool {
	a, b := o, p
	a.Names, b.Names = nil, nil
	return maps.Equal(o.Names, p.Names) && a.Path == b.Path && a.Port == b.Port && a.Preset == b.Preset && a.Interval == b.Interval &&
		a.Timeout == b.Timeout && a.MaxSeries == b.MaxSeries
}

// Target is who is asked.
type Target struct {
	Pool, ID string
	Addr     string                   // host:port that takes its traffic
	Label    string                   // that names it in the history: instance, or target
	Told     func(map[string]float64) // when set, told what the target said each time, nothing when it could not; it must not block
}

// Scraper reads targets. Its fields are set before it is used.
type Scraper struct {
	Samples *measure.Store
	History func() *history.DB // the one that is open now; nil when there is none
	Log     *slog.Logger
	Client  *http.Client // nil: one of its own
}

// mostBytes of an answer; a longer one has failed.
const mostBytes = 16 << 20

// reader reads one target.
type reader struct {
	*Scraper
	o      Options
	t      Target
	url    string
	tally  *tally
	scope  *history.Scope
	db     *history.DB // of scope
	batch  []history.Sample
	known  map[string]bool // metrics that the last round gave
	failed bool
	over   bool // it had more series than may be
	tried  bool
}

// Watch reads a target until ctx ends, and then leaves nothing behind that could be taken for the present.
func (s *Scraper) Watch(ctx context.Context, t Target, o Options) {
	r := &reader{Scraper: s, o: o, t: t, tally: newTally(o.Preset, o.Names), known: map[string]bool{}}
	host, port, err := net.SplitHostPort(t.Addr)
	if err != nil {
		s.Log.Error("a target's metrics cannot be read", "pool", t.Pool, "target", t.ID, "error", err)
		return
	}
	if o.Port != 0 {
		port = strconv.Itoa(o.Port)
	}
	r.url = "http://" + net.JoinHostPort(host, port) + o.Path
	defer r.end()
	// Targets that came together are not all asked in the same moment.
	wait := time.Duration(rand.Int64N(int64(max(o.Interval/5, 1))))
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		began := time.Now()
		r.round(ctx)
		wait = max(o.Interval-time.Since(began), o.Interval/10)
	}
}

// round asks once.
func (r *reader) round(ctx context.Context) {
	began := time.Now()
	r.batch = r.batch[:0]
	r.tally.reset()
	values, dropped, err := r.ask(ctx, began)
	if ctx.Err() != nil {
		return
	}
	r.say(err, dropped)
	up := 1.0
	if err != nil {
		// What it told before is not known to be true any more, half an answer included.
		up, values, r.batch = 0, nil, r.batch[:0]
	}
	r.add(began, "up", up)
	r.add(began, "scrape_duration_seconds", time.Since(began).Seconds())
	if err == nil {
		r.add(began, "scrape_series_dropped", float64(dropped))
	}
	r.keep(began)
	r.tell(values)
}

// ask reads and parses one answer.
func (r *reader) ask(ctx context.Context, now time.Time) (values map[string]float64, dropped int, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.o.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, nil)
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("User-Agent", "Weir")
	req.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", strconv.FormatFloat(r.o.Timeout.Seconds(), 'f', -1, 64))
	read, json := documents[r.o.Preset]
	if json {
		req.Header.Set("Accept", "application/json")
	} else {
		req.Header.Set("Accept", "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1")
	}
	client := r.Client
	if client == nil {
		client = plain
	}
	resp, err := client.Do(req)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return nil, 0, fmt.Errorf("no answer within %v", r.o.Timeout)
		}
		return nil, 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("GET %s answered %s", r.o.Path, resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostBytes+1))
	switch {
	case err != nil:
		return nil, 0, fmt.Errorf("reading the answer: %w", err)
	case len(body) > mostBytes:
		return nil, 0, fmt.Errorf("the answer is longer than %d MiB", mostBytes>>20)
	case json:
		return read(body), 0, nil
	}
	dropped, err = r.parse(body, resp.Header.Get("Content-Type"), now)
	return r.tally.values(), dropped, err
}

// plain follows no proxy of the environment: targets are near.
var plain = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1, IdleConnTimeout: 2 * time.Minute}}

// parse reads series into the batch and the tally, and counts those for which there was no room.
func (r *reader) parse(body []byte, contentType string, now time.Time) (dropped int, err error) {
	p, err := textparse.New(body, contentType, labels.NewSymbolTable(), textparse.ParserOptions{
		FallbackContentType: "text/plain", IgnoreNativeHistograms: true, OpenMetricsSkipSTSeries: true,
	})
	if p == nil {
		return 0, fmt.Errorf("its content type %q is not one of Prometheus: %w", contentType, err)
	}
	kind := measure.Gauge
	var l labels.Labels
	b := labels.NewBuilder(labels.EmptyLabels())
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			return dropped, nil
		}
		if err != nil {
			return dropped, fmt.Errorf("its metrics cannot be parsed: %w", err)
		}
		switch entry {
		case textparse.EntryType:
			kind = measure.Gauge
			if _, t := p.Type(); t == model.MetricTypeCounter || t == model.MetricTypeHistogram {
				kind = measure.Counter
			}
		case textparse.EntrySeries:
			_, _, v := p.Series()
			p.Labels(&l)
			r.tally.add(l.Get(model.MetricNameLabel), l, v)
			if len(r.batch) >= r.o.MaxSeries {
				dropped++
				continue
			}
			r.batch = append(r.batch, history.Sample{Labels: r.relabel(b, l), Kind: kind, Time: now, Value: v})
		}
	}
}

// relabel adds who told it. A label of the target's own that has such a name keeps its value as exported_NAME, as with Prometheus.
func (r *reader) relabel(b *labels.Builder, l labels.Labels) labels.Labels {
	b.Reset(l)
	for _, name := range []string{"pool", r.t.Label} {
		if v := l.Get(name); v != "" {
			b.Set("exported_"+name, v)
		}
	}
	return b.Set("pool", r.t.Pool).Set(r.t.Label, r.t.ID).Labels()
}

func (r *reader) add(now time.Time, name string, v float64) {
	r.batch = append(r.batch, history.Sample{
		Labels: labels.FromStrings(model.MetricNameLabel, name, "pool", r.t.Pool, r.t.Label, r.t.ID), Time: now, Value: v,
	})
}

// keep adds the batch to the history, if there is one.
func (r *reader) keep(now time.Time) {
	if db := r.History(); db != r.db {
		r.db, r.scope = db, nil
		if db != nil {
			r.scope = db.Scope()
		}
	}
	if r.scope == nil {
		return
	}
	if err := r.scope.Append(now, r.batch); err != nil && !errors.Is(err, history.ErrClosed) {
		r.Log.Warn("a target's metrics could not be kept", "pool", r.t.Pool, "target", r.t.ID, "error", err)
	}
}

// tell makes values those that policies see, and what is not among them unknown.
func (r *reader) tell(values map[string]float64) {
	now := time.Now()
	for name, v := range values {
		r.Samples.SetFor(r.t.ID, name, v, now, 2*r.o.Interval+r.o.Timeout)
	}
	var gone []string
	for name := range r.known {
		if _, ok := values[name]; !ok {
			gone = append(gone, name)
		}
	}
	if len(gone) > 0 {
		r.Samples.Drop(r.t.ID, gone...)
	}
	if r.t.Told != nil {
		r.t.Told(values)
	}
	clear(r.known)
	for name := range values {
		r.known[name] = true
	}
}

// say tells of a failure once, and of its end.
func (r *reader) say(err error, dropped int) {
	switch {
	case err != nil && (!r.failed || !r.tried):
		r.Log.Warn("a target's metrics cannot be read; they are unknown until they can", "pool", r.t.Pool, "target", r.t.ID, "url", r.url, "why", err)
	case err == nil && r.failed:
		r.Log.Info("a target's metrics can be read again", "pool", r.t.Pool, "target", r.t.ID)
	}
	if dropped > 0 && !r.over {
		r.Log.Warn("a target has more series than metrics.max_series; the others are not kept", "pool", r.t.Pool, "target", r.t.ID, "left_out", dropped)
	}
	r.failed, r.over, r.tried = err != nil, dropped > 0, true
}

// end makes all of it unknown.
func (r *reader) end() {
	r.Samples.Drop(r.t.ID, slices.Collect(maps.Keys(r.known))...)
	if r.scope != nil && r.db == r.History() {
		if err := r.scope.End(time.Now()); err != nil && !errors.Is(err, history.ErrClosed) {
			r.Log.Warn("the end of a target's metrics could not be kept", "pool", r.t.Pool, "target", r.t.ID, "error", err)
		}
	}
}
