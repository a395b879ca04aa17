package trace

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Summary is what a trace holds.
type Summary struct {
	Requests int64
	Start    time.Time     // zero when the trace has no dates
	Span     time.Duration // from the first request to the last; of counts, to the end of the last period

	Mean   float64       // requests a minute
	Peak   float64       // requests in the busiest minute, or a minute's of the busiest period of counts
	PeakAt time.Duration // when that begins

	Service, Wait Quantiles // in seconds, of the requests that say so
	In, Out       Quantiles // in tokens

	Models  []Share // that were asked for, most first
	Tenants int     // how many there are
	Failed  int64   // requests with a status from 400

	// Bins are the requests of each Width from the start, at most 4096.
	Bins  []float64
	Width time.Duration
}

// Share is how many requests asked for something.
type Share struct {
	Name     string
	Requests int64
}

// Quantiles are those of a number over the requests that have it, to three digits.
type Quantiles struct {
	Count                    int64
	Mean, P50, P95, P99, Max float64
}

// maxBins bounds the series. It is even.
const maxBins = 4096

// add counts n requests from at on, for so long.
func (s *Summary) add(at time.Duration, n float64) {
	for int64(at/s.Width) >= maxBins {
		for i := range len(s.Bins) / 2 {
			s.Bins[i] = s.Bins[2*i] + s.Bins[2*i+1]
		}
		half := (len(s.Bins) + 1) / 2
		if len(s.Bins)%2 == 1 {
			s.Bins[half-1] = s.Bins[len(s.Bins)-1]
		}
		s.Bins = s.Bins[:half]
		s.Width *= 2
	}
	for i := int(at / s.Width); len(s.Bins) <= i; {
		s.Bins = append(s.Bins, 0)
	}
	s.Bins[at/s.Width] += n
}

// meter collects one number.
type meter struct {
	h    *hdrhistogram.Histogram
	unit float64
}

func newMeter(unit float64) meter { return meter{hdrhistogram.New(1, 1e9, 3), unit} }

func (m meter) add(v float64) { _ = m.h.RecordValue(min(max(int64(math.Round(v*m.unit)), 0), 1e9)) }

func (m meter) quantiles() Quantiles {
	if m.h.TotalCount() == 0 {
		return Quantiles{}
	}
	at := func(p float64) float64 { return float64(m.h.ValueAtQuantile(p)) / m.unit }
	return Quantiles{Count: m.h.TotalCount(), Mean: m.h.Mean() / m.unit, P50: at(50), P95: at(95), P99: at(99), Max: float64(m.h.Max()) / m.unit}
}

// Summarize reads the rest of the trace. Counts are added up without making their requests.
func (t *Reader) Summarize() (*Summary, error) {
	s := &Summary{Width: time.Second}
	if t.dated {
		s.Start, _ = t.Start()
	}
	if t.counts != nil {
		return s, t.summarizeCounts(s)
	}
	service, wait, in, out := newMeter(1000), newMeter(1000), newMeter(1), newMeter(1)
	models, tenants := map[string]int64{}, map[string]struct{}{}
	minute, inMinute := time.Duration(-1), 0.0
	var first, last time.Duration
	for r, err := range t.All() {
		if err != nil {
			return s, err
		}
		if s.Requests++; s.Requests == 1 {
			first = r.At
		}
		last = r.At
		s.add(r.At, 1)
		if m := r.At / time.Minute; m != minute {
			minute, inMinute = m, 0
		}
		if inMinute++; inMinute > s.Peak {
			s.Peak, s.PeakAt = inMinute, minute*time.Minute
		}
		if r.Service > 0 {
			service.add(r.Service.Seconds())
		}
		if r.Wait > 0 {
			wait.add(r.Wait.Seconds())
		}
		if r.In > 0 {
			in.add(float64(r.In))
		}
		if r.Out > 0 {
			out.add(float64(r.Out))
		}
		if r.Model != "" {
			models[r.Model]++
		}
		if r.Tenant != "" && len(tenants) < maxStrings {
			tenants[r.Tenant] = struct{}{}
		}
		if r.Status >= 400 {
			s.Failed++
		}
	}
	s.Span = last - first
	s.Mean = float64(s.Requests) / max(s.Span.Minutes(), 1)
	s.Service, s.Wait, s.In, s.Out = service.quantiles(), wait.quantiles(), in.quantiles(), out.quantiles()
	for _, name := range slices.Sorted(maps.Keys(models)) {
		s.Models = append(s.Models, Share{name, models[name]})
	}
	slices.SortStableFunc(s.Models, func(a, b Share) int { return cmp.Compare(b.Requests, a.Requests) })
	s.Tenants = len(tenants)
	return s, nil
}

func (t *Reader) summarizeCounts(s *Summary) error {
	c := t.counts
	end := int64(0)
	for {
		from, to := max(c.bucket.at, t.from), min(c.bucket.at+c.width, t.to)
		if c.bucket.at >= t.to || t.o.Max > 0 && s.Requests >= int64(t.o.Max) {
			break
		}
		if to > from && c.left > 0 {
			n := math.Round(float64(c.left) * float64(to-from) / float64(c.width))
			if t.o.Max > 0 {
				n = min(n, float64(int64(t.o.Max)-s.Requests))
			}
			s.Requests += int64(n)
			if rate := n / time.Duration(to-from).Minutes(); rate > s.Peak {
				s.Peak, s.PeakAt = rate, time.Duration(from-t.from)
			}
			s.spread(time.Duration(from-t.from), time.Duration(to-from), n)
		}
		end = max(end, to)
		if err := t.advance(); err != nil {
			t.err = err
			if !errors.Is(err, io.EOF) {
				return err
			}
			break
		}
	}
	t.err = cmp.Or(t.err, io.EOF)
	if s.Requests == 0 {
		return t.nothing()
	}
	s.Span = time.Duration(end - t.from)
	s.Mean = float64(s.Requests) / max(s.Span.Minutes(), 1)
	return nil
}

// spread counts n requests over a length of time.
func (s *Summary) spread(at, length time.Duration, n float64) {
	s.add(at+length-1, 0) // settles the width
	parts := max(1, int(length/s.Width))
	for i := range parts {
		s.add(at+time.Duration(float64(length)*float64(i)/float64(parts)), n/float64(parts))
	}
}

// WriteText writes the summary for people, with a chart of the arrivals.
func (s *Summary) WriteText(w io.Writer) error {
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "requests\t%s", thousands(s.Requests))
	if s.Failed > 0 {
		fmt.Fprintf(tw, ", %s of them failed", thousands(s.Failed))
	}
	fmt.Fprintf(tw, "\nspan\t%s", length(s.Span))
	if !s.Start.IsZero() {
		const layout = "Mon 2006-01-02 15:04:05"
		fmt.Fprintf(tw, ", from %s to %s", s.Start.Format(layout), s.Start.Add(s.Span).Format(layout+" MST"))
	}
	fmt.Fprintf(tw, "\nrate\t%s a minute; at its peak %s, %s after the start: %.1f times the mean\n",
		short(s.Mean), short(s.Peak), length(s.PeakAt), s.Peak/max(s.Mean, 1e-9))
	for _, q := range []struct {
		name, unit string
		q          Quantiles
	}{{"service", " s", s.Service}, {"wait", " s", s.Wait}, {"tokens in", "", s.In}, {"tokens out", "", s.Out}} {
		if q.q.Count > 0 {
			fmt.Fprintf(tw, "%s\tmean %s%[3]s, p50 %[4]s%[3]s, p95 %[5]s%[3]s, p99 %[6]s%[3]s, max %[7]s%[3]s", q.name, short(q.q.Mean), q.unit,
				short(q.q.P50), short(q.q.P95), short(q.q.P99), short(q.q.Max))
			if q.q.Count < s.Requests {
				fmt.Fprintf(tw, " (of %s that say so)", thousands(q.q.Count))
			}
			fmt.Fprintln(tw)
		}
	}
	if len(s.Models) > 0 {
		fmt.Fprintf(tw, "models\t%d:", len(s.Models))
		for i, m := range s.Models {
			if i == 5 {
				fmt.Fprint(tw, " …")
				break
			}
			fmt.Fprintf(tw, " %s %.0f %%", clip(m.Name), 100*float64(m.Requests)/float64(s.Requests))
		}
		fmt.Fprintln(tw)
	}
	if s.Tenants > 0 {
		fmt.Fprintf(tw, "tenants\t%d\n", s.Tenants)
	}
	tw.Flush()
	b.WriteByte('\n')
	s.chart(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

// The chart's size in characters.
const chartWidth, chartHeight = 72, 8

// chart draws the requests a minute over time, each column their mean over its part.
func (s *Summary) chart(b *strings.Builder) {
	columns := min(chartWidth, len(s.Bins))
	if columns == 0 {
		return
	}
	rates, top := make([]float64, columns), 0.0
	each := float64(len(s.Bins)) / float64(columns)
	for i := range rates {
		from, to := int(float64(i)*each), max(int(float64(i)*each)+1, int(float64(i+1)*each))
		for _, n := range s.Bins[from:min(to, len(s.Bins))] {
			rates[i] += n
		}
		rates[i] /= float64(to-from) * s.Width.Minutes()
		top = max(top, rates[i])
	}
	blocks := []rune(" ▁▂▃▄▅▆▇█")
	label := len(short(top))
	for row := chartHeight - 1; row >= 0; row-- {
		text := ""
		switch row {
		case chartHeight - 1:
			text = short(top)
		case 0:
			text = "0"
		}
		var bar strings.Builder
		for _, r := range rates {
			eighths := int(math.Ceil(r/max(top, 1e-9)*chartHeight*8)) - row*8
			bar.WriteRune(blocks[min(max(eighths, 0), 8)])
		}
		fmt.Fprintf(b, "%*s ┤%s\n", label, text, strings.TrimRight(bar.String(), " "))
	}
	total := s.Width * time.Duration(len(s.Bins))
	left, right := "0", length(total)
	if !s.Start.IsZero() {
		layout := "15:04:05"
		if total > 24*time.Hour {
			layout = "2006-01-02"
		}
		left, right = s.Start.Format(layout), s.Start.Add(total).Format(layout)
	}
	fmt.Fprintf(b, "%*s └%s\n", label, "", strings.Repeat("─", columns))
	fmt.Fprintf(b, "%*s  %s%*s\n", label, "", left, max(columns-len(left), len(right)+1), right)
	fmt.Fprintf(b, "%*s  requests a minute, a column is the mean of %s\n", label, "", length(total/time.Duration(columns)))
}

// length shows a time in the two largest of its units.
func length(d time.Duration) string {
	two := func(a time.Duration, x string, b time.Duration, y string) string {
		if b == 0 {
			return fmt.Sprintf("%d%s", a, x)
		}
		return fmt.Sprintf("%d%s%d%s", a, x, b, y)
	}
	switch {
	case d >= 48*time.Hour:
		return two(d/(24*time.Hour), "d", d/time.Hour%24, "h")
	case d >= time.Hour:
		return two(d/time.Hour, "h", d/time.Minute%60, "m")
	case d >= time.Minute:
		return two(d/time.Minute, "m", d/time.Second%60, "s")
	case d >= time.Second:
		return fmt.Sprintf("%.3gs", d.Seconds())
	}
	return d.Round(time.Microsecond).String()
}

// short shows a number with three digits at least.
func short(f float64) string {
	switch {
	case f >= 100:
		return thousands(int64(math.Round(f)))
	case f == math.Trunc(f):
		return fmt.Sprintf("%.0f", f)
	}
	return fmt.Sprintf("%.3g", f)
}

func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
