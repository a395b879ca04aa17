package h1

import "bytes"

// field is one header line as offsets into the head: offsets instead of slices keep the garbage collector out of it.
type field struct {
	start, nameEnd     uint32
	valueStart, valEnd uint32
	end                uint32 // after CRLF
	kind               kind
}

// Head is what requests and responses have in common. A head refers to the bytes that it was parsed from; they must
// not change while it is in use. It may be parsed into again and again.
type Head struct {
	Len    int   // bytes of the head with its empty line
	Length int64 // Content-Length, -1 when there is none
	Minor  int   // HTTP/1.Minor
	flags

	buf    []byte
	fields []field
	inline [24]field // so that common heads allocate nothing
}

type flags struct {
	Chunked bool
	Close   bool // the connection ends after this message, by the sender's word or version
	Upgrade bool // an Upgrade header that Connection names

	nominated bool // Connection names headers to be removed
	options   int  // bytes of the values of Connection
	keepAlive bool // Connection: keep-alive was said
	connUp    bool // Connection: upgrade was said
	upgrade   bool // an Upgrade header is there
	h2c       bool // and it asks for HTTP/2, whose requests would pass unread
}

// Bounds on what has to be compared with each other, so that no head is expensive: every header line is looked up in
// Connection. Both are more than anything real has.
const (
	maxFields  = 256
	maxOptions = 256
)

var endOfHead = []byte("\r\n\r\n")

// find finds the end of the head in b, and checks its size.
func (h *Head) find(b []byte, limit int) error {
	i := bytes.Index(b[:min(len(b), limit)], endOfHead)
	if i < 0 {
		if len(b) >= limit {
			return ErrHeadTooBig
		}
		return ErrMore
	}
	h.Len, h.Length, h.buf = i+4, -1, b[:i+4:i+4]
	h.flags = flags{}
	if h.fields == nil {
		h.fields = h.inline[:0]
	}
	h.fields = h.fields[:0]
	return nil
}

// parse reads the header lines from offset i on.
func (h *Head) parse(i int) error {
	b := h.buf
	end := h.Len - 2
	for i < end {
		nl := bytes.IndexByte(b[i:end], '\n')
		if nl < 1 || b[i+nl-1] != '\r' {
			return ErrLineEnd
		}
		line := b[i : i+nl-1]
		if line[0] == ' ' || line[0] == '\t' {
			return ErrFold
		}
		c := 0
		for c < len(line) && class[line[c]]&isToken != 0 {
			c++
		}
		if c == 0 || c == len(line) || line[c] != ':' {
			return ErrName
		}
		if !all(line[c+1:], isValue) {
			return ErrValue
		}
		vs, ve := c+1, len(line)
		for vs < ve && (line[vs] == ' ' || line[vs] == '\t') {
			vs++
		}
		for ve > vs && (line[ve-1] == ' ' || line[ve-1] == '\t') {
			ve--
		}
		f := field{
			start: uint32(i), nameEnd: uint32(i + c), valueStart: uint32(i + vs), valEnd: uint32(i + ve),
			end: uint32(i + nl + 1), kind: kindOf(line[:c]),
		}
		if f.kind != other {
			if err := h.note(f.kind, line[vs:ve]); err != nil {
				return err
			}
		}
		if len(h.fields) == maxFields {
			return ErrHeadTooBig
		}
		h.fields = append(h.fields, f)
		i += nl + 1
	}
	return h.frame()
}

// note takes in the headers that frame the message or concern the connection.
func (h *Head) note(k kind, v []byte) error {
	switch k {
	case kContentLength:
		n, ok := parseLength(v)
		if !ok || h.Length >= 0 {
			return ErrLength
		}
		h.Length = n
	case kTransferEncoding:
		if h.Chunked || !equalFold(v, "chunked") {
			return ErrEncoding
		}
		h.Chunked = true
	case kConnection:
		return h.connection(v)
	case kUpgrade:
		for t := range tokens(v) {
			h.upgrade = true
			h.h2c = h.h2c || equalFold(t, "h2c")
		}
	}
	return nil
}

func (h *Head) connection(v []byte) error {
	if h.options += len(v); h.options > maxOptions {
		return ErrConnection
	}
	for t := range tokens(v) {
		switch {
		case equalFold(t, "close"):
			h.Close = true
		case equalFold(t, "keep-alive"):
			h.keepAlive = true
		case equalFold(t, "upgrade"):
			h.connUp = true
		case !all(t, isToken):
			return ErrConnection
		default:
			switch kindOf(t) {
			case kContentLength, kTransferEncoding, kHost, kExpect, kForwardedFor, kForwarded:
				return ErrConnection
			case other, kTrailer, kVia, kContentType:
				h.nominated = true
			}
		}
	}
	return nil
}

// tokens yields the non-empty, trimmed elements of a comma-separated list.
func tokens(v []byte) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(v) > 0 {
			t := v
			if i := bytes.IndexByte(v, ','); i >= 0 {
				t, v = v[:i], v[i+1:]
			} else {
				v = nil
			}
			if t = trim(t); len(t) > 0 && !yield(t) {
				return
			}
		}
	}
}

// frame checks what only the whole head can tell.
func (h *Head) frame() error {
	if h.Chunked && h.Length >= 0 {
		return ErrBoth
	}
	if h.Chunked && h.Minor == 0 {
		return ErrEncoding
	}
	if h.Minor == 0 && !h.keepAlive {
		h.Close = true
	}
	h.Upgrade = h.upgrade && h.connUp && !h.h2c && h.Minor == 1
	return nil
}

func parseLength(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// Get returns the value of the first header of that name, given in lower case; nil when there is none.
func (h *Head) Get(lower string) []byte {
	for i := range h.fields {
		if f := &h.fields[i]; equalFold(h.buf[f.start:f.nameEnd], lower) {
			return h.buf[f.valueStart:f.valEnd]
		}
	}
	return nil
}

// All returns the values of all headers of that name, given in lower case, joined by commas; nil when there is none. It allocates when
// there are several.
func (h *Head) All(lower string) []byte {
	var v []byte
	n := 0
	for i := range h.fields {
		f := &h.fields[i]
		if !equalFold(h.buf[f.start:f.nameEnd], lower) {
			continue
		}
		if n++; n == 1 {
			v = h.buf[f.valueStart:f.valEnd:f.valEnd]
		} else {
			v = append(append(v, ", "...), h.buf[f.valueStart:f.valEnd]...)
		}
	}
	return v
}

func (h *Head) first(k kind) []byte {
	for i := range h.fields {
		if f := &h.fields[i]; f.kind == k {
			return h.buf[f.valueStart:f.valEnd]
		}
	}
	return nil
}

// drop says whether a header concerns only the connection it came on and so is not forwarded.
func (h *Head) drop(f *field) bool {
	switch f.kind {
	case kConnection, kKeepAlive, kProxyConnection, kTE, kUpgrade, kHTTP2Settings:
		return true
	case other, kTrailer, kVia, kContentType:
		return h.nominated && h.names(h.buf[f.start:f.nameEnd])
	}
	return false
}

// names says whether Connection names a header.
func (h *Head) names(name []byte) bool {
	for i := range h.fields {
		f := &h.fields[i]
		if f.kind != kConnection {
			continue
		}
		for t := range tokens(h.buf[f.valueStart:f.valEnd]) {
			if bytes.EqualFold(t, name) {
				return true
			}
		}
	}
	return false
}

// appendValues appends all values of a header, each followed by a comma, so that one more can follow.
func (h *Head) appendValues(out []byte, k kind) []byte {
	for i := range h.fields {
		if f := &h.fields[i]; f.kind == k && f.valEnd > f.valueStart {
			out = append(append(out, h.buf[f.valueStart:f.valEnd]...), ", "...)
		}
	}
	return out
}

// appendUpgrade appends what a head with Upgrade says to the next connection.
func (h *Head) appendUpgrade(out []byte) []byte {
	out = h.appendValues(append(out, "Connection: upgrade\r\nUpgrade: "...), kUpgrade)
	return append(out[:len(out)-len(", ")], "\r\n"...)
}

// appendFields appends all header lines but those that skip names, in runs as long as possible.
func (h *Head) appendFields(out []byte, skip func(*field) bool) []byte {
	from := uint32(0)
	if len(h.fields) > 0 {
		from = h.fields[0].start
	}
	to := from
	for i := range h.fields {
		f := &h.fields[i]
		if skip(f) {
			out = append(out, h.buf[from:to]...)
			from = f.end
		}
		to = f.end
	}
	return append(out, h.buf[from:to]...)
}
