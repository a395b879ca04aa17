package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/weirlb/weir/bench/internal/load"
	"github.com/weirlb/weir/bench/internal/ratio"
	"github.com/weirlb/weir/bench/internal/table"
)

// references are the candidates that others are compared with.
var references = []string{"nginx", "haproxy", "caddy"}

// report is everything a measurement found, as -json writes it.
type report struct {
	Date       time.Time         `json:"date"`
	Machine    machine           `json:"machine"`
	Versions   map[string]string `json:"versions"`
	Rounds     int               `json:"rounds"`
	Counted    time.Duration     `json:"counted_ns"` // per measurement
	Candidates []string          `json:"candidates"`
	Rows       []row             `json:"rows"`
	Ways       []way             `json:"ways"`
	Refused    []string          `json:"refused"`
	Noisy      []string          `json:"noisy"`
	Results    results           `json:"results"`
}

// machine is what the figures hold for.
type machine struct {
	Kernel string `json:"kernel"`
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Go     string `json:"go"`
}

// row is one metric of every candidate.
type row struct {
	metric
	Name   string                              `json:"title"`
	Values map[string]ratio.Rounds             `json:"values"`
	Sums   map[string]ratio.Summary            `json:"summaries"`
	Ratios map[string]map[string]ratio.Summary `json:"ratios"` // candidate, reference
}

// way is how one candidate went through one scenario: medians over the rounds.
type way struct {
	Scenario  string  `json:"scenario"`
	Candidate string  `json:"candidate"`
	PerSecond float64 `json:"units_per_second"`
	Busy      float64 `json:"busy"` // share of the core the candidate used itself
	MedianMS  float64 `json:"latency_median_ms"`
	P99MS     float64 `json:"latency_p99_ms"`
}

// results are by scenario, candidate and round. What was refused is missing.
type results map[string]map[string]map[int]load.Result

func (r results) put(scenario, candidate string, round int, result load.Result) {
	if r[scenario] == nil {
		r[scenario] = make(map[string]map[int]load.Result)
	}
	if r[scenario][candidate] == nil {
		r[scenario][candidate] = make(map[int]load.Result)
	}
	r[scenario][candidate][round] = result
}

// newRow reads a metric off the results of a scenario, by candidate and round.
func newRow(m metric, title string, byCandidate map[string]map[int]load.Result) row {
	r := row{
		metric: m, Name: title,
		Values: make(map[string]ratio.Rounds),
		Sums:   make(map[string]ratio.Summary),
		Ratios: make(map[string]map[string]ratio.Summary),
	}
	for name, byRound := range byCandidate {
		r.Values[name] = values(byRound, m.Value)
		r.Sums[name] = r.Values[name].Summary()
	}
	for name, mine := range r.Values {
		r.Ratios[name] = make(map[string]ratio.Summary)
		for _, reference := range references {
			if base := r.Values[reference]; base != nil && reference != name {
				r.Ratios[name][reference] = mine.To(base).Summary()
			}
		}
	}
	return r
}

func values(byRound map[int]load.Result, value func(load.Result) float64) ratio.Rounds {
	rounds := make(ratio.Rounds)
	for round, result := range byRound {
		rounds[round] = value(result)
	}
	return rounds
}

func newWay(scenario, candidate string, byRound map[int]load.Result) way {
	median := func(value func(load.Result) float64) float64 {
		return values(byRound, value).Summary().Median
	}
	return way{
		Scenario: scenario, Candidate: candidate,
		PerSecond: median(func(r load.Result) float64 { return float64(r.Units) / r.Elapsed.Seconds() }),
		Busy:      median(func(r load.Result) float64 { return float64(r.CPU) / float64(r.Elapsed) }),
		MedianMS:  median(func(r load.Result) float64 { return r.Median.Seconds() * 1000 }),
		P99MS:     median(func(r load.Result) float64 { return r.P99.Seconds() * 1000 }),
	}
}

// costs is the table of medians and spans.
func (r *report) costs() *table.Table {
	t := &table.Table{Title: fmt.Sprintf("The proxy's own CPU time and memory: median (min–max), rounds: %d", r.Rounds)}
	t.Add(append([]string{""}, r.Candidates...)...)
	for _, row := range r.Rows {
		cells := []string{row.Name}
		for _, name := range r.Candidates {
			cells = append(cells, format(row.Sums[name], r.Rounds))
		}
		t.Add(cells...)
	}
	return t
}

// pair is two candidates to compare.
type pair struct{ name, reference string }

// pairs are all comparisons: first the candidates with each reference, then
// the references with one another.
func (r *report) pairs() []pair {
	var pairs, among []pair
	for _, name := range slices.Backward(r.Candidates) {
		own := slices.Index(references, name)
		for i, reference := range references {
			switch p := (pair{name, reference}); {
			case !slices.Contains(r.Candidates, reference):
			case own < 0:
				pairs = append(pairs, p)
			case own > i:
				among = append(among, p)
			}
		}
	}
	return append(pairs, among...)
}

// comparison is the table of same-round ratios, or nil when nothing compares.
func (r *report) comparison() *table.Table {
	// A pair that no scenario measures both of is no comparison.
	pairs := slices.DeleteFunc(r.pairs(), func(p pair) bool {
		return !slices.ContainsFunc(r.Rows, func(row row) bool { return row.Ratios[p.name][p.reference].N > 0 })
	})
	if len(pairs) == 0 {
		return nil
	}
	t := &table.Table{Title: "Same-round ratios, below 1 is less: median (min–max)"}
	heading := []string{""}
	for _, p := range pairs {
		heading = append(heading, p.name+" / "+p.reference)
	}
	t.Add(heading...)
	for _, row := range r.Rows {
		cells := []string{row.Name}
		for _, p := range pairs {
			cells = append(cells, format(row.Ratios[p.name][p.reference], r.Rounds))
		}
		t.Add(cells...)
	}
	return t
}

// course is the table of what happened meanwhile.
func (r *report) course() *table.Table {
	t := &table.Table{Title: "What happened meanwhile, medians; context, not a comparison: load and target share one core"}
	t.Add("", "", "per second", "core busy", "latency p50 ms", "p99 ms")
	for _, w := range r.Ways {
		t.Add(w.Scenario, w.Candidate, fmt.Sprintf("%.0f", w.PerSecond), fmt.Sprintf("%.0f %%", 100*w.Busy),
			latency(w.MedianMS), latency(w.P99MS))
	}
	return t
}

// latency prints milliseconds; h2load, for one, does not say.
func latency(ms float64) string {
	if ms == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", ms)
}

// format prints a summary to about three digits. Fewer rounds than asked for
// are said.
func format(s ratio.Summary, rounds int) string {
	if s.N == 0 {
		return "–"
	}
	text := fmt.Sprintf("%s (%s–%s)", digits(s.Median), digits(s.Min), digits(s.Max))
	if s.N < rounds {
		text += fmt.Sprintf(" of %d", s.N)
	}
	return text
}

func digits(v float64) string {
	switch {
	case v < 9.995:
		return fmt.Sprintf("%.2f", v)
	case v < 99.95:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// calibration says what the floor tells about the other figures.
func (r *report) calibration() string {
	i := slices.IndexFunc(r.Rows, func(row row) bool { return row.Key == "get_us" })
	if i < 0 || r.Rows[i].Sums["floor"].N == 0 {
		return "Calibration: none, without the floor under a saturated GET nothing says what the sockets of this machine cost."
	}
	row := r.Rows[i]
	floor := row.Sums["floor"]
	var b strings.Builder
	fmt.Fprintf(&b, "Calibration: of a saturated GET, %.1f µs are the loopback sockets (floor).", floor.Median)
	if s := row.Ratios["floor"]["nginx"]; s.N > 0 {
		fmt.Fprintf(&b, " That is %.2f of nginx; 0.68 to 0.80 is usual.", s.Median)
	}
	if floor.Max > 1.25*floor.Min {
		b.WriteString(" It swung by more than 25 % between rounds: trust the ratios only, and those little.")
	}
	b.WriteString(" Differences under 10 % are noise.")
	for _, name := range r.Candidates {
		if s := row.Sums[name]; s.N > 0 && s.Median < 0.9*floor.Median {
			fmt.Fprintf(&b, " %s is cheaper than the floor, which cannot be: do not trust this run.", name)
		}
	}
	return b.String()
}

// provenance is where and when the figures come from.
func (r *report) provenance() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, Linux %s, %d cores of %s, %s.", r.Date.Format(time.DateOnly),
		r.Machine.Kernel, r.Machine.Cores, r.Machine.CPU, r.Machine.Go)
	for _, name := range slices.Sorted(maps.Keys(r.Versions)) {
		fmt.Fprintf(&b, " %s: %s.", name, r.Versions[name])
	}
	fmt.Fprintf(&b, " %v counted per measurement.", r.Counted)
	return b.String()
}

func (r *report) tables() []*table.Table {
	tables := []*table.Table{r.costs()}
	if t := r.comparison(); t != nil {
		tables = append(tables, t)
	}
	return append(tables, r.course())
}

// remarks are the sentences around the tables.
func (r *report) remarks() []string {
	remarks := []string{r.calibration(), r.provenance()}
	if len(r.Noisy) > 0 {
		remarks = append(remarks, list("Kept although noisy", r.Noisy))
	}
	if len(r.Refused) > 0 {
		remarks = append(remarks, list("Refused", r.Refused))
	}
	return remarks
}

func list(title string, items []string) string {
	return fmt.Sprintf("%s (%d):\n\n- %s", title, len(items), strings.Join(items, "\n- "))
}

func (r *report) text() string { return r.render((*table.Table).Text) }

func (r *report) markdown() string { return r.render((*table.Table).Markdown) }

func (r *report) render(render func(*table.Table) string) string {
	var parts []string
	for _, t := range r.tables() {
		parts = append(parts, render(t))
	}
	for _, remark := range r.remarks() {
		parts = append(parts, remark+"\n")
	}
	return "\n" + strings.Join(parts, "\n")
}

// save writes the files whose names are not empty.
func (r *report) save(jsonFile, markdownFile string) error {
	if jsonFile != "" {
		text, err := json.MarshalIndent(r, "", "\t")
		if err != nil {
			return fmt.Errorf("writing the report as JSON: %w", err)
		}
		if err := os.WriteFile(jsonFile, append(text, '\n'), 0o644); err != nil {
			return fmt.Errorf("-json: %w", err)
		}
	}
	if markdownFile != "" {
		if err := os.WriteFile(markdownFile, []byte(strings.TrimLeft(r.markdown(), "\n")), 0o644); err != nil {
			return fmt.Errorf("-markdown: %w", err)
		}
	}
	return nil
}

// incomplete returns an error when measurements are missing.
func (r *report) incomplete() error {
	if len(r.Refused) == 0 {
		return nil
	}
	return fmt.Errorf("%d measurements were refused and are missing above: quieten the machine, or accept noise with -keep-noisy", len(r.Refused))
}
