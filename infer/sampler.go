package infer

import (
	"context"
	"math"
)

// gaussian is one component of a mixture: an isotropic normal distribution.
type gaussian struct {
	weight float64 // relative, above 0
	mean   [3]float64
	sigma  float64 // standard deviation of each coordinate, above 0
}

// mixture is the distribution a sampler draws from, in up to three dimensions. With noise of standard deviation s
// added, each component stays normal with variance sigma²+s², so the score of every noise level is known exactly and
// no network has to learn it.
type mixture []gaussian

// denoise returns the mean of what x was before noise of standard deviation noise was added to it, for the first dim
// coordinates. The score follows from it by Tweedie's formula: grad log p(x) = (denoise(x) - x) / noise².
func (m mixture) denoise(x [3]float64, noise float64, dim int) [3]float64 {
	if len(m) == 1 {
		return m[0].shrink(x, noise, dim)
	}
	// The weights are kept relative to the largest, so that far components cannot underflow all of them.
	logs, largest := make([]float64, 0, 8), math.Inf(-1)
	for _, g := range m {
		v := g.sigma*g.sigma + noise*noise
		var d2 float64
		for i := range dim {
			d := x[i] - g.mean[i]
			d2 += d * d
		}
		l := math.Log(g.weight) - float64(dim)/2*math.Log(v) - d2/(2*v)
		logs, largest = append(logs, l), max(largest, l)
	}
	var out [3]float64
	var sum float64
	for k, g := range m {
		w := math.Exp(logs[k] - largest)
		if w < 1e-12 {
			continue
		}
		sum += w
		s := g.shrink(x, noise, dim)
		for i := range dim {
			out[i] += w * s[i]
		}
	}
	for i := range dim {
		out[i] /= sum
	}
	return out
}

// shrink is denoise for one component: x drawn towards the mean by the share of the variance that is noise.
func (g gaussian) shrink(x [3]float64, noise float64, dim int) [3]float64 {
	keep := g.sigma * g.sigma / (g.sigma*g.sigma + noise*noise)
	for i := range dim {
		x[i] = g.mean[i] + keep*(x[i]-g.mean[i])
	}
	return x
}

// The noise levels of the schedule. The data lies in about -1 to 1, so that noise of 10 has forgotten it.
const (
	noiseMax = 10.0
	noiseMin = 0.01
)

// noiseSchedule returns steps+1 falling noise levels from noiseMax to 0, spaced as in Karras et al. 2022, "Elucidating
// the design space of diffusion-based generative models", equation 5 with rho 7.
func noiseSchedule(steps int) []float64 {
	const rho = 7
	levels := make([]float64, steps+1)
	hi, lo := math.Pow(noiseMax, 1.0/rho), math.Pow(noiseMin, 1.0/rho)
	for i := range steps {
		t := 0.0
		if steps > 1 {
			t = float64(i) / float64(steps-1)
		}
		levels[i] = math.Pow(hi+t*(lo-hi), rho)
	}
	return levels
}

// eulerStep moves x from one noise level to the next along the probability-flow ordinary differential equation
// dx/ds = (x - denoise(x, s)) / s, whose solutions carry pure noise at noiseMax to draws from the mixture at 0 (Song et
// al. 2021, "Score-based generative modeling through SDEs"). A step of Euler's method on it is DDIM's step.
func (m mixture) eulerStep(x [3]float64, from, to float64, dim int) [3]float64 {
	clean := m.denoise(x, from, dim)
	for i := range dim {
		x[i] += (to - from) * (x[i] - clean[i]) / from
	}
	return x
}

// field is a picture being sampled: one point of colour space for every pixel, each with its own mixture.
type field struct {
	width, height int
	points        [][3]float64
	target        func(x, y int, m mixture) mixture // appends the pixel's components to m
}

// advance moves every pixel one step. It returns early, with the picture spoilt, when ctx ends.
func (f *field) advance(ctx context.Context, from, to float64) {
	buf := make(mixture, 0, 8)
	for y := range f.height {
		if ctx.Err() != nil {
			return
		}
		row := f.points[y*f.width : (y+1)*f.width]
		for x := range row {
			row[x] = f.target(x, y, buf[:0]).eulerStep(row[x], from, to, 3)
		}
	}
}
