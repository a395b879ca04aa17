package pool

import (
	"math"
	"time"

	"github.com/weirlb/weir/target"
	"github.com/weirlb/weir/window"
)

// Classes of answers, by which requests are counted.
const (
	classNone = iota // no answer: refused by the target, broken off
	class2xx         // and 1xx, 3xx
	class4xx
	class5xx
	nClasses
)

// Reasons of refusals, by which requests are counted.
const (
	refusedFull = iota
	refusedTimeout
	nRefused
)

// meters are a pool's measurements, guarded by its lock.
type meters struct {
	arrivals  *window.Counter
	finished  *window.Counter
	wait      *window.Distribution // arrival to slot
	service   *window.Distribution // slot to end, of requests that the target answered
	latency   *window.Distribution // arrival to end
	requests  uint64
	answers   [nClasses]uint64
	refused   [nRefused]uint64
	cancelled uint64
	retries   uint64
}

func newMeters() meters {
	return meters{
		arrivals: window.NewCounter(100*time.Millisecond, 700),
		finished: window.NewCounter(100*time.Millisecond, 700),
		wait:     window.NewDistribution(10*time.Second, 6),
		service:  window.NewDistribution(10*time.Second, 6),
		latency:  window.NewDistribution(10*time.Second, 6),
	}
}

func (m *meters) finish(l *Lease, o Outcome, now time.Time) {
	if o.Cancelled {
		m.cancelled++
		return
	}
	m.finished.Add(now, 1)
	m.latency.Observe(now, now.Sub(l.arrived))
	switch {
	case o.Status == 0:
		m.answers[classNone]++
	case o.Status >= 500:
		m.answers[class5xx]++
	case o.Status >= 400:
		m.answers[class4xx]++
	default:
		m.answers[class2xx]++
	}
	if !o.Failed {
		m.service.Observe(now, now.Sub(l.granted))
	}
}

func (m *meters) meanService(now time.Time) time.Duration {
	return time.Duration(m.service.Summarize(now).Mean * float64(time.Second))
}

// rateWindow is the span to count arrivals over: the shortest one that holds enough of them for an error of about a fifth, or
// that shows a change which chance does not explain (three standard deviations of a Poisson count), such as the end of a load.
func (m *meters) rateWindow(now time.Time) time.Duration {
	window := 30 * time.Second
	usual := m.arrivals.Rate(now, window)
	for _, span := range []time.Duration{10 * time.Second, 5 * time.Second, 2 * time.Second, time.Second} {
		seen := float64(m.arrivals.Sum(now, span))
		expected := usual * span.Seconds()
		if seen >= 25 || math.Abs(seen-expected) > 3*math.Sqrt(expected)+1 {
			window = span
		}
	}
	return window
}

// Stats is a pool at one moment.
type Stats struct {
	Waiting    int           // requests in the queue
	OldestWait time.Duration // of the one that waits longest
	InFlight   int
	Slots      int // in rotation; 0 when there is no limit
	FailedOpen bool
	Idle       time.Duration // since the pool last had a request

	Rate       float64       // arrivals a second, over the last RateWindow
	RateWindow time.Duration // 1 to 30 seconds: the shortest that holds enough arrivals to be more than noise
	Trend      float64       // change of the rate, requests/s per second, over 5 seconds or the window, whichever is longer
	Finished   float64       // answers a second, over the last 5 seconds

	Wait, Service, Latency window.Summary // of the last minute

	Requests  uint64 // since the start
	Answers2  uint64 // 1xx to 3xx
	Answers4  uint64
	Answers5  uint64
	Broken    uint64 // no whole answer
	Full      uint64 // refused by queue.limit
	TimedOut  uint64 // refused by queue.timeout
	Cancelled uint64 // the client left
	Retries   uint64

	Targets []TargetStats
}

// TargetStats is one target at one moment.
type TargetStats struct {
	Target *target.Target
	State  target.State
	Reason string
	Since  time.Time // of the state
}

// Stats looks at the pool. It costs tens of microseconds: for a loop or a page, not for each request.
func (p *Pool) Stats(now time.Time) Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	span := p.m.rateWindow(now)
	rate := p.m.arrivals.Rate(now, span)
	long := max(span, 5*time.Second)
	recent := p.m.arrivals.Rate(now, long)
	before := 2*p.m.arrivals.Rate(now, 2*long) - recent
	s := Stats{
		Waiting: p.queue.n, InFlight: p.running, Slots: p.slots(), FailedOpen: p.open,
		Rate: rate, RateWindow: span, Trend: (recent - before) / long.Seconds(), Finished: p.m.finished.Rate(now, 5*time.Second),
		Wait: p.m.wait.Summarize(now), Service: p.m.service.Summarize(now), Latency: p.m.latency.Summarize(now),
		Requests: p.m.requests, Answers2: p.m.answers[class2xx], Answers4: p.m.answers[class4xx],
		Answers5: p.m.answers[class5xx], Broken: p.m.answers[classNone],
		Full: p.m.refused[refusedFull], TimedOut: p.m.refused[refusedTimeout],
		Cancelled: p.m.cancelled, Retries: p.m.retries,
	}
	if p.queue.head != nil {
		s.OldestWait = now.Sub(p.queue.head.arrived)
	}
	if p.running == 0 && p.queue.n == 0 {
		s.Idle = now.Sub(p.lastBusy)
	}
	for _, m := range p.members {
		ts := TargetStats{Target: m.t, State: m.t.State(), Reason: m.checked.Reason, Since: m.since}
		switch ts.State {
		case target.Ejected:
			ts.Reason = m.ejection.Reason(now)
		case target.Draining:
			ts.Reason = "draining"
		}
		s.Targets = append(s.Targets, ts)
	}
	return s
}

// SinceStart sums up the queue wait and the whole latency of all requests since the pool was made.
func (p *Pool) SinceStart() (wait, latency window.Summary) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.m.wait.Total(), p.m.latency.Total()
}

// Cumulative are the counts since the start of durations up to each bound in seconds, for exposition.
type Cumulative struct {
	Counts []uint64
	Count  uint64
	Sum    float64 // seconds
}

// Histograms returns the cumulative distributions of the queue wait and of the whole latency.
func (p *Pool) Histograms(bounds []float64) (wait, latency Cumulative) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wait.Counts, wait.Count, wait.Sum = p.m.wait.Cumulative(bounds)
	latency.Counts, latency.Count, latency.Sum = p.m.latency.Cumulative(bounds)
	return wait, latency
}

// Member returns what is known of a target's health, and whether the pool has it: a reload carries it over.
func (p *Pool) Member(id string) (*target.Target, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.members {
		if m.t.ID == id {
			return m.t, true
		}
	}
	return nil, false
}
