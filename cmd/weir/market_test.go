package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// placements counts the running instances of a Weir by what they were launched as.
func (w *weir) placements() map[string]int {
	n := make(map[string]int)
	for _, pid := range w.instances() {
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil {
			continue
		}
		for v := range strings.SplitSeq(string(env), "\x00") {
			if place, ok := strings.CutPrefix(v, "WEIR_PLACEMENT="); ok {
				n[place]++
			}
		}
	}
	return n
}

// A market that refuses is not a failure: the next type is asked, then on demand; and the budget bounds the capacity.
func TestARefusedLaunchTakesTheNextType(t *testing.T) {
	market := filepath.Join(t.TempDir(), "market.json")
	if err := os.WriteFile(market, []byte(`{"small/spot/a": {"capacity": 1}, "large/spot/a": {"capacity": 1}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	w := prepare(t, fmt.Sprintf(`  api:
    concurrency: 1
    health: {path: /health/ready, interval: 100ms}
    template: {INFER, --model, predict]}
    scale:
      min: 4
      max: 4
      cost:
        on_demand_base: 1
        on_demand_percent: 0
        zones: [a]
        types: [{name: small, on_demand: 0.5, spot: 0.1}, {name: large, on_demand: 1, spot: 0.3}]
        market: %s
`, market))
	w.start()
	w.ready(4)
	got := w.placements()
	t.Log(got)
	if got["small/spot/a"] != 1 || got["large/spot/a"] != 1 || got["small/on_demand/a"] != 2 || len(got) != 3 {
		t.Errorf("%v, want 1 small spot, 1 large spot and 2 small on demand", got)
	}
}
