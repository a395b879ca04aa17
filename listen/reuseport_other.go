//go:build !linux

package listen

import (
	"net"
	"syscall"
)

// Elsewhere SO_REUSEPORT does not spread connections, so an address has one socket.
const canReusePort = false

func reusePort(_, _ string, _ syscall.RawConn) error { return nil }

func joinable([]net.Listener) bool { return false }

func unshared(string) error { return nil }
