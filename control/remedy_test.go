package control

import (
	"log/slog"
	"testing"
	"time"

	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/fleet/plan"
	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/scale"
)

// A check that fails on all eight: two are told to load again, the others wait for their turn; and those that it does not help are replaced.
func TestReloadsTakeTurns(t *testing.T) {
	p, err := pool.New("api", pool.Options{Balance: "least_connections"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	l := New(Options{Pool: p, Desired: 8, Scale: scale.Options{Pool: "api", Max: 8}, Log: slog.New(slog.DiscardHandler), Remedies: Remedies{
		Rules: map[string]health.Remedy{"model": health.Reload}, Patience: map[string]time.Duration{"model": time.Minute},
		Reload: func(instance, addr, check string) { told[instance] = true },
	}})
	var views []fleet.View
	for _, id := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		views = append(views, fleet.View{ID: id, State: fleet.Unhealthy, Failing: []string{"model"}})
	}
	now := time.Now()
	look := func() (remedies map[plan.Remedy]int) {
		remedies = map[plan.Remedy]int{}
		for i := range views {
			one := plan.Instance{ID: views[i].ID}
			if views[i].State == fleet.Unhealthy {
				l.treat(&one, &views[i], now)
				remedies[one.Remedy]++
			}
		}
		l.cured(views)
		return remedies
	}
	if got := look(); got[plan.RemedyWait] != 8 || len(told) != 2 || !told["a"] || !told["b"] {
		t.Errorf("%v, told %v", got, told)
	}
	views[0].State = fleet.Ready // it helped: it is the next one's turn
	look()
	if got := look(); got[plan.RemedyWait] != 7 || len(told) != 3 || !told["c"] {
		t.Errorf("%v, told %v", got, told)
	}
	now = now.Add(time.Minute)
	if got := look(); got[""] != 2 { // b and c are replaced
		t.Errorf("%v, told %v", got, told)
	}
	if n := l.RemedyCounts(); len(n) == 0 || n[0].N != uint64(len(told)) {
		t.Errorf("counted %v, told %v", n, told)
	}
}
