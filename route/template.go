package route

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Vars are what placeholders stand for. Nothing of it is kept.
type Vars struct {
	Request          // as the client sent it
	ClientIP  string // {client_ip}
	TLS       bool   // {scheme}: https or http
	RequestID []byte // {request_id}
	Target    string // {target}: host and port; only known for what is sent to a target or came from one
}

// Template is a text with placeholders: {client_ip}, {host} (without the port, in lower case), {method}, {path}, {query}, {uri}
// (path and query), {scheme}, {request_id}, {target} and {header.NAME}. What is unknown is empty. "{{" stands for "{", and so does
// a "{" that no placeholder could begin with, as in JSON.
type Template struct {
	parts []part
}

type part struct {
	of   placeholder
	text string // of a literal, or a header's name in lower case
}

type placeholder uint8

const (
	literal placeholder = iota
	clientIP
	host
	method
	path
	queryText
	uri
	scheme
	requestID
	targetName
	headerValue
)

var placeholders = map[string]placeholder{
	"client_ip": clientIP, "host": host, "method": method, "path": path, "query": queryText, "uri": uri, "scheme": scheme,
	"request_id": requestID, "target": targetName,
}

// ParseTemplate splits a text at its placeholders.
func ParseTemplate(s string) (Template, error) {
	var t Template
	text := ""
	for s != "" {
		before, after, ok := strings.Cut(s, "{")
		if !ok {
			text += s
			break
		}
		text, s = text+before, after
		if strings.HasPrefix(s, "{") {
			text, s = text+"{", s[1:]
			continue
		}
		name := s[:len(s)-len(strings.TrimLeft(s, placeholderBytes))]
		if name == "" || !strings.HasPrefix(s[len(name):], "}") {
			text += "{"
			continue
		}
		p, err := newPart(name)
		if err != nil {
			return Template{}, err
		}
		if text != "" {
			t.parts = append(t.parts, part{literal, text})
		}
		t.parts = append(t.parts, p)
		text, s = "", s[len(name)+1:]
	}
	if text != "" {
		t.parts = append(t.parts, part{literal, text})
	}
	return t, nil
}

// placeholderBytes may stand between the braces of a placeholder.
const placeholderBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"

func newPart(name string) (part, error) {
	if h, ok := strings.CutPrefix(name, "header."); ok && isToken(h) {
		return part{headerValue, strings.ToLower(h)}, nil
	}
	if of, ok := placeholders[name]; ok {
		return part{of: of}, nil
	}
	return part{}, fmt.Errorf("there is no placeholder {%s}; there are {client_ip}, {host}, {method}, {path}, {query}, {uri}, {scheme}, "+
		"{request_id}, {target} and {header.NAME}; write {{ for a brace that is meant", name)
}

// uses says whether one of the placeholders occurs.
func (t *Template) uses(of ...placeholder) bool {
	for _, p := range t.parts {
		if slices.Contains(of, p.of) {
			return true
		}
	}
	return false
}

// literals joins what is not a placeholder.
func (t *Template) literals() string {
	var s strings.Builder
	for _, p := range t.parts {
		if p.of == literal {
			s.WriteString(p.text)
		}
	}
	return s.String()
}

// Append appends the text for use in a header line: control characters in what placeholders stand for are left out, so that
// nothing that came from outside can end the line.
func (t *Template) Append(dst []byte, v *Vars) []byte {
	for i := range t.parts {
		p := &t.parts[i]
		if p.of == literal {
			dst = append(dst, p.text...)
			continue
		}
		from := len(dst)
		dst = p.append(dst, v)
		dst = dst[:from+len(printable(dst[from:]))]
	}
	return dst
}

// appendURI appends the text for use in a URI: bytes that may not stand in one are percent-encoded.
func (t *Template) appendURI(dst []byte, v *Vars) []byte {
	for i := range t.parts {
		p := &t.parts[i]
		if p.of == literal {
			dst = append(dst, p.text...)
			continue
		}
		if (p.of == path || p.of == uri) && (len(v.Path) == 0 || v.Path[0] != '/') {
			dst = append(dst, '/') // "*", and never a way to extend the host that stands before
			continue
		}
		from := len(dst)
		dst = p.append(dst, v)
		if p.of == host {
			dst = encode(dst, from, inHost)
		} else {
			dst = encode(dst, from, inURI)
		}
	}
	return dst
}

func (p *part) append(dst []byte, v *Vars) []byte {
	switch p.of {
	case clientIP:
		return append(dst, v.ClientIP...)
	case host:
		return append(dst, hostname(v.Host)...)
	case method:
		return append(dst, v.Method...)
	case path:
		return append(dst, v.Path...)
	case queryText:
		return append(dst, v.Query...)
	case uri:
		dst = append(dst, v.Path...)
		if len(v.Query) > 0 {
			dst = append(append(dst, '?'), v.Query...)
		}
	case scheme:
		if v.TLS {
			return append(dst, "https"...)
		}
		return append(dst, "http"...)
	case requestID:
		return append(dst, v.RequestID...)
	case targetName:
		return append(dst, v.Target...)
	case headerValue:
		if v.Header != nil {
			return append(dst, v.Header.Get(p.text)...)
		}
	}
	return dst
}

// printable removes in place what may not stand in a field value (RFC 9110 5.5).
func printable(b []byte) []byte {
	i := bytes.IndexFunc(b, unprintable)
	if i < 0 {
		return b
	}
	out := b[:i]
	for _, c := range b[i:] {
		if !unprintable(rune(c)) {
			out = append(out, c)
		}
	}
	return out
}

func unprintable(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }

// encode percent-encodes in dst, from there on, what is not allowed. A % is: what comes from a request is encoded already.
func encode(dst []byte, from int, allowed func(byte) bool) []byte {
	r, more := len(dst)-1, 0
	for _, c := range dst[from:] {
		if !allowed(c) {
			more += 2
		}
	}
	if more == 0 {
		return dst
	}
	dst = slices.Grow(dst, more)[:len(dst)+more]
	for w := len(dst) - 1; r >= from; r-- {
		if c := dst[r]; allowed(c) {
			dst[w] = c
			w--
		} else {
			dst[w-2], dst[w-1], dst[w] = '%', "0123456789ABCDEF"[c>>4], "0123456789ABCDEF"[c&15]
			w -= 3
		}
	}
	return dst
}

// inURI says whether a byte may stand in a URI after its host (RFC 3986 3.3, 3.4).
func inURI(c byte) bool { return unreserved(c) || strings.IndexByte("!$&'()*+,;=:@/?%", c) >= 0 }

// inHost says whether a byte may stand in a host with or without a port (RFC 3986 3.2.2).
func inHost(c byte) bool { return unreserved(c) || strings.IndexByte("!$&'()*+,;=:[]%", c) >= 0 }
