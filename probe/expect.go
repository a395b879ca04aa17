package probe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Expect is what an answer must be; every part must hold. Parts that are left out are not looked at, but a status always is.
type Expect struct {
	Status []int          // one of these; none means 200 to 299
	JSON   map[string]any // fields that the body must have with these values; "a.b" reaches into objects
	Body   string         // text in the body
}

func (e Expect) status(got int) bool {
	if len(e.Status) == 0 {
		return got >= 200 && got < 300
	}
	return slices.Contains(e.Status, got)
}

func (e Expect) statuses() string {
	if len(e.Status) == 0 {
		return "200 to 299"
	}
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(e.Status), "[]"), " ", " or ")
}

// body says what is wrong with a body, "" when nothing is. A body longer than maxBody was cut somewhere after it.
func (e Expect) body(b []byte) string {
	long := len(b) > maxBody
	b = b[:min(len(b), maxBody)]
	if e.Body != "" && !bytes.Contains(b, []byte(e.Body)) {
		if long {
			return fmt.Sprintf("the first %d KiB of the body do not contain %q", maxBody>>10, e.Body)
		}
		return fmt.Sprintf("the body does not contain %q", e.Body)
	}
	if len(e.JSON) == 0 {
		return ""
	}
	if long {
		return fmt.Sprintf("the body is longer than %d KiB, too long to be read as JSON", maxBody>>10)
	}
	doc, err := parse(b)
	if err != nil {
		return "the body is not JSON: " + err.Error()
	}
	for _, name := range slices.Sorted(maps.Keys(e.JSON)) {
		got, ok := lookup(doc, name)
		if !ok {
			return fmt.Sprintf("%s is missing, expected %s", name, show(e.JSON[name]))
		}
		if !same(got, e.JSON[name]) {
			return fmt.Sprintf("%s is %s, expected %s", name, show(got), show(e.JSON[name]))
		}
	}
	return ""
}

// failing are the named fields that a body has with another value than they must have, and in words. One that is not there is not known to
// fail: what the whole answer must be is for Expect to say.
func (c Check) failing(body []byte) (names []string, words string) {
	if len(c.Named) == 0 || len(body) > maxBody {
		return nil, ""
	}
	doc, err := parse(body)
	if err != nil {
		return nil, ""
	}
	for _, name := range slices.Sorted(maps.Keys(c.Named)) {
		if got, ok := lookup(doc, name); ok && !same(got, c.Named[name]) {
			names = append(names, name)
			words += fmt.Sprintf(", %s is %s", name, show(got))
		}
	}
	return names, strings.TrimPrefix(words, ", ")
}

// parse reads one JSON value and keeps its numbers as they were written.
func parse(b []byte) (doc any, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("it is empty")
		}
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the value")
	}
	return doc, nil
}

// lookup finds "a.b" in doc: the key as it stands first, then the object a's b.
func lookup(doc any, path string) (any, bool) {
	m, ok := doc.(map[string]any)
	if !ok {
		return nil, false
	}
	if v, ok := m[path]; ok {
		return v, true
	}
	for i := range len(path) {
		if path[i] != '.' {
			continue
		}
		if got, ok := lookup(m[path[:i]], path[i+1:]); ok {
			return got, true
		}
	}
	return nil, false
}

// same compares a value of an answer with one of the config, as JSON does: 1 is 1.0, but "1" is not 1.
func same(got, want any) bool {
	b, err := json.Marshal(want)
	if err != nil {
		return false
	}
	w, err := parse(b)
	return err == nil && equal(got, w)
}

// equal compares two values that parse has read.
func equal(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		b, ok := b.(json.Number)
		return ok && equalNumbers(a, b)
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, equal)
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, equal)
	}
	switch b.(type) {
	case []any, map[string]any: // == would panic on two of them, and no null, bool or string equals one
		return false
	}
	return a == b
}

// equalNumbers compares integers exactly, a float64 would take 2^53 and 2^53+1 for one, and all others as float64.
func equalNumbers(a, b json.Number) bool {
	i, errI := a.Int64()
	j, errJ := b.Int64()
	if errI == nil && errJ == nil {
		return i == j
	}
	x, errX := a.Float64()
	y, errY := b.Float64()
	return a == b || errX == nil && errY == nil && x == y
}

// show writes a value as JSON, cut to what fits a line.
func show(v any) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return cut(strings.TrimSuffix(b.String(), "\n"), 100)
}

// cut shortens s to n bytes, not in the midst of a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
