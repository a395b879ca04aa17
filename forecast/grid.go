package forecast

import (
	"math"
	"time"
)

// grid is a history laid out for the models: values in the scale they work in, and for every step of the history and of the
// horizon its place on the local clock.
type grid struct {
	n      int       // steps of history
	y      []float64 // the history, transformed; NaN where missing
	fill   []float64 // the history with what is missing filled in from earlier values only
	off    []int32   // offset of local time in steps, of history and horizon
	phase  int       // local place in the week of step 0, without its offset
	perDay int       // steps of the short season, a day unless Options.Season says otherwise
	start  int       // first step with a known value

	week  []float64 // trimmed mean of the same slot of up to five weeks before; NaN where there is none. History and horizon.
	days  []float64 // mean of the same slot of up to seven days before
	odd   []float64 // fill minus what week (or days) expects, 0 where nothing is expected. History only.
	sum   []float64 // sum[i] is the sum of odd[:i]
	scale transform
}

const daysPerWeek = 7

func newGrid(s Series, horizon int, season time.Duration, loc *time.Location, tr transform) *grid {
	n := len(s.Values)
	g := &grid{n: n, perDay: int(season / s.Step), scale: tr}
	g.y, g.fill = make([]float64, n), make([]float64, n)
	g.off = make([]int32, n+horizon)
	offset := func(i int) int32 {
		if loc == nil {
			return 0
		}
		_, sec := s.Start.Add(time.Duration(i) * s.Step).In(loc).Zone()
		return int32(time.Duration(sec) * time.Second / s.Step)
	}
	for i := range g.off {
		g.off[i] = offset(i)
	}
	monday := time.Date(1970, 1, 5, 0, 0, 0, 0, time.UTC)
	g.phase = int(s.Start.Sub(monday) / s.Step)
	g.start = n
	for i, v := range s.Values {
		g.y[i] = math.NaN()
		if finite(v) {
			g.y[i] = tr.to(v)
			g.start = min(g.start, i)
		}
	}
	g.fillIn()
	g.profile(n + horizon)
	return g
}

// slot is the place of step i in the local day, weekSlot in the local week.
func (g *grid) slot(i int) int     { return mod(g.phase+i+int(g.off[i]), g.perDay) }
func (g *grid) weekSlot(i int) int { return mod(g.phase+i+int(g.off[i]), g.perDay*daysPerWeek) }

func mod(a, b int) int {
	if a %= b; a < 0 {
		a += b
	}
	return a
}

// back is the step at the same local time a number of days earlier; below g.start there is nothing.
func (g *grid) back(i, days int) int {
	j := i - days*g.perDay
	if j < 0 {
		return -1
	}
	return min(j+int(g.off[i]-g.off[j]), i-1)
}

func (g *grid) fillIn() {
	for i := range g.fill {
		v := g.y[i]
		if math.IsNaN(v) && i > g.start {
			v = g.fill[i-1]
			for _, d := range [...]int{7, 1, 2} {
				if j := g.back(i, d); j >= g.start {
					v = g.fill[j]
					break
				}
			}
		}
		g.fill[i] = v
	}
}

const profileWeeks = 5

func (g *grid) profile(total int) {
	g.week, g.days = make([]float64, total), make([]float64, total)
	g.odd, g.sum = make([]float64, g.n), make([]float64, g.n+1)
	var v [profileWeeks]float64
	for i := range total {
		k := 0
		for w := 1; w <= profileWeeks; w++ {
			if j := g.back(i, w*daysPerWeek); j >= g.start && j < g.n {
				v[k] = g.fill[j]
				k++
			}
		}
		g.week[i] = trimmed(v[:k])
		sum, days := 0.0, 0
		for d := 1; d <= daysPerWeek; d++ {
			if j := g.back(i, d); j >= g.start && j < g.n {
				sum += g.fill[j]
				days++
			}
		}
		g.days[i] = sum / float64(days) // NaN of none
		if i < g.n {
			if e := g.expected(i); i >= g.start && finite(e) {
				g.odd[i] = g.fill[i] - e
			}
			g.sum[i+1] = g.sum[i] + g.odd[i]
		}
	}
}

// expected is what the profile says of step i when all days before it are known.
func (g *grid) expected(i int) float64 {
	if finite(g.week[i]) {
		return g.week[i]
	}
	return g.days[i]
}

// meanOdd is the mean deviation from the profile over the k steps before n.
func (g *grid) meanOdd(n, k int) float64 {
	lo := max(g.start, n-k)
	if lo >= n {
		return 0
	}
	return (g.sum[n] - g.sum[lo]) / float64(n-lo)
}

// trimmed is the mean of v without its largest and smallest value, when there are three or more.
func trimmed(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	sum, lo, hi := 0.0, math.Inf(1), math.Inf(-1)
	for _, x := range v {
		sum, lo, hi = sum+x, min(lo, x), max(hi, x)
	}
	if len(v) < 3 {
		return sum / float64(len(v))
	}
	return (sum - lo - hi) / float64(len(v)-2)
}

// transform is the scale that a model works in: the values as they are, or their logarithm, in which seasons multiply and
// peaks weigh no more than valleys.
type transform struct {
	log   bool
	shift float64 // added before the logarithm, so that 0 has one
}

func (t transform) to(v float64) float64 {
	if t.log {
		return math.Log(v + t.shift)
	}
	return v
}

func (t transform) from(v float64) float64 {
	if t.log {
		return math.Exp(v) - t.shift
	}
	return v
}
