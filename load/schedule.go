package load

import (
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"time"
)

// Phase is a stretch of a schedule in which the rate goes from From to To in a straight line, both in requests per second.
type Phase struct {
	From, To float64
	Duration time.Duration
}

// Constant is a phase of one rate, in requests per second.
func Constant(rate float64, d time.Duration) Phase { return Phase{From: rate, To: rate, Duration: d} }

// Ramp is a phase that goes from one rate to another in a straight line, in requests per second.
func Ramp(from, to float64, d time.Duration) Phase { return Phase{From: from, To: to, Duration: d} }

// Spike is base requests per second for total, but factor times as many from at on, for lasting. What of the spike lies behind total
// is cut off.
func Spike(base, factor float64, at, lasting, total time.Duration) []Phase {
	at = min(max(at, 0), total)
	end := min(at+max(lasting, 0), total)
	return []Phase{Constant(base, at), Constant(base*factor, end-at), Constant(base, total-end)}
}

// Check says what is wrong with the phases, which Phases would skip.
func Check(phases ...Phase) error {
	for i, p := range phases {
		switch {
		case !isRate(p.From) || !isRate(p.To):
			return fmt.Errorf("phase %d: a rate of %g to %g per second; give numbers from 0 up", i+1, p.From, p.To)
		case p.Duration < 0:
			return fmt.Errorf("phase %d: it lasts %v; give a time from 0 up", i+1, p.Duration)
		}
	}
	return nil
}

func isRate(r float64) bool { return r >= 0 && !math.IsInf(r, 1) }

// Length is how long the phases last together.
func Length(phases ...Phase) time.Duration {
	var d time.Duration
	for _, p := range phases {
		d += max(p.Duration, 0)
	}
	return d
}

// Expected is the number of requests in the phases: the mean when they come as a Poisson process, and the number within one otherwise.
func Expected(phases ...Phase) float64 {
	var n float64
	for _, p := range phases {
		n += p.mass()
	}
	return n
}

// mass is the integral of the rate; 0 for a phase that Check refuses.
func (p Phase) mass() float64 {
	if !isRate(p.From) || !isRate(p.To) || p.Duration <= 0 {
		return 0
	}
	return (p.From + p.To) / 2 * p.Duration.Seconds()
}

// after is the moment at which the phase has seen y requests, for y up to its mass: the root of From·t + (To-From)·t²/2d = y, in the
// form that does not cancel when the rate hardly changes and does not divide by zero when it starts at none.
func (p Phase) after(y float64) time.Duration {
	slope := (p.To - p.From) / p.Duration.Seconds()
	t := 2 * y / (p.From + math.Sqrt(max(0, p.From*p.From+2*slope*y)))
	return min(time.Duration(t*float64(time.Second)), p.Duration)
}

// Phases are the arrivals of the phases, one phase after the other. They are spaced evenly (the k-th, from 0, comes when the rate's
// integral reaches k+½), or, when poisson is true, a Poisson process of that rate drawn from seed by inversion of the integral
// (Çinlar, Introduction to Stochastic Processes, 1975). Ranging twice gives the same arrivals.
func Phases(seed uint64, poisson bool, phases ...Phase) iter.Seq[Arrival] {
	return func(yield func(Arrival) bool) {
		rng := rand.New(rand.NewPCG(seed, 0x5eed))
		step := func() float64 { return 1 }
		next := 0.5 // where the next arrival lies on the integral, from the start of the phase
		if poisson {
			step = rng.ExpFloat64
			next = step()
		}
		var start time.Duration
		for _, p := range phases {
			mass := p.mass()
			for ; next < mass; next += step() {
				if !yield(Arrival{At: start + p.after(next)}) {
					return
				}
			}
			next -= mass
			start += max(p.Duration, 0)
		}
	}
}

// Split deals arrivals out by weight, so that one schedule or trace drives a mix of kinds: each arrival goes to one of the results, drawn
// from seed. Weights are relative; one that is not a number above 0 gets nothing. The parts of a Poisson process are independent Poisson
// processes themselves (Kingman, Poisson Processes, 1993, the colouring theorem). Each part ranges over all of arrivals, which have to
// be the same each time.
func Split(seed uint64, arrivals iter.Seq[Arrival], weights ...float64) []iter.Seq[Arrival] {
	ends := make([]float64, len(weights)) // of each part's share of [0, sum)
	var sum float64
	for i, w := range weights {
		if isRate(w) {
			sum += w
		}
		ends[i] = sum
	}
	parts := make([]iter.Seq[Arrival], len(weights))
	for i := range parts {
		parts[i] = func(yield func(Arrival) bool) {
			rng := rand.New(rand.NewPCG(seed, 0x511))
			for a := range arrivals {
				u := rng.Float64() * sum
				if u < ends[i] && (i == 0 || u >= ends[i-1]) && !yield(a) {
					return
				}
			}
		}
	}
	return parts
}
