package forecast

import "math"

// model is one way to go on with a series. A model sees g.y[:n] and what is derived from it, never a value from n on.
type model interface {
	// fit learns from the first n steps. It reports whether there was enough to learn from.
	fit(g *grid, n int) bool
	// path forecasts the steps n, n+1, … knowing the first n, as far as out is long; n is at least that of the last fit.
	path(g *grid, n int, out []float64)
}

// persistence says that all stays as it is.
type persistence struct{}

func (persistence) fit(g *grid, n int) bool { return n > g.start }
func (persistence) path(g *grid, n int, out []float64) {
	for k := range out {
		out[k] = g.fill[n-1]
	}
}

// naive says that all is as it was at the same local time, days earlier, or as many whole times days as it takes.
type naive struct{ days int }

func (m naive) fit(g *grid, n int) bool { return n-g.start >= m.days*g.perDay }
func (m naive) path(g *grid, n int, out []float64) {
	for k := range out {
		out[k] = math.NaN()
		for d := m.days; ; d += m.days {
			j := g.back(n+k, d)
			if j < g.start {
				break
			}
			if j < n {
				out[k] = g.fill[j]
				break
			}
		}
	}
}

// profile says that all is as it usually is at that time of the week, shifted by what the last day was above it.
type profile struct{}

func (profile) fit(g *grid, n int) bool { return n-g.start >= 2*daysPerWeek*g.perDay }
func (profile) path(g *grid, n int, out []float64) {
	shift := g.meanOdd(n, g.perDay) / 2
	for k := range out {
		out[k] = g.week[n+k] + shift
	}
}

// recent says that all is as it was at the same local time of the last days, newer ones counting more, in proportion to how high
// the last day was against the same mean.
type recent struct {
	keep  float64 // what a day counts for against the one after it
	level float64 // how much of the last hours' deviation stays
}

func (m recent) fit(g *grid, n int) bool { return n-g.start >= 2*g.perDay }
func (m recent) path(g *grid, n int, out []float64) {
	at := func(i int) float64 {
		sum, total, w := 0.0, 0.0, 1.0
		for d := 1; d <= 14; d++ {
			j := g.back(i, d)
			if j < g.start {
				break
			}
			if j < n {
				sum, total = sum+w*g.fill[j], total+w
				w *= m.keep
			}
		}
		return sum / total
	}
	shift := 0.0
	if k := g.perDay / 4; m.level > 0 {
		for i := n - k; i < n; i++ {
			if v := at(i); finite(v) {
				shift += (g.fill[i] - v) / float64(k)
			}
		}
	}
	for k := range out {
		out[k] = at(n+k) + m.level*shift
	}
}
