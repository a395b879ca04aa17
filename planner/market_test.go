package planner

import (
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/sim"
)

// Two requests a second for three hours, of four seconds each: eight at the same time.
func even() *Traffic {
	t := &Traffic{About: "even.csv: two a second\nspot in a: a.json", Start: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)}
	for i := range 2 * 3 * 3600 {
		t.Requests = append(t.Requests, sim.Request{At: time.Duration(i) * time.Second / 2, Service: 4 * time.Second})
	}
	return t
}

// What the recorded markets had to give decides what is on spot, and what it costs.
func TestAPlanOnRecordedMarkets(t *testing.T) {
	plan := func(counts ...int) (*Answer, string) {
		t.Helper()
		q := Question{
			Traffic: even(), Markets: []sim.Market{{Zone: "a", Gap: 10 * time.Minute, Counts: counts}}, Budget: 20_000, Wait: 2 * time.Second, Seed: 1,
			Types: []Type{{Name: "small", OnDemand: 1, Spot: 0.25, Slots: 1, Boot: 20 * time.Second}},
		}
		a, err := Solve(t.Context(), q, nil)
		if err != nil {
			t.Fatal(err)
		}
		text := YAML(&a.Question, &a.Facts, &a.Best)
		c, err := config.Parse("plan.yaml", []byte(text), os.LookupEnv)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if z := c.Pools["api"].Scale.Cost.Zones; len(z) != 1 || z[0] != "a" {
			t.Errorf("zones %v", z)
		}
		if a.Best.Usual.Kept < 0.95 || !a.Best.Fits {
			t.Errorf("%+v", a.Best)
		}
		return a, text
	}
	rich, text := plan(100)
	if m := rich.Best.Market; rich.Best.OnDemandPercent != 0 || m.Share < 0.99 || m.TakenBack+m.Refused+m.Cut != 0 {
		t.Errorf("spot for all, and %+v", rich.Best)
	} else if of := rich.Best.Monthly / m.OnDemand; math.Abs(of-0.25) > 1e-6 { // the prices' ratio
		t.Errorf("%g of what it costs on demand", of)
	}
	if !strings.Contains(text, "# On the recorded markets 0 were taken back, 0 launches refused, and 0 requests cut; 100 % of the hours were spot.") {
		t.Error(text)
	}
	none, _ := plan(0)
	if m := none.Best.Market; m.Share != 0 || math.Abs(none.Best.Monthly-m.OnDemand) > 1e-6*m.OnDemand {
		t.Errorf("there is no spot, and %+v", none.Best)
	}
	some, _ := plan(100, 100, 0, 100, 4, 100)
	m := some.Best.Market
	if m.TakenBack == 0 || m.Cut != 0 || m.Share == 0 || m.Share == 1 || some.Best.Monthly <= rich.Best.Monthly || some.Best.Monthly >= none.Best.Monthly {
		t.Errorf("spot comes and goes: %+v", some.Best)
	}
}

func TestMarketsFromATimeOn(t *testing.T) {
	m := []sim.Market{{Gap: time.Minute, Counts: []int{0, 1, 2, 3}}}
	for at, want := range map[time.Duration]int{0: 0, 59 * time.Second: 0, 2 * time.Minute: 2, 5 * time.Minute: 1} {
		if got := from(m, at)[0].Counts; got[0] != want || len(got) != 4 || m[0].Counts[0] != 0 {
			t.Errorf("from %v on: %v", at, got)
		}
	}
}
