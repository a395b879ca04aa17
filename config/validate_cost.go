package config

import "slices"

func (v checker) cost(path string, c *Cost, p *Pool) {
	if c == nil {
		return
	}
	if p.Template == nil {
		v.fail(path, "is about instances that are launched, and this pool has fixed targets; add a template, or remove cost")
	}
	if b := c.Budget; b.ShedAfter > 0 && b.PerHour == 0 && b.PerMonth == 0 {
		v.fail(child(child(path, "budget"), "shed_after"), "is about a budget, and there is none; add per_month or per_hour, or remove shed_after")
	}
	spot, demand := false, false
	var seen []string
	for i, t := range c.Types {
		at := item(child(path, "types"), i)
		if slices.Contains(seen, t.Name) {
			v.fail(child(at, "name"), "%s is there twice; write one item with both prices", t.Name)
		}
		seen = append(seen, t.Name)
		if t.OnDemand == 0 && t.Spot == 0 && !v.failedBelow(at) {
			v.fail(at, "has no price; write on_demand, spot or both, per hour")
		}
		spot, demand = spot || t.Spot > 0, demand || t.OnDemand > 0
		for _, zone := range t.Zones {
			if len(c.Zones) > 0 && !slices.Contains(c.Zones, zone) {
				v.fail(child(at, "zones"), "%s is not in zones; add it there", zone)
			}
		}
	}
	if len(c.Types) == 0 {
		return // said already
	}
	if !demand && (c.OnDemandBase > 0 || c.OnDemandPercent > 0) {
		v.fail(path, "wants on-demand instances, and no type has an on_demand price; add one, or write on_demand_base: 0 and on_demand_percent: 0")
	}
	if !spot && c.OnDemandPercent < 100 {
		v.fail(path, "wants spot instances, and no type has a spot price; add one, or write on_demand_percent: 100")
	}
}
