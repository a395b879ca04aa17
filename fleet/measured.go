package fleet

import (
	"math"
	"slices"
	"time"

	"github.com/weirlb/weir/scale"
)

// bootsKept is how many measured boots of a pool are remembered.
const bootsKept = 100

// Measured holds the newest hundred durations of a kind, of boots for instance, and what they come to. The zero value holds none.
type Measured struct {
	seconds []float64 // the newest last
	sum     scale.Sample
}

// Add takes one more, and forgets the oldest of too many.
func (m *Measured) Add(d time.Duration) {
	m.seconds = append(m.seconds, d.Seconds())
	if n := len(m.seconds); n > bootsKept {
		m.seconds = append(m.seconds[:0], m.seconds[n-bootsKept:]...)
	}
	m.sum = sumUp(m.seconds)
}

// Sample sums them up, in seconds; Count is 0 when there are none.
func (m *Measured) Sample() scale.Sample { return m.sum }

// measured holds what was kept.
func measured(seconds []float64) Measured { return Measured{seconds, sumUp(seconds)} }

// sumUp makes one sample of durations in seconds.
func sumUp(all []float64) scale.Sample {
	if len(all) == 0 {
		return scale.Sample{}
	}
	s := slices.Sorted(slices.Values(all))
	var sum, sum2 float64
	for _, v := range s {
		sum += v
		sum2 += float64(v * v) // not fused with the sum: the same on every processor
	}
	n := float64(len(s))
	mean := sum / n
	at := func(q float64) float64 { return s[max(int(math.Ceil(q*n)), 1)-1] }
	return scale.Sample{
		Count: len(s), Mean: mean, SD: math.Sqrt(max(sum2/n-float64(mean*mean), 0)), P50: at(.5), P90: at(.9), P99: at(.99),
	}
}
