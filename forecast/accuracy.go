package forecast

import "math"

// recently compares what the combination said in the backtest of the last two seasons, at the distance of the lead, with what came, and with what
// there was when it was said.
func (p *problem) recently(stretch []int) (a Accuracy) {
	ahead := max(1, int((p.o.Lead+p.s.Step-1)/p.s.Step))
	if ahead > p.horizon {
		return a
	}
	out := make([]float64, ahead)
	missed, stayed, total := 0.0, 0.0, 0.0
	for k, o := range p.origins {
		if o.steps < ahead || o.at < len(p.s.Values)-2*p.grids[0].perDay-ahead {
			continue
		}
		p.combine(func(t *try) []float64 { return t.paths[k] }, stretch, out)
		actual, was, said := p.s.Values[o.at+ahead-1], p.s.Values[o.at-1], out[ahead-1]
		if !finite(actual) || !finite(was) || !finite(said) {
			continue
		}
		a.Tried++
		missed, stayed, total = missed+math.Abs(said-actual), stayed+math.Abs(was-actual), total+math.Abs(actual)
	}
	if total > 0 {
		a.WAPE, a.Persistence = missed/total, stayed/total
	}
	return a
}
