package telemetry

import (
	"strconv"
	"time"
	"unicode/utf8"
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
		l.b = appendJSON(l.b, s)
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
		l.b = append(appendHex(append(l.b, '"'), a.Trace.ID[:]), '"')
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
	l.b = append(appendDigits(l.b, t.Nanosecond()/1000, 100_000), `Z"`...)
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
	l.b = appendDigits(append(l.b, `" `...), status, 100)
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
	const hex = "0123456789ABCDEF"
	from := 0
	for i, c := range s {
		if c >= 0x20 && c < 0x7f && c != '"' && c != '\\' {
			continue
		}
		dst = append(append(dst, s[from:i]...), '\\', 'x', hex[c>>4], hex[c&15])
		from = i + 1
	}
	return append(dst, s[from:]...)
}

// plain marks the bytes that stand for themselves in a JSON string.
var plain = func() (t [256]bool) {
	for c := 0x20; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// appendJSON appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func appendJSON[T []byte | string](dst []byte, s T) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		size := 1
		if c >= utf8.RuneSelf {
			var r rune
			r, size = decodeRune(s, i)
			if r != utf8.RuneError && r != '\u2028' && r != '\u2029' || r == utf8.RuneError && size > 1 {
				i += size
				continue
			}
			dst = append(dst, s[from:i]...)
			switch r {
			case '\u2028': // these two end a line in JavaScript
				dst = append(dst, `\u2028`...)
			case '\u2029':
				dst = append(dst, `\u2029`...)
			default:
				dst = append(dst, `\ufffd`...)
			}
		} else {
			dst = append(dst, s[from:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\b':
				dst = append(dst, '\\', 'b')
			case '\f':
				dst = append(dst, '\\', 'f')
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
		}
		i += size
		from = i
	}
	return append(append(dst, s[from:]...), '"')
}

// decodeRune decodes the rune at i; the copy of at most four bytes lets one function serve bytes and strings.
func decodeRune[T []byte | string](s T, i int) (rune, int) {
	var b [utf8.UTFMax]byte
	n := copy(b[:], s[i:])
	return utf8.DecodeRune(b[:n])
}

// appendMillis appends d in milliseconds with three digits behind the point. Less than nothing is nothing.
func appendMillis(dst []byte, d time.Duration) []byte {
	us := max(d.Microseconds(), 0)
	dst = strconv.AppendInt(dst, us/1000, 10)
	return appendDigits(append(dst, '.'), int(us%1000), 100)
}

// appendDigits appends n with leading zeros; unit is the weight of its first digit.
func appendDigits(dst []byte, n, unit int) []byte {
	for ; unit > 0; unit /= 10 {
		dst = append(dst, byte('0'+n/unit%10))
	}
	return dst
}

func appendHex(dst, src []byte) []byte {
	const hex = "0123456789abcdef"
	for _, c := range src {
		dst = append(dst, hex[c>>4], hex[c&15])
	}
	return dst
}
