package trace

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Value is what a counter had counted at a moment.
type Value struct {
	At time.Time
	V  float64
}

// Counted is traffic as a history of counters keeps it: how many requests came in each short period, and how long requests were worked on
// by and by. It is not the requests: [Counted.Requests] makes some that would have been counted alike.
type Counted struct {
	From     time.Time  `json:"from"`
	To       time.Time  `json:"to"`
	Periods  []Period   `json:"periods"`  // in which requests came, in order
	Services []Services `json:"services"` // in order
	Bounds   []float64  `json:"bounds"`   // seconds, of Services.Counts
	Gaps     []Gap      `json:"gaps"`     // of which nothing is known, in order
	Restarts int        `json:"restarts"` // times that the counters began anew
}

// Period is a short time in which requests came. Durations are nanoseconds since Counted.From.
type Period struct {
	At   time.Duration `json:"at"`
	Span time.Duration `json:"span"`
	N    int64         `json:"n"`
}

// Services are how long requests took that ended in the ServicePeriod from At on.
type Services struct {
	At     time.Duration `json:"at"`
	Counts []int64       `json:"counts"` // at most Bounds[i] and more than the one before; the last one: more than all bounds
	Sum    float64       `json:"sum"`    // seconds
}

// Gap is a time of which nothing is known: Weir did not run, or could not write.
type Gap struct {
	At   time.Duration `json:"at"`
	Span time.Duration `json:"span"`
}

// ServicePeriod is how finely service times are told apart by when they were.
const ServicePeriod = time.Minute

// Counter sums the values of counters up to a [Counted]. Arrivals goes first, then Service for each bound from the smallest up and infinity last, and
// Sum. Values are in order; those outside of the time asked for are left out.
type Counter struct {
	c        Counted
	restarts map[int64]bool // Unix milliseconds of the first value after one
	blocks   [][]int64      // cumulative as Prometheus has them, by block and bound
	sums     []float64
}

// NewCounter begins the traffic between two times. Bounds are those of the service times, in seconds, without infinity.
func NewCounter(from, to time.Time, bounds []float64) (*Counter, error) {
	if !to.After(from) {
		return nil, errors.New("the time asked for is empty; let it end after it begins")
	}
	n := int((to.Sub(from) + ServicePeriod - 1) / ServicePeriod)
	if n > maxBlocks {
		return nil, fmt.Errorf("%v is more than a replay takes; ask for at most %v", to.Sub(from), maxBlocks*ServicePeriod)
	}
	k := &Counter{c: Counted{From: from, To: to, Bounds: slices.Clone(bounds)}, restarts: map[int64]bool{}, blocks: make([][]int64, n), sums: make([]float64, n)}
	for i := range k.blocks {
		k.blocks[i] = make([]int64, len(bounds)+1)
	}
	return k, nil
}

// maxBlocks bounds the memory: 32 days.
const maxBlocks = 32 * 24 * 60

// Arrivals takes the counter of requests that came in.
func (k *Counter) Arrivals(vs []Value) {
	vs = k.within(vs)
	if len(vs) == 0 {
		k.gap(k.c.From, k.c.To)
		return
	}
	usual := usualSpans(vs)
	if at := vs[0].At; at.Sub(k.c.From) > gapOf(usual, 0) {
		k.gap(k.c.From, at)
	}
	for i := 1; i < len(vs); i++ {
		before, now := vs[i-1], vs[i]
		n := now.V - before.V
		restarted := n < 0
		if restarted {
			k.restarts[now.At.UnixMilli()] = true
			k.c.Restarts++
			n = now.V
		}
		from := before.At
		if now.At.Sub(before.At) > gapOf(usual, i-1) {
			from = now.At.Add(-usual[i-1])
			k.gap(before.At, from)
		}
		if n >= 1 {
			k.c.Periods = append(k.c.Periods, Period{At: from.Sub(k.c.From), Span: now.At.Sub(from), N: int64(math.Round(n))})
		}
	}
	if at := vs[len(vs)-1].At; k.c.To.Sub(at) > gapOf(usual, len(usual)-1) {
		k.gap(at, k.c.To)
	}
}

func (k *Counter) within(vs []Value) []Value {
	first, _ := slices.BinarySearchFunc(vs, k.c.From, func(v Value, t time.Time) int { return v.At.Compare(t) })
	last, _ := slices.BinarySearchFunc(vs, k.c.To.Add(1), func(v Value, t time.Time) int { return v.At.Compare(t) })
	return vs[first:last]
}

func (k *Counter) gap(from, to time.Time) {
	k.c.Gaps = append(k.c.Gaps, Gap{from.Sub(k.c.From), to.Sub(from)})
}

// usualSpans is how far apart values around each two usually are: the median of eleven, because the history is finer of late than before.
func usualSpans(vs []Value) []time.Duration {
	spans := make([]time.Duration, len(vs)-1)
	for i := range spans {
		spans[i] = vs[i+1].At.Sub(vs[i].At)
	}
	out := make([]time.Duration, len(spans))
	var near [11]time.Duration
	for i := range spans {
		n := copy(near[:], spans[max(0, i-len(near)/2):])
		slices.Sort(near[:n])
		out[i] = near[n/2]
	}
	return out
}

// gapOf is how far apart two values are at least when something is missing between them.
func gapOf(usual []time.Duration, i int) time.Duration {
	if i < 0 || i >= len(usual) {
		return 3 * time.Minute // one value alone
	}
	return max(3*usual[i], 10*time.Second)
}

// Service takes the counter of service times of at most Bounds[i]; of all of them when i is len(Bounds).
func (k *Counter) Service(i int, vs []Value) {
	k.each(vs, func(block int, d float64) { k.blocks[block][i] += int64(math.Round(d)) })
}

// Sum takes the counter of the service times' sum, in seconds.
func (k *Counter) Sum(vs []Value) {
	k.each(vs, func(block int, d float64) { k.sums[block] += d })
}

// each calls f with what was counted between each two values, and the block of the later one.
func (k *Counter) each(vs []Value, f func(block int, d float64)) {
	vs = k.within(vs)
	for i := 1; i < len(vs); i++ {
		d := vs[i].V - vs[i-1].V
		if d < 0 || k.restarts[vs[i].At.UnixMilli()] {
			d = vs[i].V
		}
		if d > 0 {
			f(min(int(vs[i].At.Sub(k.c.From)/ServicePeriod), len(k.blocks)-1), d)
		}
	}
}

// Counted is what was summed up.
func (k *Counter) Counted() *Counted {
	for b, counts := range k.blocks {
		for i := len(counts) - 1; i > 0; i-- {
			counts[i] = max(counts[i]-counts[i-1], 0)
		}
		if total(counts) > 0 {
			k.c.Services = append(k.c.Services, Services{time.Duration(b) * ServicePeriod, counts, k.sums[b]})
		}
	}
	return &k.c
}

func total(counts []int64) (n int64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// Arrivals is how many requests came.
func (c *Counted) Arrivals() (n int64) {
	for _, p := range c.Periods {
		n += p.N
	}
	return n
}

// Check finds what cannot be right in counts that came from elsewhere.
func (c *Counted) Check() error {
	span := c.To.Sub(c.From)
	if span <= 0 || span > maxBlocks*ServicePeriod {
		return fmt.Errorf("it goes from %v to %v, which is not above 0 and at most %v", c.From, c.To, maxBlocks*ServicePeriod)
	}
	last := time.Duration(0)
	for i, p := range c.Periods {
		if p.At < last || p.Span < 0 || p.At+p.Span > span || p.N < 0 {
			return fmt.Errorf("period %d is from %v for %v with %d requests, after one that ends at %v of %v", i, p.At, p.Span, p.N, last, span)
		}
		last = p.At + p.Span
	}
	for i, b := range c.Bounds {
		if !(b > 0) || math.IsInf(b, 0) || i > 0 && b <= c.Bounds[i-1] {
			return fmt.Errorf("bound %d of the service times is %g, which does not rise from above 0", i, b)
		}
	}
	for i, s := range c.Services {
		if len(s.Counts) != len(c.Bounds)+1 || slices.Min(s.Counts) < 0 || !(s.Sum >= 0) || i > 0 && s.At <= c.Services[i-1].At {
			return fmt.Errorf("service times %d: %d counts for %d bounds, a sum of %g, from %v on", i, len(s.Counts), len(c.Bounds), s.Sum, s.At)
		}
	}
	return nil
}
