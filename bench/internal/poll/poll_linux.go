package poll

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Poller waits for readiness of sockets. It serves one goroutine.
type Poller struct {
	fd     int
	events []unix.EpollEvent
}

// New opens an epoll instance.
func New() (*Poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("opening epoll: %w", err)
	}
	return &Poller{fd: fd, events: make([]unix.EpollEvent, 512)}, nil
}

// Close ends the poller. Sockets added to it stay open.
func (p *Poller) Close() { unix.Close(p.fd) }

// Add reports readiness to read fd from now on, at each wait while it lasts.
func (p *Poller) Add(fd int) error { return p.add(fd, unix.EPOLLIN) }

// AddEdge reports only that fd became ready to read anew.
func (p *Poller) AddEdge(fd int) error {
	return p.add(fd, unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLET)
}

// Ending reports whether the end of an edge's socket has arrived: after what
// can still be read, nothing follows.
func Ending(event unix.EpollEvent) bool {
	return event.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0
}

func (p *Poller) add(fd int, events uint32) error {
	event := unix.EpollEvent{Events: events, Fd: int32(fd)}
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return fmt.Errorf("watching socket %d: %w", fd, err)
	}
	return nil
}

// Wait returns the sockets that are ready, or none when the timeout passed or
// a signal arrived. A negative timeout waits for ever. The slice is valid until
// the next call. The wait holds its thread and its P: with no second thread to
// hand over to, the Go scheduler costs nothing.
func (p *Poller) Wait(timeout time.Duration) ([]unix.EpollEvent, error) {
	var limit *unix.Timespec
	if timeout >= 0 {
		t := unix.NsecToTimespec(int64(timeout))
		limit = &t
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.fd),
		uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)),
		uintptr(unsafe.Pointer(limit)), 0, 0)
	switch errno {
	case 0:
		return p.events[:n], nil
	case unix.EINTR:
		// The signal may be the runtime's wish to stop this goroutine,
		// which a raw system call hides from it.
		runtime.Gosched()
		return nil, nil
	case unix.ENOSYS:
		return nil, fmt.Errorf("epoll_pwait2: %w (Linux 5.11 or newer is needed)", errno)
	}
	return nil, fmt.Errorf("waiting for sockets: %w", errno)
}

// Quiet makes the process's only busy goroutine the only thing that runs: no
// garbage collection short of 256 MiB, one thread, timers without slack. Call
// it first in a program that is one event loop.
func Quiet() {
	runtime.LockOSThread()
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(256 << 20)
	// Errors do not matter: the default slack of 50 µs only blurs the pace.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
}
