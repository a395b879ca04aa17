package admit

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestPredictorLearnsFromSizes(t *testing.T) {
	// Time per step plus a fixed part, with noise, and most sizes never seen: within 15 %, beyond the range within a third.
	rng := rand.New(rand.NewPCG(1, 1))
	truth := func(steps float64) float64 { return 0.4 + 0.06*steps }
	var p Predictor
	if got := p.Predict(30); got != 0 {
		t.Errorf("nothing is learned, but %v predicted", got)
	}
	for range 500 {
		steps := []float64{10, 20, 28, 50}[rng.IntN(4)]
		p.Observe(steps, time.Duration(truth(steps)*math.Exp(rng.NormFloat64()/10)*1e9))
	}
	for _, c := range []struct{ steps, within float64 }{{10, 0.15}, {15, 0.15}, {20, 0.15}, {28, 0.15}, {40, 0.15}, {50, 0.15}, {100, 0.34}, {4, 0.34}} {
		got, want := p.Predict(c.steps).Seconds(), truth(c.steps)
		if math.Abs(got-want) > c.within*want {
			t.Errorf("%v steps: %.2f s, want %.2f", c.steps, got, want)
		}
	}
	mean := (truth(10) + truth(20) + truth(28) + truth(50)) / 4
	if got := p.Predict(0).Seconds(); math.Abs(got-mean) > 0.2*mean {
		t.Errorf("of unknown size: %.2f s, want the mean of %.2f", got, mean)
	}
}

func TestPredictorFollowsAChange(t *testing.T) {
	var p Predictor
	for range 1000 {
		p.Observe(1, time.Second)
		p.Observe(100, 10*time.Second)
	}
	for range 300 { // a slower model
		p.Observe(1, 2*time.Second)
		p.Observe(100, 20*time.Second)
	}
	for size, want := range map[float64]float64{1: 2, 100: 20} {
		if got := p.Predict(size).Seconds(); math.Abs(got-want) > 0.1*want {
			t.Errorf("size %v: %.2f s, want %v", size, got, want)
		}
	}
}

func TestPredictorTakesAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p Predictor
		for range rapid.IntRange(0, 20).Draw(t, "n") {
			p.Observe(rapid.Float64().Draw(t, "size"), time.Duration(rapid.Int64().Draw(t, "took")))
		}
		for _, size := range []float64{rapid.Float64().Draw(t, "ask"), math.Inf(1), math.NaN(), -1, math.SmallestNonzeroFloat64} {
			if got := p.Predict(size); got < 0 || got > 31*24*time.Hour {
				t.Fatalf("size %v: %v", size, got)
			}
		}
	})
}

func BenchmarkPredictor(b *testing.B) {
	var p Predictor
	b.ReportAllocs()
	for b.Loop() {
		p.Observe(30, time.Second)
		p.Predict(40)
	}
}
