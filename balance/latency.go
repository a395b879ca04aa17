package balance

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"github.com/weirlb/weir/target"
)

// tau is how fast response times are forgotten: after 10 s what was known counts for a third (1/e), as in Finagle.
const tau = 10 * time.Second

// guess is what a response is thought to take as long as nobody answered at all, and ceiling the most that a failing target's is.
const (
	guess   = time.Second
	ceiling = 10 * time.Minute
)

// ages measures time in taus since the first call.
type ages struct{ epoch time.Time }

func (a *ages) of(now time.Time) float64 {
	if a.epoch.IsZero() {
		a.epoch = now
	}
	return float64(now.Sub(a.epoch)) / float64(tau)
}

// peak is Finagle's peak EWMA: it jumps up to a slow answer at once and comes down as time passes, also without answers. That
// is why nobody starves: who is not asked becomes cheaper until he is.
type peak struct {
	cost float64 // seconds; 0: nothing is known
	at   float64 // in taus
}

func (p *peak) now(at float64) float64 { return p.cost * math.Exp(-max(at-p.at, 0)) }

func (p *peak) observe(rtt time.Duration, at float64) {
	s := max(rtt.Seconds(), 1e-9)
	if s <= p.cost {
		w := math.Exp(-max(at-p.at, 0))
		s = p.cost*w + s*(1-w)
	}
	p.cost, p.at = s, at
}

// log is the logarithm of the cost at time 0 that decays to what it is at p.at. Costs all decay alike, so their order does not
// change with time, and neither does that of these.
func (p *peak) log() float64 { return math.Log(p.cost) + p.at }

// learn tells one target's peak and the pool's how a request ended. What failed fast must not look fast: a failure costs twice what is
// known of the target or of the pool, whatever is more, so a target that only fails is asked ever less. A request that its client
// gave up tells only that it took longer than that.
func learn(p, pool *peak, o Outcome, at float64) {
	switch {
	case o.Failed:
		known := max(p.now(at), o.Took.Seconds(), cmp.Or(pool.now(at), guess.Seconds()))
		p.cost, p.at = min(2*known, ceiling.Seconds()), at
	case o.Cancelled && o.FirstByte == 0:
		s := o.Took.Seconds()
		if p.cost == 0 {
			s = max(s, cmp.Or(pool.now(at), guess.Seconds()))
		}
		if s > p.now(at) {
			p.cost, p.at = s, at
		}
	default:
		p.observe(o.response(), at)
		pool.observe(o.response(), at)
	}
}

// peakEWMA is least_response_time: the lowest peak EWMA of the response time, times the requests in flight with the new one, per
// share (Finagle's PeakEwma, com.twitter.finagle.loadbalancer). A target that nobody knows is tried with one request; until that ends
// it counts as the pool does on the whole.
type peakEWMA struct {
	choice
	ages
	peaks []peak
	pool  peak
}

func (p *peakEWMA) Set(rotation []*target.Target) {
	p.peaks = carry(p.peaks, p.rotate(rotation, (*target.Target).Share), zero[peak])
	for i, t := range rotation {
		p.rank.marks[i].key = p.load(int32(i), t)
	}
	p.settle()
}

// load is the logarithm of Finagle's load, see peak.log.
func (p *peakEWMA) load(i int32, t *target.Target) float64 {
	l := math.Log(float64(t.InFlight()+1) / float64(t.Share()))
	switch k := &p.peaks[i]; {
	case k.cost > 0:
		return l + k.log()
	case t.InFlight() == 0:
		return math.Inf(-1)
	case p.pool.cost > 0:
		return l + p.pool.log()
	}
	return l + math.Log(guess.Seconds())
}

func (p *peakEWMA) Pick(r *Request) *target.Target {
	i, t := p.first(r)
	if t != nil {
		p.take(i, 1)
	}
	return t
}

func (p *peakEWMA) Began(t *target.Target) {
	if i := p.seat(t); i != none {
		p.update(i, t)
	}
}

func (p *peakEWMA) Done(t *target.Target, o Outcome) {
	i := p.seat(t)
	if i == none {
		return
	}
	learn(&p.peaks[i], &p.pool, o, p.of(o.Now))
	p.update(i, t)
}

func (p *peakEWMA) update(i int32, t *target.Target) {
	p.rank.marks[i].key = p.load(i, t)
	p.place(i)
}

// Why implements Explainer.
func (p *peakEWMA) Why(t *target.Target) string {
	s := "least response time: " + p.tell(t)
	if next := p.next(t); next != nil {
		s += ", next best " + p.tell(next)
	}
	return s
}

func (p *peakEWMA) tell(t *target.Target) string {
	k := &p.peaks[p.at[t]]
	if k.cost == 0 {
		return fmt.Sprintf("never measured with %d in flight", t.InFlight())
	}
	return fmt.Sprintf("%s with %d in flight", tellSeconds(k.cost), t.InFlight())
}

func tellSeconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(10 * time.Microsecond).String()
}
