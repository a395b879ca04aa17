package l7

import (
	"fmt"
	"net/http"
	"strings"
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
