package trace

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// combinedSource reads access logs as nginx and Apache write them:
//
//	203.0.113.7 - - [10/Oct/2023:13:55:36 +0000] "GET /a HTTP/1.1" 200 2326 "https://from" "agent" 0.123 0.120
//
// The two numbers behind are $request_time and $upstream_response_time, either of which may be missing, or be written as rt=0.123.
type combinedSource struct {
	*lines
	*layout
	ahead []byte

	time, status, bytes, total, service column
	shape                               int // values behind the agent in the first line
}

// isCombined recognises such a line by its time.
func isCombined(line []byte) bool {
	_, rest, ok := bytes.Cut(line, []byte{'['})
	return ok && len(rest) > 21 && rest[2] == '/' && rest[6] == '/' && rest[11] == ':' && bytes.IndexByte(rest, ']') > 0 && bytes.Contains(rest, []byte(`] "`))
}

func (t *Reader) detectCombined(in *lines, lay *layout, first []byte) error {
	t.format = "nginx combined log"
	t.sorted.window = int64(logDisorder)
	s := &combinedSource{lines: in, layout: lay, ahead: first,
		time: column{name: "time", role: roleEnd}, status: column{name: "status", role: roleStatus}, bytes: column{name: "bytes", role: roleBytes},
		total: column{name: "request_time", role: roleTotal, unit: time.Second}, service: column{name: "upstream_response_time", role: roleService, unit: time.Second}}
	t.used = []string{"end=time_local", "method, path=request", "status=status", "bytes=body_bytes_sent"}
	if len(t.o.Columns) > 0 {
		return t.errorf(in.n, "an access log has no columns to name; leave --column out")
	}
	head, err := s.cut(first)
	if err != nil {
		return s.lines.errorf(in.n, "%w", err)
	}
	behind := strings.Fields(string(head.behind))
	s.shape = len(behind)
	switch {
	case len(behind) == 0:
		t.warn(in.n, "the log has the end of each request and not how long it took, so the end is taken as the begin; add $request_time and $upstream_response_time to nginx's log_format to know more")
	case strings.Contains(behind[0], "="):
		t.used = append(t.used, "total=rt or request_time", "service=urt or upstream_response_time")
	case len(behind) == 1:
		t.warn(in.n, "the number after the user agent, %s, is taken as $request_time in seconds, the whole time of the request", clip(behind[0]))
		t.used = append(t.used, "total=request_time")
	default:
		t.warn(in.n, "the numbers after the user agent, %s and %s, are taken as $request_time and $upstream_response_time in seconds", clip(behind[0]), clip(behind[1]))
		t.used = append(t.used, "total=request_time", "service=upstream_response_time")
	}
	t.src = s
	return nil
}

// parts are those of a line.
type parts struct{ time, request, status, bytes, behind []byte }

func (s *combinedSource) cut(line []byte) (p parts, err error) {
	_, rest, _ := bytes.Cut(line, []byte{'['})
	ok := false
	if p.time, rest, ok = bytes.Cut(rest, []byte(`] "`)); !ok {
		return p, fmt.Errorf("no [time] and \"request\" as a combined log has them: %q; mend or remove the line", clip(line))
	}
	if p.request, rest, ok = unquote(rest); !ok {
		return p, fmt.Errorf("the quote of the request does not close: %q; mend or remove the line", clip(line))
	}
	p.status, rest, _ = bytes.Cut(trim(rest), []byte{' '})
	p.bytes, rest, _ = bytes.Cut(trim(rest), []byte{' '})
	if len(p.status) == 0 || len(p.bytes) == 0 {
		return p, fmt.Errorf("no status and size behind the request: %q; mend or remove the line", clip(line))
	}
	for rest = trim(rest); len(rest) > 0 && rest[0] == '"'; rest = trim(rest) { // referer, agent, and what forwarded for
		if _, rest, ok = unquote(rest[1:]); !ok {
			return p, fmt.Errorf("a quote does not close: %q; mend or remove the line", clip(line))
		}
	}
	p.behind = rest
	return p, nil
}

// unquote is what lies before a quote that no backslash escapes, and behind.
func unquote(v []byte) (in, behind []byte, ok bool) {
	for i := 0; i < len(v); i++ {
		switch v[i] {
		case '\\':
			i++
		case '"':
			return v[:i], v[i+1:], true
		}
	}
	return nil, nil, false
}

func (s *combinedSource) next(it *item) error {
	line := s.ahead
	s.ahead = nil
	for len(line) == 0 {
		var err error
		if line, err = s.lines.next(); err != nil {
			return err
		}
		line = trim(line)
	}
	*it = item{Request: Request{Line: int32(s.n)}, hash: sum(line)}
	if err := s.read(it, line); err != nil {
		return s.lines.errorf(s.n, "%w", err)
	}
	return nil
}

func (s *combinedSource) read(it *item, line []byte) error {
	p, err := s.cut(line)
	if err != nil {
		return err
	}
	s.begin()
	if err := s.set(it, &s.time, p.time); err != nil {
		return err
	}
	if string(p.status) != "000" { // no answer was begun
		if err := s.set(it, &s.status, p.status); err != nil {
			return err
		}
	}
	if err := s.set(it, &s.bytes, p.bytes); err != nil {
		return err
	}
	method, rest, _ := bytes.Cut(p.request, []byte{' '})
	if isMethod(method) { // what is none is what a broken client sent
		it.Method = s.intern(method)
		if path, _, ok := cutLast(rest); ok {
			it.Path = s.intern(unescape(path))
		}
	}
	if err := s.times(it, p.behind); err != nil {
		return err
	}
	return s.finish(it)
}

// times reads what stands behind the agent.
func (s *combinedSource) times(it *item, behind []byte) error {
	if len(behind) == 0 && s.shape > 0 {
		return fmt.Errorf("no time behind the user agent, where the first line has one; mend or remove the line")
	}
	for n := 0; len(behind) > 0; n++ {
		c := []*column{&s.total, &s.service, nil}[min(n, 2)]
		if i := bytes.IndexAny(behind, `= "`); i > 0 && behind[i] == '=' {
			switch string(behind[:i]) {
			case "rt", "request_time":
				c = &s.total
			case "urt", "upstream_response_time":
				c = &s.service
			default:
				c = nil
			}
			behind = behind[i+1:]
		}
		var v []byte
		if len(behind) > 0 && behind[0] == '"' {
			var ok bool
			if v, behind, ok = unquote(behind[1:]); !ok {
				return fmt.Errorf("a quote does not close behind the user agent; mend or remove the line")
			}
		} else {
			i := several(behind)
			v, behind = behind[:i], behind[i:]
		}
		behind = trim(behind)
		if c != nil {
			if err := s.set(it, c, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// several is how long the value at the start of v is: up to a space, but nginx writes 0.1, 0.2 and 0.1 : 0.2 when it tried two servers.
func several(v []byte) int {
	for i, b := range v {
		if b == ' ' && (i == 0 || v[i-1] != ',' && v[i-1] != ':' && (i+1 == len(v) || v[i+1] != ':')) {
			return i
		}
	}
	return len(v)
}

func isMethod(v []byte) bool {
	for _, b := range v {
		if b < 'A' || b > 'Z' {
			return false
		}
	}
	return len(v) > 0 && len(v) <= 20
}

// cutLast cuts the protocol off a request's target.
func cutLast(v []byte) (path, protocol []byte, ok bool) {
	i := bytes.LastIndexByte(v, ' ')
	if i < 0 {
		return v, nil, len(v) > 0
	}
	return v[:i], v[i+1:], i > 0
}

// unescape takes nginx's \xXX back.
func unescape(v []byte) []byte {
	if bytes.IndexByte(v, '\\') < 0 {
		return v
	}
	out := make([]byte, 0, len(v))
	for i := 0; i < len(v); i++ {
		if v[i] == '\\' && i+3 < len(v) && v[i+1] == 'x' {
			if n, err := strconv.ParseUint(string(v[i+2:i+4]), 16, 8); err == nil {
				out = append(out, byte(n))
				i += 3
				continue
			}
		}
		out = append(out, v[i])
	}
	return out
}
