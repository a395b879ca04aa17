package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weirlb/weir/bench/internal/child"
	"pgregory.net/rapid"
)

const ms = time.Millisecond

func waitsOf(outcomes []outcome) []time.Duration {
	var waits []time.Duration
	for _, o := range outcomes {
		waits = append(waits, o.wait)
	}
	return waits
}

func TestIdealByHand(t *testing.T) {
	jobs := []job{{at: 0, service: 100 * ms}, {at: 10 * ms, service: 50 * ms}, {at: 20 * ms, service: 30 * ms}, {at: 30 * ms, service: 10 * ms}}
	for name, c := range map[string]struct {
		servers []server
		before  order
		want    []time.Duration
	}{
		"one":                {[]server{{speed: 1}}, firstCome, []time.Duration{0, 90 * ms, 130 * ms, 150 * ms}},
		"two":                {[]server{{speed: 1}, {speed: 1}}, firstCome, []time.Duration{0, 0, 40 * ms, 60 * ms}},
		"shortest first":     {[]server{{speed: 1}}, shortestFirst, []time.Duration{0, 130 * ms, 90 * ms, 70 * ms}},
		"the faster first":   {[]server{{speed: 1}, {speed: 10}}, firstCome, []time.Duration{0, 0, 0, 0}},
		"one comes":          {[]server{{speed: 1}, {speed: 1, from: 50 * ms}}, firstCome, []time.Duration{0, 40 * ms, 80 * ms, 70 * ms}},
		"one goes after its": {[]server{{speed: 1, until: 40 * ms}, {speed: 1, from: 95 * ms}}, firstCome, []time.Duration{0, 85 * ms, 125 * ms, 145 * ms}},
	} {
		if got := waitsOf(ideal(jobs, c.servers, c.before, nil)); !slices.Equal(got, c.want) {
			t.Errorf("%s: waits %v, want %v", name, got, c.want)
		}
	}
}

// The recursion of Kiefer and Wolfowitz: sorted workloads of the servers as an arrival finds them; the wait is the least.
func TestIdealIsKieferWolfowitz(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 9).Draw(t, "servers")
		var jobs []job
		at := time.Duration(0)
		for range rapid.IntRange(1, 60).Draw(t, "jobs") {
			at += time.Duration(rapid.IntRange(0, 50).Draw(t, "gap")) * ms
			jobs = append(jobs, job{at: at, service: time.Duration(rapid.IntRange(0, 300).Draw(t, "service")) * ms})
		}
		work := make([]time.Duration, n)
		var want []time.Duration
		last := time.Duration(0)
		for _, j := range jobs {
			for i := range work {
				work[i] = max(0, work[i]-(j.at-last))
			}
			last = j.at
			slices.Sort(work)
			want = append(want, work[0])
			work[0] += j.service
		}
		if got := waitsOf(ideal(jobs, slices.Repeat([]server{{speed: 1}}, n), firstCome, nil)); !slices.Equal(got, want) {
			t.Fatalf("waits %v, want %v", got, want)
		}
	})
}

func TestMixes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	two := twoPoint(100, random)
	short := 0
	for _, j := range two.jobs {
		if j.service == 50*ms && j.steps == 1 {
			short++
		} else if j.service != 2*time.Second || j.steps != 40 {
			t.Errorf("a job of %v, %d steps", j.service, j.steps)
		}
	}
	if short != 50 {
		t.Errorf("%d of 100 are short", short)
	}
	jobs := two.arrivals(exponential(100, random), 0.8, 2)
	// 102.5 s of work on 8 slots take 16.0 s at 0.8, and half as long at twice the speed.
	if end := jobs[99].at; end < 8*time.Second || end > 8020*ms {
		t.Errorf("the last of 100 jobs comes at %v", end)
	}
	if !slices.IsSortedFunc(jobs, func(a, b job) int { return int(a.at - b.at) }) {
		t.Error("arrivals are not sorted")
	}
	fit, err := heavyTailed(20_000, random, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var services []outcome
	for _, j := range fit.jobs {
		services = append(services, outcome{wait: j.service})
	}
	// The trace has p50 23 s, p95 69 s, p99 106 s around a mean of 28.7 s.
	if s := sum(services, 28.7/1.025); s.Mean < 28_600 || s.Mean > 28_800 || s.P50 < 21_000 || s.P50 > 25_000 || s.P95 < 62_000 || s.P95 > 76_000 || s.P99 < 95_000 || s.P99 > 120_000 {
		t.Errorf("the fit: %+v", s)
	}
}

func TestParseRecorded(t *testing.T) {
	const heading = "gmt_create,predict_status,exec_time_seconds,num_images_per_prompt,num_inference_steps\n"
	jobs, err := parseRecorded(strings.NewReader(heading + "x,SUCCEED,32.5,2.0,30.0\nx,FAILED,3,1,30\nx,SUCCEED,,1,30\nx,SUCCEED,0.0,1,30\nx,SUCCEED,9,1,\n"))
	if err != nil || !slices.Equal(jobs, []job{{service: 32500 * ms, steps: 60}}) {
		t.Errorf("%v, %v", jobs, err)
	}
	for _, bad := range []string{"", "a,b\n1,2\n", heading, heading + "x,SUCCEED\n"} {
		if jobs, err := parseRecorded(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was taken: %v", bad, jobs)
		}
	}
}

func TestTargetWorksOnOneAtATime(t *testing.T) {
	target := &target{speed: 1}
	now := time.Now()
	for i, want := range []time.Duration{100 * ms, 120 * ms, 170 * ms} {
		if end := target.take([]time.Duration{100 * ms, 20 * ms, 50 * ms}[i], now.Add(time.Duration(i)*ms)); end != now.Add(want) {
			t.Errorf("request %d ends after %v, want %v", i, end.Sub(now), want)
		}
	}
	if end := target.take(ms, now.Add(time.Second)); end != now.Add(1001*ms) {
		t.Errorf("after a pause it ends at %v", end.Sub(now))
	}
}

func TestParseRefuses(t *testing.T) {
	for _, args := range [][]string{
		{"-loads", "0.5,1"}, {"-loads", ""}, {"-mixes", "three"}, {"-cases", "equal,equal"}, {"-only", "envoy"},
		{"-requests", "1"}, {"-speed", "0"}, {"left over"},
	} {
		if o, err := parse(args); err == nil {
			t.Errorf("%q was taken: %+v", args, o)
		}
	}
}

// asProgram makes the test binary run as the benchmark, or as the Weir that the benchmark starts.
const asProgram = "WEIR_BENCH_AS_PROGRAM"

func TestMain(m *testing.M) {
	switch args := os.Args[1:]; {
	case os.Getenv(asProgram) == "":
	case isWeir(args):
		if err := asWeir(args); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	default:
		main()
		return
	}
	os.Exit(m.Run())
}

func program(t *testing.T, args ...string) (cmd *exec.Cmd, output *bytes.Buffer, tmp string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	tmp = t.TempDir()
	cmd = exec.Command(self, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1", "TMPDIR="+tmp)
	output = new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = output, output
	return cmd, output, tmp
}

// The real thing, ten times as fast: a queue without a proxy, and what is installed.
func TestSmoke(t *testing.T) {
	programs := []string{direct}
	for _, name := range []string{nginx, haproxy} {
		if _, err := child.Find(name); err == nil {
			programs = append(programs, name)
		}
	}
	file := filepath.Join(t.TempDir(), "report.json")
	cmd, output, tmp := program(t, "-only", strings.Join(programs, ","), "-cases", "equal,unequal", "-mixes", "two", "-loads", "0.8", "-requests", "60", "-speed", "10", "-json", file)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	for _, w := range r.Rows {
		if w.Failed > 0 || w.Max <= 0 || w.Max < w.P99 || w.P99 < w.P95 || w.P95 < w.P50 || w.Latency < w.Mean {
			t.Errorf("%+v", w)
		}
	}
	if len(r.Rows) < 4 || r.Rows[0].Candidate != idealFirst || r.Rows[0].MeanRatio != 1 {
		t.Errorf("rows %+v", r.Rows)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A Weir that takes no such config is reported, and does not keep the others from being measured.
func TestNotOffered(t *testing.T) {
	fake := filepath.Join(t.TempDir(), "weir")
	script := "#!/bin/sh\necho 'weir.yaml:9:5: queue: unknown key order; remove it'\nexit 1\n"
	if err := os.WriteFile(fake, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd, output, _ := program(t, "-only", "direct,weir", "-cases", "unequal,shortest", "-mixes", "two", "-loads", "0.8", "-requests", "10", "-speed", "20", "-weir", fake)
	if err := cmd.Run(); err != nil || !strings.Contains(output.String(), "not offered: weir.yaml:9:5: queue: unknown key order") {
		t.Errorf("%v:\n%s", err, output)
	}
}

func TestInterruptLeavesNothing(t *testing.T) {
	cmd, output, tmp := program(t, "-only", "direct", "-cases", "equal", "-loads", "0.5")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * ms) {
		if made, _ := os.ReadDir(tmp); len(made) > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it did not begin")
		}
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 130 || !strings.Contains(output.String(), "interrupted") {
		t.Errorf("%v, want exit status 130\n%s", err, output)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
