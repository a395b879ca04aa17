package load

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// lateLimit is the delay of its own from which a generator's numbers are in doubt.
const lateLimit = 50 * time.Millisecond

// remark is a sentence about a run that a reader has to see before its numbers.
type remark struct {
	bad  bool
	text string
}

// remarks say what went wrong, worst first, or that nothing did.
func (r *Result) remarks() []remark {
	var out []remark
	t := r.Total
	if t.Failed > 0 {
		out = append(out, remark{true, fmt.Sprintf("%s of %s requests failed (%s).", count(t.Failed), count(t.Sent), percent(t.Failed, t.Sent))})
	}
	if t.Dropped > 0 {
		out = append(out, remark{true, fmt.Sprintf("%s requests were dropped: too many were outstanding, so they were not sent, "+
			"and the latencies below are better than users would have seen.", count(t.Dropped))})
	}
	if r.Interrupted {
		out = append(out, remark{true, fmt.Sprintf("The run was interrupted; %s requests were given up.", count(t.Aborted))})
	}
	if t.Late.P99 > lateLimit {
		out = append(out, remark{true, fmt.Sprintf("The generator itself was late: 1 in 100 requests started %s or more behind its time. "+
			"The latencies include that; give the generator more CPU or a lower rate.", short(t.Late.P99))})
	}
	switch {
	case t.Sent == 0 && t.Dropped == 0:
		out = append(out, remark{true, "No request was sent: the schedule has no arrivals."})
	case len(out) == 0:
		out = append(out, remark{false, fmt.Sprintf("All %s requests were answered; none failed, none was dropped.", count(t.Sent))})
	}
	return out
}

func percent(n, of int64) string { return fmt.Sprintf("%.3g%%", 100*float64(n)/float64(max(of, 1))) }

// failure is a class of failures of one kind.
type failure struct {
	kind, class, example string
	n                    int64
}

// failures are those of all kinds, the most frequent first.
func (r *Result) failures() []failure {
	var out []failure
	for _, k := range r.Kinds {
		for class, n := range k.Errors {
			out = append(out, failure{k.name(), class, k.Examples[class], n})
		}
	}
	slices.SortFunc(out, func(a, b failure) int {
		return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.kind, b.kind), cmp.Compare(a.class, b.class))
	})
	return out
}

func (k KindResult) name() string { return cmp.Or(k.Name, "all") }

// rows are the kinds, and the total below when there are several.
func (r *Result) rows() []KindResult {
	if len(r.Kinds) == 1 {
		return r.Kinds
	}
	return append(slices.Clone(r.Kinds), r.Total)
}

// timing is one line of times: of a kind and a measure.
type timing struct {
	kind, what string
	q          Quantiles
}

// timings are all lines of times that were measured. One over all kinds that only one kind has would say the same twice and is left out.
func (r *Result) timings() []timing {
	of := func(k KindResult) []timing {
		return []timing{
			{k.name(), "latency", k.Latency},
			{k.name(), "latency of failures", k.FailedLatency},
			{k.name(), "time to first token", k.TTFT},
			{k.name(), "gap between events", k.Gap},
			{k.name(), "wait the server reports", k.Wait},
		}
	}
	var out []timing
	have := map[string]int{} // kinds that have the measure
	for _, k := range r.Kinds {
		for _, t := range of(k) {
			if t.q.Count > 0 {
				out = append(out, t)
				have[t.what]++
			}
		}
	}
	for _, t := range of(r.Total) {
		if have[t.what] > 1 {
			out = append(out, t)
		}
	}
	return out
}

// rate is requests sent per second of the run.
func (r *Result) rate(k KindResult) float64 { return float64(k.Sent) / max(r.Elapsed.Seconds(), 1e-9) }

// WriteTable writes the result for a terminal, failures first.
func (r *Result) WriteTable(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s, %s from %s\n\n", cmp.Or(r.Title, "Load"), r.Elapsed.Round(100*time.Millisecond), r.Start.Format(time.DateTime))
	for _, m := range r.remarks() {
		mark := "ok"
		if m.bad {
			mark = "!!"
		}
		fmt.Fprintf(&b, "%s  %s\n", mark, m.text)
	}
	table := func(header string, fill func(row func(cells ...string))) {
		b.WriteByte('\n')
		tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		fmt.Fprintln(tw, header)
		fill(func(cells ...string) { fmt.Fprintln(tw, strings.Join(cells, "\t")) })
		tw.Flush() // into a buffer, which takes all
	}
	if failures := r.failures(); len(failures) > 0 {
		table("FAILURES\tKIND\tCLASS\tFIRST", func(row func(...string)) {
			for _, f := range failures {
				row(count(f.n), f.kind, f.class, clipTo(f.example, 100))
			}
		})
	}
	table("KIND\tSENT\tDONE\tFAILED\tDROPPED\tSENT/S\tSTATUS", func(row func(...string)) {
		for _, k := range r.rows() {
			row(k.name(), count(k.Sent), count(k.Done), count(k.Failed), count(k.Dropped), fmt.Sprintf("%.1f", r.rate(k)), k.statuses())
		}
	})
	if timings := r.timings(); len(timings) > 0 {
		table("KIND\tTIME\tP50\tP90\tP95\tP99\tP99.9\tMAX", func(row func(...string)) {
			for _, t := range timings {
				row(t.kind, t.what, short(t.q.P50), short(t.q.P90), short(t.q.P95), short(t.q.P99), short(t.q.P999), short(t.q.Max))
			}
		})
		b.WriteString("\nTimes count from the moment a request should have started.\n")
	}
	_, err := w.Write(b.Bytes())
	return err
}

// statuses lists the answers by HTTP status.
func (k KindResult) statuses() string {
	var out []string
	for _, code := range slices.Sorted(maps.Keys(k.Status)) {
		out = append(out, fmt.Sprintf("%d: %s", code, count(k.Status[code])))
	}
	return strings.Join(out, ", ")
}

// clipTo shortens what others said, and drops what would steer a terminal.
func clipTo(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	if runes := []rune(s); len(runes) > n {
		return string(runes[:n]) + "…"
	}
	return s
}
