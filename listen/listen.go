// Package listen opens the sockets that Weir accepts on, and speaks the PROXY protocol that tells who is behind a proxy.
package listen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
)

// Options say how an address is opened.
type Options struct {
	// ReusePort is how many sockets share the address, each with a queue of its own that the kernel spreads connections over:
	// one for each event loop. 0: one socket that no other can share.
	ReusePort int
	// Inherited are sockets of the address that another process handed over. They are all used, however many: closing one of a
	// group cuts the connections that wait in its queue. What is missing to ReusePort is opened.
	Inherited []net.Listener
	// Mode is that of a unix socket's file; 0: 0660.
	Mode os.FileMode
}

// TCP opens a listening socket on host:port. Its errors say what to do.
func TCP(address string) (net.Listener, error) {
	lns, err := Open(address, Options{})
	if err != nil {
		return nil, err
	}
	return lns[0], nil
}

// Open opens the sockets of an address, which is host:port, :port or unix:PATH (unix:@NAME has no file). With port 0 they share one
// that the kernel chooses. The queue of connections that wait to be accepted is as long as net.core.somaxconn allows, and
// a connection counts from its handshake on, not from its first byte (no TCP_DEFER_ACCEPT).
func Open(address string, o Options) ([]net.Listener, error) {
	lns := slices.Clip(o.Inherited)
	if path, ok := strings.CutPrefix(address, unixPrefix); ok {
		if len(lns) > 0 {
			return lns, nil
		}
		ln, err := openUnix(path, o.Mode)
		if err != nil {
			return nil, err
		}
		return []net.Listener{ln}, nil
	}
	want := max(o.ReusePort, 1)
	if !canReusePort {
		want = 1
	}
	if len(lns) >= want {
		return lns, nil
	}
	bind := address
	switch {
	case len(lns) > 0:
		bind = lns[0].Addr().String()
		if !joinable(lns) {
			return lns, nil // it was opened for one alone; fewer sockets than wanted work, too
		}
	case o.ReusePort > 0 && canReusePort:
		// Anyone of this user may join a group, so another Weir on the address would go unnoticed.
		if err := unshared(address); err != nil {
			return nil, explain(address, err)
		}
	}
	opened := 0
	for len(lns) < want {
		lc := net.ListenConfig{KeepAlive: -1} // requests and their timeouts tell sooner than probes of the kernel
		if o.ReusePort > 0 {
			lc.Control = reusePort
		}
		ln, err := lc.Listen(context.Background(), "tcp", bind)
		if err != nil {
			for _, ln := range lns[len(lns)-opened:] {
				ln.Close()
			}
			return nil, explain(address, err)
		}
		bind = ln.Addr().String()
		lns = append(lns, ln)
		opened++
	}
	return lns, nil
}

// UDP opens a socket for datagrams on host:port, for HTTP/3. Its buffers are left to who reads it.
func UDP(address string) (net.PacketConn, error) {
	c, err := net.ListenPacket("udp", address)
	if err != nil {
		return nil, explain(address, err)
	}
	return c, nil
}

// explain turns what the kernel says into what to do.
func explain(address string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("listening on %s: the port is in use by another process; stop that process (`ss -lntup` names it) or write another address", address)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("listening on %s: not permitted; use a port of 1024 or above, or grant CAP_NET_BIND_SERVICE", address)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("listening on %s: this machine has no such address; write one it has, or :PORT for all", address)
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return fmt.Errorf("listening on %s: too many files are open; raise the limit (`ulimit -n`, LimitNOFILE= in systemd)", address)
	}
	return fmt.Errorf("listening on %s: %w", address, err)
}
