package route

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Redirect answers that what was asked for is elsewhere.
type Redirect struct {
	Status int // 301, 302, 303, 307 or 308
	to     Template
}

// NewRedirect compiles a redirect to a URL with placeholders, such as "https://{host}{uri}" or "/new{path}". Status 0 means 302.
func NewRedirect(to string, status int) (*Redirect, error) {
	if status == 0 {
		status = 302
	}
	if !slices.Contains([]int{301, 302, 303, 307, 308}, status) {
		return nil, fmt.Errorf("redirect with status %d: there are 301, 302, 303, 307 and 308", status)
	}
	t, err := ParseTemplate(to)
	if err != nil {
		return nil, fmt.Errorf("redirect to %q: %w", to, err)
	}
	if t.uses(targetName) {
		return nil, fmt.Errorf("redirect to %q: no target is known for a redirect", to)
	}
	if err := checkURI(strings.NewReplacer("[", "", "]", "", "#", "").Replace(t.literals())); err != nil {
		return nil, fmt.Errorf("redirect to %q: %w", to, err)
	}
	if err := t.checkHost(); err != nil {
		return nil, fmt.Errorf("redirect to %q: %w", to, err)
	}
	return &Redirect{Status: status, to: t}, nil
}

// checkHost sees to it that what a client sends can never become, or extend, the host that a template leads to, but for {host}.
func (t *Template) checkHost() error {
	if len(t.parts) == 0 {
		return fmt.Errorf("give a path or a URL")
	}
	rest := t.parts
	switch first := rest[0]; {
	case first.of == path || first.of == uri || first.of == literal && strings.HasPrefix(first.text, "/"):
		if strings.HasPrefix(first.text, "//") {
			return fmt.Errorf("write the scheme too, as in https:%s", first.text)
		}
		return nil
	case first.of == scheme && len(rest) > 1 && rest[1].of == literal && strings.HasPrefix(rest[1].text, "://"):
		rest = append([]part{{literal, rest[1].text[len("://"):]}}, rest[2:]...)
	case first.of == literal && (strings.HasPrefix(first.text, "https://") || strings.HasPrefix(first.text, "http://")):
		rest = append([]part{{literal, first.text[strings.Index(first.text, "//")+2:]}}, rest[1:]...)
	default:
		return fmt.Errorf("it must begin with /, {uri}, {path}, {scheme}://, https:// or http://")
	}
	if rest[0].text == "" {
		rest = rest[1:]
	}
	if len(rest) == 0 || rest[0].of != host && rest[0].of != literal || strings.HasPrefix(rest[0].text, "/") {
		return fmt.Errorf("a host must follow ://, for example {host}")
	}
	for _, p := range rest {
		switch {
		case p.of == path || p.of == uri || p.of == literal && strings.ContainsAny(p.text, "/?#"):
			return nil
		case p.of != host && p.of != literal:
			return fmt.Errorf("nothing but {host} may say where it leads; put a / before the other placeholders")
		}
	}
	return nil
}

// Append appends the value of Location. A path that begins with several slashes is given one, as browsers take the others for
// another host.
func (d *Redirect) Append(dst []byte, v *Vars) []byte {
	from := len(dst)
	dst = d.to.appendURI(dst, v)
	slashes := 0
	for slashes < len(dst)-from && dst[from+slashes] == '/' {
		slashes++
	}
	if slashes > 1 {
		dst = append(dst[:from+1], dst[from+slashes:]...)
	}
	return dst
}

// Header is one header line.
type Header struct {
	Name, Value string
}

// Respond is a fixed answer.
type Respond struct {
	Status  int // 200 to 599; 0 means 200
	Headers []Header
	Body    []byte
}

// Answer is a compiled Respond.
type Answer struct {
	Status  int
	Headers []Header // Content-Length, and Content-Type where there is a body, included
	Body    []byte   // left out when the request's method is HEAD
	Lines   []byte   // Headers as lines, each with its CRLF
}

// Compile checks a fixed answer and adds Content-Length and, when it is missing, Content-Type: JSON when the body begins with a brace
// or bracket, plain text otherwise.
func (r Respond) Compile() (*Answer, error) {
	a := &Answer{Status: r.Status, Headers: slices.Clone(r.Headers), Body: bytes.Clone(r.Body)}
	if a.Status == 0 {
		a.Status = 200
	}
	bodyless := a.Status == 204 || a.Status == 304
	switch {
	case a.Status < 200 || a.Status > 599:
		return nil, fmt.Errorf("respond with status %d: it must be from 200 to 599", a.Status)
	case bodyless && len(a.Body) > 0:
		return nil, fmt.Errorf("respond with status %d: such an answer has no body; remove it or give another status", a.Status)
	}
	typed := false
	for _, h := range a.Headers {
		e := Edit{Op: Add, Name: h.Name, Value: h.Value}
		if err := e.check(strings.ToLower(h.Name), true); err != nil {
			return nil, fmt.Errorf("header %q: %w", h.Name, err)
		}
		typed = typed || strings.EqualFold(h.Name, "content-type")
	}
	if len(a.Body) > 0 && !typed {
		kind := "text/plain; charset=utf-8"
		if b := bytes.TrimLeft(a.Body, " \t\r\n"); len(b) > 0 && (b[0] == '{' || b[0] == '[') {
			kind = "application/json"
		}
		a.Headers = append(a.Headers, Header{"Content-Type", kind})
	}
	if !bodyless {
		a.Headers = append(a.Headers, Header{"Content-Length", strconv.Itoa(len(a.Body))})
	}
	for _, h := range a.Headers {
		a.Lines = append(a.Lines, h.Name+": "+h.Value+"\r\n"...)
	}
	return a, nil
}
