package forecast

import "math"

// holtWinters is exponential smoothing of level, damped trend and seasons (Holt 1957, Winters 1960, Gardner and McKenzie 1985), with
// two seasons and an autoregressive error as in Taylor, "Short-term electricity demand forecasting using double seasonal
// exponential smoothing" (2003). In the logarithmic scale its seasons multiply. Robust: an error counts for no more than
// three times the usual one (Gelper, Fried and Croux 2010). The parameters minimise the errors one step ahead.
type holtWinters struct {
	seasons []int // lengths, in days
	full    bool  // with damping, autoregressive error and robustness; without, the textbook's additive method
	evals   int

	p     [5]float64 // alpha, beta, gamma of each season, phi of the error
	fixed bool       // p is known
	state hwState
}

type hwState struct {
	at           int // steps seen
	level, trend float64
	season       [][]float64
	last         float64 // the last error before its autoregression
	spread       float64 // usual size of an error
	loss         float64
}

func (m *holtWinters) fit(g *grid, n int) bool {
	longest := 0
	for _, s := range m.seasons {
		longest = max(longest, s)
	}
	if n-g.start < 2*longest*g.perDay {
		return false
	}
	start := []float64{0.3, 0.05, 0.2, 0.2, 0.5}
	if m.fixed {
		copy(start, m.p[:])
	}
	free := []int{0, 1, 2}
	if len(m.seasons) > 1 {
		free = append(free, 3)
	}
	if m.full {
		free = append(free, 4)
	}
	from := make([]float64, len(free))
	for i, k := range free {
		from[i] = start[k]
	}
	set := func(x []float64) {
		m.p = [5]float64{}
		for i, k := range free {
			m.p[k] = x[i]
		}
	}
	best := minimise(from, m.evals, func(x []float64) float64 {
		set(x)
		m.begin(g)
		m.run(g, n)
		return m.state.loss
	})
	set(best)
	m.fixed = true
	m.begin(g)
	m.run(g, n)
	return true
}

// begin sets the state before the first step from the first seasons.
func (m *holtWinters) begin(g *grid) {
	s := &m.state
	for len(s.season) < len(m.seasons) {
		s.season = append(s.season, nil)
	}
	longest := 0
	for k, days := range m.seasons {
		if len(s.season[k]) != days*g.perDay {
			s.season[k] = make([]float64, days*g.perDay)
		}
		clear(s.season[k])
		longest = max(longest, days*g.perDay)
	}
	head := g.fill[g.start : g.start+longest]
	s.level = mean(head)
	first := s.season[0]
	for i := range head {
		first[m.slot(g, g.start+i, 0)] += (head[i] - s.level) / float64(longest/len(first))
	}
	if len(s.season) > 1 {
		for i := range head {
			s.season[1][m.slot(g, g.start+i, 1)] = (head[i] - s.level - first[m.slot(g, g.start+i, 0)]) / 2
		}
	}
	s.trend, s.last, s.loss, s.at = 0, 0, 0, g.start
	s.spread = 0
}

func (m *holtWinters) slot(g *grid, i, season int) int {
	if m.seasons[season] == 1 {
		return g.slot(i)
	}
	return g.weekSlot(i)
}

func (m *holtWinters) damping() float64 {
	if m.full {
		return 0.98
	}
	return 1
}

// run takes the state to step n.
func (m *holtWinters) run(g *grid, n int) {
	s := &m.state
	// beta is small in practice: its square lets the optimiser find it
	alpha, beta, damp := m.p[0], m.p[1]*m.p[1], m.damping()
	for ; s.at < n; s.at++ {
		i := s.at
		ahead := s.level + damp*s.trend
		base := ahead
		var slots [2]int
		for k := range m.seasons {
			slots[k] = m.slot(g, i, k)
			base += s.season[k][slots[k]]
		}
		if math.IsNaN(g.y[i]) {
			s.level, s.trend, s.last = ahead, damp*s.trend, s.last*m.p[4]
			continue
		}
		e := g.y[i] - base - m.p[4]*s.last
		loss := e * e
		if m.full {
			if s.spread == 0 {
				s.spread = math.Abs(e) + 1e-9
			}
			if limit := 3 * s.spread; math.Abs(e) > limit {
				loss = limit * (2*math.Abs(e) - limit)
				s.spread += 0.01 * (limit - s.spread)
				e = math.Copysign(limit, e)
			} else {
				s.spread += 0.01 * (1.25*math.Abs(e) - s.spread)
			}
		}
		if i >= g.start+g.perDay {
			s.loss += loss
		}
		s.last = e + m.p[4]*s.last
		s.level = ahead + alpha*e
		s.trend = damp*s.trend + alpha*beta*e
		for k := range m.seasons {
			s.season[k][slots[k]] += m.p[2+k] * (1 - alpha) * e
		}
	}
}

func (m *holtWinters) path(g *grid, n int, out []float64) {
	if m.state.at > n {
		m.begin(g)
	}
	m.run(g, n)
	s, damp := &m.state, m.damping()
	level, trend, e := s.level, s.trend, s.last
	for k := range out {
		trend *= damp
		level += trend
		e *= m.p[4]
		out[k] = level + e
		for i := range m.seasons {
			out[k] += s.season[i][m.slot(g, n+k, i)]
		}
	}
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}
