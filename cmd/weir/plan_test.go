package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/planner"
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
	var a planner.Answer
	if err := json.Unmarshal([]byte(out.String()), &a); err != nil || a.Best.Max == 0 || !strings.Contains(mine, "per_hour: ") {
		t.Errorf("%v: %s", err, out.String())
	}
}

func TestPlanMistakes(t *testing.T) {
	types := filepath.Join(t.TempDir(), "types.csv")
	for _, c := range []struct{ args, types, want string }{
		{"", "", "give --users, --duration, --spike, --budget"},
		{"--users 5 --duration 30s..10s --spike 2x --budget 100", "", "write the shorter first"},
		{"--users 5 --duration long --spike 2x --budget 100", "", "as 10s..30s"},
		{"--users 5 --duration 1s --spike none --budget 100", "", "is not 1x to 10000x"},
		{"--users 5 --duration 1s --spike 2x --budget 100/week", "", "8000/month, or 11/hour"},
		{"--users 5 --duration 1s --spike 2x --budget 100", "type,price\na,1\n", ":1: the first line must be name,on_demand,spot,slots,boot"},
		{"--users 5 --duration 1s --spike 2x --budget 100", "name,on_demand,spot,slots,boot\na,1,x,1,1s\n", `:2: spot "x"`},
		{"--users 5 --duration 1s --spike 2x --budget 100", "name,on_demand,spot,slots,boot\na,1,0,1,soon\n", `:2: boot "soon"`},
		{"--users 5 --duration 1s --spike 2x --budget 100", "name,on_demand,spot,slots,boot\na,0,0,1,1s\n", ":2: a type needs"},
		{"--users 5 --duration 1s --spike 2x --budget 100", "name,on_demand,spot,slots,boot\n", "there is no type"},
	} {
		args := append([]string{"plan"}, strings.Fields(c.args)...)
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
