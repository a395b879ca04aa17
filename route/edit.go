package route

import (
	"fmt"
	"strings"
)

// Op is what an Edit does.
type Op uint8

// The edits of a header.
const (
	Set    Op = iota // this value and no other
	Add              // one more line
	Remove           // all lines; a name may end in * to stand for all that begin so
)

// Edit changes one header.
type Edit struct {
	Op    Op
	Name  string
	Value string // a Template; unused by Remove
}

// Edits changes the headers of a message on its way. A nil *Edits changes nothing.
type Edits struct {
	drop  []string // in lower case: what is not passed on as it came
	begin []string // likewise, all that begin so
	lines []line
}

type line struct {
	text  string // "Name: "
	name  string // "Name"
	set   bool
	value Template
}

// framing headers belong to the connection: whoever could change them could confuse two parsers about where a message ends.
var framing = []string{
	"connection", "content-length", "transfer-encoding", "upgrade", "te", "trailer", "keep-alive", "proxy-connection",
	"http2-settings", "expect",
}

// NewRequestEdits compiles edits of requests. Host may only be set.
func NewRequestEdits(list []Edit) (*Edits, error) { return newEdits(list, false) }

// NewResponseEdits compiles edits of answers.
func NewResponseEdits(list []Edit) (*Edits, error) { return newEdits(list, true) }

func newEdits(list []Edit, response bool) (*Edits, error) {
	if len(list) == 0 {
		return nil, nil
	}
	e := &Edits{}
	set := map[string]bool{}
	for _, ed := range list {
		lower := strings.ToLower(ed.Name)
		if err := ed.check(lower, response); err != nil {
			return nil, fmt.Errorf("header %q: %w", ed.Name, err)
		}
		if ed.Op == Remove {
			if begin, ok := strings.CutSuffix(lower, "*"); ok {
				e.begin = append(e.begin, begin)
			} else {
				e.drop = append(e.drop, lower)
			}
			continue
		}
		if ed.Op == Set {
			if set[lower] {
				return nil, fmt.Errorf("header %q: it is set twice; set it once, or add the second value", ed.Name)
			}
			set[lower] = true
			e.drop = append(e.drop, lower)
		}
		t, err := ParseTemplate(ed.Value)
		if err != nil {
			return nil, fmt.Errorf("header %q: %w", ed.Name, err)
		}
		if lower == "host" && !t.isHost() {
			return nil, fmt.Errorf("header %q: %q is not a host; write a name, a name with a port, {host} or {target}", ed.Name, ed.Value)
		}
		e.lines = append(e.lines, line{ed.Name + ": ", ed.Name, ed.Op == Set, t})
	}
	return e, nil
}

func (ed *Edit) check(lower string, response bool) error {
	name := lower
	if ed.Op == Remove {
		name = strings.TrimSuffix(lower, "*")
		if name == "" {
			return fmt.Errorf("not all headers can be removed; name what they begin with, as in x-internal-*")
		}
		if strings.HasSuffix(lower, "*") && len(name) < 2 {
			return fmt.Errorf("too much would be removed; give more letters before the *")
		}
	}
	if !isToken(name) || strings.Contains(name, "*") {
		return fmt.Errorf("this is not a header's name; it is made of letters, digits and -")
	}
	for _, f := range framing {
		if name == f || lower != name && strings.HasPrefix(f, name) {
			return fmt.Errorf("%s frames the message or concerns its connection, and is Weir's to write", f)
		}
	}
	if host := name == "host" || lower != name && strings.HasPrefix("host", name); host && (response || ed.Op != Set) {
		return fmt.Errorf("host can only be set, and only on requests")
	}
	for i := range len(ed.Value) {
		if unprintable(rune(ed.Value[i])) {
			return fmt.Errorf("its value has a line end or another control character at byte %d", i)
		}
	}
	if strings.Trim(ed.Value, " \t") != ed.Value {
		return fmt.Errorf("its value begins or ends with a space")
	}
	return nil
}

// isHost says whether a template always makes a host.
func (t *Template) isHost() bool {
	for _, p := range t.parts {
		switch p.of {
		case host, targetName:
		case literal:
			for i := range len(p.text) {
				if !inHost(p.text[i]) {
					return false
				}
			}
		default:
			return false
		}
	}
	return len(t.parts) > 0
}

// Drops says whether a header of that name, in any case, is not passed on as it came.
func (e *Edits) Drops(name []byte) bool {
	if e == nil {
		return false
	}
	for _, d := range e.drop {
		if len(d) == len(name) && foldPrefix(name, d) {
			return true
		}
	}
	for _, b := range e.begin {
		if foldPrefix(name, b) {
			return true
		}
	}
	return false
}

// foldPrefix says whether b begins with a lower-case string, in any case.
func foldPrefix(b []byte, lower string) bool {
	if len(b) < len(lower) {
		return false
	}
	for i := range len(lower) {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// Append appends the header lines that are new, each with its CRLF.
func (e *Edits) Append(dst []byte, v *Vars) []byte {
	if e == nil {
		return dst
	}
	for i := range e.lines {
		l := &e.lines[i]
		dst = append(dst, l.text...)
		dst = l.value.Append(dst, v)
		dst = append(dst, "\r\n"...)
	}
	return dst
}

// Apply changes headers that are held as net/http holds them, by canonical name; a Host that is set is returned, as it is held
// elsewhere there.
func (e *Edits) Apply(headers map[string][]string, v *Vars) (host string) {
	if e == nil {
		return ""
	}
	for name := range headers {
		if e.Drops([]byte(name)) {
			delete(headers, name)
		}
	}
	for i := range e.lines {
		l := &e.lines[i]
		value := string(l.value.Append(nil, v))
		if name := canonical(l.name); name == "Host" {
			host = value
		} else {
			headers[name] = append(headers[name], value)
		}
	}
	return host
}

// canonical is net/textproto's form of a header's name.
func canonical(name string) string {
	b := []byte(strings.ToLower(name))
	for i := range b {
		if (i == 0 || b[i-1] == '-') && 'a' <= b[i] && b[i] <= 'z' {
			b[i] -= 'a' - 'A'
		}
	}
	return string(b)
}
