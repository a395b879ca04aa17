package config

import (
	"maps"
	"slices"
	"strings"
)

// names gives the keys of m in order.
func names[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func (v checker) pool(path, name string, p *Pool) {
	if !isName(name) || len(name) > 63 {
		v.fail(path, "%q cannot name a pool; use 1 to 63 letters, digits, \"-\" or \"_\"", shorten(name))
	}
	if v.failed(path) && !v.has(child(path, "targets")) && !v.has(child(path, "template")) {
		return // the pool itself could not be read
	}
	v.origin(path, p)
	v.targets(path, p)
	v.balance(path, p)
	v.queue(path, p)
	v.connections(path, p)
	v.poolTimeouts(child(path, "timeouts"), p.Timeouts)
	v.ejection(child(path, "ejection"), p.Ejection)
	if h := p.Health; h != nil {
		v.check(child(path, "health"), Check{h.Path, h.Method, h.Interval, h.Timeout, h.Unhealthy, h.Expect})
		if at := child(child(path, "health"), "on_failure"); v.has(at) {
			v.remedies(at, p)
		}
	}
	if p.Liveness != nil {
		v.check(child(path, "liveness"), *p.Liveness)
	}
	if p.Metrics != nil {
		v.scrape(child(path, "metrics"), p.Metrics)
	}
	if p.Template != nil {
		v.template(child(path, "template"), p.Template)
	}
	if p.Scale != nil {
		v.scale(child(path, "scale"), p)
	}
	v.refresh(child(path, "refresh"), p)
	if p.WarmPool != nil {
		v.warmPool(child(path, "warm_pool"), p)
	}
	if at := child(path, "lifecycle"); v.has(at) {
		v.lifecycle(at, p)
	}
}

// origin checks that a pool has one source of targets, and only the keys that
// this source can serve.
func (v checker) origin(path string, p *Pool) {
	targets, tmpl := v.has(child(path, "targets")), v.has(child(path, "template"))
	switch {
	case targets && tmpl:
		v.fail(path, "has both targets and a template; keep \"targets\" for addresses that are there already, or \"template\" for instances that Weir launches")
	case !targets && !tmpl:
		v.fail(path, "has neither targets nor a template; write targets: [\"127.0.0.1:9001\"] for addresses that are there already, or template: {command: [./server, --port, \"{{.Port}}\"]} to have Weir launch them")
	case tmpl:
		return
	}
	if !tmpl && p.Liveness != nil {
		v.fail(child(path, "liveness"), "restarts instances, and this pool has none; use \"health\" to take targets out, or add a template")
	}
	if !tmpl && p.Scale != nil {
		v.fail(child(path, "scale"), "launches instances from a template, and this pool has none; add \"template\", or remove \"scale\"")
	}
}

func (v checker) targets(path string, p *Pool) {
	first := map[string]int{}
	weighted := -1
	for i, t := range p.Targets {
		at := item(child(path, "targets"), i)
		spot := v.mentioned(child(at, "address"), at)
		if v.failed(at) {
			continue
		}
		v.address(spot, t.Address, exampleTarget)
		if j, ok := first[t.Address]; ok {
			v.fail(spot, "%q is already target %d of this pool; give one of them more weight instead", t.Address, j+1)
			continue
		}
		first[t.Address] = i
		if t.Weight != 1 {
			weighted = i
		}
	}
	if weighted >= 0 && p.Balance == RoundRobin {
		v.warn(child(item(child(path, "targets"), weighted), "weight"), "round_robin ignores weights; write balance: weighted_round_robin")
	}
	if n := len(p.Targets); n > 0 && p.FailOpen > n {
		v.fail(child(path, "fail_open"), "%d healthy targets can never be reached with %d; write %d or less", p.FailOpen, n, n)
	}
}

func (v checker) poolTimeouts(path string, t PoolTimeouts) {
	v.positive(child(path, "connect"), int64(t.Connect), "5s")
	v.positive(child(path, "first_byte"), int64(t.FirstByte), "60s")
	v.positive(child(path, "idle"), int64(t.Idle), "300s")
	v.positive(child(path, "keep_alive"), int64(t.KeepAlive), "60s")
}

func (v checker) ejection(path string, e Ejection) {
	v.positive(child(path, "base"), int64(e.Base), "30s")
	if e.Max < e.Base {
		v.fail(v.mentioned(child(path, "max"), child(path, "base")), "the longest ejection (max %s) is shorter than the first (base %s); raise max or lower base", e.Max, e.Base)
	}
}

func (v checker) check(path string, c Check) {
	v.urlPath(child(path, "path"), c.Path)
	v.method(child(path, "method"), c.Method)
	v.positive(child(path, "interval"), int64(c.Interval), "15s")
	v.positive(child(path, "timeout"), int64(c.Timeout), "5s")
	if c.Method == "HEAD" && (c.Expect.Body != "" || len(c.Expect.JSON) > 0) {
		v.fail(child(path, "method"), "an answer to HEAD has no body to expect something of; write \"GET\"")
	}
	for i, code := range c.Expect.Status {
		if at := child(child(path, "expect"), "status"); code < 100 || code > 599 {
			v.fail(v.mentioned(item(at, i), at), "%d is not a status code; write 100 to 599", code)
		}
	}
}

// urlPath checks the path of a request that Weir itself sends.
func (v checker) urlPath(path, p string) {
	switch {
	case !strings.HasPrefix(p, "/") && v.has(path):
		v.fail(path, "%q does not begin with a slash; write %q", p, "/"+p)
	case strings.ContainsFunc(p, func(c rune) bool { return c <= ' ' || c == 0x7f }):
		v.fail(path, "%q has a space or a control character; write it as %%20 and the like", p)
	}
}

func (v checker) method(path, method string) {
	switch upper := strings.ToUpper(method); {
	case !isToken(method):
		v.fail(path, "%q is not a method; write for example \"GET\"", method)
	case method != upper:
		v.fail(path, "%q is not a method, which are in capitals; did you mean %q?", method, upper)
	}
}

// isToken reports whether s is a token of RFC 9110, section 5.6.2.
func isToken(s string) bool {
	other := func(c rune) bool {
		return c >= 0x7f || c <= ' ' || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", c)
	}
	return s != "" && !strings.ContainsFunc(s, other)
}
