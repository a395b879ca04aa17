package forecast

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

const (
	backtestDays = 14
	refits       = 3 // times that each model is fitted anew during the backtest
	fade         = 7 // days in which an error loses half of its say
	sharpness    = 3 // power of the inverse error that weighs a model

	// What the backtest missed is this much less than what will be: the weights were chosen on the same days, and those are few. Chosen on the
	// third quarter of the traces of bench/forecast, so that the 90 % bands hold nine times of ten there.
	widen = 1.35
)

// backtest has every model forecast from many past times, with what was known then.
func (p *problem) backtest() {
	n, perDay := len(p.s.Values), p.grids[0].perDay
	p.edges = stretches(p.horizon, perDay)
	depth := min(backtestDays*perDay, (n-p.grids[0].start)/2)
	quarter, soon := max(1, perDay/4), max(1, perDay/48)
	for back := depth; back > 0; back-- {
		switch {
		case back%quarter == 0:
			p.origins = append(p.origins, origin{n - back, min(back, p.horizon)})
		case back%soon == 0:
			p.origins = append(p.origins, origin{n - back, min(back, p.horizon, soon)})
		}
	}
	for i := range p.tries {
		p.tries[i].run(p.origins, depth)
	}
}

func (t *try) run(origins []origin, depth int) {
	t.paths = make([][]float64, len(origins))
	next, ok := 0, false
	for k, o := range origins {
		if o.at >= next {
			ok = t.model.fit(t.grid, o.at)
			next = o.at + (depth+refits-1)/refits
			if !ok {
				next = o.at + max(1, depth/8)
			}
		}
		if ok {
			t.paths[k] = make([]float64, o.steps)
			t.path(o.at, t.paths[k])
		}
	}
}

// path forecasts in the scale of the series.
func (t *try) path(n int, out []float64) {
	t.model.path(t.grid, n, out)
	tr := t.grid.scale
	for i, v := range out {
		out[i] = tr.from(v)
		if math.IsInf(out[i], 0) {
			out[i] = math.NaN()
		}
	}
}

// age is the weight of an error at step i.
func (p *problem) age(i int) float64 {
	return math.Exp2(-float64(len(p.s.Values)-i) / float64(p.grids[0].perDay) / fade)
}

// weigh turns the backtest into the models' weights, for each stretch of the horizon.
func (p *problem) weigh() {
	stretch := p.stretchOf()
	for i := range p.tries {
		t := &p.tries[i]
		t.loss, t.weight = make([]float64, len(p.edges)-1), make([]float64, len(p.edges)-1)
		weight := make([]float64, len(t.loss))
		all, total := 0.0, 0.0
		for k, o := range p.origins {
			for h, v := range t.paths[k] {
				actual := p.s.Values[o.at+h]
				if !finite(actual) || !finite(v) {
					continue
				}
				e, w := math.Abs(v-actual), p.age(o.at)
				t.loss[stretch[h]] += w * e
				weight[stretch[h]] += w
				all, total = all+e, total+math.Abs(actual)
			}
		}
		for k := range t.loss {
			t.loss[k] /= weight[k]
		}
		t.wape = all / total
	}
	for k := range len(p.edges) - 1 {
		best := math.Inf(1)
		for _, t := range p.tries {
			if finite(t.loss[k]) {
				best = min(best, t.loss[k])
			}
		}
		for i := range p.tries {
			t := &p.tries[i]
			switch {
			case math.IsInf(best, 1):
				t.weight[k] = 1
			case finite(t.loss[k]):
				t.weight[k] = math.Pow((best+1e-12)/(t.loss[k]+1e-12), sharpness)
			}
		}
	}
}

func (p *problem) stretchOf() []int {
	out := make([]int, p.horizon)
	for h, k := 0, 0; h < p.horizon; h++ {
		if h+1 >= p.edges[k+1] {
			k++
		}
		out[h] = k
	}
	return out
}

// combine averages the models' paths into out, leaving out what a model cannot say; NaN where none can.
func (p *problem) combine(paths func(*try) []float64, stretch []int, out []float64) {
	for h := range out {
		sum, total := 0.0, 0.0
		for i := range p.tries {
			t := &p.tries[i]
			if path := paths(t); path != nil && finite(path[h]) {
				w := t.weight[stretch[h]]
				sum, total = sum+w*path[h], total+w
			}
		}
		out[h] = sum / total
		if !p.signed {
			out[h] = p.clean(out[h])
		}
	}
}

// forecast fits every model to all of the history and combines them.
func (p *problem) forecast() (*Forecast, error) {
	n := len(p.s.Values)
	f := &Forecast{
		Start: p.s.End(), Step: p.s.Step, Quantiles: slices.Clone(p.o.Quantiles),
		Values: make([][]float64, len(p.o.Quantiles)), Point: make([]float64, p.horizon),
	}
	final := map[string][]float64{}
	for i := range p.tries {
		t := &p.tries[i]
		if t.model.fit(t.grid, n) {
			path := make([]float64, p.horizon)
			t.path(n, path)
			final[t.name] = path
		}
	}
	stretch := p.stretchOf()
	p.combine(func(t *try) []float64 { return final[t.name] }, stretch, f.Point)
	for h, v := range f.Point {
		if !finite(v) {
			return nil, fmt.Errorf("%w for any of its models to reach %v ahead", ErrShort, time.Duration(h+1)*p.s.Step)
		}
	}
	p.spread(f, stretch)
	f.Recent = p.recently(stretch)
	p.score(f, final, stretch)
	return f, nil
}

// miss is how far an actual value was off, in the scale of the quantiles: the ratio of the two, or their difference for a signed series.
func (p *problem) miss(actual, forecast float64) float64 {
	if p.signed {
		return actual - forecast
	}
	return math.Log((actual + p.shift) / (forecast + p.shift))
}

func (p *problem) apply(forecast, miss float64) float64 {
	if p.signed {
		return forecast + miss
	}
	return p.clean((forecast+p.shift)*math.Exp(miss) - p.shift)
}

// clean makes what cannot be negative so, and 0 of the dust that the logarithm leaves: an instance would be launched for it. It keeps NaN.
func (p *problem) clean(v float64) float64 {
	if v < 1e-6*p.shift {
		return 0
	}
	return v
}

type weighted struct{ v, w float64 }

// spread sets the quantiles: those of what the combined forecast missed in the backtest at about the same distance (split
// conformal prediction, with newer misses counting more).
func (p *problem) spread(f *Forecast, stretch []int) {
	misses := make([][]weighted, len(p.edges)-1)
	buf := make([]float64, p.horizon)
	for k, o := range p.origins {
		out := buf[:o.steps]
		p.combine(func(t *try) []float64 { return t.paths[k] }, stretch, out)
		for h, v := range out {
			if actual := p.s.Values[o.at+h]; finite(actual) && finite(v) {
				misses[stretch[h]] = append(misses[stretch[h]], weighted{p.miss(actual, v), p.age(o.at)})
			}
		}
	}
	for k, m := range misses {
		if len(m) < 4 && k > 0 {
			misses[k] = misses[k-1]
			continue
		}
		slices.SortFunc(m, func(a, b weighted) int { return cmp.Compare(a.v, b.v) })
	}
	p.misses = misses
	for q, at := range f.Quantiles {
		f.Values[q] = make([]float64, p.horizon)
		table := make([]float64, len(misses))
		for k := range misses {
			table[k] = p.missed(k, at)
		}
		for h, v := range f.Point {
			f.Values[q][h] = p.apply(v, table[stretch[h]])
		}
	}
}

// missed is the quantile q of what forecasts of a stretch miss.
func (p *problem) missed(stretch int, q float64) float64 {
	return widen * weightedQuantile(p.misses[stretch], q)
}

// weightedQuantile interpolates in what is sorted; of nothing it is 0.
func weightedQuantile(m []weighted, q float64) float64 {
	total := 0.0
	for _, x := range m {
		total += x.w
	}
	if len(m) == 0 || total == 0 {
		return 0
	}
	want, seen := q*total, 0.0
	for i, x := range m {
		mid := seen + x.w/2
		if mid >= want {
			if i == 0 {
				return x.v
			}
			before := m[i-1]
			prev := seen - before.w/2
			return before.v + (want-prev)/(mid-prev)*(x.v-before.v)
		}
		seen += x.w
	}
	return m[len(m)-1].v
}

func (p *problem) score(f *Forecast, final map[string][]float64, stretch []int) {
	for i := range p.tries {
		t := &p.tries[i]
		s := Score{Model: t.name, WAPE: t.wape}
		if final[t.name] != nil {
			for h := range f.Point {
				total := 0.0
				for j := range p.tries {
					if path := final[p.tries[j].name]; path != nil && finite(path[h]) {
						total += p.tries[j].weight[stretch[h]]
					}
				}
				if finite(final[t.name][h]) {
					s.Weight += t.weight[stretch[h]] / total / float64(p.horizon)
				}
			}
		}
		f.Models = append(f.Models, s)
	}
	slices.SortStableFunc(f.Models, func(a, b Score) int { return cmp.Compare(b.Weight, a.Weight) })
}
