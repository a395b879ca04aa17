package planner

import (
	"iter"
	"time"

	"github.com/weirlb/weir/sim"
)

// Surge is a spike as plans are tried by: calm, a rise, the highest for a while, and calm again, on top of the middle of a usual day. It lasts for span.
func (a *Answer) Surge() (requests iter.Seq[sim.Request], span time.Duration) {
	q, f := &a.Question, &a.Facts
	span = calm + rise + spikeStays + after
	return arrivals(q, span, q.Users/f.Mean.Seconds(), func(at time.Duration) float64 { return f.spikeRate(q, at) }), span
}

// Scaled is the best plan for so many times fewer users, whose requests, boots and patience are so many times shorter: what a plan for thousands comes
// to on one machine.
func (a *Answer) Scaled(size, pace float64) (*Answer, error) {
	faster := func(d time.Duration) time.Duration { return time.Duration(float64(d) / pace) }
	q, p := a.Question, a.Best
	q.Users /= size
	q.Budget /= size
	q.Low, q.High, q.Wait, q.Patience = faster(q.Low), faster(q.High), faster(q.Wait), faster(q.Patience)
	q.pace, q.Types = pace, nil
	for _, t := range a.Question.Types {
		t.Boot, t.Wake = faster(t.Boot), faster(t.Wake)
		q.Types = append(q.Types, t)
	}
	if err := q.fill(); err != nil {
		return nil, err
	}
	f := facts(&q)
	smaller := func(n int) int { return int(float64(n)/size + 0.5) }
	p.OnDemandBase, p.Min, p.Max = smaller(p.OnDemandBase), max(1, smaller(p.Min)), smaller(p.Max)
	p.Shape.fill(&q, &f)
	return &Answer{Question: q, Facts: f, Best: p}, nil
}

// SurgeRate is how many requests a second arrive when that part of the spike's span is over.
func (a *Answer) SurgeRate(part float64) float64 {
	_, span := a.Surge()
	return a.Facts.spikeRate(&a.Question, time.Duration(part*float64(span)))
}
