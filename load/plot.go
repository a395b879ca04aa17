package load

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// The plots' own pixels. A page shows them at this width on a wide screen, and at a phone's width without their text getting too small.
const (
	plotWidth, plotHeight                    = 480, 210
	plotLeft, plotRight, plotTop, plotBottom = 58, 8, 10, 24
)

// maxPoints is the number of points a line has at most; of a longer run, each stands for several seconds.
const maxPoints = 240

// line is one line of a plot, by the second; NaN leaves a gap.
type line struct {
	name   string
	class  string // of CSS, for its colour
	values []float64
	area   bool // filled down to the axis
}

// plot draws lines over the seconds of a run.
type plot struct {
	lines  []line
	step   int // seconds between two values
	format func(float64) string
	log    bool // a logarithmic axis
}

// svg draws the plot. Names are constants of this package, so nothing in it needs escaping.
func (p plot) svg() template.HTML {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img">`, plotWidth, plotHeight)
	low, high := p.bounds()
	ticks := linearTicks(high)
	if p.log {
		ticks = logTicks(low, high)
		low, high = ticks[0], ticks[len(ticks)-1]
	} else {
		low, high = 0, ticks[len(ticks)-1]
	}
	n := len(p.lines[0].values)
	x := func(i int) float64 {
		return plotLeft + float64(plotWidth-plotLeft-plotRight)*float64(i)/float64(max(n-1, 1))
	}
	y := func(v float64) float64 {
		share := (v - low) / (high - low)
		if p.log {
			share = math.Log(max(v, low)/low) / math.Log(high/low)
		}
		return plotHeight - plotBottom - float64(plotHeight-plotTop-plotBottom)*share
	}
	for _, t := range ticks {
		fmt.Fprintf(&b, `<path class="grid" d="M%d %.1fH%d"/><text class="y" x="%d" y="%.1f">%s</text>`,
			plotLeft, y(t), plotWidth-plotRight, plotLeft-6, y(t)+4, p.format(t))
	}
	for _, i := range timeTicks(n, p.step) {
		anchor := "middle"
		if i == n-1 {
			anchor = "end"
		}
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="%s">%s</text>`, x(i), plotHeight-6, anchor, seconds(i*p.step))
	}
	for _, l := range p.lines {
		if l.area && n > 0 {
			fmt.Fprintf(&b, `<path class="area %s" d="M%.1f %.1f%sL%.1f %.1fZ"/>`,
				l.class, x(0), y(low), strings.Replace(linePath(l.values, x, y), "M", "L", 1), x(n-1), y(low))
		}
		fmt.Fprintf(&b, `<path class="line %s" d="%s"/>`, l.class, linePath(l.values, x, y))
	}
	p.tips(&b, n, x)
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

// linePath is the path of a line. A value between two gaps is drawn as a dot.
func linePath(values []float64, x func(int) float64, y func(float64) float64) string {
	var d strings.Builder
	pen := false
	for i, v := range values {
		if math.IsNaN(v) {
			pen = false
			continue
		}
		if !pen {
			fmt.Fprintf(&d, "M%.1f %.1fh.1", x(i), y(v))
		}
		fmt.Fprintf(&d, "L%.1f %.1f", x(i), y(v))
		pen = true
	}
	return d.String()
}

// tips are what a pointer held over a second shows.
func (p plot) tips(b *strings.Builder, n int, x func(int) float64) {
	wide := float64(plotWidth-plotLeft-plotRight) / float64(max(n-1, 1))
	for i := range n {
		fmt.Fprintf(b, `<rect class="tip" x="%.1f" y="%d" width="%.1f" height="%d"><title>%s`,
			x(i)-wide/2, plotTop, wide, plotHeight-plotTop-plotBottom, seconds(i*p.step))
		for _, l := range p.lines {
			if !math.IsNaN(l.values[i]) {
				fmt.Fprintf(b, "&#10;%s %s", l.name, p.format(l.values[i]))
			}
		}
		b.WriteString("</title></rect>")
	}
}

// bounds are the smallest positive and the largest value.
func (p plot) bounds() (low, high float64) {
	low = math.Inf(1)
	for _, l := range p.lines {
		for _, v := range l.values {
			if v > 0 { // not NaN either
				low, high = min(low, v), max(high, v)
			}
		}
	}
	if high == 0 {
		return 1, 1
	}
	return low, high
}

// linearTicks are round numbers from 0 to high or just above: a step of 1, 2 or 5 times a power of ten, four to six of them.
func linearTicks(high float64) []float64 {
	step := math.Pow(10, math.Floor(math.Log10(high/4)))
	for _, m := range []float64{1, 2, 5, 10} {
		if high/(step*m) <= 5 {
			step *= m
			break
		}
	}
	var ticks []float64
	for i := 0; ; i++ {
		ticks = append(ticks, float64(i)*step)
		if ticks[i] >= high*(1-1e-9) && i > 0 {
			return ticks
		}
	}
}

// logTicks are the powers of ten around the values.
func logTicks(low, high float64) []float64 {
	from, to := math.Floor(math.Log10(low)), math.Ceil(math.Log10(high))
	if to <= from {
		to = from + 1
	}
	var ticks []float64
	for e := from; e <= to; e++ {
		ticks = append(ticks, math.Pow(10, e))
	}
	return ticks
}

// timeTicks are the points that get a time under them: round ones, five or so.
func timeTicks(n, step int) []int {
	total := (n - 1) * step
	every := total + 1
	for _, e := range []int{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400} {
		if total/e <= 6 {
			every = e
			break
		}
	}
	var ticks []int
	for i := range n {
		if (i*step)%every < step && (len(ticks) == 0 || i-ticks[len(ticks)-1] >= every/step) {
			ticks = append(ticks, i)
		}
	}
	return ticks
}

// seconds is a second of the run as minutes and seconds.
func seconds(s int) string { return fmt.Sprintf("%d:%02d", s/60, s%60) }

// thin joins the values of every step seconds into one.
func thin(values []float64, step int, join func([]float64) float64) []float64 {
	var out []float64
	for len(values) > 0 {
		n := min(step, len(values))
		out = append(out, join(values[:n]))
		values = values[n:]
	}
	return out
}

func mean(v []float64) float64 {
	var sum float64
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

// worst is the largest value that there is.
func worst(v []float64) float64 {
	w := math.NaN()
	for _, x := range v {
		if !(x <= w) && !math.IsNaN(x) {
			w = x
		}
	}
	return w
}
