package route

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Rewrite says how a request's target is changed before it is sent on. The steps are taken in the order of the fields; the
// query stays unless Path or Replace has one. Its zero value changes nothing.
type Rewrite struct {
	// StripPrefix is cut off the path where it ends at a slash or the end: "/api" makes "/api/x" to "/x" and leaves "/apix".
	StripPrefix string
	// Path takes the path's place: "/predict", "/predict?v=2" for another query too, "/predict?" for none.
	Path string
	// Regexp is looked for in the path, and whatever fits is replaced by Replace, in which $1 or ${1} stands for the first group and
	// $$ for a $. Go's syntax (RE2); anchor with ^ and $ to replace the whole. A ? in Replace begins another query.
	Regexp, Replace string
	// AddPrefix is put before the path.
	AddPrefix string
}

// ErrRewrite says that a rewrite made a target that may not be sent.
var ErrRewrite = errors.New("the rewritten path does not begin with /, or has a space in it; let the rewrite's replacement begin with a slash")

// Rewriter is a compiled Rewrite. A nil *Rewriter changes nothing.
type Rewriter struct {
	strip, add string // without a slash at the end
	path       string // "" for none
	re         *regexp.Regexp
	replace    []piece
	query      *string // instead of the request's
}

// piece is a part of a replacement: a text or, when it is at least 0, a group.
type piece struct {
	text  string
	group int
}

// Compile checks a rewrite; it returns nil when there is nothing to do.
func (w Rewrite) Compile() (*Rewriter, error) {
	if w == (Rewrite{}) {
		return nil, nil
	}
	c := &Rewriter{}
	for _, p := range []struct {
		key, value string
		to         *string
	}{{"strip_prefix", w.StripPrefix, &c.strip}, {"add_prefix", w.AddPrefix, &c.add}, {"path", w.Path, &c.path}} {
		if p.value == "" {
			continue
		}
		if p.value[0] != '/' {
			return nil, fmt.Errorf("%s %q: it must begin with /", p.key, p.value)
		}
		if err := checkURI(p.value); err != nil {
			return nil, fmt.Errorf("%s %q: %w", p.key, p.value, err)
		}
		if p.key != "path" && strings.Contains(p.value, "?") {
			return nil, fmt.Errorf("%s %q: it may have no query", p.key, p.value)
		}
		*p.to = p.value
	}
	c.strip, c.add = strings.TrimRight(c.strip, "/"), strings.TrimRight(c.add, "/")
	if path, q, ok := strings.Cut(c.path, "?"); ok {
		c.path, c.query = path, &q
	}
	switch {
	case w.Path != "" && (w.StripPrefix != "" || w.Regexp != ""):
		return nil, fmt.Errorf("path %q replaces the whole path, so strip_prefix and regexp have nothing to do; leave them out", w.Path)
	case w.Regexp == "" && w.Replace != "":
		return nil, fmt.Errorf("replace %q: there is no regexp whose finds it could replace", w.Replace)
	case w.Regexp == "":
		return c, nil
	}
	return c, c.compileRegexp(w)
}

func (c *Rewriter) compileRegexp(w Rewrite) (err error) {
	if c.re, err = regexp.Compile(w.Regexp); err != nil {
		return fmt.Errorf("regexp: %w", err)
	}
	replace, q, ok := strings.Cut(w.Replace, "?")
	if ok {
		if strings.Contains(q, "$") {
			return fmt.Errorf("replace %q: groups may only be used before the ?", w.Replace)
		}
		c.query = &q
	}
	if err := checkURI(strings.ReplaceAll(strings.ReplaceAll(w.Replace, "{", ""), "}", "")); err != nil {
		return fmt.Errorf("replace %q: %w", w.Replace, err)
	}
	if c.replace, err = pieces(replace, c.re); err != nil {
		return fmt.Errorf("replace %q: %w", w.Replace, err)
	}
	return nil
}

func checkURI(s string) error {
	for i := range len(s) {
		if !inURI(s[i]) {
			return fmt.Errorf("%q may not stand in a path; write it percent-encoded", s[i])
		}
	}
	return nil
}

// pieces splits a replacement at its groups.
func pieces(s string, re *regexp.Regexp) ([]piece, error) {
	var out []piece
	for s != "" {
		i := strings.IndexByte(s, '$')
		if i < 0 {
			i = len(s)
		}
		if strings.ContainsAny(s[:i], "{}") {
			return nil, errors.New("a brace may only stand around a group, as in ${1}")
		}
		out = append(out, piece{s[:i], -1})
		if s = s[i:]; s == "" {
			break
		}
		if s = s[1:]; strings.HasPrefix(s, "$") {
			out, s = append(out, piece{"$", -1}), s[1:]
			continue
		}
		var name string
		if rest, ok := strings.CutPrefix(s, "{"); ok {
			if name, s, ok = strings.Cut(rest, "}"); !ok {
				return nil, errors.New("a ${ is not closed by a }")
			}
		} else {
			name = s[:len(s)-len(strings.TrimLeft(s, "0123456789"))]
			s = s[len(name):]
		}
		g, err := strconv.Atoi(name)
		if err != nil {
			g = re.SubexpIndex(name)
		}
		if g < 0 || g > re.NumSubexp() {
			return nil, fmt.Errorf("the regexp has no group %q; it has %d, and a $ that is meant is written $$", name, re.NumSubexp())
		}
		out = append(out, piece{group: g})
	}
	return out, nil
}

// Append appends the new target in origin-form for a request's path and query (without the ?), which are as h1 parsed them. It
// allocates for regexps only. With an error dst is returned as it was.
func (c *Rewriter) Append(dst, path, query []byte) ([]byte, error) {
	start := len(dst)
	if c == nil {
		return appendQuery(append(dst, path...), query), nil
	}
	if len(path) == 0 || path[0] != '/' {
		return appendQuery(append(dst, path...), query), nil // "*" of OPTIONS is no path
	}
	dst = append(dst, c.add...)
	from := len(dst)
	switch {
	case c.path != "":
		dst = append(dst, c.path...)
	case isClean(path):
		dst = append(dst, path...)
	default:
		dst = clean(dst, path, false) // what the route was found by, so that a prefix is found too
	}
	if c.strip != "" {
		dst = strip(dst, from, c.strip)
	}
	if c.re != nil {
		dst = c.replaced(dst, from)
	}
	if len(dst) == from {
		dst = append(dst, '/')
	}
	if dst[from] != '/' {
		return dst[:start], ErrRewrite
	}
	if c.query == nil {
		dst = appendQuery(dst, query)
	} else if *c.query != "" {
		dst = append(append(dst, '?'), *c.query...)
	}
	for _, b := range dst[start:] {
		if b <= ' ' || b == 0x7f || b == '#' { // no parser let such a request in, but whatever does must not split another
			return dst[:start], ErrRewrite
		}
	}
	return dst, nil
}

func appendQuery(dst, query []byte) []byte {
	if len(query) == 0 {
		return dst
	}
	return append(append(dst, '?'), query...)
}

// strip cuts a prefix off dst[from:].
func strip(dst []byte, from int, prefix string) []byte {
	rest, ok := bytes.CutPrefix(dst[from:], []byte(prefix))
	if !ok || len(rest) > 0 && rest[0] != '/' {
		return dst
	}
	return append(dst[:from], rest...)
}

// replaced replaces in dst[from:] whatever the regexp finds.
func (c *Rewriter) replaced(dst []byte, from int) []byte {
	found := c.re.FindAllSubmatchIndex(dst[from:], -1)
	if found == nil {
		return dst
	}
	old, at := slices.Clone(dst[from:]), 0
	dst = dst[:from]
	for _, m := range found {
		dst = append(dst, old[at:m[0]]...)
		for _, p := range c.replace {
			if p.group < 0 {
				dst = append(dst, p.text...)
			} else if m[2*p.group] >= 0 {
				dst = append(dst, old[m[2*p.group]:m[2*p.group+1]]...)
			}
		}
		at = m[1]
	}
	return append(dst, old[at:]...)
}
