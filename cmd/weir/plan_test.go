package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPlan(t *testing.T) {
	dir := t.TempDir()
	types := filepath.Join(dir, "types.csv")
	if err := os.WriteFile(types, []byte("name,on_demand,spot,slots,boot\nsmall,0.5,0,2,5s\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "weir.yaml")
	ask := []string{"plan", "--users", "8", "--duration", "2s..4s", "--spike", "2x", "--budget", "2,000/month", "--gpu-types", types}
	var out strings.Builder
	if code := run(append(ask, "-o", file), &out, &out); code != exitOK {
		t.Fatal(out.String())
	}
	for _, want := range []string{"A usual day's highest: 4 requests at the same time, 1.333 a second", "this plan", "written to " + file} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	mine := strings.Replace(string(text), "./serve", "/bin/true", 1)
	if err := os.WriteFile(file, []byte(mine), 0o644); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if code := run([]string{"check", "-c", file}, &out, &out); code != exitOK {
		t.Errorf("weir check of the plan: %s", out.String())
	}
	out.Reset()
	var errs strings.Builder
	if code := run(append(ask, "--json"), &out, &errs); code != exitOK {
		t.Fatal(errs.String())
	}
	var a struct {
		Question struct {
			Users  float64 `json:"users"`
			Budget float64 `json:"budget_per_month"`
			Low    float64 `json:"shortest_s"`
		} `json:"question"`
		Facts struct {
			Mean float64 `json:"service_mean_s"`
		} `json:"facts"`
		Best struct {
			Max     int     `json:"max"`
			Monthly float64 `json:"per_month"`
			Fits    bool    `json:"fits"`
			Usual   struct {
				Kept float64 `json:"kept"`
			} `json:"usual"`
		} `json:"best"`
		Others []json.RawMessage `json:"others"`
	}
	if err := json.Unmarshal([]byte(out.String()), &a); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	if a.Question.Users != 8 || a.Question.Budget != 2000 || a.Question.Low != 2 || a.Facts.Mean != 3 || a.Best.Max == 0 || a.Best.Monthly == 0 || !a.Best.Fits || a.Best.Usual.Kept < 0.95 {
		t.Errorf("%+v", a)
	}
	if len(a.Others) == 0 {
		t.Error("there are no other plans")
	}
}

// What was recorded says what users do; then only money is asked for. What it does not buy is said, and scripts can tell.
func TestPlanFromATrace(t *testing.T) {
	dir := t.TempDir()
	trace, file := filepath.Join(dir, "requests.csv"), filepath.Join(dir, "weir.yaml")
	var rows strings.Builder
	rows.WriteString("time,duration\n")
	for i := range 400 {
		fmt.Fprintf(&rows, "%s,2.5\n", time.Date(2026, 3, 2, 9, 0, i, 0, time.UTC).Format(time.RFC3339))
	}
	if err := os.WriteFile(trace, []byte(rows.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	var out, errs strings.Builder
	if code := run([]string{"plan", "--trace", trace, "--budget", "5000", "-o", file}, &out, &errs); code != exitOK {
		t.Fatal(out.String(), errs.String())
	}
	// One comes a second and takes 2.5 s: 2.5 at the same time by Little's law, and three at most.
	for _, want := range []string{trace + ": 400 requests over 6m39s", "A usual day's highest: 2.5", "this plan", "written to " + file} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
	}
	text, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(text), "there were never more than 3; a request takes 2.5s on average") {
		t.Errorf("%v\n%s", err, text)
	}
	out.Reset()
	market := written(t, "a.json", `{"metadata": {"gap_seconds": 60}, "data": [9, 9, 0, 9]}`)
	if code := run([]string{"plan", "--trace", trace, "--budget", "5000", "--spot", "a=" + market, "-o", file}, &out, &errs); code != exitOK {
		t.Fatal(out.String(), errs.String())
	}
	text, err = os.ReadFile(file)
	for what, has := range map[string]bool{
		"the report names the market":  strings.Contains(out.String(), "\nspot in a: "+market) && strings.Contains(out.String(), "taken back, requests cut"),
		"the config says what it gave": err == nil && strings.Contains(string(text), "# On the recorded markets ") && strings.Contains(string(text), "zones: [a]"),
	} {
		if !has {
			t.Errorf("%s: no\n%s\n%s", what, out.String(), text)
		}
	}
	out.Reset()
	if code := run([]string{"plan", "--trace", trace, "--budget", "20"}, &out, &errs); code != exitFailed {
		t.Errorf("exit %d though no plan is within the budget", code)
	}
	if !strings.Contains(errs.String(), "no plan keeps within 20 a month") || !strings.Contains(out.String(), "per_month: 20") {
		t.Errorf("%s\n%s", errs.String(), out.String())
	}
}

func TestPlanMistakes(t *testing.T) {
	types, short := filepath.Join(t.TempDir(), "types.csv"), filepath.Join(t.TempDir(), "short.csv")
	if err := os.WriteFile(short, []byte("time,duration\n2026-03-02T09:00:00Z,1\n2026-03-02T09:00:05Z,1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, types, want string }{
		{"", "", "give --users, --duration, --spike, --budget"},
		{"--trace FILE --users 5 --budget 100", "", "leave them out, or the trace"},
		{"--trace FILE", "", "give --budget"},
		{"--trace FILE --budget 100", "", "too few to plan by"},
		{"--users 5 --duration 30s..10s --spike 2x --budget 100", "", "write the shorter first"},
		{"--users 5 --duration long --spike 2x --budget 100", "", "as 10s..30s"},
		{"--users 5 --duration 1s --spike none --budget 100", "", "is not 1x to 10000x"},
		{"--users 5 --duration 1s --spike 2x --budget 100/week", "", "8000/month, or 11/hour"},
		{"--users 5 --duration 1s --spike 2x --budget 100", "type,price\na,1\n", ":1: the first line must be name,on_demand,spot,slots,boot"},
		{"--users 5 --duration 1s --spike 2x --budget 100", "name,on_demand,spot,slots,boot\na,1,x,1,1s\n", `:2: spot "x"`},
		{"--users 5 --duration 1s --spike 2x --budget 100", "name,on_demand,spot,slots,boot\na,1,0,1,soon\n", `:2: boot "soon"`},
		{"--users 5 --duration 1s --spike 2x --budget 100", "name,on_demand,spot,slots,boot\na,0,0,1,1s\n", ":2: a type needs"},
		{"--users 5 --duration 1s --spike 2x --budget 100", "name,on_demand,spot,slots,boot\n", "there is no type"},
		{"--users 5 --duration 1s --spike 2x --budget 100", "name,on_demand,spot,slots,boot,wake\na,1,0,1,9s,soon\n", `:2: wake "soon"`},
		{"--users 5 --duration 1s --spike 2x --budget 100", "name,on_demand,spot,slots,boot,wake\na,1,0,1,9s\n", "write name,on_demand,spot,slots,boot,wake in each line"},
		{"--users 5 --duration 1s --spike 2x --budget 100 --spot a=a.json", "", "give --trace, too"},
		{"--trace FILE --budget 100 --spot a.json", "", "write ZONE=FILE"},
		{"--trace FILE --budget 100 --spot a=FILE,a=FILE", "", "there is a file for a already"},
		{"--trace FILE --budget 100 --spot a=FILE", "name,on_demand,spot,slots,boot\na,1,0,1,9s\n", "no type with a spot price"},
	} {
		args := append([]string{"plan"}, strings.Fields(strings.ReplaceAll(c.args, "FILE", short))...)
		if c.types != "" {
			if err := os.WriteFile(types, []byte(c.types), 0o644); err != nil {
				t.Fatal(err)
			}
			args = append(args, "--gpu-types", types)
		}
		var out strings.Builder
		if code := run(args, &out, &out); code == exitOK || !strings.Contains(out.String(), c.want) {
			t.Errorf("weir plan %s: exit %d, %s; want %q", c.args, code, out.String(), c.want)
		}
	}
}

func FuzzPlanFlags(f *testing.F) {
	f.Add("10s..30s", "100x", "8000/month", "name,on_demand,spot,slots,boot\na,1,0.3,1,45s\n")
	f.Fuzz(func(t *testing.T, span, spike, budget, types string) {
		if low, high, err := parseSpan(span); err == nil && (low <= 0 || high < low) {
			t.Errorf("%q is %v to %v", span, low, high)
		}
		if v, err := parseFactor(spike); err == nil && !(v >= 1) {
			t.Errorf("%q is %g", spike, v)
		}
		if v, err := parseBudget(budget); err == nil && !(v > 0) {
			t.Errorf("%q is %g", budget, v)
		}
		if ts, err := readTypes("types.csv", strings.NewReader(types)); err == nil {
			for _, one := range ts {
				if one.Name == "" || one.Slots < 1 || !(one.OnDemand > 0) || one.Boot < 0 || one.Boot > 1<<62*time.Nanosecond {
					t.Errorf("%q is %+v", types, one)
				}
			}
		}
	})
}
