package balance

import (
	"fmt"
	"time"

	"github.com/weirlb/weir/target"
)

// leastUtilization takes the target with the lowest reported utilization, see target.Report. Reports come late and all requests in
// between would run to the same target, so each request since the report counts as what one more would use. A target whose report
// is missing or too old is never idle for that: it is ranked by the mean of the known ones and what it has in flight itself. When
// nobody reports, least connections decides.
type leastUtilization struct {
	least
	free
	maxAge time.Duration
	seen   []seenReport

	last usage // of the last pick, for Why
}

// seenReport remembers how much a target had in flight when its report was first seen, for reports that do not say so.
type seenReport struct {
	at       time.Time
	inFlight int32
}

// usage is what one pick knows of those drawn.
type usage struct {
	mean     float64 // utilization of the known ones
	request  float64 // utilization of one request, where slots do not tell
	known, n int
}

// lightest is the least that a request is thought to use of a target.
const lightest = 0.01

func (p *leastUtilization) Set(rotation []*target.Target) {
	p.least.Set(rotation)
	p.seen = carry(p.seen, p.least.from, zero[seenReport])
	p.free.reset(rotation)
}

func (p *leastUtilization) Pick(r *Request) *target.Target {
	var buf [reach]int32
	var reports [reach]target.Report
	drawn := p.draw(buf[:0], p.targets, r)
	p.last = p.survey(drawn, &reports, r.Now)
	if p.last.known == 0 {
		return p.least.Pick(r)
	}
	var best *target.Target
	var lowest float64
	for k, i := range drawn {
		t := p.targets[i]
		if load := p.load(i, t, reports[k]); best == nil || load < lowest || load == lowest && t.InFlight() < best.InFlight() {
			best, lowest = t, load
		}
	}
	return best
}

// survey reads the reports of those drawn; one that does not count is left without At.
func (p *leastUtilization) survey(drawn []int32, reports *[reach]target.Report, now time.Time) usage {
	u := usage{n: len(drawn)}
	flights := 0
	for k, i := range drawn {
		t := p.targets[i]
		rep := t.Report()
		if !rep.Known(now, p.maxAge) {
			continue
		}
		if s := &p.seen[i]; !s.at.Equal(rep.At) {
			*s = seenReport{rep.At, int32(t.InFlight())}
		}
		if rep.InFlight == 0 {
			rep.InFlight = int(p.seen[i].inFlight)
		}
		reports[k] = rep
		u.known++
		u.mean += rep.Utilization
		flights += rep.InFlight
	}
	if flights > 0 {
		u.request = u.mean / float64(flights)
	}
	u.request = min(max(u.request, lightest), 1)
	u.mean /= float64(max(u.known, 1))
	return u
}

// load is what t would report now, for a target that starts slowly as if it were so much smaller.
func (p *leastUtilization) load(i int32, t *target.Target, rep target.Report) float64 {
	one := p.last.request
	if s := slots(t); s > 0 {
		one = 1 / float64(s)
	}
	l := p.last.mean + one*float64(t.InFlight())
	if !rep.At.IsZero() {
		since := t.InFlight() - int(p.seen[i].inFlight)
		l = max(0, rep.Utilization+one*float64(since+rep.Queue))
	}
	return l * weight / float64(min(ramp(t), weight))
}

func (p *leastUtilization) Began(t *target.Target) {
	if i := p.update(t); i != none {
		p.put(i, t.Free())
	}
}

func (p *leastUtilization) Done(t *target.Target, _ Outcome) { p.Began(t) }

// Why implements Explainer.
func (p *leastUtilization) Why(t *target.Target) string {
	if p.last.known == 0 {
		return "no target reports its utilization; " + p.least.Why(t)
	}
	rep := t.Report()
	if !rep.At.Equal(p.seen[p.at[t]].at) || rep.At.IsZero() {
		return fmt.Sprintf("least utilization: no fresh report, so the mean %.2f of %d others and %d in flight", p.last.mean, p.last.known, t.InFlight())
	}
	return fmt.Sprintf("least utilization: reported %.2f, %d in flight, mean %.2f of %d of %d drawn", rep.Utilization, t.InFlight(), p.last.mean, p.last.known, p.last.n)
}
