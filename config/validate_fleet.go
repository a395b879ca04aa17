package config

// warmPool checks the warm pool of a pool.
func (v checker) warmPool(path string, p *Pool) {
	w := p.WarmPool
	switch {
	case p.Template == nil:
		v.fail(path, "prepares instances from a template, and this pool has none; add \"template\", or remove \"warm_pool\"")
	case w.MaxPrepared != nil && *w.MaxPrepared < w.Min:
		v.fail(v.mentioned(child(path, "max_prepared"), child(path, "min")), "max_prepared %d is below min %d, which is kept at any capacity; raise it, or lower min", *w.MaxPrepared, w.Min)
	case w.Min == 0 && p.Scale != nil && w.MaxPrepared == nil && p.Scale.Max <= p.Scale.Min,
		w.Min == 0 && w.MaxPrepared != nil && p.Scale != nil && *w.MaxPrepared <= p.Scale.Min:
		v.warn(path, "never holds an instance: as many serve as may be prepared; set min, or raise max_prepared or scale.max")
	}
}
