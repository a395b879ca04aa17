package load

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
)

var (
	errCut       = errors.New("the answer was cut")
	errNotStream = errors.New("the answer is not a stream of events")
	errEvent     = errors.New("the stream brought an error")
)

// statusError is an answer with a status from 400.
type statusError struct {
	status int
	said   string // the start of its body, on one line
}

func (e statusError) Error() string {
	if e.said == "" {
		return fmt.Sprintf("status %d", e.status)
	}
	return fmt.Sprintf("status %d: %s", e.status, e.said)
}

// classify names the class of a failure: few enough to count by, and each pointing at another culprit.
func classify(err error) string {
	if status, ok := errors.AsType[statusError](err); ok {
		return fmt.Sprintf("status %d", status.status)
	}
	timeout, isNet := errors.AsType[net.Error](err)
	_, isDNS := errors.AsType[*net.DNSError](err)
	switch {
	case errors.Is(err, context.DeadlineExceeded), isNet && timeout.Timeout():
		return "timeout"
	case errors.Is(err, errEvent):
		return "error event"
	case errors.Is(err, errNotStream):
		return "not a stream"
	case errors.Is(err, errCut):
		return "cut"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "no file descriptors here"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "no ports here"
	case isDNS:
		return "unknown host"
	case isTLS(err):
		return "tls"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), strings.Contains(err.Error(), "server closed idle connection"):
		return "closed without an answer"
	case strings.Contains(err.Error(), "malformed"):
		return "bad answer"
	}
	return "other"
}

func isTLS(err error) bool {
	_, record := errors.AsType[tls.RecordHeaderError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	_, verify := errors.AsType[*tls.CertificateVerificationError](err)
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	return record || alert || verify || authority
}

// describe is an error on one line, shortened.
func describe(err error) string {
	return clipTo(strings.Join(strings.Fields(err.Error()), " "), 300)
}
