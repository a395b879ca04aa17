package balance

import (
	"fmt"
	"math"
	"slices"

	"github.com/weirlb/weir/target"
)

// hotQuantile is Prequal's Q: a target is hot when it has more in flight than this part of the others.
const hotQuantile = 0.8408964152537145 // 2^-0.25

// prequal is the hot-cold lexicographic rule of Prequal (Wydrowski, Kleinberg, Rumble, Archer: Load is not what you should balance,
// NSDI 2024): of the targets drawn, the cold one with the lowest latency; when all are hot, the one with the fewest in flight. Weir sees
// all requests to its targets, so what the paper probes for is known here without a probe.
//
// A latency is the median of recent answers at about the target's present number in flight. It ages as in peakEWMA, so that a trickle
// reaches everyone, and failures look slow.
type prequal struct {
	seats
	free
	ages
	known []answers
	pool  peak

	hot   float64 // the threshold of the last pick, for Why
	drawn int
}

// answers are a target's last ones, and the peak EWMA that failures are measured by.
type answers struct {
	peak
	recent [window]answer
	n      int
	log    float64 // of the latency at the present number in flight, see peak.log; -Inf: to be tried
}

type answer struct{ inFlight, seconds float32 }

const (
	window = 16 // answers that are remembered
	voters = 5  // of them, those that are nearest in load have a say
)

func (p *prequal) Set(rotation []*target.Target) {
	p.known = carry(p.known, p.sit(rotation), zero[answers])
	p.free.reset(rotation)
	for i, t := range rotation {
		p.known[i].log = p.estimate(&p.known[i], t)
	}
}

// estimate is the logarithm of what an answer takes now.
func (p *prequal) estimate(k *answers, t *target.Target) float64 {
	f := float32(t.InFlight())
	switch {
	case k.n == 0 && f == 0:
		return math.Inf(-1)
	case k.n == 0 && p.pool.cost == 0:
		return math.Log(guess.Seconds())
	case k.n == 0:
		return p.pool.log()
	}
	var buf [voters]answer
	near := buf[:0]
	for i := range min(k.n, window) {
		near = insert(near, k.recent[i], func(a, b answer) bool { return abs(a.inFlight-f) < abs(b.inFlight-f) })
	}
	var bySeconds [voters]answer
	v := bySeconds[:0]
	for _, a := range near {
		v = insert(v, a, func(a, b answer) bool { return a.seconds < b.seconds })
	}
	return math.Log(float64(v[len(v)/2].seconds)) + k.at
}

// insert puts a in its place in an ordered s; when s is full, the last falls out.
func insert(s []answer, a answer, before func(a, b answer) bool) []answer {
	if len(s) < cap(s) {
		s = append(s, a)
	} else if !before(a, s[len(s)-1]) {
		return s
	}
	i := len(s) - 1
	for ; i > 0 && before(a, s[i-1]); i-- {
		s[i] = s[i-1]
	}
	s[i] = a
	return s
}

func abs(x float32) float32 { return max(x, -x) }

func (p *prequal) Pick(r *Request) *target.Target {
	var buf [reach]int32
	drawn := p.draw(buf[:0], p.targets, r)
	if len(drawn) == 0 {
		return nil
	}
	p.hot, p.drawn = p.threshold(drawn), len(drawn)
	cold, least := none, none
	for _, i := range drawn {
		f := crowding(p.targets[i])
		if f <= p.hot && (cold == none || p.known[i].log < p.known[cold].log) {
			cold = i
		}
		if least == none || f < crowding(p.targets[least]) {
			least = i
		}
	}
	if cold == none {
		return p.targets[least]
	}
	return p.targets[cold]
}

// threshold is the quantile of what those drawn have in flight per share, linear between two of them. So the most loaded one is hot
// unless others are as loaded, also when there are few.
func (p *prequal) threshold(drawn []int32) float64 {
	var buf [reach]float64
	loads := buf[:0]
	for _, i := range drawn {
		loads = append(loads, crowding(p.targets[i]))
	}
	slices.Sort(loads)
	whole, part := math.Modf(hotQuantile * float64(len(loads)-1))
	i := int(whole)
	if part == 0 || i+1 == len(loads) {
		return loads[i]
	}
	return loads[i] + part*(loads[i+1]-loads[i])
}

func (p *prequal) Began(t *target.Target) {
	if i := p.seat(t); i != none {
		p.update(i, t)
	}
}

func (p *prequal) Done(t *target.Target, o Outcome) {
	i := p.seat(t)
	if i == none {
		return
	}
	k := &p.known[i]
	before := k.peak
	learn(&k.peak, &p.pool, o, p.of(o.Now))
	seconds := max(o.response().Seconds(), 1e-9)
	guessed := o.Failed || o.Cancelled && o.FirstByte == 0
	if guessed {
		seconds = k.cost
	}
	if !guessed || k.peak != before {
		k.recent[k.n%window] = answer{float32(t.InFlight()), float32(seconds)}
		k.n++
	}
	p.update(i, t)
}

func (p *prequal) update(i int32, t *target.Target) {
	p.known[i].log = p.estimate(&p.known[i], t)
	p.put(i, t.Free())
}

// Why implements Explainer.
func (p *prequal) Why(t *target.Target) string {
	if crowding(t) > p.hot {
		return fmt.Sprintf("prequal: all %d drawn are hot, fewest in flight: %d", p.drawn, t.InFlight())
	}
	k := &p.known[p.at[t]]
	if k.n == 0 {
		return fmt.Sprintf("prequal: cold with %d in flight, never measured", t.InFlight())
	}
	return fmt.Sprintf("prequal: lowest latency of the cold among %d drawn, %s at %d in flight", p.drawn, tellSeconds(math.Exp(k.log-k.peak.at)), t.InFlight())
}
