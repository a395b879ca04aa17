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

type reportTiming struct {
	Kind, What string
	Quantiles
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
		Timings             []reportTiming
		Figures             []figure
	}{
		Title: r.Title, When: r.Start.Format("2 January 2006, 15:04:05 MST"), Lasted: r.Elapsed.Round(100 * time.Millisecond).String(),
		Seed: r.Seed, Figures: r.figures(),
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
		data.Timings = append(data.Timings, reportTiming{t.kind, t.what, t.q})
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, data); err != nil {
		return fmt.Errorf("load: writing the report: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
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

	rates := []line{
		{"sent", "a", of(series, mean, func(s Second) float64 { return float64(s.Sent) })},
		{"done", "b", of(series, mean, func(s Second) float64 { return float64(s.Done) })},
	}
	if r.Total.Failed+r.Total.Dropped > 0 {
		rates = append(rates, line{"failed or dropped", "bad", of(series, mean, func(s Second) float64 { return float64(s.Failed + s.Dropped) })})
	}
	out := []figure{
		draw("Requests per second", false, plain, rates...),
		draw("Requests outstanding", false, plain, line{"outstanding", "a", of(series, worst, func(s Second) float64 { return float64(s.Outstanding) })}),
	}
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
				line{"p50", "p50", times(func(s Second) time.Duration { return s.P50 })},
				line{"p95", "p95", times(func(s Second) time.Duration { return s.P95 })},
				line{"p99", "p99", times(func(s Second) time.Duration { return s.P99 })}))
		}
		if k.TTFT.Count > 0 {
			out = append(out, draw("Time to first token"+suffix, true, axisTime,
				line{"p50", "p50", times(func(s Second) time.Duration { return s.TTFT50 })},
				line{"p95", "p95", times(func(s Second) time.Duration { return s.TTFT95 })}))
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
