package h1

import "bytes"

// Request is the head of a request.
type Request struct {
	Head
	Method   []byte
	Target   []byte // origin-form, as it is forwarded: path and query
	Path     []byte // without the query
	Host     []byte
	Expect   bool // the client waits for 100 Continue before it sends the body
	IsHead   bool // the method is HEAD: the answer has no body
	absolute bool
}

// Parse reads the head at the start of b. ErrMore: read on and call again with all bytes. Any other error is an
// *Error with the status to answer before the connection is closed.
func (r *Request) Parse(b []byte, l Limits) error {
	if l.Head == 0 {
		l.Head = DefaultLimits.Head
	}
	if l.URI == 0 {
		l.URI = DefaultLimits.URI
	}
	incomplete := r.find(b, l.Head)
	sp, err := begin(b, l.URI)
	if err != nil {
		return err
	}
	head := r.buf
	if incomplete != nil {
		head = b[:min(len(b), l.Head)]
	}
	nl := bytes.IndexByte(head, '\n')
	if nl < 0 {
		return incomplete
	}
	// The request line is judged as soon as it is there: what speaks HTTP/0.9 or ends its lines otherwise will never end a head.
	if head[nl-1] != '\r' {
		return ErrLineEnd
	}
	r.Method = head[:sp]
	err = r.line(head[sp+1:nl-1], l)
	if incomplete != nil && (err == nil || err == ErrVersion) {
		return incomplete // another version may be the preface of HTTP/2, which is known by its end
	}
	if err != nil {
		return err
	}
	if err := r.parse(nl + 1); err != nil {
		return err
	}
	return r.check()
}

// begin returns the length of the method. It refuses what no further byte can mend, the head being complete or not, so
// that a client that speaks another protocol hears at once and nobody waits for the end of an endless target.
func begin(b []byte, uri int) (int, error) {
	sp := 0
	for sp < len(b) && class[b[sp]]&isToken != 0 {
		sp++
	}
	if sp == len(b) {
		return sp, nil
	}
	if sp == 0 || b[sp] != ' ' {
		return 0, ErrMethod
	}
	if rest := b[sp+1:]; len(rest) > uri && !bytes.ContainsAny(rest[:uri+1], " \r\n") {
		return 0, ErrURITooLong
	}
	return sp, nil
}

// isForeign says whether nothing in a first line is of HTTP but its shape: where another protocol is spoken too, who sent it may mean that.
func isForeign(target, version []byte) bool {
	return !bytes.HasPrefix(version, []byte("HTTP")) && bytes.IndexByte(version, ' ') < 0 && target[0] != '/' && target[0] != '*' && !bytes.Contains(target, []byte("://"))
}

// line takes the request line from the target on.
func (r *Request) line(rest []byte, l Limits) error {
	sp := bytes.IndexByte(rest, ' ')
	if sp < 1 {
		return ErrRequestLine
	}
	target, version := rest[:sp], rest[sp+1:]
	if len(target) > l.URI {
		return ErrURITooLong
	}
	if !all(target, isURI) {
		return ErrTarget
	}
	switch string(version) {
	case "HTTP/1.1":
		r.Minor = 1
	case "HTTP/1.0":
		r.Minor = 0
	default:
		if len(version) == 8 && string(version[:5]) == "HTTP/" && version[6] == '.' {
			return ErrVersion
		}
		if isForeign(target, version) {
			return ErrForeign
		}
		return ErrRequestLine
	}
	r.IsHead = string(r.Method) == "HEAD"
	r.Expect, r.absolute, r.Host = false, false, nil
	return r.form(target)
}

// form splits the request target by its form (RFC 9112 3.2).
func (r *Request) form(target []byte) error {
	switch {
	case string(r.Method) == "CONNECT":
		return ErrConnect
	case target[0] == '/':
	case string(target) == "*":
		if string(r.Method) != "OPTIONS" {
			return ErrTarget
		}
	default:
		rest, ok := cutScheme(target)
		if !ok {
			return ErrTarget
		}
		i := bytes.IndexAny(rest, "/?")
		if i < 0 {
			if r.Host, target = rest, slash; string(r.Method) == "OPTIONS" {
				target = star // RFC 9112 3.2.4
			}
		} else if r.Host, target = rest[:i], rest[i:]; target[0] == '?' {
			return ErrTarget // "http://host?query": the path would have to be invented
		}
		if len(r.Host) == 0 || !validHost(r.Host) {
			return ErrTarget
		}
		r.absolute = true
	}
	r.Target, r.Path = target, target
	if before, _, ok := bytes.Cut(target, []byte{'?'}); ok {
		r.Path = before
	}
	return nil
}

var slash, star = []byte("/"), []byte("*")

func cutScheme(b []byte) ([]byte, bool) {
	for _, s := range [...]string{"http://", "https://"} {
		if len(b) > len(s) && equalFold(b[:len(s)], s) {
			return b[len(s):], true
		}
	}
	return nil, false
}

// validHost says whether b is empty or a host with or without a port (RFC 9110 7.2): brackets only around a whole address,
// colons only in them and before the port, which is a number.
func validHost(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	end, inside := 0, b[0] == '['
	for end < len(b) && (class[b[end]]&isHost != 0 || inside && (end == 0 || b[end] == ':')) {
		end++
	}
	if inside && (end < 2 || end == len(b) || b[end] != ']') {
		return false
	} else if inside {
		end++
	}
	if end == 0 || end < len(b) && b[end] != ':' {
		return false
	}
	for _, c := range b[min(end+1, len(b)):] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

func (r *Request) check() error {
	hosts := 0
	for i := range r.fields {
		f := &r.fields[i]
		v := r.buf[f.valueStart:f.valEnd]
		switch f.kind {
		case kHost:
			hosts++
			if !validHost(v) || r.absolute && !bytes.EqualFold(v, r.Host) {
				return ErrHost
			}
			r.Host = v
		case kExpect:
			if !equalFold(v, "100-continue") {
				return ErrExpect
			}
			r.Expect = r.Minor == 1 && (r.Chunked || r.Length > 0)
		}
	}
	if hosts > 1 || hosts == 0 && r.Minor == 1 {
		return ErrHost
	}
	if r.Upgrade && (r.Chunked || r.Length > 0) {
		return ErrUpgrade
	}
	return nil
}

// HasBody says whether a body follows the head.
func (r *Request) HasBody() bool { return r.Chunked || r.Length > 0 }

// Idempotent says whether the method may be sent twice without harm (RFC 9110 9.2.2).
func (r *Request) Idempotent() bool {
	switch string(r.Method) {
	case "GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE":
		return true
	}
	return false
}

// Forward is what a proxy adds to a request.
type Forward struct {
	ClientIP  string // for X-Forwarded-For
	TLS       bool   // X-Forwarded-Proto: https
	Forwarded bool   // also write RFC 7239 Forwarded
	Via       bool   // write Via
	KeepProto bool   // the X-Forwarded-Proto and -Host that came are true, and stay
	KeepCert  bool   // so are the X-Client-Cert-Subject, -SAN and -Fingerprint
	Target    []byte // in place of the request's own, in origin-form; nil: as it came

	Drop  func(name []byte) bool // further headers that are not forwarded, those included that Append would add; nil: none
	Extra []byte                 // further lines, each with its CRLF
}

// Append appends the head as it is forwarded: the connection's own headers are left out, X-Forwarded-For is continued,
// X-Forwarded-Proto and -Host are set anew unless KeepProto says otherwise, X-Client-Cert-* is kept only with KeepCert.
func (r *Request) Append(out []byte, f Forward) []byte {
	out = append(out, r.Method...)
	out = append(out, ' ')
	if f.Target != nil {
		out = append(out, f.Target...)
	} else {
		out = append(out, r.Target...)
	}
	if r.Minor == 0 {
		out = append(out, " HTTP/1.0\r\n"...) // the answer must not be chunked
	} else {
		out = append(out, " HTTP/1.1\r\n"...)
	}
	seen, proto, host := false, false, false
	out = r.appendFields(out, func(x *field) bool {
		switch x.kind {
		case kForwardedFor:
			seen = true
			return true
		case kForwardedProto:
			proto = f.KeepProto
			return !proto
		case kForwardedHost:
			host = f.KeepProto
			return !host
		case kForwarded:
			return f.Forwarded
		case kClientCert:
			if !f.KeepCert {
				return true
			}
		}
		return r.drop(x) || f.Drop != nil && f.Drop(r.buf[x.start:x.nameEnd])
	})
	if r.absolute && r.first(kHost) == nil {
		out = append(append(append(out, "Host: "...), r.Host...), "\r\n"...)
	}
	if !f.drops("X-Forwarded-For") {
		out = append(out, "X-Forwarded-For: "...)
		if seen {
			out = r.appendValues(out, kForwardedFor)
		}
		out = append(append(out, f.ClientIP...), "\r\n"...)
	}
	scheme := "http"
	if f.TLS {
		scheme = "https"
	}
	if !proto && !f.drops("X-Forwarded-Proto") {
		out = append(append(append(out, "X-Forwarded-Proto: "...), scheme...), "\r\n"...)
	}
	if len(r.Host) > 0 && !host && !f.drops("X-Forwarded-Host") {
		out = append(append(append(out, "X-Forwarded-Host: "...), r.Host...), "\r\n"...)
	}
	if f.Forwarded && !f.drops("Forwarded") {
		out = r.appendForwarded(out, f.ClientIP, scheme)
	}
	if f.Via && !f.drops("Via") {
		out = append(out, "Via: 1.1 weir\r\n"...)
	}
	if r.Upgrade {
		out = r.appendUpgrade(out)
	}
	return append(append(out, f.Extra...), "\r\n"...)
}

func (f *Forward) drops(name string) bool { return f.Drop != nil && f.Drop([]byte(name)) }

func (r *Request) appendForwarded(out []byte, ip, proto string) []byte {
	out = append(out, "Forwarded: "...)
	out = r.appendValues(out, kForwarded)
	out = append(out, "for="...)
	if bytes.IndexByte([]byte(ip), ':') >= 0 {
		out = append(append(append(out, `"[`...), ip...), `]"`...) // RFC 7239 6
	} else {
		out = append(out, ip...)
	}
	if len(r.Host) > 0 {
		out = append(append(append(out, `;host="`...), r.Host...), '"')
	}
	return append(append(append(out, ";proto="...), proto...), "\r\n"...)
}

// Move copies the head to buf, which grows as needed, and has the request refer to that from now on: the bytes it was parsed
// from may change then. It returns the copy.
func (r *Request) Move(buf []byte) []byte {
	from := r.buf
	buf = append(buf[:0], from...)
	r.buf = buf
	for _, p := range []*[]byte{&r.Method, &r.Target, &r.Path, &r.Host} {
		*p = rebase(*p, from, buf)
	}
	return buf
}

// rebase returns the part of to that s was of from. What lies elsewhere stays.
func rebase(s, from, to []byte) []byte {
	at := cap(from) - cap(s)
	if len(s) == 0 || at < 0 || at+len(s) > len(from) || &from[at] != &s[0] {
		return s
	}
	return to[at : at+len(s) : len(to)]
}

// Query is the target's query, without the question mark.
func (r *Request) Query() []byte { return r.Target[min(len(r.Path)+1, len(r.Target)):] }
