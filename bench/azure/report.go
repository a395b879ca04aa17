package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/weirlb/weir/load"
)

// report is all that a run came to.
type report struct {
	plan      *plan
	machine   machine
	result    *load.Result
	waits     histogram // in Weir's queue
	cold      histogram // the same, until the end of the cold start
	samples   []sample
	decisions []decision
	began     time.Time
	toZero    time.Duration // from the last answer to the end of the last instance; 0 when it did not come to that
}

// lost are the requests that were not answered whole.
func (r *report) lost() int64 {
	return r.result.Total.Failed + r.result.Total.Dropped + r.result.Total.Aborted
}

// missing are the tokens that were asked for and did not come, of answers that seemed whole. An answer has an event for each
// token, and one that says why it ended.
func (r *report) missing() int64 {
	if r.lost() > 0 {
		return 0 // then it cannot be told
	}
	_, out := r.plan.tokens()
	return out + int64(len(r.plan.arrivals)) - r.result.Total.Events
}

// verdict is an error when something was lost.
func (r *report) verdict() error {
	switch {
	case r.lost() > 0:
		return fmt.Errorf("%d of %d requests were lost", r.lost(), len(r.plan.arrivals))
	case r.missing() != 0:
		return fmt.Errorf("every request was answered, but %d tokens are missing", r.missing())
	}
	return nil
}

func (r *report) write(w io.Writer) {
	t := r.result.Total
	_, tokens := r.plan.tokens()
	fmt.Fprintf(w, "\n%d requests in %v, %d answered, %d lost; %d tokens asked for, %d missing.\n",
		len(r.plan.arrivals), r.result.Elapsed.Round(time.Second), t.Done, r.lost(), tokens, r.missing())
	for class, n := range t.Errors {
		fmt.Fprintf(w, "LOST: %d × %s: %s\n", n, class, t.Examples[class])
	}
	fmt.Fprintln(w)
	tab := tabwriter.NewWriter(w, 2, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tab, "\tp50\tp95\tp99\t")
	warm := r.waits.since(r.cold)
	fmt.Fprintf(tab, "wait in the queue\t%s\t%s\t%s\t\n", r.wait(.50), r.wait(.95), r.wait(.99))
	fmt.Fprintf(tab, "cold start, to %s\t%s\t%s\t%s\t\n", clock(r.plan.replayed(coldStart)), r.cold.read(.50), r.cold.read(.95), r.cold.read(.99))
	fmt.Fprintf(tab, "after it\t%s\t%s\t%s\t\n", warm.read(.50), warm.read(.95), warm.read(.99))
	fmt.Fprintf(tab, "time to first token\t%s\t%s\t%s\t\n", round(t.TTFT.P50), round(t.TTFT.P95), round(t.TTFT.P99))
	fmt.Fprintf(tab, "latency\t%s\t%s\t%s\t\n", round(t.Latency.P50), round(t.Latency.P95), round(t.Latency.P99))
	tab.Flush()
	fmt.Fprintf(w, "\nThe wait is Weir's, of all %.0f requests, read off a histogram's buckets. %.0f %% waited 1 ms or less; after the cold start, %.0f %%.\n",
		r.waits.count(), 100*r.waits.atMost(.001), 100*warm.atMost(.001))
	fmt.Fprintf(w, "Latency and first token count from when a request was due; the generator was late by %s at p99.\n", round(t.Late.P99))
	fmt.Fprintln(w, "All times are the replay's; those that a user of the real service would have seen are about", factor(r.plan.speed)+".")
	r.plot(w)
	r.reasons(w)
	fmt.Fprintf(w, "\nEmulated: the GPUs. %s\n", r.plan.emulated())
	fmt.Fprintln(w, "Real: the trace's arrivals and token counts, Weir, its instances as processes, every connection and every token's event.")
	fmt.Fprintln(w, r.machine)
}

// waitSeconds is a quantile of the wait of all requests. A bucket is wide and a request's first token comes after its wait, so where
// all were answered the quantile of that time bounds this one.
func (r *report) waitSeconds(q float64) float64 {
	x := r.waits.quantile(q)
	first := map[float64]time.Duration{.50: r.result.Total.TTFT.P50, .95: r.result.Total.TTFT.P95, .99: r.result.Total.TTFT.P99}[q]
	if r.lost() == 0 && first > 0 {
		x = min(x, first.Seconds())
	}
	return x
}

func (r *report) wait(q float64) string {
	if x := r.waitSeconds(q); x > r.waits.least() {
		return seconds(x)
	}
	return r.waits.read(q)
}

func factor(speed float64) string {
	if speed == 1 {
		return "the same"
	}
	return fmt.Sprintf("%g times as long", speed)
}

// emulated says what stands for what.
func (p *plan) emulated() string {
	loads := fmt.Sprintf("a model loads in %v", loadTime)
	if p.loads != "" {
		loads = "models load in times recorded at a GPU service (" + loadsName + ")"
	}
	return fmt.Sprintf("On each, a step of the batch takes %v and %.0f %% more for each chat beyond the first, a token of a prompt %v, and %s. "+
		"The replay is %g times as fast with %g of the tokens, so a step takes %v here, and a load 1/%g of its time.",
		tokenTime, 100*batchCost, prefillTime, loads, p.speed, p.scale, p.device(tokenTime), p.speed)
}

// plot draws the instances over time, beside how many the traffic alone would keep busy.
func (r *report) plot(w io.Writer) {
	if len(r.samples) == 0 {
		return
	}
	total := max(r.samples[len(r.samples)-1].At, time.Second)
	n := columns(total, 100)
	cols := byColumn(r.samples, n, total)
	fmt.Fprintf(w, "\nInstances over time, %v a column: █ ready, ░ loading.\n\n", (total / time.Duration(n)).Round(10*time.Millisecond))
	for level := maxFleet; level > 0; level-- {
		var b strings.Builder
		for _, c := range cols {
			switch {
			case c.Ready >= level:
				b.WriteRune('█')
			case c.Ready+c.Loading >= level:
				b.WriteRune('░')
			default:
				b.WriteByte(' ')
			}
		}
		fmt.Fprintf(w, "%8d │%s\n", level, strings.TrimRight(b.String(), " "))
	}
	fmt.Fprintf(w, "%8s └%s\n", "", strings.Repeat("─", n))
	fmt.Fprintf(w, "%8s  %s\n", "", axis(n, total))
	demand := r.plan.demand(n, total)
	fmt.Fprintf(w, "%8s  %s\n", "demand", digits(demand))
	waiting := make([]float64, n)
	for i, c := range cols {
		waiting[i] = float64(c.Waiting)
	}
	line, most := spark(waiting)
	fmt.Fprintf(w, "%8s  %s  at most %.0f\n", "waiting", line, most)
	fmt.Fprintln(w, "\nDemand is the work that comes in each column, in instances that it alone would keep busy, rounded up.")
	if r.toZero > 0 {
		fmt.Fprintf(w, "%v after the last answer the last instance was gone: the pool is at zero again.\n", r.toZero.Round(time.Second))
	}
}

// byColumn keeps of each column's samples the last number of instances and the longest queue. A column without a sample is as the one before.
func byColumn(samples []sample, n int, total time.Duration) []sample {
	cols := make([]sample, n)
	seen := make([]bool, n)
	for _, s := range samples {
		i := min(int(float64(s.At)/float64(total)*float64(n)), n-1)
		if i < 0 {
			continue
		}
		s.Waiting = max(s.Waiting, cols[i].Waiting)
		cols[i], seen[i] = s, true
	}
	for i := 1; i < n; i++ {
		if !seen[i] {
			cols[i] = cols[i-1]
		}
	}
	return cols
}

// axis writes times under n columns, each where it belongs.
func axis(n int, total time.Duration) string {
	line := []byte(strings.Repeat(" ", n+6))
	for i := 0; i < n; i += 20 {
		copy(line[i:], clock(total*time.Duration(i)/time.Duration(n)))
	}
	return strings.TrimRight(string(line), " ")
}

// digits writes each number as one digit, rounded up; 0 as a dot and what is beyond nine as a plus.
func digits(xs []float64) string {
	var b strings.Builder
	for _, x := range xs {
		switch n := int(math.Ceil(x)); {
		case n <= 0:
			b.WriteByte('.')
		case n > 9:
			b.WriteByte('+')
		default:
			fmt.Fprint(&b, n)
		}
	}
	return b.String()
}

// spark draws numbers as bars, the greatest the full height.
func spark(xs []float64) (line string, most float64) {
	for _, x := range xs {
		most = max(most, x)
	}
	bars := []rune("▁▂▃▄▅▆▇█")
	var b strings.Builder
	for _, x := range xs {
		if x <= 0 {
			b.WriteRune('·')
			continue
		}
		b.WriteRune(bars[min(int(x/most*float64(len(bars))), len(bars)-1)])
	}
	return b.String(), most
}

// reasons lists each change of capacity.
func (r *report) reasons(w io.Writer) {
	fmt.Fprintf(w, "\nWhat was decided, and why:\n\n")
	for _, d := range r.decisions {
		fmt.Fprintf(w, "  %s  %d → %d  %s\n", clock(d.Time.Sub(r.began)), d.Previous, d.Desired, d.Why)
	}
}

// writeJSON writes everything, times in seconds unless their names say otherwise.
func (r *report) writeJSON(w io.Writer) error {
	var result strings.Builder
	if err := r.result.WriteJSON(&result); err != nil {
		return err
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(map[string]any{
		"trace":    traceName,
		"from_s":   r.plan.from.Seconds(),
		"for_s":    r.plan.lasting.Seconds(),
		"speed":    r.plan.speed,
		"scale":    r.plan.scale,
		"device":   "emulated",
		"emulated": r.plan.emulated(),
		"machine":  r.machine,
		"requests": len(r.plan.arrivals),
		"lost":     r.lost(),
		"missing":  r.missing(),
		"queue_wait_s": map[string]float64{
			"p50": r.waitSeconds(.50), "p95": r.waitSeconds(.95), "p99": r.waitSeconds(.99),
		},
		"samples":   r.samples,
		"decisions": r.decisions,
		"to_zero_s": r.toZero.Seconds(),
		"load":      json.RawMessage(result.String()),
	})
}

// clock writes a time of the run as minutes and seconds.
func clock(d time.Duration) string {
	s := max(int(d.Seconds()), 0)
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// short keeps a reason to a line.
func short(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

func seconds(s float64) string { return round(time.Duration(s * float64(time.Second))) }

// round writes a time with three digits or fewer.
func round(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}
