package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Cases: what the targets are like, and in which order they should serve.
const (
	equal    = "equal"
	unequal  = "unequal"
	churn    = "churn"
	shortest = "shortest"
)

// speeds of targets as 1, 2 and 4, which together do what eight of speed 1 do.
var speeds = []int{1, 1, 1, 2, 2, 2, 4, 4}

const speedSum = 17

// churnEvery is after how long one target goes and another comes, before -speed.
const churnEvery = 10 * time.Second

// cell is one candidate under one load.
type cell struct {
	kind      string // the case
	mix       mix
	load      float64
	candidate candidate
	speed     float64 // by which all times are divided
	jobs      []job
	base      []outcome // in the ideal first-come queue; of the case churn many times, one after another
	spread    float64   // of the case churn: how far above the mean of all the mean of one run of the ideal comes by chance, one time in twenty
	best      []outcome // in the ideal shortest-first queue, of the case shortest
	told      []outcome // in the ideal queue that knows only what requests say of themselves, of the case shortest

	targets []*target
	changes int // of targets that came and went
	site    *site
	queue   *queue // instead of a site, for direct
	client  *http.Client
	offset  time.Duration // after the start of all, so that not all candidates send at the same instant
	samples []sample
	refused string // why the candidate does not offer this
}

// sample is one request as it went.
type sample struct {
	outcome               // the wait is from when it should have left to the whole answer, less the target's work on it
	late    time.Duration // how much later it left than it should have
	failure string
}

// ideals computes what the waits are compared with.
func (c *cell) ideals(every time.Duration) {
	equals := slices.Repeat([]server{{speed: 1}}, slots)
	switch c.kind {
	case equal:
		c.base = ideal(c.jobs, equals, firstCome, nil)
	case shortest:
		c.base = ideal(c.jobs, equals, firstCome, nil)
		c.best = ideal(c.jobs, equals, shortestFirst, nil)
		c.told = ideal(c.jobs, equals, fewestSteps, nil)
	case unequal:
		var servers []server
		for _, s := range speeds {
			servers = append(servers, server{speed: float64(s) * slots / speedSum})
		}
		c.base = ideal(c.jobs, servers, firstCome, nil)
	case churn:
		c.chances(every)
	}
}

// chances computes the ideal for targets that come and go. A target that goes finishes what it has, so whether it had much left is extra capacity by chance; the
// ideal is what that comes to over many runs that differ in nothing but in which of the free targets took a request.
func (c *cell) chances(every time.Duration) {
	var servers []server
	for i := range len(c.targets) {
		s := server{speed: 1, from: time.Duration(max(0, i-slots+1)) * every, until: time.Duration(i+1) * every}
		if i >= len(c.targets)-slots {
			s.until = 0
		}
		servers = append(servers, s)
	}
	const draws = 200
	random := rand.New(rand.NewPCG(1, uint64(len(c.jobs))))
	var means []float64
	for range draws {
		run := ideal(c.jobs, servers, firstCome, random)
		c.base = append(c.base, run...)
		means = append(means, sum(run, 1).Mean)
	}
	slices.Sort(means)
	c.spread = means[draws*95/100] / sum(c.base, 1).Mean
}

// open starts the targets: eight, and with churn one for each time that one comes.
func (c *cell) open(every time.Duration) error {
	n := slots
	if c.kind == churn {
		n += int(c.jobs[len(c.jobs)-1].at / every)
	}
	for i := range n {
		speed, weight := 1.0, 1
		if c.kind == unequal {
			speed, weight = float64(speeds[i])*slots/speedSum, speeds[i]
		}
		t, err := listen(speed)
		if err != nil {
			return err
		}
		c.targets = append(c.targets, t)
		if i < slots {
			c.site.Targets = append(c.site.Targets, siteTarget{t.address(), t.port, weight})
		}
	}
	if c.candidate.program == direct {
		c.queue = &queue{before: firstCome, free: slices.Clone(c.targets[:slots])}
		if c.kind == shortest {
			c.queue.before = fewestSteps // it knows no more than the request says
		}
	}
	c.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: len(c.jobs), DisableCompression: true}}
	return nil
}

func (c *cell) close() {
	if c.client != nil {
		c.client.CloseIdleConnections()
	}
	for _, t := range c.targets {
		t.close()
	}
}

// rotate takes the oldest target out of the site and puts the next one in. It reports whether there was one.
func (c *cell) rotate() bool {
	if c.changes+slots == len(c.targets) {
		return false
	}
	out, in := c.targets[c.changes], c.targets[c.changes+slots]
	c.changes++
	c.site.Targets = append(c.site.Targets[1:], siteTarget{in.address(), in.port, 1})
	if c.queue != nil {
		c.queue.replace(out, in)
	}
	return true
}

// run sends all requests at their times and waits for the answers.
func (c *cell) run(ctx context.Context, start time.Time, counts *counts) {
	c.samples = make([]sample, len(c.jobs))
	var wg sync.WaitGroup
	defer wg.Wait()
	for i, j := range c.jobs {
		due := start.Add(c.offset + j.at)
		select {
		case <-time.After(time.Until(due)):
		case <-ctx.Done():
			return
		}
		wg.Go(func() {
			counts.sent.Add(1)
			c.samples[i] = c.send(ctx, j, due)
			counts.done.Add(1)
			if c.samples[i].failure != "" {
				counts.failed.Add(1)
			}
		})
	}
}

// counts are of all cells together.
type counts struct {
	sent, done, failed atomic.Int64
}

func (c *cell) send(ctx context.Context, j job, due time.Time) (s sample) {
	s.late = time.Since(due)
	port := c.site.Port
	if c.queue != nil {
		t, err := c.queue.acquire(ctx, j)
		if err != nil {
			s.failure = err.Error()
			return s
		}
		defer c.queue.release(t)
		port = t.port
	}
	service, err := c.ask(ctx, port, j)
	if err != nil {
		s.failure = err.Error()
		return s
	}
	s.outcome = outcome{wait: max(0, time.Since(due)-service), service: service}
	return s
}

// ask sends the request and returns how long the target worked on it.
func (c *cell) ask(ctx context.Context, port int, j job) (time.Duration, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", port), nil)
	if err != nil {
		return 0, err
	}
	r.Header.Set(serviceHeader, j.service.String())
	r.Header.Set(stepsHeader, strconv.Itoa(j.steps))
	answer, err := c.client.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, fmt.Errorf("reading the answer: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("status %s: %.200s", answer.Status, text)
	}
	return time.ParseDuration(answer.Header.Get(serviceHeader))
}

// length is when the last request leaves.
func (c *cell) length() time.Duration { return c.offset + c.jobs[len(c.jobs)-1].at }

// scaled divides a time by the speed of the run.
func scaled(d time.Duration, speed float64) time.Duration {
	return time.Duration(math.Round(float64(d) / speed))
}
