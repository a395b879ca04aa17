package telemetry

import (
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"time"
	"unicode/utf8"
	"unsafe"
)

// field is one field of a JSON line. Names never change their meaning: what reads them is not ours.
type field uint

const (
	fieldTime field = iota
	fieldStatus
	fieldDuration
	fieldQueue
	fieldConnect
	fieldFirstByte
	fieldClient
	fieldMethod
	fieldHost
	fieldPath
	fieldQuery
	fieldProtocol
	fieldTLS
	fieldRoute
	fieldPool
	fieldTarget
	fieldBytesIn
	fieldBytesOut
	fieldAttempts
	fieldRetries
	fieldUserAgent
	fieldReferer
	fieldRequestID
	fieldTraceID
	fieldTenant
	fieldRefused
	fieldError
	fieldCutAfter
	fieldClientLeft
	nFields
)

var fieldNames = [nFields]string{
	"time", "status", "duration_ms", "queue_ms", "connect_ms", "first_byte_ms", "client", "method", "host", "path", "query",
	"protocol", "tls", "route", "pool", "target", "bytes_in", "bytes_out", "attempts", "retries", "user_agent", "referer",
	"request_id", "trace_id", "tenant", "refused", "error", "cut_after", "client_left",
}

// AccessFields are the names of the fields of a JSON line, in their order.
func AccessFields() []string { return fieldNames[:] }

// keys are the names as they stand in a line.
var keys = func() (out [nFields]string) {
	for i, name := range fieldNames {
		out[i] = `,"` + name + `":`
	}
	return out
}()

// line is an encoder that appends lines to b.
type line struct {
	b     []byte
	omit  uint64 // a bit for each field that is left out
	query bool

	second int64  // that stamp shows, seconds since the epoch
	stamp  []byte // a moment without its fraction; making it costs more than the rest of the line
}

func (l *line) key(f field) bool {
	if l.omit&(1<<f) != 0 {
		return false
	}
	l.b = append(l.b, keys[f]...)
	return true
}

func (l *line) number(f field, n int64) {
	if l.key(f) {
		l.b = strconv.AppendInt(l.b, n, 10)
	}
}

// millis leaves out a part that did not happen.
func (l *line) millis(f field, d time.Duration) {
	if d > 0 && l.key(f) {
		l.b = appendMillis(l.b, d)
	}
}

func (l *line) text(f field, s string) {
	if s != "" && l.key(f) {
		l.b = appendJSON(l.b, unsafe.Slice(unsafe.StringData(s), len(s))) // it is only read
	}
}

func (l *line) bytes(f field, s []byte) {
	if len(s) > 0 && l.key(f) {
		l.b = appendJSON(l.b, s)
	}
}

// json appends a as one line.
func (l *line) json(a *Access) {
	begin := len(l.b)
	l.moment(fieldTime, a.Start)
	l.number(fieldStatus, int64(a.Status))
	if l.key(fieldDuration) {
		l.b = appendMillis(l.b, a.Total)
	}
	l.millis(fieldQueue, a.Queue)
	l.millis(fieldConnect, a.Connect)
	l.millis(fieldFirstByte, a.FirstByte)
	if a.Client.IsValid() && l.key(fieldClient) {
		l.b = append(a.Client.AppendTo(append(l.b, '"')), '"')
	}
	l.bytes(fieldMethod, a.Method)
	l.bytes(fieldHost, a.Host)
	l.bytes(fieldPath, a.Path)
	if l.query {
		l.bytes(fieldQuery, a.Query)
	}
	l.text(fieldProtocol, a.Protocol)
	l.text(fieldTLS, a.TLS)
	l.text(fieldRoute, a.Route)
	l.text(fieldPool, a.Pool)
	l.text(fieldTarget, a.Target)
	l.number(fieldBytesIn, a.BytesIn)
	l.number(fieldBytesOut, a.BytesOut)
	l.number(fieldAttempts, int64(a.Attempts))
	if a.Retries > 0 {
		l.number(fieldRetries, int64(a.Retries))
	}
	l.bytes(fieldUserAgent, a.UserAgent)
	l.bytes(fieldReferer, a.Referer)
	l.bytes(fieldRequestID, a.RequestID)
	if a.Trace.Valid() && l.key(fieldTraceID) {
		l.b = append(hex.AppendEncode(append(l.b, '"'), a.Trace.ID[:]), '"')
	}
	l.bytes(fieldTenant, a.Tenant)
	l.text(fieldRefused, a.Refused)
	l.text(fieldError, a.Error)
	if a.Cut {
		l.number(fieldCutAfter, a.BytesOut)
	}
	if a.ClientLeft && l.key(fieldClientLeft) {
		l.b = append(l.b, "true"...)
	}
	if len(l.b) == begin {
		l.b = append(l.b, '{')
	}
	l.b[begin] = '{' // in place of the first comma
	l.b = append(l.b, "}\n"...)
}

// moment writes RFC 3339 in UTC with microseconds: always of the same length, so that text sorts as time does.
func (l *line) moment(f field, t time.Time) {
	if !l.key(f) {
		return
	}
	if s := t.Unix(); s != l.second || l.stamp == nil {
		l.second, l.stamp = s, t.UTC().AppendFormat(l.stamp[:0], "2006-01-02T15:04:05.")
	}
	l.b = append(append(l.b, '"'), l.stamp...)
	us := uint(t.Nanosecond() / 1000)
	l.b = append(append3(append3(l.b, us/1000), us%1000), `Z"`...)
}

// combined appends a in the format that nginx and Apache call combined; the time is that of the end, as there.
func (l *line) combined(a *Access) {
	if a.Client.IsValid() {
		l.b = a.Client.AppendTo(l.b)
	} else {
		l.b = append(l.b, '-')
	}
	l.b = append(l.b, " - - ["...)
	end := a.Start.Add(a.Total)
	if s := end.Unix(); s != l.second || l.stamp == nil {
		l.second, l.stamp = s, end.Local().AppendFormat(l.stamp[:0], "02/Jan/2006:15:04:05 -0700")
	}
	l.b = append(append(l.b, l.stamp...), `] "`...)
	if len(a.Method) == 0 {
		l.b = append(l.b, '-')
	} else {
		l.b = appendCombined(l.b, a.Method)
		l.b = appendCombined(append(l.b, ' '), a.Path)
		if l.query && len(a.Query) > 0 {
			l.b = appendCombined(append(l.b, '?'), a.Query)
		}
		l.b = append(append(l.b, ' '), a.Protocol...)
	}
	status := a.Status
	if status == 0 && a.ClientLeft {
		status = 499 // nginx's word for it
	}
	l.b = append3(append(l.b, `" `...), uint(status)%1000)
	l.b = strconv.AppendInt(append(l.b, ' '), a.BytesOut, 10)
	l.b = append(l.b, ` "`...)
	l.b = appendOrDash(l.b, a.Referer)
	l.b = append(l.b, `" "`...)
	l.b = appendOrDash(l.b, a.UserAgent)
	l.b = append(l.b, "\"\n"...)
}

func appendOrDash(dst, s []byte) []byte {
	if len(s) == 0 {
		return append(dst, '-')
	}
	return appendCombined(dst, s)
}

// appendCombined escapes as nginx does: quotes, backslashes and what is not printable ASCII become \xXX.
func appendCombined(dst, s []byte) []byte {
	const digits = "0123456789ABCDEF"
	from := 0
	for i, c := range s {
		if c >= 0x20 && c < 0x7f && c != '"' && c != '\\' {
			continue
		}
		dst = append(append(dst, s[from:i]...), '\\', 'x', digits[c>>4], digits[c&15])
		from = i + 1
	}
	return append(dst, s[from:]...)
}

// appendJSON appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func appendJSON(dst, s []byte) []byte {
	n := plain(s)
	dst = append(append(dst, '"'), s[:n]...)
	for s = s[n:]; len(s) > 0; s = s[n:] {
		dst, n = appendEscape(dst, s)
		more := plain(s[n:])
		dst = append(dst, s[n:n+more]...)
		n += more
	}
	return append(dst, '"')
}

// plain is how many bytes at the start of s stand for themselves in a JSON string.
func plain(s []byte) int {
	n := 0
	for n+8 <= len(s) && allPlain(s[n:]) {
		n += 8
	}
	if len(s) >= 8 && n+8 > len(s) && allPlain(s[len(s)-8:]) {
		return len(s)
	}
	for n < len(s) && s[n] >= 0x20 && s[n] < utf8.RuneSelf && s[n] != '"' && s[n] != '\\' {
		n++
	}
	return n
}

// allPlain looks at the first eight bytes of s at once, as nearly all are plain: the high bits of the sum tell control
// characters, quotes, backslashes and what is not ASCII. A borrow can only come from a byte that is itself one of these.
func allPlain(s []byte) bool {
	const each = 0x0101010101010101
	x := binary.LittleEndian.Uint64(s)
	return (x|(x-each*0x20)|((x^each*'"')-each)|((x^each*'\\')-each))&(each*0x80) == 0
}

// appendEscape appends the first character of s, which is not plain, and says how many bytes it took.
func appendEscape(dst, s []byte) ([]byte, int) {
	const digits = "0123456789abcdef"
	switch c := s[0]; {
	case c == '"', c == '\\':
		return append(dst, '\\', c), 1
	case c == '\b':
		return append(dst, `\b`...), 1
	case c == '\f':
		return append(dst, `\f`...), 1
	case c == '\n':
		return append(dst, `\n`...), 1
	case c == '\r':
		return append(dst, `\r`...), 1
	case c == '\t':
		return append(dst, `\t`...), 1
	case c < utf8.RuneSelf:
		return append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15]), 1
	}
	r, n := utf8.DecodeRune(s)
	switch {
	case r == utf8.RuneError && n == 1:
		return append(dst, `\ufffd`...), 1
	case r == '\u2028': // this and the next end a line in JavaScript
		return append(dst, `\u2028`...), n
	case r == '\u2029':
		return append(dst, `\u2029`...), n
	}
	return append(dst, s[:n]...), n
}

// appendMillis appends d in milliseconds with three digits behind the point. Less than nothing is nothing.
func appendMillis(dst []byte, d time.Duration) []byte {
	us := max(d.Microseconds(), 0)
	dst = strconv.AppendInt(dst, us/1000, 10)
	return append3(append(dst, '.'), uint(us%1000))
}

// append3 appends n, which is under 1000, as three digits.
func append3(dst []byte, n uint) []byte {
	return append(dst, byte('0'+n/100), byte('0'+n/10%10), byte('0'+n%10))
}
