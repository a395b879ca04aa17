package load

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"time"
)

//go:embed report.html
var page string

var pageTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"count": count,
	"short": short,
}).Parse(page))

// figure is one plot of the page with its caption.
type figure struct {
	Title, Note string
	Lines       []legend
	SVG         template.HTML
}

// legend names a line of a figure.
type legend struct{ Name, Class string }

type reportRow struct {
	Name, Rate, Status          string
	Sent, Done, Failed, Dropped int64
}

// reportTimes are the times of one kind.
type reportTimes struct {
	Kind string // empty where there is only one
	Rows []reportTiming
}

type reportTiming struct {
	What string
	Quantiles
}

// headline is one large number at the head of the page.
type headline struct {
	Value, Name string
	Bad         bool
}

type reportFailure struct {
	N                    int64
	Kind, Class, Example string
}

type reportRemark struct {
	Bad  bool
	Text string
}

// WriteHTML writes the result as a page with plots, failures first, that needs nothing but itself: no script and no network.
func (r *Result) WriteHTML(w io.Writer) error {
	data := struct {
		Title, When, Lasted string
		Seed                uint64
		Remarks             []reportRemark
		Failures            []reportFailure
		Rows                []reportRow
		Headlines           []headline
		Timings             []reportTimes
		Figures             []figure
	}{
		Title: r.Title, When: r.Start.Format("2 January 2006, 15:04:05 MST"), Lasted: r.Elapsed.Round(100 * time.Millisecond).String(),
		Seed: r.Seed, Headlines: r.headlines(), Figures: r.figures(),
	}
	if data.Title == "" {
		data.Title = "Load"
	}
	for _, m := range r.remarks() {
		data.Remarks = append(data.Remarks, reportRemark{m.bad, m.text})
	}
	for _, f := range r.failures() {
		data.Failures = append(data.Failures, reportFailure{f.n, f.kind, f.class, f.example})
	}
	for _, k := range r.rows() {
		data.Rows = append(data.Rows, reportRow{k.name(), fmt.Sprintf("%.1f", r.rate(k)), k.statuses(), k.Sent, k.Done, k.Failed, k.Dropped})
	}
	for _, t := range r.timings() {
		last := len(data.Timings) - 1
		if last < 0 || data.Timings[last].Kind != t.kind {
			data.Timings = append(data.Timings, reportTimes{Kind: t.kind})
			last++
		}
		data.Timings[last].Rows = append(data.Timings[last].Rows, reportTiming{t.what, t.q})
	}
	if len(r.Kinds) == 1 && len(data.Timings) == 1 {
		data.Timings[0].Kind = ""
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, data); err != nil {
		return fmt.Errorf("load: writing the report: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// headlines are what a reader looks for first.
func (r *Result) headlines() []headline {
	t := r.Total
	lost := t.Failed + t.Dropped
	out := []headline{
		{count(t.Sent), "requests sent", false},
		{count(lost), "failed or dropped", lost > 0},
	}
	if t.Latency.Count > 0 {
		out = append(out,
			headline{short(t.Latency.P50), "median latency", false},
			headline{short(t.Latency.P99), "99th percentile latency", false})
	}
	if t.TTFT.Count > 0 {
		out = append(out, headline{short(t.TTFT.P50), "median time to first token", false})
	}
	return out
}

// figures are the plots: the traffic of all kinds together, and the times of each, whose scales differ too much to share one.
func (r *Result) figures() []figure {
	series := r.Total.Series
	if len(series) > 1 && r.Elapsed%time.Second != 0 {
		series = series[:len(series)-1] // the last second is not whole, so its rates would fall for no reason
	}
	n := len(series)
	if n == 0 {
		return nil
	}
	step := (n + maxPoints - 1) / maxPoints
	note := ""
	if step > 1 {
		note = fmt.Sprintf("Each point is %d s: the mean of rates, the worst of times.", step)
	}
	of := func(series []Second, join func([]float64) float64, f func(Second) float64) []float64 {
		values := make([]float64, n)
		for i := range n {
			values[i] = f(series[i])
		}
		return thin(values, step, join)
	}
	draw := func(title string, log bool, format func(float64) string, lines ...line) figure {
		p := plot{lines: lines, step: step, format: format}
		low, high := p.bounds()
		p.log = log && high > 50*low
		f := figure{Title: title, Note: note, SVG: p.svg()}
		if p.log {
			f.Title += ", log scale"
		}
		for _, l := range lines {
			f.Lines = append(f.Lines, legend{l.name, l.class})
		}
		return f
	}

	traffic := func(name, class string, area bool, join func([]float64) float64, f func(Second) int64) line {
		return line{name, class, of(series, join, func(s Second) float64 { return float64(f(s)) }), area}
	}
	var out []figure
	if r.Total.Failed > 0 {
		out = append(out, draw("Failures per second", false, perSecond, traffic("failed", "bad", true, mean, func(s Second) int64 { return s.Failed })))
	}
	if r.Total.Dropped > 0 {
		out = append(out, draw("Dropped per second", false, perSecond, traffic("dropped", "bad", true, mean, func(s Second) int64 { return s.Dropped })))
	}
	out = append(out,
		draw("Requests per second", false, perSecond,
			traffic("done", "b", true, mean, func(s Second) int64 { return s.Done }),
			traffic("sent", "a", false, mean, func(s Second) int64 { return s.Sent })),
		draw("Requests outstanding", false, plain, traffic("outstanding", "b", true, worst, func(s Second) int64 { return s.Outstanding })))
	for _, k := range r.Kinds {
		suffix := ""
		if len(r.Kinds) > 1 {
			suffix = ": " + k.name()
		}
		times := func(pick func(Second) time.Duration) []float64 {
			return of(k.Series, worst, func(s Second) float64 {
				if d := pick(s); d > 0 {
					return d.Seconds()
				}
				return math.NaN()
			})
		}
		if k.Latency.Count > 0 {
			out = append(out, draw("Latency"+suffix, true, axisTime,
				line{name: "p99", class: "p99", values: times(func(s Second) time.Duration { return s.P99 })},
				line{name: "p95", class: "p95", values: times(func(s Second) time.Duration { return s.P95 })},
				line{name: "p50", class: "p50", values: times(func(s Second) time.Duration { return s.P50 })}))
		}
		if k.TTFT.Count > 0 {
			out = append(out, draw("Time to first token"+suffix, true, axisTime,
				line{name: "p95", class: "p95", values: times(func(s Second) time.Duration { return s.TTFT95 })},
				line{name: "p50", class: "p50", values: times(func(s Second) time.Duration { return s.TTFT50 })}))
		}
	}
	return out
}

// plain is a number on an axis.
func plain(v float64) string {
	if v >= 10_000 {
		return fmt.Sprintf("%.4gk", v/1e3)
	}
	return fmt.Sprintf("%.4g", v)
}

// perSecond is a rate on an axis.
func perSecond(v float64) string { return plain(v) + "/s" }

// axisTime is a time on an axis, from seconds.
func axisTime(s float64) string {
	switch {
	case s == 0:
		return "0"
	case s < 1e-3:
		return fmt.Sprintf("%.3g µs", s*1e6)
	case s < 1:
		return fmt.Sprintf("%.3g ms", s*1e3)
	}
	return fmt.Sprintf("%.3g s", s)
}
