package listen

import (
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

const canReusePort = true

// reusePort lets a socket share its address; a net.ListenConfig calls it before it binds.
func reusePort(_, _ string, c syscall.RawConn) error {
	var err error
	if e := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }); e != nil {
		return e
	}
	return err
}

// joinable says whether more sockets can share the address of these.
func joinable(lns []net.Listener) bool {
	sc, ok := lns[0].(syscall.Conn)
	if !ok {
		return false
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	shared := 0
	err = rc.Control(func(fd uintptr) { shared, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT) })
	return err == nil && shared != 0
}

// unshared fails if any socket listens on the address, one that would share it included: it binds one that does not share, and
// lets go without listening, so that no connection can end up in it.
func unshared(address string) error {
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return err
	}
	if a.Port == 0 {
		return nil
	}
	var sa unix.Sockaddr
	family := unix.AF_INET6
	switch ip4 := a.IP.To4(); {
	case ip4 != nil:
		family = unix.AF_INET
		sa = &unix.SockaddrInet4{Port: a.Port, Addr: [4]byte(ip4)}
	case a.IP == nil:
		sa = &unix.SockaddrInet6{Port: a.Port}
	case a.Zone != "":
		return nil // rare; the listening socket's own error has to do
	default:
		sa = &unix.SockaddrInet6{Port: a.Port, Addr: [16]byte(a.IP.To16())}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EAFNOSUPPORT) && a.IP == nil {
		sa = &unix.SockaddrInet4{Port: a.Port}
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if family == unix.AF_INET6 && a.IP == nil {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0) // as net opens it
	}
	return unix.Bind(fd, sa)
}
