package route

import (
	"bytes"
	"strings"
)

// pattern is a string with any number of *, each of which stands for any run of bytes.
type pattern struct {
	lead   string   // up to the first *
	open   bool     // there is a *
	middle [][]byte // between two *, none of them empty
	tail   []byte   // after the last *
}

func newPattern(s string) pattern {
	parts := strings.Split(s, "*")
	p := pattern{lead: parts[0]}
	if len(parts) == 1 {
		return p
	}
	p.open, p.tail = true, []byte(parts[len(parts)-1])
	for _, m := range parts[1 : len(parts)-1] {
		if m != "" {
			p.middle = append(p.middle, []byte(m))
		}
	}
	return p
}

// String is the pattern as it was written, runs of * being one.
func (p *pattern) String() string {
	if !p.open {
		return p.lead
	}
	var s strings.Builder
	s.WriteString(p.lead + "*")
	for _, m := range p.middle {
		s.WriteString(string(m) + "*")
	}
	return s.String() + string(p.tail)
}

// prefix says whether the only * is at the end.
func (p *pattern) prefix() bool { return p.open && len(p.middle) == 0 && len(p.tail) == 0 }

// size counts the bytes that are given.
func (p *pattern) size() int {
	n := len(p.lead) + len(p.tail)
	for _, m := range p.middle {
		n += len(m)
	}
	return n
}

// fits takes each middle part where it comes first, which leaves the most for the others: no backtracking is needed.
func (p *pattern) fits(b []byte) bool {
	if len(b) < len(p.lead) || string(b[:len(p.lead)]) != p.lead {
		return false
	}
	b = b[len(p.lead):]
	if !p.open {
		return len(b) == 0
	}
	for _, m := range p.middle {
		i := bytes.Index(b, m)
		if i < 0 {
			return false
		}
		b = b[i+len(m):]
	}
	return bytes.HasSuffix(b, p.tail)
}
