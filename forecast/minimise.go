package forecast

import "slices"

// minimise finds a low point of f over the unit cube by the simplex method of Nelder and Mead (1965), looking at most evals
// times. Points outside the cube are moved to its side.
func minimise(start []float64, evals int, f func([]float64) float64) []float64 {
	n := len(start)
	type point struct {
		x []float64
		f float64
	}
	look := func(x []float64) point {
		for i := range x {
			x[i] = min(1, max(0, x[i]))
		}
		evals--
		return point{x, f(x)}
	}
	simplex := []point{look(slices.Clone(start))}
	for i := range n {
		x := slices.Clone(start)
		if x[i] += 0.2; x[i] > 0.9 {
			x[i] -= 0.4
		}
		simplex = append(simplex, look(x))
	}
	toward := func(c, x []float64, t float64) []float64 {
		out := make([]float64, n)
		for i := range out {
			out[i] = c[i] + t*(x[i]-c[i])
		}
		return out
	}
	byValue := func(a, b point) int {
		switch {
		case a.f < b.f:
			return -1
		case a.f > b.f:
			return 1
		}
		return 0
	}
	for {
		slices.SortStableFunc(simplex, byValue)
		if evals <= 0 || simplex[n].f-simplex[0].f <= 1e-4*simplex[0].f {
			return simplex[0].x
		}
		centre := make([]float64, n)
		for _, p := range simplex[:n] {
			for i, v := range p.x {
				centre[i] += v / float64(n)
			}
		}
		worst := simplex[n]
		next := look(toward(centre, worst.x, -1))
		switch {
		case next.f < simplex[0].f:
			if far := look(toward(centre, worst.x, -2)); far.f < next.f {
				next = far
			}
		case next.f >= simplex[n-1].f:
			next = look(toward(centre, worst.x, 0.5))
		}
		if next.f < worst.f {
			simplex[n] = next
			continue
		}
		for i := 1; i <= n; i++ {
			simplex[i] = look(toward(simplex[0].x, simplex[i].x, 0.5))
		}
	}
}
