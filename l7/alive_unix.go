//go:build unix

package l7

import (
	"errors"
	"net"
	"syscall"
)

// alive says whether the peer has not closed the connection yet, by a look that takes nothing out of it.
func alive(c net.Conn) bool {
	sc, ok := socket(c).(syscall.Conn)
	if !ok {
		return true
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	open := true
	err = rc.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		open = n > 0 || err == syscall.EAGAIN
	})
	return err == nil && open
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
