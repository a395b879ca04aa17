package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/weirlb/weir/bench/internal/child"
	"github.com/weirlb/weir/bench/internal/table"
)

// report is everything a run found, as -json writes it.
type report struct {
	Date     time.Time         `json:"date"`
	Cores    int               `json:"cores"`
	Go       string            `json:"go"`
	Versions map[string]string `json:"versions"`
	Speed    float64           `json:"speed"`
	Seed     uint64            `json:"seed"`
	Mixes    map[string]string `json:"mixes"`
	Usage    usage             `json:"usage"`
	Reloads  int               `json:"reloads"`
	Longest  time.Duration     `json:"longest_reload_ns"`
	Late     waits             `json:"late"` // how much later than planned requests left
	Rows     []row             `json:"rows"`
}

// waits sums up waits in milliseconds, in real time: as if the speed had been 1.
type waits struct {
	Mean float64 `json:"mean_ms"`
	P50  float64 `json:"p50_ms"`
	P95  float64 `json:"p95_ms"`
	P99  float64 `json:"p99_ms"`
	Max  float64 `json:"max_ms"`
	// Latency is the mean of wait and service together: with unequal targets it also says who was sent to slow ones.
	Latency float64 `json:"latency_mean_ms"`
}

func sum(outcomes []outcome, speed float64) waits {
	if len(outcomes) == 0 {
		return waits{}
	}
	sorted := make([]time.Duration, len(outcomes))
	total, latency := 0.0, 0.0
	for i, o := range outcomes {
		sorted[i] = o.wait
		total += float64(o.wait)
		latency += float64(o.wait + o.service)
	}
	slices.Sort(sorted)
	ms := func(d float64) float64 { return d * speed / float64(time.Millisecond) }
	// The nearest rank: the least value that at least the share q of all does not exceed.
	at := func(q float64) float64 { return ms(float64(sorted[int(math.Ceil(q*float64(len(sorted))))-1])) }
	n := float64(len(sorted))
	return waits{Mean: ms(total / n), P50: at(0.5), P95: at(0.95), P99: at(0.99), Max: at(1), Latency: ms(latency / n)}
}

// row is one candidate, or an ideal, under one load.
type row struct {
	Case      string  `json:"case"`
	Mix       string  `json:"mix"`
	Load      float64 `json:"load"`
	Candidate string  `json:"candidate"`
	waits
	MeanRatio float64 `json:"mean_ratio,omitempty"` // to the ideal first-come queue
	P99Ratio  float64 `json:"p99_ratio,omitempty"`
	Spread    float64 `json:"spread,omitempty"` // of the ideal's mean by chance, see cell.spread
	Requests  int     `json:"requests,omitempty"`
	Failed    int     `json:"failed,omitempty"`
	Failure   string  `json:"failure,omitempty"` // the first
	Refused   string  `json:"not_offered,omitempty"`
}

const (
	idealFirst    = "ideal queue, computed"
	idealShortest = "ideal shortest first, computed"
	idealFewest   = "ideal fewest steps first, computed"
)

func (e *env) report(ctx context.Context, u usage) *report {
	r := &report{
		Date: time.Now().UTC().Truncate(time.Second), Cores: runtime.NumCPU(), Go: runtime.Version(), Versions: make(map[string]string),
		Speed: e.speed, Seed: e.seed, Mixes: make(map[string]string), Usage: u,
		Reloads: e.churned.reloads, Longest: e.churned.longest,
	}
	for name, arg := range map[string]string{weir: "version", nginx: "-v", haproxy: "-v"} {
		if path := e.programs[name]; path != "" {
			r.Versions[name] = child.Version(ctx, path, arg)
		}
	}
	var late []outcome
	for i, c := range e.cells {
		r.Mixes[c.mix.name] = c.mix.title
		base := sum(c.base, c.speed)
		entry := func(name string, w waits) row {
			return row{Case: c.kind, Mix: c.mix.name, Load: c.load, Candidate: name, waits: w, MeanRatio: w.Mean / base.Mean, P99Ratio: w.P99 / base.P99}
		}
		if previous := e.cells[max(0, i-1)]; i == 0 || previous.kind != c.kind || previous.mix.name != c.mix.name || previous.load != c.load {
			r.Rows = append(r.Rows, entry(idealFirst, base))
			if c.best != nil {
				r.Rows = append(r.Rows, entry(idealShortest, sum(c.best, c.speed)), entry(idealFewest, sum(c.told, c.speed)))
			}
		}
		measured, failed, failure := c.measured()
		row := entry(c.candidate.title, sum(measured, c.speed))
		row.Requests, row.Failed, row.Failure, row.Refused, row.Spread = len(c.jobs), failed, failure, c.refused, c.spread
		r.Rows = append(r.Rows, row)
		for _, s := range c.samples {
			late = append(late, outcome{wait: s.late})
		}
	}
	r.Late = sum(late, 1)
	return r
}

// measured are the requests that were answered, and how many were not.
func (c *cell) measured() (done []outcome, failed int, failure string) {
	for _, s := range c.samples {
		if s.failure == "" {
			done = append(done, s.outcome)
			continue
		}
		if failed == 0 {
			failure = s.failure
		}
		failed++
	}
	return done, failed, failure
}

// aim is what Weir's rows of a case are to reach: ratios to the ideal first-come queue.
type aim struct {
	text      string
	mean, p99 float64
	at        func(load float64) bool
}

var (
	always = func(float64) bool { return true }
	aims   = map[string]aim{
		equal:    {"mean and p99 at most 1.03 of the ideal", 1.03, 1.03, always},
		unequal:  {"mean and p99 at most 1.03 of the ideal", 1.03, 1.03, always},
		churn:    {"mean and p99 at most 1.03 of the ideal", 1.03, 1.03, always},
		shortest: {"at 0.9, mean at most 0.6 and p99 at most 1.2 of the ideal first-come queue", 0.6, 1.2, func(load float64) bool { return load == 0.9 }},
	}
	caseTitles = map[string]string{
		equal:    "eight equal targets",
		unequal:  "eight unequal targets, speeds and weights 1:2:4, as fast as eight equal ones together",
		churn:    "eight targets, of which every 10 s one goes and a new one comes (weir reload)",
		shortest: fmt.Sprintf("eight equal targets, shortest_first by the header %s; %d times as many requests, because a mean of few is chance, %d times as fast", stepsHeader, shortestMore, shortestFaster),
	}
)

// verdict is whether a row of Weir reaches its aim; nothing for rows without one. Where no order of the queue that goes by what requests say would reach it,
// the best such order is what counts. What is missed just as much without a proxy is missed by the machine.
func (r *report) verdict(w row) string {
	a := aims[w.Case]
	if !strings.HasPrefix(w.Candidate, "Weir") || !a.at(w.Load) || w.Refused != "" {
		return ""
	}
	if w.reaches(a.mean, a.p99) {
		return "reached"
	}
	note := "missed"
	if best, ok := r.beside(w, idealFewest); ok && !best.reaches(a.mean, a.p99) {
		if w.reaches(margin*best.MeanRatio, margin*best.P99Ratio) {
			return fmt.Sprintf("out of reach, but what is possible (%.2f, %.2f)", best.MeanRatio, best.P99Ratio)
		}
		note = fmt.Sprintf("missed; possible are %.2f, %.2f", best.MeanRatio, best.P99Ratio)
	}
	if w.Spread > 0 && w.reaches(w.Spread, a.p99) {
		return fmt.Sprintf("reached: by chance the ideal comes to %.2f", w.Spread)
	}
	if d, ok := r.beside(w, ownQueue.title); ok && w.reaches(max(a.mean, margin*d.MeanRatio), max(a.p99, margin*d.P99Ratio)) {
		return note + ", as without a proxy"
	}
	return note
}

// margin is what Weir may add to what is possible.
const margin = 1.03

// reaches compares with ratios as the table shows them, with two digits.
func (w row) reaches(mean, p99 float64) bool {
	return round(w.MeanRatio) <= round(mean) && round(w.P99Ratio) <= round(p99) && w.Failed == 0
}

// beside is another candidate's row, of the same requests.
func (r *report) beside(w row, candidate string) (row, bool) {
	i := slices.IndexFunc(r.Rows, func(o row) bool {
		return o.Candidate == candidate && o.Case == w.Case && o.Mix == w.Mix && o.Load == w.Load
	})
	if i < 0 {
		return row{}, false
	}
	return r.Rows[i], true
}

func round(v float64) float64 { return math.Round(v*100) / 100 }

// tables are one for each case and mix.
func (r *report) tables() []*table.Table {
	var tables []*table.Table
	var t *table.Table
	for i, w := range r.Rows {
		if i == 0 || w.Case != r.Rows[i-1].Case || w.Mix != r.Rows[i-1].Mix {
			t = &table.Table{Title: fmt.Sprintf("Waits in ms: %s; %s. Aim: %s", caseTitles[w.Case], r.Mixes[w.Mix], aims[w.Case].text)}
			t.Add("load", "", "mean", "p50", "p95", "p99", "longest", "mean latency", "mean / ideal", "p99 / ideal", "aim")
			tables = append(tables, t)
		}
		load := ""
		if w.Candidate == idealFirst {
			load = fmt.Sprintf("%g", w.Load)
		}
		note := r.verdict(w)
		switch {
		case w.Refused != "":
			t.Add(load, w.Candidate, "not offered: "+w.Refused, "", "", "", "", "", "", "", "")
			continue
		case w.Failed > 0:
			note = fmt.Sprintf("%d FAILED: %s", w.Failed, w.Failure)
		}
		t.Add(load, w.Candidate, digits(w.Mean), digits(w.P50), digits(w.P95), digits(w.P99), digits(w.Max), digits(w.Latency),
			fmt.Sprintf("%.2f", w.MeanRatio), fmt.Sprintf("%.2f", w.P99Ratio), note)
	}
	return tables
}

func digits(v float64) string {
	if v < 9.95 {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// busyLate is how late requests leave in the mean, in ms, on a machine that has other things to do.
const busyLate = 1

// remarks are the sentences below the tables.
func (r *report) remarks() []string {
	lines := []string{
		fmt.Sprintf("A wait is the time from when a request should have left to its whole answer, less the target's work on it. Requests are the same for all candidates of a load, open loop, seed %d.", r.Seed),
		fmt.Sprintf("The machine: %d cores %.0f %% busy with everything that ran on it, %.1f %% stolen; requests left %.2f ms late in the mean, %.1f ms at p99. `%s` shows what that and the sockets add without a proxy.",
			r.Cores, 100*r.Usage.Busy, 100*r.Usage.Stolen, r.Late.Mean, r.Late.P99, ownQueue.title),
	}
	if r.Late.Mean > busyLate || r.Usage.Stolen > 0.03 {
		lines = append(lines, fmt.Sprintf("THIS MACHINE WAS BUSY with other work: believe no difference smaller than that between `%s` and the ideal.", ownQueue.title))
	}
	if r.Speed != 1 {
		lines = append(lines, fmt.Sprintf("Run %g times as fast; times above are those of real time, so that overheads look %g times as large as they are (with shortest_first %g times).", r.Speed, r.Speed, r.Speed*shortestFaster))
	}
	if r.Reloads > 0 {
		lines = append(lines, fmt.Sprintf("Targets came and went in %d reloads; the longest took %v.", r.Reloads, r.Longest.Round(time.Millisecond)))
	}
	where := []string{r.Date.Format(time.DateOnly), r.Go}
	for _, name := range []string{weir, nginx, haproxy} {
		if v := r.Versions[name]; v != "" {
			where = append(where, name+": "+v)
		}
	}
	return append(lines, strings.Join(where, ", ")+".")
}

func (r *report) text() string { return r.render((*table.Table).Text) }

func (r *report) render(draw func(*table.Table) string) string {
	var b strings.Builder
	for _, t := range r.tables() {
		b.WriteString("\n" + draw(t))
	}
	b.WriteString("\n" + strings.Join(r.remarks(), "\n") + "\n")
	return b.String()
}

// save writes the files whose names are not empty.
func (r *report) save(jsonFile, markdownFile string) error {
	if jsonFile != "" {
		text, err := json.MarshalIndent(r, "", "\t")
		if err != nil {
			return fmt.Errorf("writing the report as JSON: %w", err)
		}
		if err := write(jsonFile, append(text, '\n')); err != nil {
			return fmt.Errorf("-json: %w", err)
		}
	}
	if markdownFile != "" {
		if err := write(markdownFile, []byte(strings.TrimLeft(r.render((*table.Table).Markdown), "\n"))); err != nil {
			return fmt.Errorf("-markdown: %w", err)
		}
	}
	return nil
}

func write(file string, text []byte) error {
	return errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, text, 0o644))
}

// failures is an error when a request was not answered: a row with failures compares nothing.
func (r *report) failures() error {
	failed := 0
	for _, w := range r.Rows {
		failed += w.Failed
	}
	if failed > 0 {
		return fmt.Errorf("%d requests failed; the rows that say so compare nothing", failed)
	}
	return nil
}
