// Package route decides what becomes of a request by its attributes: which route it takes, how its target and headers are
// rewritten, where it is redirected and which arm of a split it falls to. What it builds never changes, so that it may be
// swapped whole and read by anyone; what runs per request allocates nothing unless its comment says so.
package route

import (
	"fmt"
	"slices"
	"strings"
)

// Route is one rule. Its zero value takes every request; whatever is set must fit.
type Route struct {
	Host string // "api.example.com", or "*.example.com" for every name below it; a port is ignored, letter case too
	// Path is "/exact", "/prefix/*" (which takes "/prefix" too), or a pattern with any number of * anywhere, each of
	// which stands for any run of bytes, slashes included.
	Path    string
	Methods []string    // in capitals; GET takes HEAD too
	Headers []Condition // names in any case
	Query   []Condition
	Cookies []Condition
	Pool    string // for whoever reads the table; matching ignores it
}

// Request is what routes ask about. Nothing of it is kept.
type Request struct {
	Method []byte
	Host   []byte
	Path   []byte // as sent, without the query
	Query  []byte // without the ?
	// Header finds headers; nil has none. Only routes with conditions on headers or cookies call it. Of several headers of one
	// name the first counts.
	Header Headers
}

// Headers finds the value of a header by its name in lower case; nil when there is none. *h1.Request does.
type Headers interface {
	Get(lower string) []byte
}

// Table is an immutable set of routes. The most specific route that fits wins: an exact host over a wildcard (longer ones
// first) over any host; then an exact path over a pattern; of two patterns the one with more bytes before its first *, then the one
// with more bytes in all, over any path; then the one with more conditions (all methods together count as one); equal ones in
// their order.
//
// Paths are compared in a normal form (see clean), so that "/x/../admin", "//admin" and "/%61dmin" take the routes of "/admin".
type Table struct {
	hosts   bool             // some route asks for a host
	literal bool             // some route asks for a path
	methods bool             // some route asks for a method
	exact   map[string]paths // by host in lower case
	wild    map[string]paths // by suffix: ".example.com"
	any     paths
	rules   []hostRule // in the order of New, for Reasons
}

// hostRule is a rule with the host it belongs to: "", "name" or ".suffix".
type hostRule struct {
	host string
	rule
}

// New builds a table. Match returns indexes into routes.
func New(routes []Route) (*Table, error) {
	t := &Table{exact: map[string]paths{}, wild: map[string]paths{}}
	exact, wild, anyHost := map[string][]rule{}, map[string][]rule{}, []rule(nil)
	for i, r := range routes {
		ru, err := newRule(r, i)
		if err != nil {
			return nil, err
		}
		t.methods = t.methods || len(r.Methods) > 0
		t.literal = t.literal || ru.path.lead != ""
		host := strings.ToLower(r.Host)
		if host != "*." {
			host = strings.TrimSuffix(host, ".")
		}
		if strings.Contains(host, ":") && host[0] != '[' {
			host = "[" + host + "]" // an IPv6 address, as requests write it
		}
		switch {
		case host == "" || host == "*":
			host = ""
			anyHost = append(anyHost, ru)
		case len(host) > 2 && strings.HasPrefix(host, "*.") && !strings.Contains(host[1:], "*"):
			host = host[1:]
			wild[host] = append(wild[host], ru)
		case strings.Contains(host, "*"):
			return nil, fmt.Errorf("host %q: * may only stand at the front, as in *.example.com", r.Host)
		default:
			exact[host] = append(exact[host], ru)
		}
		t.rules = append(t.rules, hostRule{host, ru})
	}
	t.hosts = len(exact)+len(wild) > 0
	t.any = newPaths(anyHost)
	for h, rs := range exact {
		t.exact[h] = newPaths(rs)
	}
	for h, rs := range wild {
		t.wild[h] = newPaths(rs)
	}
	return t, nil
}

// Match returns the index of the route that r takes, or -1. It allocates only for hosts with capitals, for long paths that are not
// in normal form, and for conditions on percent-encoded query parameters.
func (t *Table) Match(r *Request) int {
	if t.literal && !isClean(r.Path) {
		return t.matchUnclean(r, nil)
	}
	return t.match(r, r.Path, nil)
}

// matchUnclean is apart, so that only it pays for the buffer.
func (t *Table) matchUnclean(r *Request, allowed *[]string) int {
	var buf [256]byte
	return t.match(r, clean(buf[:0], r.Path, true), allowed)
}

// match finds the route for a path in normal form. With allowed it also collects the methods of the routes that it passes
// over only for the request's method.
func (t *Table) match(r *Request, path []byte, allowed *[]string) int {
	if t.hosts {
		h := hostname(r.Host)
		if p, ok := t.exact[string(h)]; ok {
			if i := p.match(r, path, allowed); i >= 0 {
				return i
			}
		}
		if len(t.wild) > 0 {
			for n := 1; n < len(h); n++ { // from the longest suffix to the shortest
				if h[n] != '.' {
					continue
				}
				if p, ok := t.wild[string(h[n:])]; ok {
					if i := p.match(r, path, allowed); i >= 0 {
						return i
					}
				}
			}
		}
	}
	return t.any.match(r, path, allowed)
}

// Miss is what a request that took no route can be told.
type Miss struct {
	// Allowed is set when routes fit but for their methods, which it lists sorted: the answer is 405, and Allow lists them.
	Allowed []string
}

// Allow is the value of an Allow header.
func (m Miss) Allow() string { return strings.Join(m.Allowed, ", ") }

// Explain says why r, for which Match returned -1, took no route: whether only its method did not fit.
func (t *Table) Explain(r *Request) Miss {
	var m Miss
	if !t.methods {
		return m
	}
	if isClean(r.Path) {
		t.match(r, r.Path, &m.Allowed)
	} else {
		t.matchUnclean(r, &m.Allowed)
	}
	slices.Sort(m.Allowed)
	m.Allowed = slices.Compact(m.Allowed)
	return m
}

// Reason is why one route did not take a request.
type Reason struct {
	Route int    // the index
	Why   string // the first thing that did not fit, "" when the route fits
}

// Reasons goes through all routes, for people who debug: it takes time and memory in proportion to the table.
func (t *Table) Reasons(r *Request) []Reason {
	h, path := string(hostname(r.Host)), clean(nil, r.Path, true)
	out := make([]Reason, len(t.rules))
	for i := range t.rules {
		out[i] = Reason{i, t.rules[i].why(r, h, path)}
	}
	return out
}

func (hr *hostRule) why(r *Request, host string, path []byte) string {
	switch {
	case hr.host == "" || host == hr.host:
	case hr.host[0] != '.':
		return "the host is not " + hr.host
	case !strings.HasSuffix(host, hr.host) || host == hr.host:
		return "the host is not *" + hr.host
	}
	if !hr.fitsPath(path) {
		return "the path is not " + hr.path.String()
	}
	if hr.cond == nil {
		return ""
	}
	return hr.cond.why(r)
}

// hostname strips the port and a trailing dot, and lowers the case when it has to.
func hostname(host []byte) []byte {
	for i := len(host) - 1; i >= 0 && host[i] != ']'; i-- {
		if host[i] == ':' {
			host = host[:i]
			break
		}
	}
	if n := len(host); n > 0 && host[n-1] == '.' {
		host = host[:n-1]
	}
	for _, c := range host {
		if 'A' <= c && c <= 'Z' {
			return []byte(strings.ToLower(string(host)))
		}
	}
	return host
}
