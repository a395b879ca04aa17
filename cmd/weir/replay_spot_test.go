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

// onSpot is a config whose pool may use spot machines of two zones.
func onSpot(t *testing.T, percent int) string {
	return written(t, "weir.yaml", strings.Replace(replayConfig, "policies:", fmt.Sprintf(`cost: {on_demand_percent: %d, zones: [a, b],
      types: [{name: g5.xlarge, on_demand: 1, spot: 0.3}]}, policies:`, percent), 1))
}

// Three requests are at work at any time, for half an hour; both zones have two machines, and zone b has none from the tenth minute on.
func TestReplayOnASpotMarket(t *testing.T) {
	var rows strings.Builder
	rows.WriteString("time,service_s\n")
	for i := range 180 {
		fmt.Fprintf(&rows, "2026-01-05T09:%02d:%02dZ,30\n", i*10/60, i*10%60)
	}
	recorded := written(t, "trace.csv", rows.String())
	a := written(t, "a.json", `{"metadata": {"gap_seconds": 600}, "data": [2]}`)
	b := written(t, "b.json", `{"metadata": {"gap_seconds": 600}, "data": [2, 0, 0]}`)
	dir := t.TempDir()
	var o, e bytes.Buffer
	args := []string{"replay", "-c", onSpot(t, 0), "--trace", recorded, "--against", "static,oracle", "--spot", "b=" + b, "--spot", "a=" + a,
		"--json", filepath.Join(dir, "r.json"), "--html", filepath.Join(dir, "r.html")}
	if code := run(args, &o, &e); code != exitOK {
		t.Fatalf("exit %d: %s", code, &e)
	}
	for _, want := range []string{"spot in b: " + b, "every 10m0s", "spot in a: " + a + ", 10m0s every 10m0s, which begins anew", "prices: by type and market", "all on demand", "taken back"} {
		if !strings.Contains(o.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, &o)
		}
	}
	var got struct {
		Runs []struct {
			Policy        string
			Lost          int
			Cost          float64
			Hours         float64 `json:"instance_hours"`
			Spot          float64 `json:"spot_hours"`
			OnDemand      float64 `json:"cost_on_demand"`
			Interruptions int
			Refused       int `json:"capacity_refused"`
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "r.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Runs) != 3 {
		t.Fatalf("%d runs", len(got.Runs))
	}
	for i, r := range got.Runs[:2] {
		demand := r.Hours - r.Spot
		if r.Lost != 0 || r.Interruptions < 1 || r.Spot <= 0 || demand <= 0 || r.Refused < 1 || r.OnDemand < r.Hours-1e-6 || r.OnDemand > r.Hours+1e-6 {
			t.Errorf("run %d: %+v", i, r)
		}
		if want := demand + 0.3*r.Spot; r.Cost < want-1e-6 || r.Cost > want+1e-6 {
			t.Errorf("run %d: cost %g, want %g", i, r.Cost, want)
		}
	}
	if oracle := got.Runs[2]; oracle.Cost < 0.3*1.5-1e-6 || oracle.Cost > 0.3*1.5+1e-6 { // 180 times 30 s, all of it spot
		t.Errorf("the oracle costs %g", oracle.Cost)
	}
	page, err := os.ReadFile(filepath.Join(dir, "r.html"))
	if err != nil || !bytes.Contains(page, []byte(`"offered":[`)) {
		t.Errorf("the page does not show the market: %v", err)
	}
}

func TestReplayRefusesSpotThatThePoolDoesNotHave(t *testing.T) {
	trace := written(t, "good.csv", "time,service_s\n2026-01-05T09:00:00Z,1\n")
	plain, spot := written(t, "plain.yaml", replayConfig), onSpot(t, 0)
	good := written(t, "a.json", `{"metadata": {"gap_seconds": 600}, "data": [2]}`)
	bad := written(t, "bad.json", `{"metadata": {"gap_seconds": 600}, "data": [2, -1]}`)
	for _, c := range []struct {
		name, config, spot string
		code               int
		want               string
	}{
		{"no types", plain, good, exitUsage, "on_demand_percent: 0"},
		{"a zone that is not there", spot, "c=" + good, exitUsage, "g5.xlarge/a, g5.xlarge/b"},
		{"a type that is not there", spot, "g6.xlarge/a=" + good, exitUsage, "g5.xlarge/a"},
		{"twice", spot, "a=" + good + ",a=" + good, exitUsage, "already"},
		{"too many", spot, good + "," + good + "," + good, exitUsage, "2 zones"},
		{"a count below 0", spot, bad, exitFailed, "data[1] is -1"},
		{"no file", spot, "nowhere.json", exitFailed, "nowhere.json"},
		{"all on demand", onSpot(t, 100), good, exitOK, "changes nothing"},
		{"a zone without a recording", spot, good, exitOK, "no recording for g5.xlarge/spot/b"},
	} {
		var o, e bytes.Buffer
		if code := run([]string{"replay", "-c", c.config, "--trace", trace, "--spot", c.spot}, &o, &e); code != c.code || !strings.Contains(e.String(), c.want) {
			t.Errorf("%s: exit %d, want %d; it says %q, want %q", c.name, code, c.code, e.String(), c.want)
		}
	}
	var o, e bytes.Buffer
	if code := run([]string{"replay", "-c", spot, "--trace", trace, "--spot", good, "--price", "2"}, &o, &e); code != exitUsage || !strings.Contains(e.String(), "--price") {
		t.Errorf("with --price: exit %d, %q", code, &e)
	}
}
