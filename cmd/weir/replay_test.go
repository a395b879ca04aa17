package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// written is a file with a text.
func written(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const replayConfig = `listen: [{address: "127.0.0.1:0", routes: [{pool: images}]}]
pools:
  images:
    concurrency: 1
    queue: {limit: 1000, timeout: 600s}
    template: {command: [./infer, --port, "{{.Port}}"]}
    scale: {min: 0, max: 10, scale_in_window: 60s, zero_after: 120s, policies: [{queue: {wait_p95: 5s}}]}
`

func TestReplay(t *testing.T) {
	config := written(t, "weir.yaml", replayConfig)
	var rows strings.Builder
	rows.WriteString("time,service_s\n")
	for i := range 200 { // one each five seconds, of ten seconds: two at work
		fmt.Fprintf(&rows, "2026-01-05T09:%02d:%02dZ,10\n", i*5/60, i*5%60)
	}
	recorded := written(t, "trace.csv", rows.String())
	boots := written(t, "boots.csv", "boot_s\n8\n9\n10\n")
	dir := t.TempDir()
	out := func(name string) string { return filepath.Join(dir, name) }

	replay := func(more ...string) (stdout, stderr string, code int) {
		var o, e bytes.Buffer
		code = run(append([]string{"replay", "-c", config, "--trace", recorded, "--boot", boots}, more...), &o, &e)
		return o.String(), e.String(), code
	}
	stdout, stderr, code := replay("--against", "static,hpa-cpu,asg-target,oracle", "--json", out("a.json"), "--html", out("a.html"), "--price", "2")
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	for _, want := range []string{"200 requests", "weir", "static", "hpa-cpu", "asg-target", "oracle", "static: 2 instances"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the table does not say %q:\n%s", want, stdout)
		}
	}
	b, err := os.ReadFile(out("a.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Runs []struct {
			Policy        string
			Requests      int
			Lost          int
			Kept          float64
			Cost          float64
			InstanceHours float64 `json:"instance_hours"`
			WaitP95       float64 `json:"wait_p95_s"`
		}
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Runs) != 5 {
		t.Fatalf("%d runs", len(got.Runs))
	}
	bound := got.Runs[4] // 200 times 10 s at 2 an hour
	if want := 2 * 2000.0 / 3600; bound.Policy != "oracle" || bound.Cost < 0.99*want || bound.Cost > 1.01*want {
		t.Errorf("the oracle: %+v, want a cost of %g", bound, want)
	}
	for _, r := range got.Runs {
		if r.Requests != 200 || r.Lost != 0 || r.Cost < bound.Cost || r.Cost < 1.99*r.InstanceHours || r.Cost > 2.01*r.InstanceHours {
			t.Errorf("%+v", r)
		}
	}
	page, err := os.ReadFile(out("a.html"))
	if err != nil || !bytes.Contains(page, []byte("queue asks for")) || bytes.Contains(page, []byte("http://127")) {
		t.Errorf("the page has no reasons, or needs something beside itself: %v", err)
	}

	again, _, _ := replay("--against", "static,hpa-cpu,asg-target,oracle", "--json", out("b.json"), "--price", "2")
	second, err := os.ReadFile(out("b.json"))
	if err != nil || !bytes.Equal(b, second) || again != stdout {
		t.Error("the same replay gives another result")
	}
}

// Launches fail as often as the recording of boots says, or the flag; instances end by themselves.
func TestReplayWithFailures(t *testing.T) {
	config := written(t, "weir.yaml", replayConfig)
	var rows strings.Builder
	rows.WriteString("time,service_s\n")
	for i := range 400 { // one each nine seconds, of ten seconds
		fmt.Fprintf(&rows, "2026-01-05T%02d:%02d:%02dZ,10\n", 9+i*9/3600, i*9/60%60, i*9%60)
	}
	recorded := written(t, "trace.csv", rows.String())
	boots := written(t, "boots.csv", "boot_s,outcome\n8,ok\n9,ok\n10,failed\n12,timeout\n")
	json := filepath.Join(t.TempDir(), "r.json")
	for _, c := range []struct {
		args      []string
		want, not string
	}{
		{nil, "launches failed, and 0 instances ended by themselves", "lost had begun"},
		{[]string{"--boot-failures", "0"}, "400 requests", "launches failed"},
		{[]string{"--boot-failures", "0", "--mtbf", "10m"}, "weir: 0 launches failed, and ", "0 instances ended"},
	} {
		var o, e bytes.Buffer
		code := run(append([]string{"replay", "-c", config, "--trace", recorded, "--boot", boots, "--json", json}, c.args...), &o, &e)
		if code != exitOK || !strings.Contains(o.String(), c.want) || strings.Contains(o.String(), c.not) {
			t.Errorf("%v: exit %d; it says\n%s%s, want %q and not %q", c.args, code, &o, &e, c.want, c.not)
		}
	}
}

func TestReplayRefusesWhatItCannotDo(t *testing.T) {
	config := written(t, "weir.yaml", replayConfig)
	good := written(t, "good.csv", "time,service_s\n2026-01-05T09:00:00Z,1\n")
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"a baseline that does not exist", []string{"--trace", good, "--against", "magic"}, exitUsage, "static"},
		{"a pool that does not exist", []string{"--trace", good, "--pool", "chat"}, exitUsage, "images"},
		{"a time backwards", []string{"--trace", written(t, "bad.csv", "time,service_s\n2026-01-05T09:00:00Z,-1\n")}, exitFailed, ":2"},
		{"nothing in the part", []string{"--trace", good, "--from", "5h"}, exitFailed, "no request"},
		{"more failures than launches", []string{"--trace", good, "--boot-failures", "2"}, exitUsage, "--boot-failures"},
		{"a time between failures below 0", []string{"--trace", good, "--mtbf=-2h"}, exitUsage, "--mtbf"},
		{"speed", []string{"--trace", good, "--speed", "0"}, exitUsage, "--speed"},
	} {
		var o, e bytes.Buffer
		if code := run(append([]string{"replay", "-c", config}, c.args...), &o, &e); code != c.code || !strings.Contains(e.String(), c.want) {
			t.Errorf("%s: exit %d, want %d; it says %q, want %q", c.name, code, c.code, e.String(), c.want)
		}
	}
}
