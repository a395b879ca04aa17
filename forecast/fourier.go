package forecast

import "math"

// fourier is a regression on waves of the day and of the week and on a trend, robust and with old rows fading, plus what the last
// errors say about the next: their autoregression on the last step and on the step a day before.
type fourier struct {
	daily, weekly int     // waves of the day, waves of the week beside them
	halfLife      float64 // in days
	rows          int

	beta  []float64
	ar    [2]float64
	n     int // what was fitted to
	table []float64
	r     regression
}

func (m *fourier) width() int { return 2 + 2*(m.daily+m.weekly) }

// columns writes the regressors of step i.
func (m *fourier) columns(g *grid, i int, x []float64) {
	day, week := 2*math.Pi*float64(g.slot(i))/float64(g.perDay), 2*math.Pi*float64(g.weekSlot(i))/float64(g.perDay*daysPerWeek)
	x[0], x[1] = 1, math.Tanh(float64(i-m.n)/float64(g.perDay)/28)
	k := 2
	waves := func(angle float64, count, skip int) {
		s1, c1 := math.Sincos(angle)
		s, c := s1, c1
		for w := 1; count > 0; w++ {
			if skip == 0 || w%skip != 0 {
				x[k], x[k+1] = s, c
				k, count = k+2, count-1
			}
			s, c = s*c1+c*s1, c*c1-s*s1
		}
	}
	waves(day, m.daily, 0)
	waves(week, m.weekly, daysPerWeek)
}

func (m *fourier) fit(g *grid, n int) bool {
	if n-g.start < 2*g.perDay {
		return false
	}
	if n-g.start < 2*daysPerWeek*g.perDay {
		m.weekly = 0
	}
	m.daily = min(m.daily, g.perDay/3)
	m.n = n
	x := make([]float64, m.width())
	every := max(1, (n-g.start)/m.rows)
	if every%2 == 0 {
		every++ // not always the same slots
	}
	m.r.reset(len(x))
	for i := n - 1; i >= g.start; i -= every {
		if math.IsNaN(g.y[i]) {
			continue
		}
		m.columns(g, i, x)
		m.r.add(x, g.y[i], math.Exp2(-float64(n-i)/float64(g.perDay)/m.halfLife))
	}
	if len(m.r.y) < 2*len(x) {
		return false
	}
	beta, ok := m.r.fit(1e-4, 2)
	if !ok {
		return false
	}
	m.beta = beta
	m.table = m.table[:0]
	m.errors(g, n)
	m.ar = m.autoregression(g, n)
	return true
}

// errors extends what the regression was off by to the first n steps.
func (m *fourier) errors(g *grid, n int) {
	x := make([]float64, m.width())
	for i := len(m.table); i < n; i++ {
		e := 0.0
		if i >= g.start && !math.IsNaN(g.y[i]) {
			m.columns(g, i, x)
			e = g.y[i] - dot(x, m.beta)
		}
		m.table = append(m.table, e)
	}
}

func (m *fourier) autoregression(g *grid, n int) [2]float64 {
	var a, b, c, p, q float64
	for i := max(g.start+g.perDay, n-28*g.perDay) + 1; i < n; i++ {
		x, z, y := m.table[i-1], m.table[i-g.perDay], m.table[i]
		a, b, c, p, q = a+x*x, b+x*z, c+z*z, p+x*y, q+z*y
	}
	det := a*c - b*b
	if !(det > 1e-12*a*c) {
		return [2]float64{}
	}
	one, day := (p*c-q*b)/det, (q*a-p*b)/det
	if total := math.Abs(one) + math.Abs(day); total > 0.995 {
		one, day = one*0.995/total, day*0.995/total
	}
	return [2]float64{one, day}
}

func (m *fourier) path(g *grid, n int, out []float64) {
	m.errors(g, n)
	x := make([]float64, m.width())
	ahead := make([]float64, len(out))
	at := func(i int) float64 {
		switch {
		case i >= n:
			return ahead[i-n]
		case i < 0:
			return 0
		}
		return m.table[i]
	}
	for k := range out {
		ahead[k] = m.ar[0]*at(n+k-1) + m.ar[1]*at(n+k-g.perDay)
		m.columns(g, n+k, x)
		out[k] = dot(x, m.beta) + ahead[k]
	}
}
