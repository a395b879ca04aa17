// Package window keeps sliding windows over events: counts and distributions of the last seconds. Every method
// takes now; nothing here reads a clock or locks, the owner does both.
package window

import (
	"math"
	"math/bits"
	"time"
)

// Counter counts events over a sliding window of whole buckets. The zero value is not usable; see NewCounter.
type Counter struct {
	bucket time.Duration
	total  uint64
	ends   []uint64 // total at the end of each of the newest buckets, and of the one before them: what came between two is one difference
	head   int64    // number of the newest bucket since the epoch
}

// NewCounter returns a counter that can look back over n buckets of the given length.
func NewCounter(bucket time.Duration, n int) *Counter {
	return &Counter{bucket: bucket, ends: make([]uint64, n+1)}
}

func (c *Counter) advance(now time.Time) {
	b := now.UnixNano() / int64(c.bucket)
	if b <= c.head {
		return // the same bucket, or a clock that was set back: count into the newest
	}
	for i := max(c.head, b-int64(len(c.ends))) + 1; i <= b; i++ {
		c.ends[i%int64(len(c.ends))] = c.total
	}
	c.head = b
}

// until is the total at the end of a bucket that the counter still knows.
func (c *Counter) until(bucket int64) uint64 {
	all := int64(len(c.ends))
	return c.ends[((bucket%all)+all)%all]
}

// buckets is how many whole ones a span has, of those that the counter can look back over.
func (c *Counter) buckets(span time.Duration) int64 {
	return min(max(int64(span/c.bucket), 1), int64(len(c.ends)-1))
}

// Add counts n events at now.
func (c *Counter) Add(now time.Time, n uint64) {
	c.advance(now)
	c.total += n
	c.ends[c.head%int64(len(c.ends))] = c.total
}

// Sum is the number of events in the last span before now, in whole buckets, the current one included.
func (c *Counter) Sum(now time.Time, span time.Duration) uint64 {
	c.advance(now)
	return c.total - c.until(c.head-c.buckets(span))
}

// Dispersion is the variance of the counts of cells, in terms of their mean: 1 of arrivals at random, more where they come in clumps, 0 where they
// come evenly. It looks back over the span that ended so long before now, and returns 1 when there are not enough cells, or nothing in them.
func (c *Counter) Dispersion(now time.Time, before, span, cell time.Duration) float64 {
	c.advance(now)
	wide := max(int64(cell/c.bucket), 1)
	first, last := c.head-int64(span/c.bucket)+1, c.head-int64(before/c.bucket)
	first = max(first, c.head-int64(len(c.ends)-1)+1)
	n, sum, squares := 0.0, 0.0, 0.0
	for from := last - wide + 1; from >= first; from -= wide {
		count := float64(c.until(from+wide-1) - c.until(from-1))
		n++
		sum += count
		squares += count * count
	}
	if n < 8 || sum == 0 {
		return 1
	}
	mean := sum / n
	return (squares - n*mean*mean) / (n - 1) / mean
}

// Rate is events per second over the last span before now. The current bucket is not full yet, so only the part of it that
// has passed counts as time.
func (c *Counter) Rate(now time.Time, span time.Duration) float64 {
	sum := c.Sum(now, span)
	n := c.buckets(span)
	passed := now.UnixNano() - c.head*int64(c.bucket)
	length := time.Duration((n-1)*int64(c.bucket) + min(max(passed, 0), int64(c.bucket)))
	if length <= 0 {
		length = c.bucket
	}
	return float64(sum) / length.Seconds()
}

// Buckets of a Distribution: 8 to an octave, from 1 µs on; the relative error of a quantile is under 9 %.
const (
	perOctave = 8
	octaves   = 34 // 2^34 µs is about 4.7 hours
	nBuckets  = perOctave * octaves
)

func bucketOf(d time.Duration) int {
	us := uint64(max(d/time.Microsecond, 1))
	o := bits.Len64(us) - 1 // octave
	var sub uint64
	if o >= 3 {
		sub = us >> (o - 3) & (perOctave - 1)
	} else {
		sub = us << (3 - o) & (perOctave - 1)
	}
	return min(o*perOctave+int(sub), nBuckets-1)
}

// upper is the upper bound of bucket i in seconds.
func upper(i int) float64 {
	o, sub := i/perOctave, i%perOctave
	return math.Ldexp(1+float64(sub+1)/perOctave, o) * 1e-6
}

type slice struct {
	counts [nBuckets]uint32
	n      uint64
	sum    float64 // seconds
	sum2   float64
}

// Distribution keeps durations of the last minute or so, and cumulative counts since the start.
type Distribution struct {
	span   time.Duration // of one slice
	slices []slice
	recent [nBuckets]uint64 // of all slices
	head   int64
	total  slice64
}

type slice64 struct {
	counts [nBuckets]uint64
	n      uint64
	sum    float64
	sum2   float64
}

// NewDistribution returns a distribution over a window of n slices of the given span.
func NewDistribution(span time.Duration, n int) *Distribution {
	return &Distribution{span: span, slices: make([]slice, n)}
}

func (d *Distribution) advance(now time.Time) {
	b := now.UnixNano() / int64(d.span)
	if b <= d.head {
		return
	}
	for i := max(d.head, b-int64(len(d.slices))) + 1; i <= b; i++ {
		old := &d.slices[i%int64(len(d.slices))]
		if old.n == 0 {
			continue
		}
		for j, c := range old.counts {
			d.recent[j] -= uint64(c)
		}
		*old = slice{}
	}
	d.head = b
}

// Observe adds one duration at now. Negative durations count as 0.
func (d *Distribution) Observe(now time.Time, v time.Duration) {
	d.advance(now)
	v = max(v, 0)
	i, s := bucketOf(v), v.Seconds()
	w := &d.slices[d.head%int64(len(d.slices))]
	d.recent[i]++
	w.counts[i]++
	w.n++
	w.sum += s
	w.sum2 += s * s
	d.total.counts[i]++
	d.total.n++
	d.total.sum += s
	d.total.sum2 += s * s
}

// Summary sums up the window: seconds throughout. Count 0 means nothing was observed in it.
type Summary struct {
	Count                   uint64
	Mean, SD                float64
	P50, P90, P95, P99, Max float64
}

// Summarize sums up the window that ends at now.
func (d *Distribution) Summarize(now time.Time) Summary {
	d.advance(now)
	var s Summary
	var sum, sum2 float64
	for i := range d.slices {
		w := &d.slices[i]
		s.Count += w.n
		sum += w.sum
		sum2 += w.sum2
	}
	s.fill(&d.recent, sum, sum2)
	return s
}

// Total sums up all that was observed since the start.
func (d *Distribution) Total() Summary {
	s := Summary{Count: d.total.n}
	s.fill(&d.total.counts, d.total.sum, d.total.sum2)
	return s
}

// fill computes what follows from the counts by bucket and the sums; s.Count is set.
func (s *Summary) fill(counts *[nBuckets]uint64, sum, sum2 float64) {
	if s.Count == 0 {
		return
	}
	n := float64(s.Count)
	s.Mean = sum / n
	s.SD = math.Sqrt(max(sum2/n-s.Mean*s.Mean, 0))
	parts, to := [...]float64{.5, .9, .95, .99, 1}, [...]*float64{&s.P50, &s.P90, &s.P95, &s.P99, &s.Max}
	seen, next := uint64(0), 0
	for j, c := range counts {
		if c == 0 {
			continue
		}
		for seen += c; seen >= max(uint64(math.Ceil(parts[next]*n)), 1); {
			*to[next] = upper(j)
			if next++; next == len(parts) {
				return
			}
		}
	}
}

// Cumulative returns, for each bound in seconds, how many durations since the start were at most that long, and
// count and sum of all. A duration counts by the upper bound of the bucket it fell into.
func (d *Distribution) Cumulative(bounds []float64) (counts []uint64, n uint64, sum float64) {
	counts = make([]uint64, len(bounds))
	var run uint64
	j := 0
	for i, b := range bounds {
		for j < nBuckets && upper(j) <= b*(1+1e-9) {
			run += d.total.counts[j]
			j++
		}
		counts[i] = run
	}
	return counts, d.total.n, d.total.sum
}
