package telemetry

// other stands for all that have no series of their own.
const other = "other"

// defaultTargetSeries is how many targets have series of their own, unless the snapshot says otherwise.
const defaultTargetSeries = 1000

// ration decides which targets have series of their own, and sums up the rest. A target keeps its series as long as it is there:
// were the choice made anew each time, a counter's steps would move from one series to another.
type ration struct {
	own  map[targetKey]bool
	rest map[targetKey]restCounts
	sums map[string]restCounts // by pool
}

type targetKey struct{ pool, id string }

// restCounts are counters of targets without series of their own: as they were last seen, or summed up.
type restCounts struct{ requests, failures uint64 }

// series is what is shown of one target, or of all the others of its pool.
type series struct {
	id       string
	up       int // targets that may be given requests
	inFlight int
	restCounts
}

// serve returns what of the pools' targets is to be shown, by pool; limit 0 means [defaultTargetSeries].
func (r *ration) serve(pools []Pool, limit int) map[string][]series {
	if limit <= 0 {
		limit = defaultTargetSeries
	}
	own, rest, sums := map[targetKey]bool{}, map[targetKey]restCounts{}, map[string]restCounts{}
	for _, p := range pools {
		if sum, ok := r.sums[p.Name]; ok {
			sums[p.Name] = sum
		}
		for _, t := range p.Targets {
			if k := (targetKey{p.Name, t.ID}); r.own[k] && len(own) < limit {
				own[k] = true
			}
		}
	}
	out := make(map[string][]series, len(pools))
	for _, p := range pools {
		shown := make([]series, 0, min(len(p.Targets), limit)+1)
		more := series{id: other}
		for _, t := range p.Targets {
			k, up, now := targetKey{p.Name, t.ID}, 0, restCounts{t.Requests, t.Failures}
			if t.Up {
				up = 1
			}
			if own[k] || len(own) < limit {
				own[k] = true
				shown = append(shown, series{t.ID, up, t.InFlight, now})
				continue
			}
			more.up += up
			more.inFlight += t.InFlight
			// The sum only grows, also when targets leave: Prometheus takes a counter that falls for a restart.
			last, sum := r.rest[k], sums[p.Name]
			if r.own[k] {
				last = now // what came before was shown in a series of its own
			}
			sum.requests += since(now.requests, last.requests)
			sum.failures += since(now.failures, last.failures)
			rest[k], sums[p.Name] = now, sum
		}
		if sum, ok := sums[p.Name]; ok {
			more.restCounts = sum
			shown = append(shown, more)
		}
		out[p.Name] = shown
	}
	r.own, r.rest, r.sums = own, rest, sums
	return out
}

// since is by how much a counter grew; one that fell began anew.
func since(now, last uint64) uint64 {
	if now < last {
		return now
	}
	return now - last
}
