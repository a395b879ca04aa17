package telemetry

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"time"
)

// Access is what is known of one request when it has ended: a line of the access log, and a span. It lives in the memory of its
// connection and is used again for the next request, so that filling it allocates nothing.
//
// What comes out of the request's head is given as bytes, and those must stay as they are until the request ends: [Access.Keep]
// copies them. What has nothing to say stays zero.
type Access struct {
	Start     time.Time     // the head of the request was there
	Queue     time.Duration // from Start to the slot
	Connect   time.Duration // to open a connection to the target; 0 when one was there already
	FirstByte time.Duration // from the slot to the head of the answer, failed attempts and Connect included; 0: there was none
	Total     time.Duration // from Start to the end of the answer

	Client    netip.Addr
	Protocol  string // HTTP/1.1, HTTP/2.0, …
	TLS       string // as [crypto/tls.VersionName] says it
	Method    []byte
	Host      []byte
	Path      []byte // without the query
	Query     []byte // without the question mark
	UserAgent []byte
	Referer   []byte
	RequestID []byte
	Tenant    []byte // who is charged: a name, or a key as [AppendKeyID] shows it, never a key
	Trace     Trace

	Route    string
	Pool     string
	Target   string // the last one that was tried
	Status   int    // 0: no answer was begun
	BytesIn  int64  // of the request's body
	BytesOut int64  // of the answer's body that went to the client
	Attempts int    // targets that were tried
	Retries  int    // times the request was sent again, to another target or on a new connection

	Refused    string // the limit that refused or ended the request: the config key, such as queue.limit
	Error      string // what went wrong, in words
	Cut        bool   // Target broke the answer off after BytesOut bytes
	ClientLeft bool   // before the answer was whole

	kept []byte
}

// maxKept is how much of one value is kept, and maxIdle how much memory a connection keeps for the values of its next request.
const (
	maxKept = 2 << 10
	maxIdle = 4 << 10
)

// Reset begins a new request that came in at now.
func (a *Access) Reset(now time.Time) {
	kept := a.kept[:0]
	if cap(kept) > maxIdle {
		kept = nil
	}
	*a = Access{Start: now, kept: kept}
}

// Keep copies a value out of a buffer that will change, to where it stays until the next Reset. A value that is longer than
// 2 KiB is cut, with an ellipsis at its end.
func (a *Access) Keep(b []byte) []byte { return keep(a, b) }

// KeepString does as [Access.Keep] for a driver that has strings.
func (a *Access) KeepString(s string) []byte { return keep(a, s) }

func keep[T []byte | string](a *Access, v T) []byte {
	if len(v) == 0 {
		return nil
	}
	if a.kept == nil {
		a.kept = make([]byte, 0, 512)
	}
	at := len(a.kept) // what was kept before stays valid when this append moves to new memory
	if len(v) > maxKept {
		a.kept = append(append(a.kept, v[:maxKept]...), "…"...)
	} else {
		a.kept = append(a.kept, v...)
	}
	return a.kept[at:len(a.kept):len(a.kept)]
}

// Spoilt says that the request was not answered as it should have been: with 5xx, not to the end, or not at all. A client that left
// has itself to thank, and so has one that was told 4xx.
func (a *Access) Spoilt() bool {
	return a.Status >= 500 || a.Cut || a.Status == 0 && !a.ClientLeft
}

// AppendKeyID appends what a log may show of an API key: enough to tell keys apart, nothing to use one by. It is the
// first eight bytes of the key's SHA-256, in hex.
func AppendKeyID(dst, key []byte) []byte {
	sum := sha256.Sum256(key)
	return hex.AppendEncode(dst, sum[:8])
}
