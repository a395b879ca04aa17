package forecast

import "math"

// lags is a direct regression for each stretch of the horizon: how far the value will be from the profile of the week, from how far
// the last step, hour, quarter of a day and day were, and yesterday and last week at that time. Rows lose weight with age.
type lags struct {
	halfLife float64 // in days
	ridge    float64
	rows     int // most rows to learn a stretch from

	edges []int // the stretch k is of the horizons edges[k] to edges[k+1], the latter excluded
	beta  [][]float64
	r     regression
}

const lagWidth = 15

func (m *lags) fit(g *grid, n int) bool {
	if n-g.start < 3*g.perDay {
		return false
	}
	m.edges = stretches(len(g.off)-g.n, g.perDay)
	if len(m.beta) != len(m.edges)-1 {
		m.beta = make([][]float64, len(m.edges)-1)
	}
	var x [lagWidth]float64
	for k := range m.beta {
		lo, hi := m.edges[k], m.edges[k+1]
		m.beta[k] = nil
		from := g.start + (lo/g.perDay+3)*g.perDay
		if early := g.start + 8*g.perDay; n-early >= 6*g.perDay {
			from = max(from, early)
		}
		last := n - hi // the last origin whose targets are all known
		if last-from < g.perDay/2 {
			continue
		}
		every := max(1, (last-from)/m.rows)
		m.r.reset(lagWidth)
		h := lo
		for o := last; o >= from; o -= every {
			if i := o + h - 1; !math.IsNaN(g.y[i]) {
				base := m.features(g, o, h, &x)
				if finite(base) {
					m.r.add(x[:], g.y[i]-base, math.Exp2(-float64(n-o)/float64(g.perDay)/m.halfLife))
				}
			}
			if h++; h >= hi {
				h = lo
			}
		}
		if len(m.r.y) < 3*lagWidth {
			continue
		}
		if beta, ok := m.r.fit(m.ridge, 2); ok {
			m.beta[k] = beta
		}
	}
	return m.beta[0] != nil
}

func (m *lags) path(g *grid, n int, out []float64) {
	var x [lagWidth]float64
	for k, stretch := 0, 0; k < len(out); k++ {
		if k+1 >= m.edges[stretch+1] {
			stretch++
		}
		out[k] = math.NaN()
		if m.beta[stretch] == nil {
			continue
		}
		if base := m.features(g, n, k+1, &x); finite(base) {
			out[k] = base + dot(x[:], m.beta[stretch])
		}
	}
}

// features puts together what is known before step n about step n+h-1, and returns the profile that it is relative to.
func (m *lags) features(g *grid, n, h int, x *[lagWidth]float64) (base float64) {
	i, now := n+h-1, n-1
	d := 1 + (h-1)/g.perDay // days back to a value that is known already
	at := func(days int) int {
		j := g.back(i, days)
		if j >= n {
			j = g.back(i, days+1)
		}
		return j
	}
	yesterday, before, week := at(d), at(d+1), at(daysPerWeek)
	if before < g.start {
		return math.NaN()
	}
	days := g.days[i]
	if d > 1 {
		days = g.days[g.back(i, d-1)]
	}
	base = g.week[i]
	if !finite(base) {
		base = days
	}
	*x = [lagWidth]float64{
		1, g.odd[now], g.meanOdd(n, max(2, g.perDay/24)), g.meanOdd(n, max(3, g.perDay/6)), g.meanOdd(n, g.perDay),
		g.odd[yesterday], g.fill[yesterday] - base, g.fill[before] - base, days - base,
	}
	if now-1 >= g.start {
		x[9] = g.fill[now] - g.fill[now-1]
	}
	if j := g.back(now, 1); j >= g.start {
		x[10], x[11] = g.odd[j], g.fill[now]-g.fill[j]
	}
	if week >= g.start {
		x[12], x[13] = g.fill[week]-base, g.odd[week]
	}
	if j := g.back(now, daysPerWeek); j >= g.start {
		x[14] = g.fill[now] - g.fill[j]
	}
	return base
}

// stretches cuts the horizons 1 to h into pieces that grow with the distance, at most a sixth of a day long.
func stretches(h, perDay int) []int {
	edges := []int{1}
	for at := 1; at <= h; {
		at += min(max(1, at/2), max(1, perDay/6))
		edges = append(edges, min(at, h+1))
	}
	return edges
}
