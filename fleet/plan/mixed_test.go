package plan

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

var mixNow = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

func gpuMix() Mix {
	return Mix{
		Base: 2, Percent: 20, Allocation: LowestPrice, Fallback: true, Zones: []string{"a", "b"},
		Types: []MachineType{
			{Name: "g5.xlarge", OnDemand: 1.006, Spot: 0.302},
			{Name: "g4dn.xlarge", OnDemand: 0.526, Spot: 0.158},
		},
	}
}

// The formula of a mixed instances policy: base + ceil((desired-base)*pct/100).
func TestOnDemandOf(t *testing.T) {
	for _, c := range []struct{ base, percent, desired, want int }{
		{0, 100, 7, 7}, // AWS's defaults: all on demand
		{2, 20, 0, 0},
		{2, 20, 1, 1},
		{2, 20, 2, 2},
		{2, 20, 3, 3}, // ceil(0.2)
		{2, 20, 7, 3}, // ceil(1.0)
		{2, 20, 8, 4}, // ceil(1.2)
		{2, 20, 12, 4},
		{0, 0, 9, 0},
		{10, 0, 4, 4},
		{0, 50, 3, 2},
	} {
		m := Mix{Base: c.base, Percent: c.percent}
		if got := m.OnDemandOf(c.desired); got != c.want {
			t.Errorf("base %d, %d%%: %d of %d on demand, want %d", c.base, c.percent, got, c.desired, c.want)
		}
	}
}

func TestAllocation(t *testing.T) {
	offers := map[Placement]Offer{
		{"g5.xlarge", Spot, "a"}:   {Free: 10},
		{"g4dn.xlarge", Spot, "a"}: {Free: 6},
		{"p3", Spot, "a"}:          {Free: 1},
	}
	for _, c := range []struct {
		allocation Allocation
		spot, od   string
	}{
		{LowestPrice, "p3", "g4dn.xlarge"},
		{CapacityOptimized, "g5.xlarge", "g4dn.xlarge"},
		{PriceCapacityOptimized, "g4dn.xlarge", "g4dn.xlarge"}, // p3 is cheaper, and almost gone
		{Prioritized, "g5.xlarge", "g5.xlarge"},
	} {
		m := gpuMix()
		m.Zones, m.Allocation = []string{"a"}, c.allocation
		m.Types = append(m.Types, MachineType{Name: "p3", OnDemand: 3, Spot: 0.1})
		got := m.Place(4, 4, nil, nil, offers, mixNow)
		if len(got) != 4 || got[0].Type != c.od || got[3] != (Placement{c.spot, Spot, "a"}) {
			t.Errorf("%s: %v, want on demand %s and spot %s", c.allocation, got, c.od, c.spot)
		}
	}
}

// Spot by the lowest price is spread over so many of the cheapest.
func TestSpotPools(t *testing.T) {
	m := gpuMix()
	m.Base, m.Percent, m.SpotPools, m.Zones = 0, 0, 2, []string{"a"}
	m.Types = append(m.Types, MachineType{Name: "p3", Spot: 0.9})
	types := make(map[string]int)
	for _, p := range m.Place(6, 6, nil, nil, nil, mixNow) {
		types[p.Type]++
	}
	if types["g4dn.xlarge"] != 3 || types["g5.xlarge"] != 3 {
		t.Errorf("6 spot instances over the 2 cheapest types: %v", types)
	}
}

// What was refused is left alone: the next type, then on demand, then spot again when the back-off is over.
func TestRefused(t *testing.T) {
	m := gpuMix()
	m.Base, m.Percent, m.Zones = 0, 0, []string{"a"}
	var r Refusals
	next := func(now time.Time) Placement { return m.Place(1, 1, nil, &r, nil, now)[0] }
	cheap, dear := Placement{"g4dn.xlarge", Spot, "a"}, Placement{"g5.xlarge", Spot, "a"}

	r.Refuse(cheap, mixNow)
	if got := next(mixNow); got != dear {
		t.Errorf("after a refusal of the cheapest: %v, want %v", got, dear)
	}
	r.Refuse(dear, mixNow)
	if got, want := next(mixNow), (Placement{"g4dn.xlarge", OnDemand, "a"}); got != want {
		t.Errorf("without any spot: %v, want %v", got, want)
	}
	m.Fallback = false
	if got := m.Place(1, 1, nil, &r, nil, mixNow); len(got) != 0 {
		t.Errorf("without a fallback: %v, want to wait", got)
	}
	later := mixNow.Add(firstRefusal)
	if got := next(later); got != cheap {
		t.Errorf("when the back-off is over: %v, want %v", got, cheap)
	}
	if until := r.Refuse(cheap, later); until != later.Add(2*firstRefusal) {
		t.Errorf("the second refusal in a row holds until %v, want twice as long", until)
	}
	r.Grant(cheap)
	if !r.Until(cheap).IsZero() {
		t.Error("a granted placement is still left alone")
	}
}

// From nothing, any mix comes out by the formula, with zones within one of each other.
func TestPlaceKeepsFormulaAndZones(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := gpuMix()
		m.Base = rapid.IntRange(0, 10).Draw(t, "base")
		m.Percent = rapid.IntRange(0, 100).Draw(t, "percent")
		m.Zones = []string{"a", "b", "c"}[:rapid.IntRange(1, 3).Draw(t, "zones")]
		m.Allocation = rapid.SampledFrom([]Allocation{LowestPrice, CapacityOptimized, PriceCapacityOptimized, Prioritized}).Draw(t, "allocation")
		m.SpotPools = rapid.IntRange(0, 4).Draw(t, "pools")
		var live []Placement
		for desired := range rapid.IntRange(1, 40).Draw(t, "most") + 1 {
			placed := m.Place(desired-len(live), desired, live, nil, nil, mixNow)
			live = append(live, placed...)
			if got, want := count(live, func(p Placement) bool { return p.Market == OnDemand }), m.OnDemandOf(desired); len(live) != desired || got != want {
				t.Fatalf("%d of %d desired, %d on demand, want %d", len(live), desired, got, want)
			}
			least, most := len(live), 0
			for _, zone := range m.Zones {
				n := count(live, func(p Placement) bool { return p.Zone == zone })
				least, most = min(least, n), max(most, n)
			}
			if most-least > 1 {
				t.Fatalf("zones hold %d to %d of %v", least, most, live)
			}
		}
	})
}

// Nothing is asked for before its back-off is over.
func TestPlaceHonoursRefusals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := gpuMix()
		m.Percent = rapid.IntRange(0, 100).Draw(t, "percent")
		m.Fallback = rapid.Bool().Draw(t, "fallback")
		var r Refusals
		now := mixNow
		for range 30 {
			now = now.Add(time.Duration(rapid.IntRange(0, 120).Draw(t, "wait")) * time.Second)
			placed := m.Place(3, 8, nil, &r, nil, now)
			for _, p := range placed {
				if now.Before(r.Until(p)) {
					t.Fatalf("%v is asked for at %v, before %v", p, now, r.Until(p))
				}
			}
			for _, p := range placed {
				if rapid.Bool().Draw(t, "refuse") {
					r.Refuse(p, now)
				}
			}
		}
	})
}

// What a budget affords costs no more than it, and one more would.
func TestAffordable(t *testing.T) {
	m := gpuMix()
	if got := m.Affordable(2*0.526+0.5, 100); got != 2 { // a third is on demand: ceil(0.2)
		t.Errorf("affords %d, want 2", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		m := gpuMix()
		m.Percent = rapid.IntRange(0, 100).Draw(t, "percent")
		perHour := rapid.Float64Range(0, 50).Draw(t, "per hour")
		n := m.Affordable(perHour, 60)
		if m.Cost(n) > perHour+1e-6 || n < 60 && m.Cost(n+1) <= perHour {
			t.Fatalf("%v an hour affords %d at %v; one more is %v", perHour, n, m.Cost(n), m.Cost(n+1))
		}
	})
}
