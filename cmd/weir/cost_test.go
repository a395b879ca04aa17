package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/admin"
)

func (w *weir) cost() admin.PoolCost {
	w.t.Helper()
	out, code := w.command("cost", "api", "--json")
	if code != exitOK {
		w.t.Fatal(out)
	}
	var c admin.PoolCost
	if err := json.Unmarshal([]byte(out), &c); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
	return c
}

// What instances cost is charged while they run, is not forgotten by a kill, and a month's budget bounds what may run.
func TestMoneyOutlivesAKill(t *testing.T) {
	pool := func(cost string) string {
		return fmt.Sprintf(`  api:
    health: {path: /health/ready, interval: 100ms}
    template: {INFER, --model, predict]}
    scale:
      min: 3
      max: 3
      cost:
        on_demand_base: 1
        on_demand_percent: 0
        types: [{name: gpu, on_demand: 3600, spot: 900}]
        %s
`, cost)
	}
	w := prepare(t, pool("fallback: true"))
	w.start()
	w.ready(3)
	// One on demand and two spot.
	if c := w.cost(); c.PerHour != 3600+2*900 || c.OnDemandPerHour != 3*3600 {
		t.Errorf("%v an hour, on demand %v", c.PerHour, c.OnDemandPerHour)
	}
	until(t, "it is charged", func() bool { return w.cost().Month > 0 })
	before := w.cost()
	if r := before.MonthOnDemand / before.Month; r < 1 || r > 3 { // 2 once all three run
		t.Errorf("on demand it would have been %.2f of it", r)
	}
	w.cmd.Process.Kill()
	<-w.ended
	w.start()
	until(t, "the account goes on", func() bool { return w.cost().Month > before.Month })
	// 1.5 an hour for each second of price: at most 4 s lie between two charges of a running Weir and this one's start.
	if c := w.cost(); c.Month > before.Month+60*c.PerHour/3600 {
		t.Errorf("%.2f before the kill, %.2f after it", before.Month, c.Month)
	}

	// A month's budget that pays for the one on demand, and nothing else.
	now := time.Now().UTC()
	left := time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, time.UTC).Sub(now).Hours()
	w.write(pool(fmt.Sprintf("budget: {per_month: %.0f}", w.cost().Month+4000*left)))
	if out, code := w.command("reload"); code != exitOK {
		t.Fatal(out)
	}
	until(t, "the budget binds", func() bool { return w.pool().Scale.Desired == 1 })
	out, _ := w.command("explain", "api")
	if !strings.Contains(out, "a month") {
		t.Errorf("the decision says %s", out)
	}
	if out, code := w.command("cost"); code != exitOK || !strings.Contains(out, "api") {
		t.Error(out)
	} else if os.Getenv("SHOW") != "" {
		t.Log("\n" + out)
	}
}
