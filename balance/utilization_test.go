package balance

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/target"
)

func reporting(p *pool, utilizations ...float64) {
	for i, u := range utilizations {
		p.all[i].SetReport(target.Report{Utilization: u, At: p.now})
	}
}

func TestTheLeastUtilizedTakesIt(t *testing.T) {
	ts := targets(1, 1, 1)
	p := newPool(t, Options{Name: "least_utilization"}, ts)
	reporting(p, 0.7, 0.2, 0.5)
	if got := p.begin(Request{}); got != ts[1] {
		t.Errorf("picked %s", got.ID)
	}
	if why := p.Picker.(Explainer).Why(ts[1]); !strings.Contains(why, "reported 0.20") {
		t.Errorf("why: %s", why)
	}
}

// A gauge that is missing, stale or nonsense must read as unknown, never as idle.
func TestMissingIsNeverZero(t *testing.T) {
	for name, rep := range map[string]target.Report{
		"missing":   {},
		"negative":  {Utilization: -1, At: time.Unix(1e9, 0)},
		"NaN":       {Utilization: math.NaN(), At: time.Unix(1e9, 0)},
		"too old":   {Utilization: 0, At: time.Unix(1e9-11, 0)},
		"long gone": {Utilization: 0, At: time.Unix(1e8, 0)},
	} {
		ts := targets(1, 1, 1)
		p := newPool(t, Options{Name: "least_utilization"}, ts)
		reporting(p, 0, 0.2, 0.6)
		ts[0].SetReport(rep)
		// The mean of the known is 0.4: behind 0.2 and before 0.6.
		if got := p.Pick(&Request{Now: p.now}); got != ts[1] {
			t.Errorf("%s: picked %s, want b that is known to be at 0.2", name, got.ID)
		}
		if got := p.Pick(&Request{Now: p.now, Skip: ts[1:2]}); got != ts[0] {
			t.Errorf("%s: picked %s, want a that is thought to be at the mean", name, got.ID)
		}
	}
}

func TestWithoutReportsLeastConnectionsDecides(t *testing.T) {
	ts := targets(1, 1, 1)
	p := newPool(t, Options{Name: "least_utilization"}, ts)
	for range 30 {
		p.begin(Request{})
	}
	for _, x := range ts {
		if x.InFlight() != 10 {
			t.Errorf("%s has %d of 30", x.ID, x.InFlight())
		}
	}
}

// Between two reports not all requests run to the target that was idle.
func TestOneReportDrawsNoHerd(t *testing.T) {
	ts := many(4, even, 10)
	p := newPool(t, Options{Name: "least_utilization"}, ts)
	reporting(p, 0.3, 0.5, 0.5, 0.5)
	for range 14 {
		p.begin(Request{})
	}
	// With 10 slots each request counts 0.1, so all are brought to 0.8: 5, 3, 3, 3.
	if ts[0].InFlight() != 5 || ts[1].InFlight() != 3 || ts[2].InFlight() != 3 || ts[3].InFlight() != 3 {
		t.Errorf("%d %d %d %d in flight, want 5 3 3 3", ts[0].InFlight(), ts[1].InFlight(), ts[2].InFlight(), ts[3].InFlight())
	}
}

// An engine can report a quarter of its KV cache in use while requests wait inside it.
func TestAQueueInsideTheTargetCounts(t *testing.T) {
	ts := many(2, even, 8)
	p := newPool(t, Options{Name: "least_utilization"}, ts)
	reporting(p, 0.3, 0.6)
	ts[0].SetReport(target.Report{Utilization: 0.3, InFlight: 8, Queue: 5, At: p.now})
	if got := p.begin(Request{}); got != ts[1] {
		t.Error("picked the one with a queue inside")
	}
}

func TestUtilizationStartsSlowly(t *testing.T) {
	ts := many(5, even, 10)
	p := newPool(t, Options{Name: "least_utilization"}, ts)
	ts[0].SetRamp(0.1)
	p.Set(ts)
	reporting(p, 0, 0.3, 0.3, 0.3, 0.3)
	for range 9 {
		p.begin(Request{})
	}
	if n := ts[0].InFlight(); n != 1 {
		t.Errorf("the new target at a tenth of its share has %d in flight, want 1: its floor and no more", n)
	}
}
