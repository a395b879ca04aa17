package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/bench/internal/load"
	"github.com/weirlb/weir/bench/internal/procstat"
	"github.com/weirlb/weir/bench/internal/table"
)

// second returns a measurement of one second with the given µs per unit.
func second(units int64, perUnit float64) load.Result {
	cpu := time.Duration(perUnit * float64(units) * float64(time.Microsecond))
	return load.Result{Units: units, Elapsed: time.Second, CPU: cpu, Median: time.Millisecond, P99: 2 * time.Millisecond}
}

func TestJudge(t *testing.T) {
	l := limits{steal: 0.03, foreign: 0.05, loadForeign: 0.2}
	good := second(2000, 100)
	for _, test := range []struct {
		name          string
		mode          string
		change        func(*load.Result)
		refuse, noise bool
	}{
		{"good", load.Rate, func(r *load.Result) {}, false, false},
		{"one 503", load.Rate, func(r *load.Result) { r.NotOK = 1 }, true, false},
		{"one reset", load.Rate, func(r *load.Result) { r.Errors = 1 }, true, false},
		{"none", load.Saturated, func(r *load.Result) { r.Units = 0 }, true, false},
		{"steal at the limit", load.Rate, func(r *load.Result) { r.Steal = 0.03 }, false, false},
		{"steal", load.Rate, func(r *load.Result) { r.Steal = 0.031 }, true, true},
		{"foreign", load.Rate, func(r *load.Result) { r.Foreign = 0.06 }, true, true},
		{"ticks below the exact time", load.Rate, func(r *load.Result) { r.Foreign = -0.06 }, false, false},
		{"foreign on the load's core", load.Rate, func(r *load.Result) { r.LoadForeign = 0.3 }, true, true},
		{"too slow", load.Rate, func(r *load.Result) { r.Units = 1800 }, true, true},
		{"memory on a busy machine", load.Hold, func(r *load.Result) { r.Steal, r.Foreign = 0.5, 0.5 }, false, false},
		{"memory with a lost answer", load.Hold, func(r *load.Result) { r.Errors = 1 }, true, false},
	} {
		r := good
		test.change(&r)
		got := l.judge(test.mode, 2000, r)
		if (got.reason != "") != test.refuse || got.noise != test.noise {
			t.Errorf("%s: %+v; want refused %v, for noise %v", test.name, got, test.refuse, test.noise)
		}
	}
}

// example is a report over two rounds; the machine was slower in the second,
// and Weir was refused in it.
func example() *report {
	get := map[string]map[int]load.Result{
		"floor":   {0: second(50_000, 14), 1: second(50_000, 16)},
		"nginx":   {0: second(50_000, 20), 1: second(50_000, 24)},
		"haproxy": {0: second(50_000, 19), 1: second(50_000, 25)},
		"weir":    {0: second(50_000, 18)},
	}
	held := map[string]map[int]load.Result{
		"nginx": {0: {Units: 2000, Before: procstat.Memory{RSS: 10_000}, After: procstat.Memory{RSS: 30_000}}},
	}
	return &report{
		Date: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), Machine: machine{Kernel: "6.1", CPU: "X", Cores: 2, Go: "go1.26"},
		Versions: map[string]string{"nginx": "nginx/1"}, Rounds: 2, Counted: time.Second,
		Candidates: []string{"floor", "nginx", "haproxy", "weir"},
		Rows: []row{
			newRow(scenarios[0].metrics[0], "GET", get),
			newRow(scenarios[len(scenarios)-1].metrics[0], "held", held),
		},
		Ways:    []way{newWay("get", "nginx", get["nginx"])},
		Refused: []string{"get, round 2 of 2, weir: 7 answers were not 2xx"},
	}
}

func TestReport(t *testing.T) {
	r := example()
	for name, want := range map[string]string{
		"costs": `The proxy's own CPU time and memory: median (min–max), rounds: 2
        floor             nginx                  haproxy           weir
  GET   15.0 (14.0–16.0)  22.0 (20.0–24.0)       22.0 (19.0–25.0)  18.0 (18.0–18.0) of 1
  held  –                 10.0 (10.0–10.0) of 1  –                 –
`,
		"comparison": `Same-round ratios, below 1 is less: median (min–max)
        weir / nginx           weir / haproxy         floor / nginx     floor / haproxy   haproxy / nginx
  GET   0.90 (0.90–0.90) of 1  0.95 (0.95–0.95) of 1  0.68 (0.67–0.70)  0.69 (0.64–0.74)  1.00 (0.95–1.04)
  held  –                      –                      –                 –                 –
`,
		"course": `What happened meanwhile, medians; context, not a comparison: load and target share one core
              per second  core busy  latency p50 ms  p99 ms
  get  nginx  50000       110 %      1.00            2.00
`,
	} {
		got := map[string]*table.Table{"costs": r.costs(), "comparison": r.comparison(), "course": r.course()}[name].Text()
		if got != want {
			t.Errorf("%s:\n%s\nwant:\n%s", name, got, want)
		}
	}
	if got := r.calibration(); !strings.Contains(got, "15.0 µs") || !strings.Contains(got, "0.68 of nginx") {
		t.Errorf("calibration: %s", got)
	}
	if err := r.incomplete(); err == nil {
		t.Error("a report with a refused measurement passes as complete")
	}
}

func TestReportWithoutReferences(t *testing.T) {
	r := example()
	r.Candidates = []string{"floor"}
	if got := r.text(); strings.Contains(got, "Same-round") {
		t.Errorf("one candidate was compared:\n%s", got)
	}
}

func TestSave(t *testing.T) {
	jsonFile := filepath.Join(t.TempDir(), "r.json")
	markdownFile := filepath.Join(t.TempDir(), "r.md")
	if err := example().save(jsonFile, markdownFile); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(jsonFile)
	if err != nil {
		t.Fatal(err)
	}
	var back report
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if got := back.Rows[0].Ratios["weir"]["nginx"]; got.Median != 0.9 || got.N != 1 {
		t.Errorf("ratio read back: %+v", got)
	}
	if text, err = os.ReadFile(markdownFile); err != nil || !strings.Contains(string(text), "| GET | 15.0 (14.0–16.0) |") {
		t.Errorf("markdown: %v\n%s", err, text)
	}
	if err := example().save("", filepath.Join(jsonFile, "no")); err == nil {
		t.Error("a file below a file was written")
	}
}
