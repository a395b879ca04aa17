package route

import (
	"bytes"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strings"
)

// Condition asks for a header, a query parameter or a cookie. With neither Values nor Regexp it asks only that it is there. Of a
// query parameter that is given several times any may fit; its name and value are compared decoded.
type Condition struct {
	Name   string
	Values []string // one must fit: "exact", or with * for any run of bytes, as in "abc*"; letter case counts
	Regexp string   // Go's syntax (RE2); found anywhere in the value, so anchor it with ^ and $
	Not    bool     // the opposite: absent, or another value
}

// String reads as part of a sentence: "x-model is sdxl*".
func (c Condition) String() string {
	s := c.Name
	switch {
	case c.Regexp != "":
		s += " fits " + c.Regexp
	case len(c.Values) > 0:
		s += " is " + strings.Join(c.Values, " or ")
	default:
		s += " is there"
	}
	if c.Not {
		return "not: " + s
	}
	return s
}

// source is where a condition looks.
type source uint8

const (
	header source = iota
	query
	cookie
)

var sourceNames = [...]string{"header", "query parameter", "cookie"}

// conditions are all that a route asks beyond host and path.
type conditions struct {
	methods []string
	tests   []test
}

type test struct {
	of     source
	name   string
	values []pattern
	re     *regexp.Regexp
	not    bool
	text   string // for people
}

// newConditions returns nil when r has no conditions, and how many it has.
func newConditions(r Route) (*conditions, int, error) {
	c := &conditions{}
	weight := 0
	for _, m := range r.Methods {
		if !isToken(m) || strings.ToUpper(m) != m {
			return nil, 0, fmt.Errorf("method %q: write it in capitals, as in GET", m)
		}
		c.methods = append(c.methods, m)
		weight = 1
	}
	if slices.Contains(c.methods, "GET") && !slices.Contains(c.methods, "HEAD") {
		c.methods = append(c.methods, "HEAD")
	}
	for of, list := range [...][]Condition{header: r.Headers, query: r.Query, cookie: r.Cookies} {
		for _, cond := range list {
			t, err := newTest(source(of), cond)
			if err != nil {
				return nil, 0, err
			}
			c.tests = append(c.tests, t)
			weight++
		}
	}
	if weight == 0 {
		return nil, 0, nil
	}
	return c, weight, nil
}

func newTest(of source, c Condition) (test, error) {
	t := test{of: of, name: c.Name, not: c.Not, text: sourceNames[of] + " " + c.String()}
	switch {
	case c.Name == "":
		return t, fmt.Errorf("a condition on a %s has no name", sourceNames[of])
	case of != query && !isToken(c.Name):
		return t, fmt.Errorf("%s %q: the name may not contain spaces, separators or anything but ASCII", sourceNames[of], c.Name)
	case len(c.Values) > 0 && c.Regexp != "":
		return t, fmt.Errorf("%s %s: give values or a regexp, not both", sourceNames[of], c.Name)
	}
	if of == header {
		t.name = strings.ToLower(c.Name)
	}
	for _, v := range c.Values {
		t.values = append(t.values, newPattern(v))
	}
	if c.Regexp != "" {
		re, err := regexp.Compile(c.Regexp)
		if err != nil {
			return t, fmt.Errorf("%s %s: %w", sourceNames[of], c.Name, err)
		}
		t.re = re
	}
	return t, nil
}

func (c *conditions) fit(r *Request) bool { return c.fitMethod(r) && c.fitButMethod(r) }

func (c *conditions) fitMethod(r *Request) bool {
	return len(c.methods) == 0 || slices.Contains(c.methods, string(r.Method))
}

func (c *conditions) fitButMethod(r *Request) bool {
	for i := range c.tests {
		if !c.tests[i].fit(r) {
			return false
		}
	}
	return true
}

// why names the first condition that r does not meet.
func (c *conditions) why(r *Request) string {
	for i := range c.tests {
		if !c.tests[i].fit(r) {
			return "this is not so: " + c.tests[i].text
		}
	}
	if !c.fitMethod(r) {
		return "the method is not " + strings.Join(c.methods, " or ")
	}
	return ""
}

func (t *test) fit(r *Request) bool { return t.found(r) != t.not }

func (t *test) found(r *Request) bool {
	switch {
	case t.of == query:
		return t.inQuery(r.Query)
	case r.Header == nil:
		return false
	case t.of == cookie:
		return t.holds(Cookie(r.Header.Get("cookie"), t.name))
	}
	return t.holds(r.Header.Get(t.name))
}

// holds says whether a value, nil when it is absent, is as asked.
func (t *test) holds(v []byte) bool {
	switch {
	case v == nil:
		return false
	case t.re != nil:
		return t.re.Match(v)
	case len(t.values) == 0:
		return true
	}
	for i := range t.values {
		if t.values[i].fits(v) {
			return true
		}
	}
	return false
}

func (t *test) inQuery(q []byte) bool {
	for name, value := range params(q) {
		if string(decoded(name)) == t.name && t.holds(decoded(value)) {
			return true
		}
	}
	return false
}

// Param returns the value of the first parameter of that name in a query, decoded; nil when there is none. It allocates when name or
// value are percent-encoded.
func Param(query []byte, name string) []byte {
	for n, v := range params(query) {
		if string(decoded(n)) == name {
			return decoded(v)
		}
	}
	return nil
}

// params yields the parameters of a query as sent.
func params(q []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for len(q) > 0 {
			var pair []byte
			pair, q, _ = bytes.Cut(q, []byte{'&'})
			if len(pair) == 0 {
				continue
			}
			name, value, ok := bytes.Cut(pair, []byte{'='})
			if !ok {
				value = pair[len(pair):]
			}
			if !yield(name, value) {
				return
			}
		}
	}
}

// decoded undoes a form's encoding, in which + is a space.
func decoded(b []byte) []byte {
	if bytes.IndexByte(b, '%') < 0 && bytes.IndexByte(b, '+') < 0 {
		return b
	}
	b = bytes.ReplaceAll(b, []byte{'+'}, []byte{' '})
	return unescape(b[:0], b, true)
}

// Cookie returns the value of the first cookie of that name in a Cookie header, without quotes around it; nil when there is none.
func Cookie(header []byte, name string) []byte {
	for len(header) > 0 {
		var pair []byte
		pair, header, _ = bytes.Cut(header, []byte{';'})
		pair = trim(pair)
		if len(pair) > len(name) && pair[len(name)] == '=' && string(pair[:len(name)]) == name {
			v := trim(pair[len(name)+1:])
			if len(v) > 1 && v[0] == '"' && v[len(v)-1] == '"' {
				v = v[1 : len(v)-1]
			}
			return v
		}
	}
	return nil
}

func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// isToken says whether s is a token of RFC 9110 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return s != ""
}
