package config

import "slices"

// uses checks what only routes and pools together show: pools that no route
// uses, and keys of one that are idle without a key of the other.
func (v checker) uses(cfg *Config) {
	used := map[string][]*Route{} // routes by the pool that they lead to
	mirrored := map[string]bool{}
	for i := range cfg.Listen {
		for j := range cfg.Listen[i].Routes {
			r := &cfg.Listen[i].Routes[j]
			for _, name := range r.pools() {
				used[name] = append(used[name], r)
			}
			if m := r.Mirror; m != nil {
				at := child(item(child(item("listen", i), "routes"), j), "mirror")
				v.poolExists(v.mentioned(child(at, "pool"), at), m.Pool, cfg.Pools)
				mirrored[m.Pool] = true
			}
		}
	}
	for _, name := range names(cfg.Pools) {
		at := child("pools", name)
		if len(used[name]) == 0 {
			if !mirrored[name] {
				v.warn(at, "no route uses this pool, so it takes no traffic; add a route with pool: %s, or remove it", name)
			}
			continue
		}
		v.queueUse(child(at, "queue"), cfg.Pools[name], used[name])
	}
}

// pools are the names of the pools that a route leads to.
func (r *Route) pools() []string {
	var all []string
	if r.Pool != "" {
		all = append(all, r.Pool)
	}
	for _, arm := range r.Split {
		all = append(all, arm.Pool)
	}
	return all
}

// queueUse warns of a queue that looks at what no route to it says.
func (v checker) queueUse(path string, p *Pool, routes []*Route) {
	any := slices.ContainsFunc[[]*Route, *Route]
	if p.Queue.Fair && !any(routes, func(r *Route) bool { return r.Tenant != Key{} }) {
		v.warn(child(path, "fair"), "no route to this pool says who a tenant is; add for example tenant: header:Authorization to its routes")
	}
	if p.Queue.Order == OrderDeadline && !any(routes, func(r *Route) bool { return r.Deadline != Deadline{} }) {
		v.warn(child(path, "order"), "no route to this pool has a deadline; add for example deadline: 30s to its routes")
	}
}
