package sim

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// runJSON is a run as programs read it.
type runJSON struct {
	*Result
	Setting  string  `json:"setting,omitempty"`
	WaitMean float64 `json:"wait_mean_s"`
	WaitP50  float64 `json:"wait_p50_s"`
	WaitP95  float64 `json:"wait_p95_s"`
	WaitP99  float64 `json:"wait_p99_s"`
	WaitMax  float64 `json:"wait_max_s"`
	P50      float64 `json:"latency_p50_s"`
	P95      float64 `json:"latency_p95_s"`
	P99      float64 `json:"latency_p99_s"`
	Seconds  float64 `json:"span_s"`
	WAPE     float64 `json:"forecast_wape,omitempty"`
	Reactive float64 `json:"forecast_wape_reactive,omitempty"`
}

// WriteJSON writes runs for programs: {"runs": [...]}. Names that end in _s are seconds. The curve is the run in at most 600 steps of time.
func WriteJSON(w io.Writer, runs []*Result) error {
	type drawn struct {
		runJSON
		Curve reportCurve `json:"curve"`
	}
	out := struct {
		Runs []drawn `json:"runs"`
	}{Runs: make([]drawn, len(runs))}
	for i, r := range runs {
		out.Runs[i] = drawn{r.forJSON(), r.curve(max(r.o.Slots, 1))}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(out)
}

func (r *Result) forJSON() runJSON {
	q := func(t *Times, p float64) float64 { return t.Quantile(p).Seconds() }
	return runJSON{
		Result: r, Setting: r.Setting, WaitMean: r.Wait.Mean().Seconds(), WaitP50: q(&r.Wait, .5), WaitP95: q(&r.Wait, .95), WaitP99: q(&r.Wait, .99),
		WaitMax: r.Wait.Max().Seconds(), P50: q(&r.Latency, .5), P95: q(&r.Latency, .95), P99: q(&r.Latency, .99), Seconds: r.Span.Seconds(),
		WAPE: r.Forecast.WAPE, Reactive: r.Forecast.Persistence,
	}
}

// WriteTable writes runs for people, a line each.
func WriteTable(w io.Writer, runs []*Result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "policy\trequests\tlost\twait p50\tp95\tp99\tlatency p95\tkept\tinst-hours\tcost\tof first\tchanges\tcold starts\t")
	for _, r := range runs {
		of := "-"
		if first := runs[0].Cost; first > 0 {
			of = fmt.Sprintf("%.2f", r.Cost/first)
		}
		wait := func(q float64) string { return short(r.Wait.Quantile(q)) }
		fmt.Fprintf(t, "%s\t%d\t%d\t%s\t%s\t%s\t%s\t%.2f %%\t%.1f\t%.2f\t%s\t%d\t%d\t\n", r.Policy, r.Requests, r.Lost, wait(.5), wait(.95), wait(.99),
			short(r.Latency.Quantile(.95)), 100*r.Kept, r.InstanceHours, r.Cost, of, r.Changes, r.ColdStarts)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if err := writeMoney(w, runs); err != nil {
		return err
	}
	var notes strings.Builder
	for _, r := range runs {
		if r.Setting != "" {
			fmt.Fprintf(&notes, "%s: %s\n", r.Policy, r.Setting)
		}
		if r.Fits > 0 {
			fmt.Fprintf(&notes, "%s: forecast %d times; of the last two seasons it was off by %.3g %%, reacting by %.3g %%\n", r.Policy, r.Fits, 100*r.Forecast.WAPE, 100*r.Forecast.Persistence)
		}
		if r.Woken > 0 {
			fmt.Fprintf(&notes, "%s: %d instances came from the warm pool\n", r.Policy, r.Woken)
		}
		if r.Failures+r.Crashes > 0 {
			fmt.Fprintf(&notes, "%s: %d launches failed, and %d instances ended by themselves\n", r.Policy, r.Failures, r.Crashes)
		}
		if r.Cut > 0 {
			fmt.Fprintf(&notes, "%s: %d of the requests that were lost had begun, and were cut as their instance ended\n", r.Policy, r.Cut)
		}
		if r.Switches > 0 {
			fmt.Fprintf(&notes, "%s: %d times a target loaded another model first\n", r.Policy, r.Switches)
		}
		if r.PromptTokens > 0 {
			fmt.Fprintf(&notes, "%s: %.1f %% of the prompts' tokens were remembered\n", r.Policy, 100*float64(r.CachedTokens)/float64(r.PromptTokens))
		}
	}
	_, err := io.WriteString(w, notes.String())
	return err
}

// writeMoney says what became of instances on the spot market, where there is one.
func writeMoney(w io.Writer, runs []*Result) error {
	runs = slices.DeleteFunc(slices.Clone(runs), func(r *Result) bool { return r.o.Mix == nil || len(r.Curve) == 0 })
	if !slices.ContainsFunc(runs, func(r *Result) bool { return r.SpotHours > 0 || r.Refused > 0 }) {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\npolicy\tspot\tall on demand\tsaved\tlaunches\trefused\ttaken back\trequests cut\t")
	for _, r := range runs {
		part := func(a, of float64) string {
			if of == 0 {
				return "-"
			}
			return fmt.Sprintf("%.1f %%", 100*a/of)
		}
		fmt.Fprintf(t, "%s\t%s\t%.2f\t%s\t%d\t%d\t%d\t%d\t\n", r.Policy, part(r.SpotHours, r.InstanceHours), r.OnDemand, part(r.OnDemand-r.Cost, r.OnDemand),
			r.Launches, r.Refused, r.Interruptions, r.Cut)
	}
	return t.Flush()
}

// short writes a duration with three digits.
func short(d time.Duration) string {
	switch {
	case d == 0:
		return "0"
	case d < 999500*time.Nanosecond: // the next ones are a millisecond, in three digits
		return fmt.Sprintf("%.3g µs", float64(d)/1e3)
	case d < 999500*time.Microsecond:
		return fmt.Sprintf("%.3g ms", float64(d)/1e6)
	case d < 2*time.Minute:
		return fmt.Sprintf("%.3g s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.3g min", d.Minutes())
	}
	return fmt.Sprintf("%.3g h", d.Hours())
}
