package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// server is one slot of the ideal system. It begins work from From on and before Until (0: for ever), and does it Speed times as fast as the
// jobs' service times say.
type server struct {
	speed       float64
	from, until time.Duration
}

// outcome is how it went with one job: how long it waited, and how long the server worked on it.
type outcome struct {
	wait, service time.Duration
}

// order says whether waiting job a goes before b, which came earlier.
type order func(a, b job) bool

func firstCome(job, job) bool     { return false }
func shortestFirst(a, b job) bool { return a.service < b.service }
func fewestSteps(a, b job) bool   { return a.steps < b.steps }

// ideal computes how long each job waits when one queue stands before all servers, a free server always takes who is next by the order, and a
// job that finds several free takes the fastest. Jobs are sorted by arrival. Nothing takes any time but the service: this is the multi-server queue itself
// (for fifo the recursion of Kiefer and Wolfowitz, 1955), not an estimate. Which of several equally fast free servers takes a job makes no difference
// unless servers go; random, unless it is nil, decides that.
func ideal(jobs []job, servers []server, before order, random *rand.Rand) []outcome {
	done := make([]outcome, len(jobs))
	free := make([]time.Duration, len(servers)) // when each server is
	for i, s := range servers {
		free[i] = s.from
	}
	var waiting []int
	arrived := 0
	now := time.Duration(0)
	for arrived < len(jobs) || len(waiting) > 0 {
		for arrived < len(jobs) && jobs[arrived].at <= now {
			waiting = append(waiting, arrived)
			arrived++
		}
		s := fastest(servers, free, now, random)
		if len(waiting) > 0 && s >= 0 {
			next := 0
			for i := range waiting {
				if before(jobs[waiting[i]], jobs[waiting[next]]) {
					next = i
				}
			}
			j := waiting[next]
			waiting = slices.Delete(waiting, next, next+1)
			done[j] = outcome{wait: now - jobs[j].at, service: time.Duration(float64(jobs[j].service) / servers[s].speed)}
			free[s] = now + done[j].service
			continue
		}
		now = upcoming(jobs, arrived, servers, free, now)
	}
	return done
}

// fastest is the fastest server that can begin a job now, -1 when none can.
func fastest(servers []server, free []time.Duration, now time.Duration, random *rand.Rand) int {
	best, equals := -1, 0
	for i, s := range servers {
		switch {
		case free[i] > now || s.until != 0 && now >= s.until:
		case best < 0 || s.speed > servers[best].speed:
			best, equals = i, 1
		case s.speed == servers[best].speed:
			if equals++; random != nil && random.IntN(equals) == 0 {
				best = i
			}
		}
	}
	return best
}

// upcoming is the next moment at which something happens.
func upcoming(jobs []job, arrived int, servers []server, free []time.Duration, now time.Duration) time.Duration {
	next := time.Duration(math.MaxInt64)
	if arrived < len(jobs) {
		next = jobs[arrived].at
	}
	for i, s := range servers {
		if free[i] > now && (s.until == 0 || free[i] < s.until) {
			next = min(next, free[i])
		}
	}
	return next
}
