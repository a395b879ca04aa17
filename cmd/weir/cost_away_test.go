package main

import (
	"strings"
	"testing"
	"time"
)

// The seconds without Weir are charged to what ran, and none twice: what was spent is what the launch times say.
func TestTheTimeWithoutWeirIsCharged(t *testing.T) {
	now := time.Now().UTC()
	if next := now.AddDate(0, 0, 1).Truncate(24 * time.Hour); next.Sub(now) < 2*time.Minute {
		t.Skip("a new day is about to begin, and perhaps a month")
	}
	w := prepare(t, `  api:
    health: {path: /health/ready, interval: 50ms}
    template: {INFER, --model, predict]}
    scale:
      min: 3
      max: 3
      cost:
        on_demand_base: 1
        on_demand_percent: 0
        types: [{name: gpu, on_demand: 3600, spot: 720}]
`)
	w.start()
	w.ready(3)
	until(t, "it is charged", func() bool { return w.cost().Month > 0 })
	w.cmd.Process.Kill()
	<-w.ended
	down := time.Now()
	until(t, "seconds pass without Weir", func() bool { return time.Since(down) > 7*time.Second })
	w.start()
	w.ready(3)
	// 1 a second on demand and 0.2 for each spot; the account is at most chargeEvery (5 s) behind, and what the machine makes of it.
	until(t, "the time away is charged", func() bool { return w.cost().Month > 7*1.4 })
	spent := w.cost()
	if out, _ := w.command("status"); !strings.Contains(out, "costs 5040.00 an hour") {
		t.Errorf("weir status: %s", out)
	}
	at := time.Now()
	var owed, onDemand float64
	for _, i := range w.pool().Instances {
		s := at.Sub(i.Launched).Seconds()
		onDemand += s
		owed += map[string]float64{"on_demand": 1, "spot": 0.2}[i.Market] * s
	}
	t.Logf("spent %.2f of %.2f owed, on demand %.2f of %.2f", spent.Month, owed, spent.MonthOnDemand, onDemand)
	if spent.Month > owed || spent.Month < owed-1.4*8 || spent.MonthOnDemand > onDemand || spent.MonthOnDemand < onDemand-3*8 {
		t.Errorf("spent %v of %v owed, on demand %v of %v", spent.Month, owed, spent.MonthOnDemand, onDemand)
	}
}
