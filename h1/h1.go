// Package h1 is the grammar of HTTP/1.1 (RFC 9112) over byte slices: it parses heads, tracks where bodies end, and
// writes the heads that a proxy forwards. It does no I/O and allocates nothing per message, so that a blocked goroutine and an
// event loop can both drive it.
//
// It is strict. What two parsers could read in two ways (two Content-Lengths, Content-Length with Transfer-Encoding, folded
// lines, a bare CR or LF, spaces before a colon, odd chunk sizes) is refused, and nothing that was not parsed is ever forwarded.
package h1

import (
	"bytes"
	"errors"
)

// ErrMore says that the bytes at hand end before the head does.
var ErrMore = errors.New("h1: the head is not complete yet")

// Error is a message that was refused. Status is what a client is answered with when it was the client's message.
type Error struct {
	Status int
	Reason string
}

// Error is the reason.
func (e *Error) Error() string { return "h1: " + e.Reason }

func bad(reason string) *Error { return &Error{400, reason} }

// The refusals. They are values, so that callers can tell them apart and refusing allocates nothing.
var (
	ErrRequestLine = bad("malformed request line")
	ErrForeign     = bad("the first line has neither a target nor a version of HTTP")
	ErrMethod      = bad("the request does not begin with a method and a space")
	ErrTarget      = bad("the request target holds forbidden characters or has no valid form")
	ErrURITooLong  = &Error{414, "the request target is too long"}
	ErrVersion     = &Error{505, "only HTTP/1.0 and HTTP/1.1 are spoken here"}
	ErrConnect     = &Error{501, "CONNECT is not offered"}
	ErrHeadTooBig  = &Error{431, "the header section is too large"}
	ErrLineEnd     = bad("a line does not end in CRLF")
	ErrFold        = bad("folded header lines are refused")
	ErrName        = bad("a header name is not a token followed by a colon")
	ErrValue       = bad("a header value holds control characters")
	ErrHost        = bad("there must be exactly one valid Host header")
	ErrLength      = bad("Content-Length is malformed or given more than once")
	ErrEncoding    = bad("Transfer-Encoding is not exactly chunked, or is given more than once")
	ErrBoth        = bad("Content-Length together with Transfer-Encoding")
	ErrConnection  = bad("Connection is malformed, too long or names a header that frames or routes the message")
	ErrExpect      = &Error{417, "only the expectation 100-continue is met here"}
	ErrChunk       = bad("malformed chunk")
	ErrTrailer     = bad("malformed or forbidden trailer")
	ErrStatusLine  = bad("malformed status line")
	ErrUpgrade     = bad("Upgrade without Connection: upgrade, or with a body")
)

// Limits bounds a head. Zero values mean DefaultLimits.
type Limits struct {
	Head int // bytes of the whole head, the first line included
	URI  int // bytes of the request target
}

// DefaultLimits are generous for cookies and tokens, and far below what hurts.
var DefaultLimits = Limits{Head: 32 << 10, URI: 8 << 10}

// kind names the headers that a proxy has to understand.
type kind uint8

const (
	other kind = iota
	kConnection
	kContentLength
	kTransferEncoding
	kHost
	kUpgrade
	kExpect
	kKeepAlive
	kProxyConnection
	kTE
	kTrailer
	kHTTP2Settings
	kForwardedFor   // X-Forwarded-For
	kForwardedProto // X-Forwarded-Proto
	kForwardedHost  // X-Forwarded-Host
	kForwarded
	kVia
	kContentType
	kClientCert // X-Client-Cert-*: what a proxy says of the client's certificate
)

var kinds = map[string]kind{
	"connection": kConnection, "content-length": kContentLength, "transfer-encoding": kTransferEncoding, "host": kHost,
	"upgrade": kUpgrade, "expect": kExpect, "keep-alive": kKeepAlive, "proxy-connection": kProxyConnection, "te": kTE,
	"trailer": kTrailer, "http2-settings": kHTTP2Settings, "x-forwarded-for": kForwardedFor,
	"x-forwarded-proto": kForwardedProto, "x-forwarded-host": kForwardedHost, "forwarded": kForwarded, "via": kVia,
	"content-type":          kContentType,
	"x-client-cert-subject": kClientCert, "x-client-cert-san": kClientCert, "x-client-cert-fingerprint": kClientCert,
}

// byLength finds the kind of a name without hashing: there are at most a few names of each length.
var byLength = func() (t [26][]namedKind) {
	for n, k := range kinds {
		t[len(n)] = append(t[len(n)], namedKind{n, k})
	}
	return t
}()

type namedKind struct {
	name string
	kind kind
}

func kindOf(name []byte) kind {
	if len(name) < len(byLength) {
		for _, c := range byLength[len(name)] {
			if equalFold(name, c.name) {
				return c.kind
			}
		}
	}
	return other
}

// Bytes by what they may be part of.
const (
	isToken = 1 << iota // RFC 9110 5.6.2
	isValue             // a field value: VCHAR, obs-text, SP, HTAB
	isURI               // a request target: visible ASCII
	isHost              // a name of a host; without %, which some decode and some do not
	isHex
)

var class = func() (t [256]uint8) {
	for c := range 256 {
		if c >= 0x20 && c != 0x7f || c == '\t' {
			t[c] |= isValue
		}
		if c > 0x20 && c < 0x7f && c != '#' {
			t[c] |= isURI
		}
		alnum := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if alnum || c < 0x80 && bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), byte(c)) >= 0 {
			t[c] |= isToken
		}
		if alnum || c < 0x80 && bytes.IndexByte([]byte("-._~!$&'()*+,;="), byte(c)) >= 0 {
			t[c] |= isHost
		}
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' {
			t[c] |= isHex
		}
	}
	return t
}()

func all(b []byte, want uint8) bool {
	for _, c := range b {
		if class[c]&want == 0 {
			return false
		}
	}
	return true
}

// equalFold compares with a lower-case ASCII string.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}
