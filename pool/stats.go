package pool

import (
	"math"
	"strings"
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
	refusedShed
	refusedDeadline
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

	retriesWon, retriesLost, noBudget, noOther uint64
	hedges, hedgesWon                          uint64

	usual  window.Summary // of service, as it was at looked
	looked time.Time
}

func newMeters() meters {
	return meters{
		arrivals: window.NewCounter(100*time.Millisecond, 1300),
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

// retried counts the end of a request that was tried again.
func (m *meters) retried(won bool) {
	if won {
		m.retriesWon++
	} else {
		m.retriesLost++
	}
}

// lately is the summary of service times, a quarter of a second old at most: refusals of an overloaded pool must stay cheap.
func (m *meters) lately(now time.Time) window.Summary {
	if d := now.Sub(m.looked); d < 0 || d >= 250*time.Millisecond {
		m.usual, m.looked = m.service.Summarize(now), now
	}
	return m.usual
}

func (m *meters) meanService(now time.Time) time.Duration {
	return time.Duration(m.lately(now).Mean * float64(time.Second))
}

func (m *meters) medianService(now time.Time) time.Duration {
	return time.Duration(m.lately(now).P50 * float64(time.Second))
}

// rateWindow is the span to count arrivals over: a minute, or the shortest one that shows a change that chance does not explain, such as
// a spike or the end of a load. It is asked each second for days, so what chance does once in a thousand looks is still chance: the bound
// is one that a Poisson count passes less than once in a million (H. Chernoff, 1952: exp(-surprise)), and where arrivals came in clumps before, by as
// much more as their counts varied more.
func (m *meters) rateWindow(now time.Time) time.Duration {
	window := 60 * time.Second
	usual := m.arrivals.Rate(now, window)
	for _, span := range [...]time.Duration{30 * time.Second, 15 * time.Second, 10 * time.Second, 5 * time.Second, 2 * time.Second, time.Second} {
		seen := float64(m.arrivals.Sum(now, span))
		expected := usual * span.Seconds()
		surprise := expected - seen
		if seen > 0 {
			surprise += seen * math.Log(seen/max(expected, 1e-9))
		}
		if surprise > 13.8 && surprise > 13.8*m.arrivals.Dispersion(now, span, time.Minute, min(span, 5*time.Second)) {
			window = span
		}
	}
	return window
}

// Load is what a decision about a pool's capacity needs to know of it.
type Load struct {
	Waiting    int           // requests in the queue
	OldestWait time.Duration // of the one that waits longest
	InFlight   int
	Idle       time.Duration // since the pool last had a request

	Rate       float64       // arrivals a second, over the last RateWindow
	RateWindow time.Duration // 1 to 60 seconds: the shortest that holds enough arrivals to be more than noise
	Trend      float64       // change of the rate, requests/s per second, over 5 seconds or the window, whichever is longer

	Service window.Summary // of the last minute
}

// Stats is a pool at one moment.
type Stats struct {
	Load
	Slots      int // in rotation; 0 when there is no limit
	FailedOpen bool
	Finished   float64 // answers a second, over the last 5 seconds

	Wait, Latency window.Summary // of the last minute

	Priorities []PriorityStats // of what waits, the highest first
	Retrying   int             // requests that are on a second or later target now, hedges included

	Requests  uint64 // since the start
	Answers2  uint64 // 1xx to 3xx
	Answers4  uint64
	Answers5  uint64
	Broken    uint64 // no whole answer
	Full      uint64 // refused by queue.limit
	TimedOut  uint64 // refused by queue.timeout
	Shed      uint64 // refused for a more important request
	Late      uint64 // refused as their own deadline passed
	Cancelled uint64 // the client left
	Retries   uint64 // second and later targets asked for

	RetriesWon      uint64 // requests that another target answered
	RetriesLost     uint64 // requests that failed although they were tried again
	RetriesNoBudget uint64 // that the budget forbade, hedges included
	RetriesNoOther  uint64 // that found no other target
	Hedges          uint64 // requests that were sent to a second target to see which is faster
	HedgesWon       uint64 // of them, those that the second target answered

	Targets []TargetStats
}

// PriorityStats is what waits of one priority.
type PriorityStats struct{ Priority, Waiting int }

// TargetStats is one target at one moment.
type TargetStats struct {
	Target *target.Target
	State  target.State
	Reason string
	Since  time.Time // of the state
	Until  time.Time // when a draining target is to be gone; zero when it does not drain or Options.Drain is 0

	Latency    time.Duration // mean of the last few dozen answers, from slot to end; 0 when there was none
	FirstByte  time.Duration // likewise to the answer's head
	Part       float64       // of its share and slots, under 1 while it starts slowly
	Waiting    int           // requests that wait for this target, as it has their session
	Overridden bool          // by an operator
}

// Stats looks at the pool. It costs tens of microseconds and 60 ns for each target, while the pool stands still: for a loop or a page, not
// for each request.
func (p *Pool) Stats(now time.Time) Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.summary(now)
	s.Targets = make([]TargetStats, 0, len(p.members))
	for _, m := range p.members {
		s.Targets = append(s.Targets, m.stats(p.o.Drain, now))
	}
	return s
}

// Summary is Stats without the targets: what it costs does not grow with them.
func (p *Pool) Summary(now time.Time) Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.summary(now)
}

// Load looks at what a decision about the pool's capacity needs: it costs a part of Summary, and allocates nothing.
func (p *Pool) Load(now time.Time) Load {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.load(now)
}

func (p *Pool) load(now time.Time) Load {
	span := p.m.rateWindow(now)
	long := max(span, 5*time.Second)
	recent := p.m.arrivals.Rate(now, long)
	before := 2*p.m.arrivals.Rate(now, 2*long) - recent
	l := Load{
		Waiting: p.queue.Len(), InFlight: p.running,
		Rate: p.m.arrivals.Rate(now, span), RateWindow: span, Trend: (recent - before) / long.Seconds(),
		Service: p.m.service.Summarize(now),
	}
	for e := range p.queue.Heads {
		l.OldestWait = max(l.OldestWait, now.Sub(e.Owner.(*Lease).arrived))
	}
	if p.running == 0 && p.queue.Len() == 0 {
		l.Idle = now.Sub(p.lastBusy)
	}
	return l
}

func (p *Pool) summary(now time.Time) Stats {
	s := Stats{
		Load: p.load(now), Slots: p.limit, FailedOpen: p.open, Finished: p.m.finished.Rate(now, 5*time.Second),
		Wait: p.m.wait.Summarize(now), Latency: p.m.latency.Summarize(now),
		Requests: p.m.requests, Answers2: p.m.answers[class2xx], Answers4: p.m.answers[class4xx],
		Answers5: p.m.answers[class5xx], Broken: p.m.answers[classNone],
		Full: p.m.refused[refusedFull], TimedOut: p.m.refused[refusedTimeout],
		Shed: p.m.refused[refusedShed], Late: p.m.refused[refusedDeadline],
		Cancelled: p.m.cancelled, Retries: p.m.retries, Retrying: p.retrying,
		RetriesWon: p.m.retriesWon, RetriesLost: p.m.retriesLost, RetriesNoBudget: p.m.noBudget, RetriesNoOther: p.m.noOther,
		Hedges: p.m.hedges, HedgesWon: p.m.hedgesWon,
	}
	for priority, n := range p.queue.Waiting {
		s.Priorities = append(s.Priorities, PriorityStats{priority, n})
	}
	return s
}

func (m *member) stats(drain time.Duration, now time.Time) TargetStats {
	s := TargetStats{
		Target: m.t, State: m.t.State(), Reason: m.checked.Reason, Since: m.since, Part: 1,
		Latency:   time.Duration(m.latency * float64(time.Second)),
		FirstByte: time.Duration(m.firstByte * float64(time.Second)),
		Waiting:   m.parked.Len(), Overridden: m.override != (Override{}),
	}
	if m.ramp.on {
		s.Part = m.ramp.part
	}
	switch s.State {
	case target.Ejected:
		s.Reason = m.ejection.Reason(now)
	case target.Draining:
		s.Reason = "draining"
		if m.report.Drain && !m.draining {
			s.Reason = strings.TrimSuffix("its agent asked to drain it: "+m.report.Reason, ": ")
		}
		if drain > 0 {
			s.Until = m.since.Add(drain)
		}
	case target.Unhealthy:
		if m.report.Down && m.checked.State == target.Healthy {
			s.Reason = "its agent says that it is down: " + m.report.Reason
		}
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

// ServiceTimes returns the cumulative distribution of the time from the slot to the end, of requests that a target answered.
func (p *Pool) ServiceTimes(bounds []float64) (service Cumulative) {
	p.mu.Lock()
	defer p.mu.Unlock()
	service.Counts, service.Count, service.Sum = p.m.service.Cumulative(bounds)
	return service
}
