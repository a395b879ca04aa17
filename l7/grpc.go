package l7

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// isGRPC says whether a request is a gRPC call by its content type: application/grpc, +proto or the like after it. gRPC-Web is not meant:
// it has no trailers.
func isGRPC(r *http.Request) bool {
	types := r.Header["Content-Type"]
	if len(types) == 0 {
		return false
	}
	rest, ok := strings.CutPrefix(types[0], "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// Codes of gRPC (google.golang.org/grpc/codes), as far as Weir has something to say in them.
const (
	grpcUnknown          = 2
	grpcDeadlineExceeded = 4
	grpcPermissionDenied = 7
	grpcUnimplemented    = 12
	grpcInternal         = 13
	grpcUnavailable      = 14
	grpcUnauthenticated  = 16
)

// grpcCode is what an error means to a gRPC client: gRPC's http-grpc-status-mapping.md, which Envoy follows too, but that a deadline which has
// passed has a code of its own there.
func (r *reply) grpcCode() int {
	if r.code == "deadline" {
		return grpcDeadlineExceeded
	}
	switch r.status {
	case http.StatusBadRequest:
		return grpcInternal
	case http.StatusUnauthorized:
		return grpcUnauthenticated
	case http.StatusForbidden:
		return grpcPermissionDenied
	case http.StatusNotFound:
		return grpcUnimplemented
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return grpcUnavailable
	}
	return grpcUnknown
}

// expired says whether a gRPC call's time is up, as its client gave it. A target that keeps to that time ends the call at about the moment at which the
// client does, and whoever hears of it first is to hear the same.
func (x *exchange) expired(now time.Time) bool {
	if !x.grpc {
		return false
	}
	d, ok := grpcTimeout(x.req.Get("grpc-timeout"))
	return ok && now.Sub(x.access.Start) >= d
}

// grpcTimeout reads the header grpc-timeout: up to eight digits and a unit (gRPC's PROTOCOL-HTTP2.md).
func grpcTimeout(v []byte) (d time.Duration, ok bool) {
	if len(v) < 2 || len(v) > 9 {
		return 0, false
	}
	units := map[byte]time.Duration{'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond}
	unit, ok := units[v[len(v)-1]]
	n, err := strconv.ParseUint(string(v[:len(v)-1]), 10, 32)
	if !ok || err != nil {
		return 0, false
	}
	if n > uint64(math.MaxInt64/unit) {
		return math.MaxInt64, true
	}
	return time.Duration(n) * unit, true
}

// appendGRPC appends an error as gRPC has them: an answer of one head, in which the trailers are, and no body.
func (r *reply) appendGRPC(out []byte) []byte {
	out = fmt.Appendf(out, "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\nGrpc-Status: %d\r\nGrpc-Message: ", r.grpcCode())
	out = append(appendPercent(out, r.message), "\r\n"...)
	if r.retryAfter > 0 {
		out = fmt.Appendf(out, "Grpc-Retry-Pushback-Ms: %d\r\n", r.retryAfter.Milliseconds())
	}
	return append(out, "\r\n"...)
}

// appendPercent appends s as a header value: bytes that are not printable, and % itself, as % and two digits.
func appendPercent(out []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '%' {
			out = append(out, '%', hex[c>>4], hex[c&15])
		} else {
			out = append(out, c)
		}
	}
	return out
}
