package route

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// rule is one route below its host.
type rule struct {
	path   pattern
	shape  shape
	cond   *conditions // nil when there are none
	weight int         // conditions, in number
	index  int
}

// shape says how a path is compared.
type shape uint8

const (
	whole  shape = iota // "/v1"
	prefix              // "/v1*", or any path when the pattern's lead is empty
	folder              // "/v1/*": the prefix, or "/v1" itself, as people expect of a folder
	glob                // "/v1/*/x"
)

func newRule(r Route, index int) (rule, error) {
	path := r.Path
	if path == "" || path == "*" || path == "/*" {
		path = "*"
	} else if path[0] != '/' {
		return rule{}, fmt.Errorf("path %q: a path begins with /", r.Path)
	}
	if i := strings.IndexFunc(path, func(c rune) bool { return c <= ' ' || c == 0x7f || c == '?' || c == '#' }); i >= 0 {
		return rule{}, fmt.Errorf("path %q: %q may not stand in it; write it percent-encoded, and conditions on the query under query",
			r.Path, path[i])
	}
	// What requests are brought to before they are compared, patterns are too; no * comes or goes by that, as %2A in a pattern
	// would be a * that is meant literally.
	if strings.Contains(strings.ToUpper(path), "%2A") {
		return rule{}, fmt.Errorf("path %q: a literal * cannot be matched", r.Path)
	}
	if path != "*" {
		path = string(clean(nil, []byte(path), true))
	}
	ru := rule{path: newPattern(path), index: index}
	switch {
	case !ru.path.open:
		ru.shape = whole
	case !ru.path.prefix():
		ru.shape = glob
	case strings.HasSuffix(ru.path.lead, "/"):
		ru.shape = folder
	default:
		ru.shape = prefix
	}
	var err error
	ru.cond, ru.weight, err = newConditions(r)
	return ru, err
}

func (ru *rule) fitsPath(path []byte) bool {
	lead := ru.path.lead
	if len(path) < len(lead) {
		return ru.shape == folder && len(path) == len(lead)-1 && string(path) == lead[:len(path)]
	}
	return string(path[:len(lead)]) == lead &&
		(ru.shape == prefix || ru.shape == folder || len(path) == len(lead) && ru.shape == whole || ru.shape == glob && ru.path.fits(path))
}

// precedence sorts the rule first that is to be tried first.
func precedence(a, b rule) int {
	return cmp.Or(
		cmp.Compare(btoi(a.path.open), btoi(b.path.open)),
		cmp.Compare(len(b.path.lead), len(a.path.lead)),
		cmp.Compare(b.path.size(), a.path.size()),
		cmp.Compare(b.weight, a.weight),
		cmp.Compare(a.index, b.index),
	)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// fewRules is up to how many rules trying one after the other is faster than looking them up.
const fewRules = 8

// paths holds the rules of one host. Few are tried in their order of precedence. Many are looked up: exact paths in a map, and the
// others by what stands before their first *, in a sorted list where each entry knows the longest other entry that it begins with.
// The entries that a path begins with are then the greatest entry not after the path, and its chain of parents, longest first.
type paths struct {
	few   []rule
	exact map[string][]rule
	leads []entry // nil when few is in use
}

type entry struct {
	lead   string
	parent int // -1 at the top
	rules  []rule
}

func newPaths(rs []rule) paths {
	slices.SortFunc(rs, precedence)
	if len(rs) <= fewRules {
		return paths{few: rs}
	}
	p := paths{exact: map[string][]rule{}, leads: []entry{}}
	byLead := map[string][]rule{}
	for _, ru := range rs {
		switch lead := ru.path.lead; ru.shape {
		case whole:
			p.exact[lead] = append(p.exact[lead], ru)
		case folder:
			// Under "/v1", as it takes that too. It stays behind what begins with "/v1/" and before "/v1*".
			lead = lead[:len(lead)-1]
			byLead[lead] = append(byLead[lead], ru)
		default:
			byLead[lead] = append(byLead[lead], ru)
		}
	}
	for lead, rs := range byLead {
		p.leads = append(p.leads, entry{lead, -1, rs})
	}
	slices.SortFunc(p.leads, func(a, b entry) int { return cmp.Compare(a.lead, b.lead) })
	for i := range p.leads {
		j := i - 1
		for j >= 0 && !strings.HasPrefix(p.leads[i].lead, p.leads[j].lead) {
			j = p.leads[j].parent
		}
		p.leads[i].parent = j
	}
	return p
}

func (p *paths) match(r *Request, path []byte, allowed *[]string) int {
	if p.leads == nil {
		return match(p.few, r, path, allowed)
	}
	if rs, ok := p.exact[string(path)]; ok {
		if i := match(rs, r, path, allowed); i >= 0 {
			return i
		}
	}
	lo, hi := 0, len(p.leads) // the entry sought is before lo
	for lo < hi {
		if mid := int(uint(lo+hi) / 2); p.leads[mid].lead <= string(path) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	for e := lo - 1; e >= 0; e = p.leads[e].parent {
		if lead := p.leads[e].lead; len(path) < len(lead) || string(path[:len(lead)]) != lead {
			continue
		}
		if i := match(p.leads[e].rules, r, path, allowed); i >= 0 {
			return i
		}
	}
	return -1
}

func match(rs []rule, r *Request, path []byte, allowed *[]string) int {
	for i := range rs {
		ru := &rs[i]
		if !ru.fitsPath(path) {
			continue
		}
		if ru.cond == nil || ru.cond.fit(r) {
			return ru.index
		}
		if allowed != nil && ru.cond.fitButMethod(r) {
			*allowed = append(*allowed, ru.cond.methods...)
		}
	}
	return -1
}
