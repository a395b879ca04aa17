package l7

import (
	"net"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// wire is a connection whose other end is in this process.
type wire struct {
	net.Conn
	other int // the descriptor of the other end; -1 before it is known
}

// taken waits until the other end has read all that was written to the connection, or is closed. over, when not nil, ends the wait too.
func (w *wire) taken(t testing.TB, over func() bool) {
	t.Helper()
	raw, err := w.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	written := func() (n uint64) {
		raw.Control(func(fd uintptr) {
			if i, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
				n = i.Bytes_sent - i.Bytes_retrans + uint64(i.Notsent_bytes)
			}
		})
		return n
	}()
	arrived := func() bool {
		i, err := unix.GetsockoptTCPInfo(w.other, unix.IPPROTO_TCP, unix.TCP_INFO)
		return err != nil || i.Bytes_received >= written
	}
	if w.other == 0 {
		w.other = -1
	}
	here, there := w.LocalAddr().(*net.TCPAddr).Port, w.RemoteAddr().(*net.TCPAddr).Port
	deadline := time.Now().Add(10 * time.Second)
	for n := 0; ; n++ {
		if n < 200 {
			runtime.Gosched()
		} else {
			time.Sleep(20 * time.Microsecond)
		}
		if time.Now().After(deadline) {
			t.Error("nobody reads what was written")
			return
		}
		if over != nil && over() {
			return
		}
		if w.other < 0 {
			w.other = descriptor(there, here)
			continue // until it is accepted
		}
		if n%50 == 0 && !joins(w.other, there, here) {
			return // it is closed
		}
		if !arrived() {
			continue
		}
		if n, err := unix.IoctlGetInt(w.other, unix.SIOCINQ); err != nil || n == 0 {
			return
		}
	}
}

// descriptor finds the connection from one port to another among those of this process; -1: there is none.
func descriptor(from, to int) int {
	for fd, gap := 3, 0; gap < 20; fd++ {
		if joins(fd, from, to) {
			return fd
		}
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			gap++
		} else {
			gap = 0
		}
	}
	return -1
}

func joins(fd, from, to int) bool {
	a, err := unix.Getsockname(fd)
	if err != nil || port(a) != from {
		return false
	}
	b, err := unix.Getpeername(fd)
	return err == nil && port(b) == to
}

func port(a unix.Sockaddr) int {
	if in, ok := a.(*unix.SockaddrInet4); ok {
		return in.Port
	}
	return -1
}

// hangUp closes the connections to targets that the engine's loops hold and that are not to be used again.
func (e *Engine) hangUp() {
	for _, l := range e.loops {
		done := make(chan struct{})
		l.call(func() {
			defer close(done)
			l.sweep()
		})
		<-done
	}
}

// passOn waits until the loops have written what they have to write. Goroutines do so before they read on.
func (e *Engine) passOn(t testing.TB) {
	for _, l := range e.loops {
		until(t, "everything is written", func() bool {
			busy := make(chan bool)
			l.call(func() {
				busy <- slices.ContainsFunc(l.ends, func(e *end) bool { return e != nil && (e.connecting || len(e.out) > 0) })
			})
			return !<-busy
		})
	}
}
