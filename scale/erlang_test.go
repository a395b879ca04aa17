package scale

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// Erlang's C itself: patience 0, exponential services.
func TestErlangC(t *testing.T) {
	tests := []struct {
		slots int
		load  float64
		want  float64
		from  string
	}{
		{1, 0.5, 0.5, "M/M/1: the load itself"},
		{2, 1, 1.0 / 3, "M/M/2: 2 rho^2 / (1 + rho)"},
		{3, 2, 4.0 / 9, "Gross and Harris, Fundamentals of Queueing Theory, the eye clinic"},
		{11, 10, 0.682, "Call Centre Helper's worked example, 100 calls of 3 min in 30 min"},
		{12, 10, 0.449, "the same"},
		{13, 10, 0.285, "the same"},
		{14, 10, 0.174, "the same"},
		{55, 48, 0.239, "Mitan's worked example, 360 calls of 4 min in 30 min"},
		{110, 100, 0.237007500285, "exact rational arithmetic"},
		{1030, 1000, 0.248908785844, "exact rational arithmetic"},
	}
	for _, tt := range tests {
		if got := waitLonger(tt.slots, tt.load, 1, 0); math.Abs(got-tt.want) > 0.0005 {
			t.Errorf("P(wait) with %d slots and load %g = %.6f, want %.6f (%s)", tt.slots, tt.load, got, tt.want, tt.from)
		}
	}
}

// The share answered in time, from the same worked examples.
func TestServiceLevel(t *testing.T) {
	tests := []struct {
		slots          int
		load, patience float64
		want           float64
	}{
		{14, 10, 20.0 / 180, 0.888},
		{13, 10, 20.0 / 180, 0.796},
		{55, 48, 15.0 / 240, 0.845},
	}
	for _, tt := range tests {
		if got := 1 - waitLonger(tt.slots, tt.load, 1, tt.patience); math.Abs(got-tt.want) > 0.001 {
			t.Errorf("served in time with %d slots and load %g = %.4f, want %.3f", tt.slots, tt.load, got, tt.want)
		}
	}
}

// Constant service times: Erlang's exact distribution of the wait in M/D/1 (1909) against the corrected exponential.
func TestConstantServices(t *testing.T) {
	exact := func(load, patience float64) float64 {
		within, fact := 0.0, 1.0
		for k := 0; float64(k) <= patience; k++ {
			if k > 0 {
				fact *= float64(k)
			}
			x := load * (float64(k) - patience)
			within += math.Pow(x, float64(k)) / fact * math.Exp(-x)
		}
		return 1 - (1-load)*within
	}
	for _, load := range []float64{0.3, 0.5, 0.7, 0.9} {
		for _, patience := range []float64{0, 1, 2, 4, 8} {
			got, want := waitLonger(1, load, 0, patience), exact(load, patience)
			if math.Abs(got-want) > 0.06 {
				t.Errorf("load %g, patience %g: %.4f, exact %.4f", load, patience, got, want)
			}
		}
	}
}

func TestFewestSlots(t *testing.T) {
	tests := []struct {
		load, scv, patience float64
		want                int
	}{
		{0, 1, 2, 0},
		{1e-9, 1, 2, 1},
		{0.05, 1, 0, 1}, // M/M/1 with 5 % load: exactly 5 % wait
		{10, 1, 0, 17},  // C(16,10) = 0.057, C(17,10) = 0.031
		{10, 1, 1e9, 11},
		{60_000, 1, 0, 60_427},
	}
	for _, tt := range tests {
		if got := fewestSlots(tt.load, tt.scv, tt.patience); got != tt.want {
			t.Errorf("fewestSlots(%g, %g, %g) = %d, want %d", tt.load, tt.scv, tt.patience, got, tt.want)
		}
	}
	// Where the loop hands over to square-root staffing the two must meet.
	below, above := fewestSlots(exactLoad, 1, 0), fewestSlots(exactLoad+0.001, 1, 0)
	if math.Abs(float64(below-above)) > 50 {
		t.Errorf("the two ways to count differ at load %d: %d and %d", exactLoad, below, above)
	}
}

func TestFewestSlotsIsTheFewest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		load := rapid.Float64Range(0.001, 500).Draw(t, "load")
		scv := rapid.Float64Range(0, 10).Draw(t, "scv")
		patience := rapid.Float64Range(0, 20).Draw(t, "patience")
		n := fewestSlots(load, scv, patience)
		if p := waitLonger(n, load, scv, patience); p > late {
			t.Fatalf("%d slots: %.4f wait too long", n, p)
		}
		if p := waitLonger(n-1, load, scv, patience); p <= late {
			t.Fatalf("%d slots would do: %.4f", n-1, p)
		}
		if more := fewestSlots(load*1.1, scv, patience); more < n {
			t.Fatalf("a tenth more load needs %d, less than %d", more, n)
		}
	})
}
