// Package route sends a request to a pool by its attributes. A Table is built once and never changes, so that it
// may be swapped whole and read by anyone.
package route

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Route is one rule. An empty Host or Path matches all.
type Route struct {
	Host string // "api.example.com", or "*.example.com" for every name below it
	Path string // "/exact", "/prefix/*", or "*"
	Pool string
}

// Table is an immutable set of routes. The most specific route wins: an exact host over a wildcard (longer ones first)
// over any host; then an exact path over a prefix (longer ones first) over any path; equal ones in their order.
type Table struct {
	exact map[string][]rule // by host in lower case
	wild  []wildcard        // longest suffix first
	any   []rule
}

type wildcard struct {
	suffix string // ".example.com"
	rules  []rule
}

type rule struct {
	path   string // without the *
	prefix bool
	index  int
}

// New builds a table. Match returns indexes into routes.
func New(routes []Route) (*Table, error) {
	t := &Table{exact: map[string][]rule{}}
	wild := map[string][]rule{}
	for i, r := range routes {
		ru, err := newRule(r.Path, i)
		if err != nil {
			return nil, err
		}
		host := strings.ToLower(r.Host)
		switch {
		case host == "" || host == "*":
			t.any = append(t.any, ru)
		case strings.HasPrefix(host, "*."):
			wild[host[1:]] = append(wild[host[1:]], ru)
		case strings.Contains(host, "*"):
			return nil, fmt.Errorf("host %q: * may only stand at the front, as in *.example.com", r.Host)
		default:
			t.exact[host] = append(t.exact[host], ru)
		}
	}
	for s, rs := range wild {
		t.wild = append(t.wild, wildcard{s, rs})
	}
	slices.SortFunc(t.wild, func(a, b wildcard) int { return cmp.Compare(len(b.suffix), len(a.suffix)) })
	order(t.any)
	for _, rs := range t.exact {
		order(rs)
	}
	for _, w := range t.wild {
		order(w.rules)
	}
	return t, nil
}

func newRule(path string, index int) (rule, error) {
	switch {
	case path == "" || path == "*" || path == "/*":
		return rule{path: "", prefix: true, index: index}, nil
	case !strings.HasPrefix(path, "/"):
		return rule{}, fmt.Errorf("path %q: a path begins with /", path)
	case strings.HasSuffix(path, "*"):
		p := strings.TrimSuffix(path, "*")
		if strings.Contains(p, "*") {
			break
		}
		return rule{path: p, prefix: true, index: index}, nil
	case !strings.Contains(path, "*"):
		return rule{path: path, index: index}, nil
	}
	return rule{}, fmt.Errorf("path %q: * may only stand at the end, as in /v1/*", path)
}

func order(rs []rule) {
	slices.SortStableFunc(rs, func(a, b rule) int {
		if a.prefix != b.prefix {
			if b.prefix {
				return -1
			}
			return 1
		}
		return cmp.Compare(len(b.path), len(a.path))
	})
}

// Match returns the index of the route for a host (a port is ignored, letter case too) and a path without its query, or -1.
// It does not allocate for hosts in lower case.
func (t *Table) Match(host, path []byte) int {
	if len(t.exact) > 0 || len(t.wild) > 0 {
		h := hostname(host)
		if rs, ok := t.exact[string(h)]; ok {
			if i := match(rs, path); i >= 0 {
				return i
			}
		}
		for _, w := range t.wild {
			if n := len(h) - len(w.suffix); n > 0 && string(h[n:]) == w.suffix {
				if i := match(w.rules, path); i >= 0 {
					return i
				}
			}
		}
	}
	return match(t.any, path)
}

func match(rs []rule, path []byte) int {
	for _, r := range rs {
		if r.prefix {
			// "/v1/*" also matches "/v1" itself, as people expect of a folder.
			if len(path) >= len(r.path) && string(path[:len(r.path)]) == r.path ||
				len(path) == len(r.path)-1 && r.path[len(path)] == '/' && string(path) == r.path[:len(path)] {
				return r.index
			}
		} else if string(path) == r.path {
			return r.index
		}
	}
	return -1
}

// hostname strips the port and a trailing dot, and lowers the case when it has to.
func hostname(host []byte) []byte {
	if n := len(host); n > 0 && host[0] != '[' {
		for i := n - 1; i >= 0; i-- {
			if host[i] == ':' {
				host = host[:i]
				break
			}
		}
	} else if i := strings.IndexByte(string(host), ']'); i >= 0 {
		host = host[:i+1]
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
