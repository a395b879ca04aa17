package main

import (
	"fmt"
	"math"
	"strings"

	"github.com/weirlb/weir/planner"
)

const (
	width, height = 860, 340
	left, right   = 56, 836
	top, foot     = 70, 300
)

const style = `.bg{fill:#fff}.ink{fill:#1b2733}.dim{fill:#5b6b7a}.grid{stroke:#dbe2e9;fill:none}.need{fill:#e0803f;fill-opacity:.3}.a,.b,.c{fill:none;stroke-width:2}.a{stroke:#7d8b99}.b{stroke:#3b82c4}.c{stroke:#1e8a4c}
@media (prefers-color-scheme: dark){.bg{fill:#10161c}.ink{fill:#e6edf3}.dim{fill:#93a3b1}.grid{stroke:#2a3742}.a{stroke:#a9b6c2}.b{stroke:#5aa2e0}.c{stroke:#4cc07d}}
text{font-size:12px}.h{font-size:14px;font-weight:600}`

// draw shows how many instances the replays and the real run had, by users, over what users needed.
func draw(a *planner.Answer, all []*outcome) string {
	most := 1.0
	for _, o := range all {
		most = max(most, o.peak)
	}
	x := func(part float64) float64 { return left + (right-left)*min(part, 1) }
	y := func(v float64) float64 { return foot - (foot-top)*v/(math.Ceil(most*5)/5) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-labelledby="t d" font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif">`+"\n", width, height)
	title := "A spike of 100 times a usual day: planned, replayed and run for real"
	real := all[len(all)-1]
	fmt.Fprintf(&b, "<title id=\"t\">%s</title>\n<desc id=\"d\">Instances by users over 42 minutes. Served: %.0f %% as planned, %.0f %% for real.</desc>\n<style>\n%s\n</style>\n", title, 100*all[0].served, 100*real.served, style)
	fmt.Fprintf(&b, `<rect class="bg" width="%d" height="%d" rx="8"/><text x="%d" y="24" class="ink h">%s</text>`+"\n", width, height, left, title)
	for v := 0.0; v <= most+0.19; v += 0.2 {
		fmt.Fprintf(&b, `<path class="grid" d="M%d %.1fH%d"/><text x="%d" y="%.1f" class="dim" text-anchor="end">%.0f %%</text>`+"\n", left, y(v), right, left-6, y(v)+4, 100*v)
	}
	minutes := span(a).Minutes()
	for m := 0.0; m <= minutes; m += 5 {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" class="dim" text-anchor="middle">%.0f min</text>`, x(m/minutes), foot+18, m)
	}
	// What is needed: the requests at the same time, if none waited.
	fmt.Fprintf(&b, "\n<path class=\"need\" d=\"M%d %d", left, foot)
	for i := range 201 {
		part := float64(i) / 200
		fmt.Fprintf(&b, "L%.1f %.1f", x(part), y(a.SurgeRate(part)*a.Facts.Mean.Seconds()/a.Question.Users))
	}
	fmt.Fprintf(&b, "L%d %dZ\"/>\n", right, foot)
	for i, o := range all[1:] {
		fmt.Fprintf(&b, `<path class="%c" d="`, 'a'+i)
		for j, p := range o.curve {
			fmt.Fprintf(&b, "%c%.1f %.1f", "LM"[btoi(j == 0)], x(p.at), y(p.instances))
		}
		b.WriteString("\"/>\n")
		at := []int{310, 490, 660}[i]
		fmt.Fprintf(&b, `<path class="%c" d="M%d 46h18"/><text x="%d" y="50" class="dim">%s</text>`+"\n", 'a'+i, at, at+24, o.name)
	}
	fmt.Fprintf(&b, `<rect class="need" x="%d" y="40" width="12" height="12"/><text x="%d" y="50" class="dim">users who wait for an answer</text>`+"\n", left, left+18)
	b.WriteString("</svg>\n")
	return b.String()
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
