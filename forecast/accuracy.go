package forecast

import "math"

// recently compares what the combination said in the backtest of the last two seasons, at the distance of the lead, with what came, and with what
// reacting would have had by then: the load of a lead before, which lies between two steps of the history.
func (p *problem) recently(stretch []int) (a Accuracy) {
	lead := float64(p.o.Lead) / float64(p.s.Step)
	ahead := max(1, int(math.Ceil(lead)))
	if ahead > p.horizon {
		return a
	}
	older := 1.0 // the part of the older of the two steps that a lead before lies between
	if lead > 0 {
		older = lead - float64(ahead-1)
	}
	miss := p.missed(stretch[ahead-1], p.o.Ready)
	out := make([]float64, ahead)
	total := 0.0
	for k, o := range p.origins {
		if o.steps < ahead || o.at < len(p.s.Values)-2*p.grids[0].perDay-ahead {
			continue
		}
		p.combine(func(t *try) []float64 { return t.paths[k] }, stretch, out)
		actual, said := p.s.Values[o.at+ahead-1], out[ahead-1]
		was := p.s.Values[o.at-1]
		if older < 1 {
			was = older*was + (1-older)*p.s.Values[o.at]
		}
		if !finite(actual) || !finite(was) || !finite(said) {
			continue
		}
		a.Tried++
		total += math.Abs(actual)
		a.WAPE += math.Abs(said - actual)
		a.Persistence += math.Abs(was - actual)
		a.Loss += pinball(p.o.Ready, actual, p.apply(said, miss))
		a.Reacting += pinball(p.o.Ready, actual, was)
	}
	if total > 0 {
		for _, v := range []*float64{&a.WAPE, &a.Persistence, &a.Loss, &a.Reacting} {
			*v /= total
		}
	}
	return a
}

// pinball is what being ready for said costs when actual comes, by whom the quantile q is best for: to lack one costs them q, to have one
// too many 1-q (R. Koenker and G. Bassett, Regression Quantiles, Econometrica 46, 1978; the newsvendor's problem).
func pinball(q, actual, said float64) float64 {
	return max(q*(actual-said), (1-q)*(said-actual))
}
