package trace

import (
	"iter"
	"math"
	"math/rand/v2"
	"sort"
	"time"
)

// RebuildOptions say how requests are made of counts.
type RebuildOptions struct {
	Seed  uint64  // the same seed gives the same requests
	Scale float64 // multiplies how many come; 0 means 1
}

// Requests makes requests of what was counted, in order of At, which counts from c.From. In each period they lie at random, as those of a Poisson process of
// which only the number is known. How long each is worked on is drawn from those that ended around it: from the minute it came in, and, where
// fewer than 30 ended there, from as many minutes before and after as it takes. It is 0 when no service time is known at all.
func (c *Counted) Requests(o RebuildOptions) iter.Seq[Request] {
	if o.Scale == 0 {
		o.Scale = 1
	}
	return func(yield func(Request) bool) {
		draw := c.drawer()
		for _, p := range c.Periods {
			rng := rand.New(rand.NewPCG(o.Seed, uint64(p.At))) // what is drawn belongs to the period
			whole, part := math.Modf(float64(p.N) * o.Scale)
			left := int64(whole)
			if rng.Float64() < part {
				left++
			}
			u := 0.0
			for ; left > 0; left-- {
				// The next of sorted uniform draws, as in nextCounted.
				u = 1 - (1-u)*math.Exp(-rng.ExpFloat64()/float64(left))
				at := p.At + min(time.Duration(u*float64(p.Span)), max(p.Span-1, 0))
				if !yield(Request{At: at, Service: draw.at(at, rng)}) {
					return
				}
			}
		}
	}
}

// fewest is how many service times a draw is made from at least, where there are so many.
const fewest = 30

// drawer draws service times.
type drawer struct {
	bounds []float64
	starts []time.Duration // of each block that has some
	counts [][]int64       // of all blocks before each, by bucket; one more than there are blocks
	sums   []float64       // likewise

	from, to int // of the last mix
	mix      mixed
	made     bool
}

// mixed are the service times of some blocks.
type mixed struct {
	reach  []int64 // how many are in each bucket and those before
	factor float64 // that brings the mean of what is drawn to the mean that was measured
}

func (c *Counted) drawer() *drawer {
	d := &drawer{bounds: c.Bounds, counts: [][]int64{make([]int64, len(c.Bounds)+1)}, sums: []float64{0}}
	for i, s := range c.Services {
		next := make([]int64, len(c.Bounds)+1)
		for b := range next {
			next[b] = d.counts[i][b] + s.Counts[b]
		}
		d.starts = append(d.starts, s.At)
		d.counts = append(d.counts, next)
		d.sums = append(d.sums, d.sums[i]+s.Sum)
	}
	return d
}

// at draws the service time of a request that came then.
func (d *drawer) at(at time.Duration, rng *rand.Rand) time.Duration {
	if len(d.starts) == 0 {
		return 0
	}
	// The block that the moment lies in, or else the one after it: a request ends after it came.
	first := sort.Search(len(d.starts), func(i int) bool { return d.starts[i]+ServicePeriod > at })
	from := min(first, len(d.starts)-1)
	to := from + 1
	for d.between(from, to) < fewest && (from > 0 || to < len(d.starts)) {
		from, to = max(from-1, 0), min(to+1, len(d.starts))
	}
	if !d.made || from != d.from || to != d.to {
		d.from, d.to, d.made = from, to, true
		d.mix = d.blend(from, to)
	}
	return d.mix.draw(d.bounds, rng)
}

// between is how many service times the blocks from one up to another have.
func (d *drawer) between(from, to int) int64 { return total(d.counts[to]) - total(d.counts[from]) }

func (d *drawer) blend(from, to int) mixed {
	m := mixed{reach: make([]int64, len(d.bounds)+1), factor: 1}
	seen, mean := int64(0), 0.0
	for b := range m.reach {
		n := d.counts[to][b] - d.counts[from][b]
		seen += n
		m.reach[b] = seen
		lo, hi := edges(d.bounds, b)
		mean += float64(n) * (lo + hi) / 2
	}
	if sum := d.sums[to] - d.sums[from]; sum > 0 && mean > 0 {
		m.factor = min(max(sum/mean, 1/1.5), 1.5) // a bucket's width, so that it stays about where it was counted
	}
	return m
}

// edges are those of a bucket, in seconds; the last one, which has no end, ends at twice its begin.
func edges(bounds []float64, b int) (lo, hi float64) {
	if b > 0 {
		lo = bounds[b-1]
	}
	if b == len(bounds) {
		return lo, 2*lo + 1e-3
	}
	return lo, bounds[b]
}

func (m *mixed) draw(bounds []float64, rng *rand.Rand) time.Duration {
	n := m.reach[len(m.reach)-1]
	rank := rng.Int64N(n) + 1
	b := sort.Search(len(m.reach), func(i int) bool { return m.reach[i] >= rank })
	lo, hi := edges(bounds, b)
	s := (lo + (hi-lo)*rng.Float64()) * m.factor
	return max(time.Duration(s*float64(time.Second)), time.Microsecond)
}

// ServiceQuantile is the service time that a part q of all that were counted does not exceed, interpolated within its bucket as Prometheus does; 0 when none was.
func (c *Counted) ServiceQuantile(q float64) time.Duration {
	d := c.drawer()
	all := d.counts[len(d.counts)-1]
	rank, seen := q*float64(total(all)), 0.0
	for b, n := range all {
		if n > 0 && seen+float64(n) >= rank {
			lo, hi := edges(c.Bounds, b)
			return time.Duration((lo + (hi-lo)*(rank-seen)/float64(n)) * float64(time.Second))
		}
		seen += float64(n)
	}
	return 0
}
