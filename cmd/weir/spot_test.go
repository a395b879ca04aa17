package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/fleet/plan"
)

// Half of a fleet on spot is taken back within a moment, under streams: the replacements are launched first and elsewhere, no stream is cut, and the
// machines are gone when the notice says.
func TestASpotStormCutsNoStream(t *testing.T) {
	market := filepath.Join(t.TempDir(), "market.json")
	if err := os.WriteFile(market, []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	w := prepare(t, fmt.Sprintf(`  api:
    concurrency: 4
    drain: 60s
    health: {path: /health/ready, interval: 50ms}
    template: {INFER, --model, chat, --slots, "4", --token-time, 20ms, --load-time, 500ms]}
    scale:
      min: 4
      max: 4
      cost:
        on_demand_base: 0
        on_demand_percent: 0
        zones: [a, b]
        types: [{name: small, on_demand: 1, spot: 0.3}]
        market: %s
`, market))
	w.start()
	w.ready(4)
	if got := w.placements(); got["small/spot/a"] != 2 || got["small/spot/b"] != 2 {
		t.Fatalf("%v", got)
	}
	finish := streams(t, w.url, 12, 150) // three seconds each
	var out strings.Builder
	if code := run([]string{"market", "interrupt", "small/spot/a", "--notice", "15s", "-c", w.config()}, &out, &out); code != exitOK {
		t.Fatal(out.String())
	}
	until(t, "both have their notice", func() bool {
		n := 0
		for _, i := range w.pool().Instances {
			if i.Notice != nil && i.Notice.Kind == plan.Interruption && !i.Notice.Deadline.IsZero() {
				n++
			}
		}
		return n == 2
	})
	least := 4
	until(t, "both are gone, and four others serve", func() bool {
		p := w.pool()
		least = min(least, p.Scale.Ready)
		got := w.placements()
		return got["small/spot/a"] == 0 && got["small/spot/b"] == 4 && p.Scale.Ready == 4
	})
	for _, err := range finish() {
		t.Errorf("a stream during the storm: %v", err)
	}
	if least < 4 {
		t.Errorf("only %d were ready at some moment: a replacement comes first", least)
	}
	for _, line := range []string{
		`weir_spot_notices_total{kind="interruption",pool="api"} 2`, `weir_spot_drained_total{pool="api"} 2`, `weir_spot_cut_requests_total{pool="api"} 0`,
	} {
		until(t, "the metrics have "+line, func() bool { return strings.Contains(w.metrics(), line+"\n") }) // Weir hears of the end of a process a moment after it
	}
}

// A machine that is taken back without a replacement in time is really gone at its deadline.
func TestAnInterruptionIsReal(t *testing.T) {
	market := filepath.Join(t.TempDir(), "market.json")
	w := prepare(t, fmt.Sprintf(`  api:
    concurrency: 4
    health: {path: /health/ready, interval: 50ms}
    template: {INFER, --model, chat, --token-time, 20ms, --load-time, 4s]}
    scale: {min: 1, max: 1, cost: {on_demand_percent: 0, fallback: false, types: [{name: small, on_demand: 1, spot: 0.3}], market: %s}}
`, market))
	if err := os.WriteFile(market, []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.ready(1)
	finish := streams(t, w.url, 2, 10_000)
	began := time.Now()
	var out strings.Builder
	if code := run([]string{"market", "interrupt", "small/spot", "--notice", "2s", "-c", w.config()}, &out, &out); code != exitOK {
		t.Fatal(out.String())
	}
	errs := finish()
	if took := time.Since(began); len(errs) != 2 || took < 1900*time.Millisecond {
		t.Errorf("%d of 2 streams broke, after %v: %v", len(errs), took, errs)
	}
	w.ready(1) // its replacement, which takes longer to boot than the notice was
	until(t, "what was cut is counted", func() bool {
		return strings.Contains(w.metrics(), `weir_spot_cut_requests_total{pool="api"} 2`)
	})
}

func TestMarketCommands(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "weir.yaml")
	text := `listen: [{address: "127.0.0.1:8080", routes: [{pool: api}]}]
pools:
  api:
    template: {command: [/bin/true]}
    scale: {max: 3, cost: {types: [{name: small, on_demand: 1, spot: 0.3}], market: market.json}}
`
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "market.json"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"", exitOK, "without limit"},
		{"set small/spot/a --capacity 3 --price 0.2", exitOK, "small/spot/a: changed"},
		{"rebalance small/spot/a", exitOK, "are at risk"},
		{"list", exitOK, "small/spot/a  3         0.2    at risk"},
		{"rebalance small/spot/a --off", exitOK, "no more at risk"},
		{"interrupt small/spot/a --notice 30s --count 1", exitOK, "taken back at"},
		{"list", exitOK, "notice of 30s"},
		{"clear small/spot/a", exitOK, "there without limit"},
		{"set small", exitUsage, "say what to change"},
		{"set small --capacity 1", exitUsage, "is not a placement"},
		{"interrupt small/spot --notice 0s", exitUsage, "above 0"},
		{"list --pool other", exitUsage, "add scale.cost.market"},
	} {
		var out strings.Builder
		args := append(append([]string{"market"}, strings.Fields(c.args)...), "-c", config)
		if code := run(args, &out, &out); code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("weir market %s: exit %d, %s; want %q", c.args, code, out.String(), c.says)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, "market.json")); err != nil || strings.TrimSpace(string(b)) != "{}" {
		t.Errorf("%s, %v", b, err)
	}
}
