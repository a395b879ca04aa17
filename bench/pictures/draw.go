package main

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/weirlb/weir/sim"
)

// The picture's measures. The two charts share their axis of time.
const (
	width, height = 860, 330
	left, right   = 56, 836
	capacityTop   = 56
	capacityFoot  = 196
	waitTop       = 226
	waitFoot      = 290
)

const style = `.bg{fill:#fff}.ink{fill:#1b2733}.dim{fill:#5b6b7a}.grid{stroke:#dbe2e9;fill:none}.need{fill:#e0803f;fill-opacity:.35}.have{stroke:#3b82c4;fill:#3b82c4;fill-opacity:.12;stroke-width:2}.wait{fill:#c0392b}
@media (prefers-color-scheme: dark){.bg{fill:#10161c}.ink{fill:#e6edf3}.dim{fill:#93a3b1}.grid{stroke:#2a3742}.have{stroke:#5aa2e0;fill:#5aa2e0}.wait{fill:#e5695b}}
text{font-size:12px}.h{font-size:14px;font-weight:600}`

// draw is a run as an SVG: what the load needs and what there is, and below it the longest waits.
func draw(caption string, r *sim.Result) string {
	need := needed()
	most, longest := 1.0, time.Second
	for i, p := range r.Curve {
		most, longest = max(most, float64(p.Instances), need[min(i, len(need)-1)]), max(longest, p.WaitMax)
	}
	c := chart{most: scaleOf(most), longest: scaleOf(longest.Seconds())}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-labelledby="t d" font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif">`+"\n", width, height)
	sums := fmt.Sprintf("waits: half at most %s, 95 %% at most %s; %.1f instance-hours", seconds(r.Wait.Quantile(0.5)), seconds(r.Wait.Quantile(0.95)), r.InstanceHours)
	if r.Lost > 0 {
		sums += fmt.Sprintf("; %d of %d requests refused", r.Lost, r.Requests)
	}
	fmt.Fprintf(&b, "<title id=\"t\">%s</title>\n<desc id=\"d\">An hour of traffic with a sudden rush and a slow hill: %s.</desc>\n<style>\n%s\n</style>\n", caption, sums, style)
	fmt.Fprintf(&b, `<rect class="bg" width="%d" height="%d" rx="10"/>`+"\n", width, height)
	fmt.Fprintf(&b, `<text x="%d" y="24" class="ink h">%s</text><text x="%d" y="42" class="dim">%s</text>`+"\n", left, caption, left, sums)
	c.frame(&b)
	fmt.Fprintf(&b, "<path class=\"need\" d=\"%s\"/>\n<path class=\"have\" d=\"%s\"/>\n<path class=\"wait\" d=\"%s\"/>\n</svg>\n", c.area(need), c.steps(r.Curve), c.bars(r.Curve))
	return b.String()
}

// needed is how many instances the traffic keeps busy on average in each step, by Little's law.
func needed() []float64 {
	out := make([]float64, hour/step)
	for i := range out {
		out[i] = rate(time.Duration(i)*step+step/2) * service.Seconds() / slots
	}
	return out
}

// scaleOf is a round number of at least v, for the top of an axis.
func scaleOf(v float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, f := range []float64{1, 2, 4, 5, 10} {
		if v <= f*unit {
			return f * unit
		}
	}
	return v
}

type chart struct{ most, longest float64 }

func x(at time.Duration) float64 { return left + (right-left)*min(1, at.Hours()) }

func (c chart) instances(n float64) float64 {
	return capacityFoot - (capacityFoot-capacityTop)*n/c.most
}

func (c chart) wait(d time.Duration) float64 {
	return waitFoot - (waitFoot-waitTop)*d.Seconds()/c.longest
}

// frame draws the axes and says what is what.
func (c chart) frame(b *strings.Builder) {
	for i := range 3 {
		n, w := c.most*float64(i)/2, c.longest*float64(i)/2
		y, z := c.instances(n), waitFoot-(waitFoot-waitTop)*float64(i)/2
		fmt.Fprintf(b, `<path class="grid" d="M%d %.1fH%dM%d %.1fH%d"/>`, left, y, right, left, z, right)
		fmt.Fprintf(b, `<text x="%d" y="%.1f" class="dim" text-anchor="end">%g</text><text x="%d" y="%.1f" class="dim" text-anchor="end">%g s</text>`+"\n", left-6, y+4, n, left-6, z+4, w)
	}
	for m := 0; m <= 60; m += 10 {
		fmt.Fprintf(b, `<text x="%.1f" y="%d" class="dim" text-anchor="middle">%d:%02d</text>`, x(time.Duration(m)*time.Minute), height-20, 9+m/60, m%60)
	}
	fmt.Fprintf(b, "\n"+`<rect x="%d" y="14" width="12" height="12" class="have"/><text x="%d" y="24" class="dim">instances</text>`, 560, 577)
	fmt.Fprintf(b, `<rect x="%d" y="14" width="12" height="12" class="need"/><text x="%d" y="24" class="dim">kept busy</text>`, 650, 667)
	fmt.Fprintf(b, `<rect x="%d" y="14" width="12" height="12" class="wait"/><text x="%d" y="24" class="dim">longest wait</text>`+"\n", 740, 757)
}

// area is what is needed.
func (c chart) area(need []float64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "M%d %d", left, capacityFoot)
	for i, n := range need {
		fmt.Fprintf(&b, "L%.1f %.1f", x(time.Duration(i)*step+step/2), c.instances(n))
	}
	fmt.Fprintf(&b, "L%d %dZ", right, capacityFoot)
	return b.String()
}

// steps is what there is: it changes from one moment to the next.
func (c chart) steps(curve []sim.Point) string {
	var b strings.Builder
	fmt.Fprintf(&b, "M%d %d", left, capacityFoot)
	y := -1.0
	for _, p := range curve {
		if p.At > hour {
			break
		}
		if v := c.instances(float64(p.Instances)); v != y {
			if y >= 0 {
				fmt.Fprintf(&b, "H%.1f", x(p.At))
			}
			fmt.Fprintf(&b, "V%.1f", v)
			y = v
		}
	}
	fmt.Fprintf(&b, "H%dV%d", right, capacityFoot)
	return b.String()
}

// bars are the longest waits of requests that got a slot in each step.
func (c chart) bars(curve []sim.Point) string {
	var b strings.Builder
	for _, p := range curve {
		if p.WaitMax > 0 && p.At <= hour {
			fmt.Fprintf(&b, "M%.1f %dV%.1fh2.4V%dz", x(p.At)-1.2, waitFoot, c.wait(p.WaitMax), waitFoot)
		}
	}
	return b.String()
}

func seconds(d time.Duration) string {
	if d < 10*time.Millisecond {
		return "0 s"
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
