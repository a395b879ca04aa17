//go:build unix

package l7

import (
	"errors"
	"net"
	"syscall"
)

// alive says whether the peer has not closed the connection yet.
func alive(c net.Conn) bool {
	open, _ := peek(c)
	return open
}

// peek looks at a connection without taking anything out of it: whether the peer has not closed it yet, and has sent nothing either.
func peek(c net.Conn) (open, silent bool) {
	sc, ok := socket(c).(syscall.Conn)
	if !ok {
		return true, true
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return false, false
	}
	err = rc.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		silent = err == syscall.EAGAIN
		open = n > 0 || silent
	})
	return open && err == nil, silent && err == nil
}

// isTemporary says that accepting failed for want of descriptors or memory.
func isTemporary(err error) bool {
	for _, e := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
