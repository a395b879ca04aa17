package poll

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Listen opens a listening socket on 127.0.0.1, on a free port when port is 0,
// and returns the socket and its port.
func Listen(port int) (fd, bound int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, 0, fmt.Errorf("opening a socket: %w", err)
	}
	bound, err = listen(fd, port)
	if err != nil {
		unix.Close(fd)
		return 0, 0, fmt.Errorf("listening on 127.0.0.1:%d: %w", port, err)
	}
	return fd, bound, nil
}

func listen(fd, port int) (bound int, err error) {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return 0, err
	}
	if err := unix.Bind(fd, loopback(port)); err != nil {
		return 0, err
	}
	if err := unix.Listen(fd, 4096); err != nil {
		return 0, err
	}
	address, err := unix.Getsockname(fd)
	if err != nil {
		return 0, err
	}
	return address.(*unix.SockaddrInet4).Port, nil
}

// Accept takes one waiting connection. ok is false when none waits or when the
// process has no file descriptor left for it.
func Accept(listener int) (fd int, ok bool) {
	fd, _, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err != nil {
		return 0, false
	}
	noDelay(fd)
	return fd, true
}

// Dial connects to a port of 127.0.0.1. It blocks until connected, which on
// loopback is as long as the listener's backlog has room.
func Dial(port int) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("opening a socket: %w", err)
	}
	err = unix.Connect(fd, loopback(port))
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		unix.Close(fd)
		return 0, fmt.Errorf("connecting to 127.0.0.1:%d: %w", port, err)
	}
	noDelay(fd)
	return fd, nil
}

// Read reads from a non-blocking socket. 0 with no error is the end.
func Read(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// Write writes all of p to a non-blocking socket and reports whether it could.
// What these programs send is far below a socket's buffer, so a partial write
// means a reader that stopped reading, and the connection is of no more use.
func Write(fd int, p []byte) bool {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))),
		uintptr(len(p)), unix.MSG_NOSIGNAL, 0, 0)
	return errno == 0 && int(n) == len(p)
}

// Close closes a socket.
func Close(fd int) { unix.Close(fd) }

func noDelay(fd int) {
	// A socket that is already gone shows at its first read.
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
}

func loopback(port int) *unix.SockaddrInet4 {
	return &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}
}
