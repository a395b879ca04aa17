package scale

import (
	"math"
	"slices"
	"time"
)

// hpaRules are HPARules with their defaults filled in.
type hpaRules struct {
	window    time.Duration
	choose    string // Max, Min or Disabled
	policies  []HPAScalingPolicy
	tolerance float64
	longest   time.Duration // period of any policy
}

func (r HPARules) complete(window time.Duration, tolerance float64, defaults ...HPAScalingPolicy) hpaRules {
	c := hpaRules{window: orDefault(r.StabilizationWindow, window), choose: r.SelectPolicy, policies: slices.Clone(r.Policies), tolerance: orDefault(r.Tolerance, tolerance)}
	if c.choose == "" {
		c.choose = "Max"
	}
	if len(c.policies) == 0 {
		c.policies = defaults
	}
	for _, p := range c.policies {
		c.longest = max(c.longest, p.Period)
	}
	return c
}

// normalize is what Kubernetes does without a behavior: the largest recommendation of the window, then at most double,
// or 4, at a time.
func (h *HPA) normalize(now time.Time, current, desired int, why words) (int, words) {
	stable, since := desired, now
	cutoff := now.Add(-h.down.window)
	h.state.Recommendations = keepSince(h.state.Recommendations, cutoff)
	for _, r := range h.state.Recommendations {
		if r.Desired > desired && r.Desired >= stable {
			stable, since = r.Desired, r.Time
		}
	}
	h.state.Recommendations = append(h.state.Recommendations, Peak{Time: now, Desired: desired})
	if stable != desired {
		why = why.text("; ").int(stable).text(" were recommended ").span(now.Sub(since)).text(" ago, within ").span(h.down.window)
	}
	limit := max(2*current, 4)
	switch {
	case stable < h.min:
		return h.min, why.text("; not below minReplicas ").int(h.min)
	case stable > limit && limit < h.o.MaxReplicas:
		return limit, why.text("; at most max(2 x ").int(current).text(", 4) = ").int(limit).text(" at a time")
	case stable > h.o.MaxReplicas:
		return h.o.MaxReplicas, why.text("; not above maxReplicas ").int(h.o.MaxReplicas)
	}
	return stable, why
}

// behave applies the stabilization windows, the scaling policies and the bounds of a behavior.
func (h *HPA) behave(now time.Time, current, desired int, why words) (int, words) {
	stable := h.stabilize(now, current, desired)
	if stable != desired {
		why = why.text("; stabilized at ").int(stable)
		if desired >= current {
			why = why.text(", because less was recommended within ").span(h.up.window)
		} else {
			why = why.text(", because more was recommended within ").span(h.down.window)
		}
	}
	switch {
	case stable > current:
		limit := max(current, h.upLimit(now, current))
		if most := min(limit, h.o.MaxReplicas); stable > most {
			if limit < h.o.MaxReplicas {
				return most, why.text("; scaleUp allows ").int(limit)
			}
			return most, why.text("; not above maxReplicas ").int(most)
		}
	case stable < current:
		limit := min(current, h.downLimit(now, current))
		if fewest := max(limit, h.min); stable < fewest {
			if limit > h.min {
				return fewest, why.text("; scaleDown allows ").int(limit)
			}
			return fewest, why.text("; not below minReplicas ").int(fewest)
		}
	}
	return stable, why
}

// stabilize raises current to the smallest recommendation of the up window and lowers it to the largest of the down
// window, and records the one of now.
func (h *HPA) stabilize(now time.Time, current, desired int) int {
	up, down := desired, desired
	upCutoff, downCutoff := now.Add(-h.up.window), now.Add(-h.down.window)
	h.state.Recommendations = keepSince(h.state.Recommendations, now.Add(-max(h.up.window, h.down.window)))
	for _, r := range h.state.Recommendations {
		if r.Time.After(upCutoff) {
			up = min(up, r.Desired)
		}
		if r.Time.After(downCutoff) {
			down = max(down, r.Desired)
		}
	}
	h.state.Recommendations = append(h.state.Recommendations, Peak{Time: now, Desired: desired})
	return min(max(current, up), down)
}

// upLimit is the most that the policies of scaleUp allow.
func (h *HPA) upLimit(now time.Time, current int) int {
	result := math.MinInt
	better := func(a, b int) int { return max(a, b) }
	switch h.up.choose {
	case "Disabled":
		return current
	case "Min":
		result, better = math.MaxInt, func(a, b int) int { return min(a, b) }
	}
	for _, p := range h.up.policies {
		start := float64(h.startOf(p.Period, now, current))
		if p.Type == "Pods" {
			result = better(result, bounded(start+float64(p.Value)))
		} else {
			result = better(result, bounded(math.Ceil(start*(1+float64(p.Value)/100))))
		}
	}
	return result
}

// downLimit is the fewest that the policies of scaleDown allow. It may be below 0.
func (h *HPA) downLimit(now time.Time, current int) int {
	result := math.MaxInt
	better := func(a, b int) int { return min(a, b) }
	switch h.down.choose {
	case "Disabled":
		return current
	case "Min": // the smallest change leaves the most
		result, better = math.MinInt, func(a, b int) int { return max(a, b) }
	}
	for _, p := range h.down.policies {
		start := float64(h.startOf(p.Period, now, current))
		if p.Type == "Pods" {
			result = better(result, bounded(start-float64(p.Value)))
		} else {
			result = better(result, bounded(math.Trunc(start*(1-float64(p.Value)/100))))
		}
	}
	return result
}

// startOf is the capacity at the start of a policy's period that ends now: without what was added since, with what was
// taken away.
func (h *HPA) startOf(period time.Duration, now time.Time, current int) int {
	cutoff := now.Add(-period)
	for _, e := range h.state.Up {
		if e.Time.After(cutoff) {
			current -= e.Desired
		}
	}
	for _, e := range h.state.Down {
		if e.Time.After(cutoff) {
			current += e.Desired
		}
	}
	return current
}

// bounded makes an int of a whole number, however large.
func bounded(x float64) int {
	return int(max(-mostInstances, min(x, mostInstances)))
}
