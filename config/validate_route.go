package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// routes checks the routes of one listener. Names holds those of all
// listeners, with the path of the route that has each.
func (v checker) routes(path string, routes []Route, pools map[string]*Pool, names map[string]string) {
	first := map[string]int{}
	for i := range routes {
		route, at := &routes[i], item(path, i)
		v.host(child(at, "host"), route.Host)
		v.routePath(child(at, "path"), route.Path)
		v.conditions(at, route)
		v.action(at, route, pools)
		v.edits(at, route)
		v.waiting(at, route)
		v.routeName(child(at, "name"), route.Name, names)
		if v.failed(at) || v.failedBelow(at) {
			continue
		}
		match := route.matches()
		if j, ok := first[match]; ok {
			same := "does the same; remove this one"
			if a, b := routes[j].leads(), route.leads(); a != b {
				same = fmt.Sprintf("%s, so this one never matches; remove one, or give it another host, path or condition", a)
			}
			v.fail(at, "%s matches the same requests and %s", item(path, j), same)
			continue
		}
		first[match] = i
	}
}

// matches is a text that only routes which match the same requests share.
func (r *Route) matches() string {
	path := r.Path
	if path == "" || path == "/*" {
		path = "*"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %q", strings.TrimPrefix(strings.ToLower(r.Host), "*"), path, slices.Sorted(slices.Values(r.Methods)))
	for i, conditions := range []map[string]Match{r.Headers, r.Query, r.Cookies} {
		for _, name := range names(conditions) {
			shown := name
			if i == 0 {
				shown = strings.ToLower(name)
			}
			fmt.Fprintf(&b, " %d %q %s", i, shown, conditions[name])
		}
	}
	return b.String()
}

// String is a text that only equal matches share.
func (m Match) String() string {
	switch {
	case m.Exact != nil:
		return fmt.Sprintf("exact %q", *m.Exact)
	case m.Present != nil:
		return fmt.Sprintf("present %t", *m.Present)
	}
	return fmt.Sprintf("prefix %q regexp %q", m.Prefix, m.Regexp)
}

// leads says in an error what a route does.
func (r *Route) leads() string {
	switch {
	case r.Pool != "":
		return fmt.Sprintf("leads to %q", r.Pool)
	case r.Redirect != nil:
		return fmt.Sprintf("redirects to %q", r.Redirect.To)
	case r.Respond != nil:
		return fmt.Sprintf("answers %d", r.Respond.Status)
	}
	return "splits"
}

func (v checker) routeName(path, name string, names map[string]string) {
	switch other, taken := names[name]; {
	case len(name) > 200 || strings.ContainsFunc(name, unicode.IsControl):
		v.fail(path, "%q cannot name a route; use up to 200 letters on one line", shorten(name))
	case taken:
		v.fail(path, "%q is also the name of the route at %s; metrics could not tell them apart, so give one of them another", name, parent(other))
	default:
		names[name] = path
	}
}

// conditions checks what a route matches beside host and path.
func (v checker) conditions(path string, r *Route) {
	for i, m := range r.Methods {
		at := child(path, "methods")
		v.method(v.mentioned(item(at, i), at), m)
	}
	for _, part := range []struct {
		key   string
		match map[string]Match
		noun  string
	}{{"headers", r.Headers, "header"}, {"query", r.Query, ""}, {"cookies", r.Cookies, "cookie"}} {
		for _, name := range names(part.match) {
			at := child(child(path, part.key), name)
			if part.noun != "" && !isToken(name) {
				v.fail(at, "%q cannot name a %s; use letters, digits, \"-\" and \"_\"", name, part.noun)
			}
			v.match(at, part.match[name])
		}
	}
}

func (v checker) match(path string, m Match) {
	n := 0
	for _, set := range []bool{m.Exact != nil, m.Prefix != "", m.Regexp != "", m.Present != nil} {
		if set {
			n++
		}
	}
	switch {
	case v.failedBelow(path):
	case n == 0:
		v.fail(path, "says nothing; write a text, or one of {prefix: …}, {regexp: …} and {present: true}")
	case n > 1:
		v.fail(path, "has more than one of exact, prefix, regexp and present; keep one")
	case m.Regexp != "":
		v.regexp(child(path, "regexp"), m.Regexp)
	}
}

func (v checker) regexp(path, text string) {
	if _, err := regexp.Compile(text); err != nil {
		v.fail(path, "%q is not a regular expression (%s); see https://github.com/google/re2/wiki/Syntax", shorten(text), strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
}

// actions are the keys of which a route has exactly one.
var actions = []string{"pool", "split", "redirect", "respond"}

// action checks what a route does, and that the keys beside it mean
// something for that.
func (v checker) action(path string, r *Route, pools map[string]*Pool) {
	var have []string
	for _, key := range actions {
		if v.has(child(path, key)) {
			have = append(have, key)
		}
	}
	switch {
	case len(have) == 0 && !v.failed(path):
		v.fail(path, "does nothing; add one of pool: api, split: [{pool: stable, weight: 95}, {pool: canary, weight: 5}], redirect: {to: \"https://{host}{uri}\"} or respond: {status: 404}")
		return
	case len(have) > 1:
		v.fail(path, "has both %s and %s; keep one, or make them two routes", have[0], have[1])
		return
	case len(have) == 0:
		return
	}
	v.poolExists(child(path, "pool"), r.Pool, pools)
	v.split(path, r, pools)
	if r.Redirect != nil {
		v.redirect(child(path, "redirect"), r.Redirect)
	}
	if r.Respond != nil {
		v.respond(child(path, "respond"), r.Respond)
	}
	if r.Redirect == nil && r.Respond == nil {
		return
	}
	for _, key := range []string{
		"split_by", "rewrite", "request_headers", "mirror", "timeouts", "priority", "deadline", "tenant", "heartbeat", "hedge", "retry",
	} {
		if at := child(path, key); v.has(at) {
			v.fail(at, "is about targets, and a route with %s asks none; remove it", have[0])
		}
	}
}

func (v checker) poolExists(path, name string, pools map[string]*Pool) {
	if v.has(path) && pools[name] == nil && len(pools) > 0 {
		v.fail(path, "there is no pool %q; %s", name, didYouMean(name, names(pools)))
	}
}

func (v checker) split(path string, r *Route, pools map[string]*Pool) {
	at := child(path, "split")
	if by := child(path, "split_by"); v.has(by) && !v.has(at) {
		v.fail(by, "keeps a client on its part of a split, and this route has none; add split, or remove it")
	}
	if r.Split == nil {
		return
	}
	seen, total := map[string]int{}, 0
	for i, arm := range r.Split {
		to := child(item(at, i), "pool")
		v.poolExists(to, arm.Pool, pools)
		if j, twice := seen[arm.Pool]; twice && arm.Pool != "" {
			v.fail(to, "%q is already part %d of this split; add their weights", arm.Pool, j+1)
		}
		seen[arm.Pool] = i
		total += arm.Weight
	}
	if total == 0 && !v.failedBelow(at) {
		v.fail(at, "every weight is 0, so no pool is left to answer; give one of them a weight of 1 or more")
	}
}

// placeholders are what headers and redirects may use of a request, beside
// {header.NAME}.
var placeholders = []string{
	"{client_ip}", "{host}", "{method}", "{path}", "{query}", "{uri}", "{scheme}", "{request_id}", "{target}", "{header.NAME}",
}

var placeholder = regexp.MustCompile(`\{\{|\{[A-Za-z0-9_.-]+\}`)

// fill puts a letter in the place of everything that stands for a part of the
// request, and refuses what stands for nothing.
func (v checker) fill(path, text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(p string) string {
		if p != "{{" && !slices.Contains(placeholders, p) && !strings.HasPrefix(p, "{header.") {
			v.fail(path, "%q is nothing of a request; %s; \"{{\" is a plain brace", p, didYouMean(p, placeholders))
		}
		return "x"
	})
}

func (v checker) redirect(path string, r *Redirect) {
	if codes := []int{301, 302, 303, 307, 308}; !slices.Contains(codes, r.Status) {
		v.fail(child(path, "status"), "%d is not a redirect; write 308 (or 301) for good, 307 (or 302) for now, or 303 for a GET elsewhere", r.Status)
	}
	if r.To == "" {
		return // told already
	}
	at := v.mentioned(child(path, "to"), path)
	plain := v.fill(at, r.To)
	switch u, err := url.Parse(plain); {
	case err != nil || strings.ContainsAny(plain, "{} ") || strings.ContainsFunc(plain, unicode.IsControl):
		v.fail(at, "%q is not a URL; write for example \"https://{host}{uri}\"", r.To)
	case !strings.HasPrefix(plain, "/") && !strings.HasPrefix(r.To, "{uri}") && !strings.HasPrefix(r.To, "{path}") && u.Host == "":
		v.fail(at, "%q has no host; write for example \"https://%s\", or a path from the root as in \"/%[1]s\"", r.To, r.To)
	}
}

func (v checker) respond(path string, r *Respond) {
	if r.Body != "" && (r.Status == 204 || r.Status == 304) {
		v.fail(v.mentioned(child(path, "body"), path), "an answer with %d has no body; remove it, or write status: 200", r.Status)
	}
	v.headers(child(path, "headers"), r.Headers)
}

// own are headers that follow from the message itself; changing them would
// garble it.
var own = []string{"connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}

// headers checks headers that Weir writes.
func (v checker) headers(path string, headers map[string]string) {
	for _, name := range names(headers) {
		at := child(path, name)
		v.header(at, name)
		if strings.ContainsFunc(headers[name], func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
			v.fail(at, "the value has a line break or a control character, which would garble the message; write it on one line")
		}
	}
}

func (v checker) header(path, name string) {
	switch {
	case !isToken(name):
		v.fail(path, "%q cannot name a header; write for example X-Env", name)
	case slices.Contains(own, strings.ToLower(name)):
		v.fail(path, "%s says how the message is sent, which Weir sees to itself; remove it", name)
	}
}

// edits checks what a route changes on the way.
func (v checker) edits(path string, r *Route) {
	for _, part := range []struct {
		key   string
		edits HeaderEdits
	}{{"request_headers", r.RequestHeaders}, {"response_headers", r.ResponseHeaders}} {
		at := child(path, part.key)
		for key, values := range map[string]map[string]string{"set": part.edits.Set, "add": part.edits.Add} {
			v.headers(child(at, key), values)
			for _, name := range names(values) {
				v.fill(child(child(at, key), name), values[name])
			}
		}
		for i, name := range part.edits.Remove {
			list := child(at, "remove")
			v.header(v.mentioned(item(list, i), list), name)
		}
	}
	if r.Rewrite != nil {
		v.rewrite(child(path, "rewrite"), r)
	}
	if m := r.Mirror; m != nil {
		to := v.mentioned(child(child(path, "mirror"), "pool"), child(path, "mirror"))
		if m.Pool == r.Pool && m.Pool != "" {
			v.fail(to, "%q gets the original already; name another pool", m.Pool)
		}
	}
}

func (v checker) rewrite(path string, r *Route) {
	w := r.Rewrite
	strip, add, whole := child(path, "strip_prefix"), child(path, "add_prefix"), child(path, "path")
	if w.Path == "" && w.StripPrefix == "" && w.AddPrefix == "" && w.Regexp == nil && !v.failedBelow(path) {
		v.fail(path, "changes nothing; write for example strip_prefix: /api")
		return
	}
	for at, p := range map[string]string{strip: w.StripPrefix, add: w.AddPrefix, whole: w.Path} {
		if v.has(at) {
			v.urlPath(at, p)
		}
	}
	if w.Path != "" && (w.StripPrefix != "" || w.AddPrefix != "" || w.Regexp != nil) {
		v.fail(whole, "replaces the whole path, so nothing is left for the other keys; keep either")
	}
	if prefix, _, _ := strings.Cut(r.Path, "*"); strings.HasPrefix(prefix, "/") && w.StripPrefix != "" &&
		!strings.HasPrefix(prefix, w.StripPrefix) && !strings.HasPrefix(w.StripPrefix, prefix) {
		v.fail(strip, "%q is never at the front of what the route matches (%q); write what they share", w.StripPrefix, r.Path)
	}
	if w.Regexp != nil {
		v.regexp(child(child(path, "regexp"), "match"), w.Regexp.Match)
	}
}

// waiting checks limits, and how requests of a route wait and are tried
// again.
func (v checker) waiting(path string, r *Route) {
	timeouts := child(path, "timeouts")
	for key, d := range map[string]Duration{"connect": r.Timeouts.Connect, "queue": r.Timeouts.Queue, "first_byte": r.Timeouts.FirstByte, "idle": r.Timeouts.Idle} {
		if at := child(timeouts, key); v.has(at) {
			v.positive(at, int64(d), "10s")
		}
	}
	priority := child(path, "priority")
	if p := r.Priority; max(p.Default, -p.Default) > p.Max {
		v.fail(v.mentioned(child(priority, "default"), priority), "%d is beyond the highest priority, %d; write %d to %[2]d, or raise max", p.Default, p.Max, -p.Max)
	}
	v.fieldName(child(priority, "header"), r.Priority.Header, "X-Priority")
	deadline := child(path, "deadline")
	v.fieldName(child(deadline, "header"), r.Deadline.Header, "X-Deadline")
	if v.has(deadline) && r.Deadline == (Deadline{}) {
		v.fail(deadline, "sets none; write for example \"30s\" or {header: X-Deadline}")
	}
	if h := r.Heartbeat; h != 0 && h < seconds(1) {
		v.fail(child(path, "heartbeat"), "%s would be more comments than answer; write \"1s\" or more", h)
	}
	if hedge := child(path, "hedge"); r.Hedge != nil {
		v.positive(v.mentioned(child(hedge, "after"), hedge), int64(r.Hedge.After), "500ms")
	}
}

// fieldName checks the name of a header that is read; empty is none.
func (v checker) fieldName(path, name, example string) {
	if name != "" && !isToken(name) {
		v.fail(path, "%q cannot name a header; write for example %s", name, example)
	}
}

// host checks what a route may match; "*.example.com" is the one wildcard.
func (v checker) host(path, host string) {
	name := strings.TrimPrefix(host, "*.")
	switch _, ipErr := netip.ParseAddr(strings.Trim(host, "[]")); {
	case host == "" || host == "*" || ipErr == nil:
	case strings.Contains(name, "://"):
		v.fail(path, "%q is a URL; write the host alone, as in \"api.example.com\"", host)
	case strings.Contains(name, "*"):
		v.fail(path, "%q has a * that is not at its front; write \"*.example.com\" for every name below example.com", host)
	case strings.Contains(name, ":"):
		v.fail(path, "%q has a port; write the host alone, it matches on every port", host)
	case strings.Contains(name, "/"):
		v.fail(path, "%q has a path; write that as the key \"path\"", host)
	case !isHostname(name):
		v.fail(path, "%q is not a host name; write for example \"api.example.com\"", host)
	}
}

func (v checker) routePath(path, pattern string) {
	switch {
	case pattern == "" || pattern == "*":
	case !strings.HasPrefix(pattern, "/"):
		v.fail(path, "%q does not begin with a slash; write %q", pattern, "/"+pattern)
	case strings.Contains(strings.ToUpper(pattern), "%2A"):
		v.fail(path, "%q asks for a literal *, which no route can; let * stand for any text", pattern)
	case strings.ContainsAny(pattern, "?#"):
		v.fail(path, "%q goes beyond the path; routes match without what follows ? or #", pattern)
	case strings.ContainsFunc(pattern, func(c rune) bool { return c <= ' ' || c == 0x7f }):
		v.fail(path, "%q has a space or a control character; write it as %%20 and the like", pattern)
	}
}
