package target

import "testing"

func TestWhatCountsInTheEnd(t *testing.T) {
	x := New("a", "a", 3, 8)
	check := func(why string, weight, share, slots, limit int) {
		t.Helper()
		if x.Weight() != weight || x.Share() != share || x.Slots() != slots || x.Limit() != limit {
			t.Errorf("%s: weight %d, share %d, slots %d, limit %d; want %d, %d, %d, %d",
				why, x.Weight(), x.Share(), x.Slots(), x.Limit(), weight, share, slots, limit)
		}
	}
	check("new", 3, 3000, 8, 8)
	x.SetRamp(0.5)
	x.SetCeiling(4)
	check("half warm", 3, 1500, 8, 4)
	x.SetWeight(2)
	x.SetSlots(6)
	check("configured anew while half warm", 2, 1000, 6, 4)
	x.Override(new(10), new(2))
	check("overridden", 10, 5000, 2, 2)
	x.SetWeight(7)
	x.SetSlots(0)
	check("a reload does not undo that", 10, 5000, 2, 2)
	x.Override(nil, nil)
	check("given back", 7, 3500, 0, 4)
	x.SetRamp(0)
	x.SetCeiling(0)
	check("as good as nothing", 7, 1, 0, 0)
	x.SetRamp(2)
	x.SetWeight(-5)
	x.SetSlots(-5)
	check("nonsense", 1, 1000, 0, 0)
}

func TestFreeGoesByTheLimit(t *testing.T) {
	x := New("a", "a", 1, 2)
	x.SetCeiling(1)
	x.Begin()
	if x.Free() {
		t.Error("free beyond its ceiling")
	}
	x.SetCeiling(0)
	if !x.Free() {
		t.Error("not free below its slots")
	}
	x.SetSlots(0)
	x.Begin()
	x.Begin()
	if !x.Free() {
		t.Error("not free without a limit")
	}
}
