package l7

import (
	"encoding/binary"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// watcher learns from the kernel that a client has closed its side, without a goroutine or a read per connection: one epoll
// set holds the connections whose exchange takes longer than a sweep, and asks only for the peer's end (EPOLLRDHUP).
type watcher struct {
	ep, wake int
	mu       sync.Mutex
	next     uint64
	conns    map[uint64]*conn // by number: a descriptor's number may be used again before its event is read
}

func (w *watcher) open() (err error) {
	w.conns = map[uint64]*conn{}
	if w.ep, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if w.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
		return err
	}
	return unix.EpollCtl(w.ep, unix.EPOLL_CTL_ADD, w.wake, &unix.EpollEvent{Events: unix.EPOLLIN})
}

// add begins to watch c and returns its number, 0 when it cannot be watched.
func (w *watcher) add(c *conn) uint64 {
	sc, ok := socket(c.Conn).(syscall.Conn)
	if !ok {
		return 0
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return 0
	}
	w.mu.Lock()
	w.next++
	n := w.next
	w.conns[n] = c
	w.mu.Unlock()
	ev := unix.EpollEvent{Events: unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(n), Pad: int32(n >> 32)}
	if e := rc.Control(func(fd uintptr) { err = unix.EpollCtl(w.ep, unix.EPOLL_CTL_ADD, int(fd), &ev) }); e != nil || err != nil {
		w.drop(n)
	}
	return n
}

func (w *watcher) drop(n uint64) {
	w.mu.Lock()
	delete(w.conns, n)
	w.mu.Unlock()
}

// forget ends the watch; closing the descriptor takes it out of the set.
func (w *watcher) forget(c *conn) {
	if n := c.watched.Load(); n != 0 {
		w.drop(n)
	}
}

func (w *watcher) run() {
	events := make([]unix.EpollEvent, 256)
	for {
		n, err := unix.EpollWait(w.ep, events, -1)
		if err != nil && err != unix.EINTR {
			return
		}
		for _, ev := range events[:max(n, 0)] {
			id := uint64(uint32(ev.Fd)) | uint64(uint32(ev.Pad))<<32
			if id == 0 { // the eventfd: close was called
				unix.Close(w.ep)
				unix.Close(w.wake)
				return
			}
			w.mu.Lock()
			c := w.conns[id]
			w.mu.Unlock()
			if c != nil {
				c.left()
			}
		}
	}
}

func (w *watcher) close() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	unix.Write(w.wake, one[:])
}
