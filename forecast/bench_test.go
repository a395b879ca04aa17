package forecast

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// BenchmarkNew fits what `predict: {}` fits every 15 minutes: two weeks in steps of five minutes, two days ahead.
func BenchmarkNew(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	s := Series{Start: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC), Step: 5 * time.Minute}
	for i := range 14 * 288 {
		day := float64(i%288) / 288
		rate := 20 + 15*math.Sin(2*math.Pi*(day-0.3))
		if i/288%7 >= 5 {
			rate /= 2
		}
		s.Values = append(s.Values, max(0, rate*math.Exp(0.2*rng.NormFloat64())))
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := New(s, Options{Lead: 6 * time.Minute}); err != nil {
			b.Fatal(err)
		}
	}
}
