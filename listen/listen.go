// Package listen opens the sockets that Weir accepts on.
package listen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// TCP opens a listening socket on host:port. Its errors say what to do.
func TCP(address string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAlive: -1} // requests and their timeouts tell sooner than probes of the kernel
	ln, err := lc.Listen(context.Background(), "tcp", address)
	switch {
	case err == nil:
		return ln, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listening on %s: the port is in use by another process; stop that process (`ss -ltnp` names it) or write another address", address)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("listening on %s: not permitted; use a port of 1024 or above, or grant CAP_NET_BIND_SERVICE", address)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("listening on %s: this machine has no such address; write one it has, or :PORT for all", address)
	}
	return nil, fmt.Errorf("listening on %s: %w", address, err)
}
