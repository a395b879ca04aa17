package balance

import (
	"fmt"
	"math"

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
	logs  []float64 // of each seat's latency at its present number in flight, see peak.log; -Inf: to be tried
	pool  peak

	hot   float64 // the threshold of the last pick, for Why
	drawn int
}

// answers are a target's last ones, and the peak EWMA that failures are measured by.
type answers struct {
	peak
	recent [window]answer
	n      int
}

type answer struct{ inFlight, seconds float32 }

const (
	window = 16 // answers that are remembered
	voters = 5  // of them, those that are nearest in load have a say
)

func (p *prequal) Set(rotation []*target.Target) {
	p.known = carry(p.known, p.sit(rotation), zero[answers])
	p.free.reset(rotation)
	p.logs = make([]float64, len(rotation))
	for i, t := range rotation {
		p.logs[i] = p.estimate(&p.known[i], t)
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
	// Of equally near ones, the first in k.recent have the say.
	var buf [voters]uint64
	near := buf[:0]
	for i := range min(k.n, window) {
		near = insert(near, uint64(math.Float32bits(abs(k.recent[i].inFlight-f)))<<32|uint64(i))
	}
	var bySeconds [voters]float32
	v := bySeconds[:0]
	for _, n := range near {
		v = insert(v, k.recent[uint32(n)].seconds)
	}
	return math.Log(float64(v[len(v)/2])) + k.at
}

// insert puts x in its place in an ascending s; when s is full, the last falls out.
func insert[T uint64 | float32 | float64](s []T, x T) []T {
	if len(s) < cap(s) {
		s = s[:len(s)+1]
	} else if x >= s[len(s)-1] {
		return s
	}
	i := len(s) - 1
	for ; i > 0 && x < s[i-1]; i-- {
		s[i] = s[i-1]
	}
	s[i] = x
	return s
}

func abs(x float32) float32 { return max(x, -x) }

func (p *prequal) Pick(r *Request) *target.Target {
	var buf [reach]int32
	drawn := p.draw(buf[:0], p.targets, r)
	if len(drawn) == 0 {
		return nil
	}
	var loads [reach]float64
	for n, i := range drawn {
		loads[n] = crowding(p.targets[i])
	}
	p.hot, p.drawn = threshold(loads[:len(drawn)]), len(drawn)
	cold, least := none, 0
	for n, i := range drawn {
		if loads[n] <= p.hot && (cold == none || p.logs[i] < p.logs[cold]) {
			cold = i
		}
		if loads[n] < loads[least] {
			least = n
		}
	}
	if cold == none {
		return p.targets[drawn[least]]
	}
	return p.targets[cold]
}

// threshold is the quantile of what those drawn have in flight per share, linear between two of them. So the most loaded one is hot
// unless others are as loaded, also when there are few.
func threshold(loads []float64) float64 {
	whole, part := math.Modf(hotQuantile * float64(len(loads)-1))
	var buf [reach]float64
	most := buf[: 0 : len(loads)-int(whole)] // negative, so the most loaded come first
	for _, l := range loads {
		most = insert(most, -l)
	}
	at := -most[len(most)-1]
	if part == 0 {
		return at
	}
	return at + part*(-most[len(most)-2]-at)
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
	p.logs[i] = p.estimate(&p.known[i], t)
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
	return fmt.Sprintf("prequal: lowest latency of the cold among %d drawn, %s at %d in flight", p.drawn, tellSeconds(math.Exp(p.logs[p.at[t]]-k.peak.at)), t.InFlight())
}
