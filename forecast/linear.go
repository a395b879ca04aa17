package forecast

import (
	"math"
	"slices"
)

// least accumulates a weighted least squares problem with ridge and solves it by Cholesky's method.
type least struct {
	n    int
	xx   []float64 // upper half of X'WX, row by row
	xy   []float64
	beta []float64
	work []float64
}

func (l *least) reset(n int) {
	if l.n != n {
		*l = least{n: n, xx: make([]float64, n*n), xy: make([]float64, n), beta: make([]float64, n), work: make([]float64, n*n)}
		return
	}
	clear(l.xx)
	clear(l.xy)
}

func (l *least) add(x []float64, y, w float64) {
	n := l.n
	for i, a := range x {
		if a == 0 {
			continue
		}
		a *= w
		row := l.xx[i*n : i*n+n]
		for j := i; j < n; j++ {
			row[j] += a * x[j]
		}
		l.xy[i] += a * y
	}
}

// solve returns the coefficients that minimise the squares plus ridge times the squared coefficients, each in units of its
// column's own size; column 0 is the intercept and is not shrunk. ok is false when the columns are dependent and ridge is 0.
func (l *least) solve(ridge float64) (beta []float64, ok bool) {
	n := l.n
	copy(l.work, l.xx)
	a := l.work
	for i := range n {
		d := a[i*n+i]
		if i > 0 {
			a[i*n+i] += ridge*d + 1e-9*(1+d)
		} else {
			a[0] += 1e-9 * (1 + d)
		}
	}
	for i := range n { // a = U'U
		for k := range i {
			f := a[k*n+i]
			if f == 0 {
				continue
			}
			for j := i; j < n; j++ {
				a[i*n+j] -= f * a[k*n+j]
			}
		}
		if !(a[i*n+i] > 1e-12) {
			return nil, false
		}
		root := math.Sqrt(a[i*n+i])
		for j := i; j < n; j++ {
			a[i*n+j] /= root
		}
	}
	b := l.beta
	copy(b, l.xy)
	for i := range n {
		for k := range i {
			b[i] -= a[k*n+i] * b[k]
		}
		b[i] /= a[i*n+i]
	}
	for i := n - 1; i >= 0; i-- {
		for k := i + 1; k < n; k++ {
			b[i] -= a[i*n+k] * b[k]
		}
		b[i] /= a[i*n+i]
	}
	return b, true
}

// regression is a ridge regression that outliers do not bend: Huber's loss by iteratively reweighted least squares.
type regression struct {
	width int
	rows  []float64 // one row after the other
	y, w  []float64 // what is regressed, and the rows' weights
	l     least
	abs   []float64
}

func (r *regression) reset(width int) {
	r.width, r.rows, r.y, r.w = width, r.rows[:0], r.y[:0], r.w[:0]
}

func (r *regression) add(x []float64, y, w float64) {
	r.rows, r.y, r.w = append(r.rows, x...), append(r.y, y), append(r.w, w)
}

func (r *regression) fit(ridge float64, rounds int) (beta []float64, ok bool) {
	n := r.width
	robust := make([]float64, len(r.y))
	for i := range robust {
		robust[i] = 1
	}
	for round := 0; ; round++ {
		r.l.reset(n)
		for i, y := range r.y {
			r.l.add(r.rows[i*n:i*n+n], y, r.w[i]*robust[i])
		}
		if beta, ok = r.l.solve(ridge); !ok || round >= rounds {
			return slices.Clone(beta), ok
		}
		r.abs = r.abs[:0]
		for i, y := range r.y {
			r.abs = append(r.abs, math.Abs(y-dot(r.rows[i*n:i*n+n], beta)))
		}
		copy(robust, r.abs)
		limit := 1.345 * 1.4826 * medianInPlace(r.abs)
		for i, e := range robust {
			robust[i] = 1
			if e > limit && limit > 0 {
				robust[i] = limit / e
			}
		}
	}
}

func dot(a, b []float64) (sum float64) {
	for i, x := range a {
		sum += x * b[i]
	}
	return sum
}

// medianInPlace sorts x. Of nothing it is NaN.
func medianInPlace(x []float64) float64 {
	slices.Sort(x)
	return quantileOf(x, 0.5)
}

// quantileOf interpolates in what is sorted already.
func quantileOf(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}
