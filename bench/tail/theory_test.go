package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Queues whose waits are known in closed form: what is computed for many jobs must come to that. The seed is fixed, so the tolerance covers a chance that was
// drawn once.

const manyJobs = 100_000

// poisson gives jobs with these service times arrivals at random, so that they amount to load of n servers.
func poisson(services []time.Duration, n int, load float64, random *rand.Rand) []job {
	total := time.Duration(0)
	for _, s := range services {
		total += s
	}
	gap := float64(total) / float64(len(services)) / (float64(n) * load)
	jobs := make([]job, len(services))
	at := 0.0
	for i, s := range services {
		at += random.ExpFloat64() * gap
		jobs[i] = job{at: time.Duration(at), service: s}
	}
	return jobs
}

// meanWait is the mean of the waits that keep says yes to, and the share of them that is not 0.
func meanWait(outcomes []outcome, keep func(outcome) bool) (mean time.Duration, waited float64) {
	n, total := 0, 0.0
	for _, o := range outcomes {
		if !keep(o) {
			continue
		}
		n++
		total += float64(o.wait)
		if o.wait > 0 {
			waited++
		}
	}
	return time.Duration(total / float64(n)), waited / float64(n)
}

func all(outcome) bool { return true }

func near(got, want time.Duration, tolerance float64) bool {
	return math.Abs(float64(got-want)) <= tolerance*float64(want)
}

// erlangC is the share of jobs that wait in an M/M/n queue (Erlang, 1917), by the recursion of his loss formula.
func erlangC(n int, load float64) float64 {
	offered, blocked := float64(n)*load, 1.0
	for k := 1; k <= n; k++ {
		blocked = offered * blocked / (float64(k) + offered*blocked)
	}
	return blocked / (1 - load*(1-blocked))
}

func TestErlangC(t *testing.T) {
	// By hand: one server is busy as often as its load; of two at load 1/2, offered 1, blocked is 1/5, so 1/5 / (1 - 1/2 · 4/5) = 1/3.
	for _, c := range []struct {
		n          int
		load, want float64
	}{{1, 0.7, 0.7}, {2, 0.5, 1.0 / 3}} {
		if got := erlangC(c.n, c.load); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%d servers at %g: %g wait, want %g", c.n, c.load, got, c.want)
		}
	}
}

func TestIdealIsErlangs(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 1917))
	const mean = time.Second
	for _, c := range []struct {
		n    int
		load float64
	}{{2, 0.5}, {slots, 0.8}} {
		services := make([]time.Duration, manyJobs)
		for i := range services {
			services[i] = time.Duration(random.ExpFloat64() * float64(mean))
		}
		outcomes := ideal(poisson(services, c.n, c.load, random), slices.Repeat([]server{{speed: 1}}, c.n), firstCome, nil)
		wait, waited := meanWait(outcomes, all)
		share := erlangC(c.n, c.load)
		want := time.Duration(share / (float64(c.n) * (1 - c.load)) * float64(mean))
		if !near(wait, want, 0.05) || math.Abs(waited-share) > 0.01 {
			t.Errorf("%d servers at %g: %v in the mean, %.3f wait; want %v, %.3f", c.n, c.load, wait, waited, want, share)
		}
	}
}

// Of one server that takes the shorter first, without stopping what it works on, Cobham's formula (1954) says how long each class waits.
func TestShortestFirstIsCobhams(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 1954))
	const load = 0.8
	two := twoPoint(manyJobs, random)
	services := make([]time.Duration, manyJobs)
	for i, j := range two.jobs {
		services[i] = j.service
	}
	outcomes := ideal(poisson(services, 1, load, random), []server{{speed: 1}}, shortestFirst, nil)
	const short, long = 0.05, 2.0 // seconds, half of the jobs each
	rate := load / ((short + long) / 2)
	rest := rate / 2 * (short*short + long*long) / 2 // of the work that an arrival finds begun
	ofShort := rate / 2 * short
	for service, want := range map[time.Duration]float64{50 * ms: rest / (1 - ofShort), 2 * time.Second: rest / ((1 - ofShort) * (1 - load))} {
		got, _ := meanWait(outcomes, func(o outcome) bool { return o.service == service })
		if !near(got, time.Duration(want*float64(time.Second)), 0.05) {
			t.Errorf("jobs of %v wait %v in the mean, want %.3f s", service, got, want)
		}
	}
}

func TestArrivalsAreRandom(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 586))
	gaps := exponential(manyJobs, random)
	mean, square := 0.0, 0.0
	for _, g := range gaps {
		mean += g / manyJobs
		square += g * g / manyJobs
	}
	// The deviation of exponential gaps is their mean.
	if deviation := math.Sqrt(square - mean*mean); math.Abs(mean-1) > 0.01 || math.Abs(deviation-1) > 0.01 {
		t.Errorf("gaps: mean %.3f, deviation %.3f; want 1, 1", mean, deviation)
	}
}

func TestSumByHand(t *testing.T) {
	var outcomes []outcome
	for i := range 200 { // 200 ms, 199 ms, … 1 ms
		outcomes = append(outcomes, outcome{wait: time.Duration(200-i) * ms, service: 10 * ms})
	}
	// 100.5 is the mean of 1 to 200; the nearest ranks are 100, 190 and 198; twice that at twice the speed.
	for speed, want := range map[float64]waits{
		1: {Mean: 100.5, P50: 100, P95: 190, P99: 198, Max: 200, Latency: 110.5},
		2: {Mean: 201, P50: 200, P95: 380, P99: 396, Max: 400, Latency: 221},
	} {
		if got := sum(outcomes, speed); got != want {
			t.Errorf("at speed %g: %+v, want %+v", speed, got, want)
		}
	}
	if got, want := sum(outcomes[:1], 1), (waits{Mean: 200, P50: 200, P95: 200, P99: 200, Max: 200, Latency: 210}); got != want {
		t.Errorf("of one: %+v, want %+v", got, want)
	}
	if got := sum(nil, 1); got != (waits{}) {
		t.Errorf("of none: %+v", got)
	}
}
