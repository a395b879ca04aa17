package h1

import "bytes"

// Response is the head of an answer.
type Response struct {
	Head
	Status int
	rest   []byte // from the space after the version to the end of the status line
}

// Parse reads the head at the start of b. ErrMore: read on and call again with all bytes. Any other error is an
// *Error whose reason is worth logging; the client is answered 502.
func (r *Response) Parse(b []byte, l Limits) error {
	if l.Head == 0 {
		l.Head = DefaultLimits.Head
	}
	if err := r.find(b, l.Head); err != nil {
		return err
	}
	nl := bytes.IndexByte(r.buf, '\n')
	// "HTTP/1.1 200" at the least, then a space and a reason or nothing.
	if nl < 13 || r.buf[nl-1] != '\r' || string(r.buf[:7]) != "HTTP/1." || r.buf[8] != ' ' {
		return ErrStatusLine
	}
	if v := r.buf[7]; v != '0' && v != '1' {
		return ErrStatusLine
	}
	r.Minor = int(r.buf[7] - '0')
	r.Status = 0
	for _, c := range r.buf[9:12] {
		if c < '0' || c > '9' {
			return ErrStatusLine
		}
		r.Status = r.Status*10 + int(c-'0')
	}
	if r.Status < 100 || r.Status > 599 || nl > 13 && r.buf[12] != ' ' || !all(r.buf[12:nl-1], isValue) {
		return ErrStatusLine
	}
	r.rest = r.buf[8 : nl+1]
	if err := r.parse(nl + 1); err != nil {
		return err
	}
	if r.Status == 101 && !r.Upgrade {
		return ErrUpgrade
	}
	return nil
}

// Interim says that the final answer is still to come.
func (r *Response) Interim() bool { return r.Status < 200 && r.Status != 101 }

// bodyless says that no body follows, whatever the headers say (RFC 9112 6.3).
func (r *Response) bodyless(toHead bool) bool {
	return toHead || r.Status < 200 || r.Status == 204 || r.Status == 304
}

// UntilClose says that the answer's body ends where its connection does. toHead: it answers a HEAD request.
func (r *Response) UntilClose(toHead bool) bool {
	return !r.bodyless(toHead) && !r.Chunked && r.Length < 0
}

// EventStream says that the answer is a stream of server-sent events.
func (r *Response) EventStream() bool {
	v := r.first(kContentType)
	const sse = "text/event-stream"
	if len(v) < len(sse) || !equalFold(v[:len(sse)], sse) {
		return false
	}
	rest := trim(v[len(sse):])
	return len(rest) == 0 || rest[0] == ';'
}

// Return is what a proxy changes in an answer's head.
type Return struct {
	Last  bool                   // the client's connection ends after this answer
	Via   bool                   // write Via
	Drop  func(name []byte) bool // headers that are not passed on; nil: none
	Extra []byte                 // further lines, each with its CRLF
}

// Append appends the head as it is passed on.
func (r *Response) Append(out []byte, f Return) []byte {
	out = append(out, "HTTP/1.1"...)
	out = append(out, r.rest...)
	unframed := r.Status < 200 || r.Status == 204 // they have no body and must not speak of one (RFC 9112 6.1, RFC 9110 8.6)
	out = r.appendFields(out, func(x *field) bool {
		return r.drop(x) || unframed && (x.kind == kContentLength || x.kind == kTransferEncoding) ||
			f.Drop != nil && f.Drop(r.buf[x.start:x.nameEnd])
	})
	if f.Via {
		out = append(out, "Via: 1.1 weir\r\n"...)
	}
	switch {
	case r.Status == 101:
		out = r.appendUpgrade(out)
	case r.Status < 200:
	case f.Last:
		out = append(out, "Connection: close\r\n"...)
	}
	return append(append(out, f.Extra...), "\r\n"...)
}
