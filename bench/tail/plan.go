package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

var caseNames = []string{equal, unequal, churn, shortest}

// candidatesOf is who takes part in each case; with nginx and HAProxy a target cannot come without a restart of their processes, and neither knows which
// request is short.
var candidatesOf = map[string][]candidate{
	equal:    {ownQueue, weirDefault, haproxyMaxconn, haproxyLeast, nginxLeast, nginxRobin},
	unequal:  {ownQueue, weirDefault, weirResponse, haproxyMaxconn, haproxyLeast, nginxLeast},
	churn:    {ownQueue, weirDefault},
	shortest: {ownQueue, weirShortest},
}

// mixesOf are the service times of each case, as far as they are asked for.
var mixesOf = map[string][]string{
	equal: {"two", "trace"}, unequal: {"two"}, churn: {"two"}, shortest: {"two", "trace", "known"},
}

// The case shortest has more requests, and runs faster to be done in time: who is short is chance, and a few hundred are too few for the mean to settle.
const (
	shortestMore   = 4
	shortestFaster = 2
)

// leastShortest is the least load of the case shortest: below it so few wait that their order says little.
const leastShortest = 0.75

// plan lays out all cells: the same arrivals and service times for all candidates, and for all loads but for the time between arrivals.
func plan(o options) ([]*cell, error) {
	var cells []*cell
	for _, kind := range o.cases {
		requests, speed := o.requests, o.speed
		if kind == shortest {
			requests, speed = requests*shortestMore, speed*shortestFaster
		}
		random := rand.New(rand.NewPCG(o.seed, 586))
		gaps := exponential(requests, random)
		two := twoPoint(requests, random)
		trace, err := heavyTailed(requests, random, o.traces)
		if err != nil {
			return nil, err
		}
		for _, m := range []mix{two, trace, trace.known()} {
			if !slices.Contains(o.mixes, m.name) || !slices.Contains(mixesOf[kind], m.name) {
				continue
			}
			for _, load := range o.loads {
				if kind == shortest && load < leastShortest {
					continue
				}
				for i, c := range candidatesOf[kind] {
					if !slices.Contains(o.only, c.program) {
						continue
					}
					n, apart := len(cells), time.Duration(slices.Index(caseNames, kind)*211+i*137)*time.Millisecond
					if kind == churn {
						apart = 0 // targets change for all candidates at the same moment
					}
					cells = append(cells, &cell{
						kind: kind, mix: m, load: load, candidate: c,
						speed: speed, jobs: m.arrivals(gaps, load, speed), site: &site{Name: fmt.Sprintf("pool%d", n), Method: c.method},
						offset: scaled(apart, o.speed),
					})
				}
			}
		}
	}
	if len(cells) == 0 {
		return nil, fmt.Errorf("nothing is left to measure with these -cases, -mixes and -only")
	}
	return cells, nil
}
