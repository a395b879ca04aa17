package l7

import (
	"crypto/tls"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// loop is one event loop: one thread that carries the plaintext HTTP/1.1 connections it was given, both the clients' and those to
// targets that serve them, without a goroutine, a buffer or a timer for each. All that belongs to it is touched by its thread alone;
// others send it messages.
//
// The thread waits in a raw epoll_pwait, so the scheduler does not know that it sleeps and hands its processor to nobody: that saves
// two wake-ups of threads per event. NewEngine gives the runtime one more processor per loop to make up for it.
type loop struct {
	e    *Engine
	id   int
	ep   int
	bell int // eventfd that ends a wait
	load atomic.Int64

	mu     sync.Mutex
	mail   []message
	asleep atomic.Bool
	stop   bool

	now    time.Time
	clock  int64 // now in nanoseconds since the epoch
	swept  int64
	ends   []*end // by descriptor
	n      int    // open ends
	turns  uint32
	quiet  bool   // the last wait brought nothing
	again  []*end // ends that had more to read than one turn allows
	events [256]unix.EpollEvent
	read   []message       // spare for mail
	in     [64 << 10]byte  // what was just read
	out    []byte          // what is being put together
	sealed []byte          // the same, encrypted
	spare  []*loopExchange // for requests to come
}

// message is what other threads send to a loop.
type message struct {
	do func()        // runs on the loop's thread
	lx *loopExchange // or: the lease of this exchange was granted or refused
}

// newLoops starts n loops. Without loops every connection has goroutines.
func newLoops(e *Engine, n int) ([]*loop, error) {
	var ls []*loop
	for id := range n {
		l := &loop{e: e, id: id, out: make([]byte, 0, 80<<10)}
		var err error
		if l.ep, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
			return ls, err
		}
		if l.bell, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
			unix.Close(l.ep)
			return ls, err
		}
		ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: -1}
		if err := unix.EpollCtl(l.ep, unix.EPOLL_CTL_ADD, l.bell, &ev); err != nil {
			return ls, err
		}
		ls = append(ls, l)
	}
	if n > 0 {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + n)
	}
	for _, l := range ls {
		e.ended.Go(l.run)
	}
	return ls, nil
}

// endLoops stops the loops. What they carry is cut.
func endLoops(ls []*loop) {
	for _, l := range ls {
		l.call(func() { l.stop = true })
	}
	if n := len(ls); n > 0 {
		runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0)-n, 1))
	}
}

// hurry asks every client's connection to end with its current answer, or now when it is idle.
func (l *loop) hurry() {
	l.call(func() {
		for _, e := range l.ends {
			if e != nil {
				e.owner.hurry()
			}
		}
	})
}

// leave asks every client's connection to end with its next answer.
func (l *loop) leave() {
	l.call(func() {
		for _, e := range l.ends {
			if e == nil {
				continue
			}
			if c, ok := e.owner.(*client); ok {
				c.closing = true
			}
		}
	})
}

// post runs do on the loop's thread.
func (l *loop) post(m message) {
	l.mu.Lock()
	l.mail = append(l.mail, m)
	l.mu.Unlock()
	if l.asleep.Load() && l.asleep.Swap(false) {
		var one [8]byte
		binary.NativeEndian.PutUint64(one[:], 1)
		unix.Write(l.bell, one[:])
	}
}

func (l *loop) call(do func()) { l.post(message{do: do}) }

func (l *loop) run() {
	runtime.LockOSThread()
	l.tell()
	for {
		l.deliver()
		if l.stop {
			l.closeAll()
			return
		}
		wait := l.patience()
		n, errno := l.wait(wait)
		if wait != 0 {
			l.asleep.Store(false)
		}
		if errno != 0 {
			// A signal: the runtime wants the thread to stop for a moment. It can only do so where Go code runs.
			runtime.Gosched()
			continue
		}
		l.tell()
		for i := range n {
			l.handle(&l.events[i])
		}
		l.resume()
		if l.clock-l.swept >= int64(sweepEvery) {
			l.swept = l.clock
			l.sweep()
		}
	}
}

// wait waits for events. While they come in quick succession the scheduler need not know; once the loop has slept for longer than its
// patience with a thread that does not answer, 10 ms, it is told, so that a Weir with nothing to do costs nothing.
func (l *loop) wait(msec int) (int, syscall.Errno) {
	if msec != 0 && l.quiet {
		n, err := unix.EpollWait(l.ep, l.events[:], msec)
		l.quiet = n <= 0
		if errno, ok := err.(syscall.Errno); ok {
			return 0, errno
		}
		return n, 0
	}
	n, errno := epollWait(l.ep, l.events[:], msec)
	l.quiet = n == 0 && msec != 0
	return n, errno
}

func (l *loop) tell() {
	l.now = time.Now()
	l.clock = l.now.UnixNano()
}

// patience is how long the loop may sleep, in milliseconds: not at all while there is work, and without end when it has nothing.
func (l *loop) patience() int {
	if len(l.again) > 0 {
		return 0
	}
	l.asleep.Store(true)
	l.mu.Lock()
	mail := len(l.mail)
	l.mu.Unlock()
	switch {
	case mail > 0:
		return 0
	case l.n == 0:
		return -1
	}
	return int(sweepEvery / time.Millisecond)
}

func (l *loop) deliver() {
	l.asleep.Store(false)
	l.mu.Lock()
	if len(l.mail) == 0 {
		l.mu.Unlock()
		return
	}
	l.mail, l.read = l.read[:0], l.mail
	l.mu.Unlock()
	l.tell()
	for i := range l.read {
		m := &l.read[i]
		if m.lx != nil {
			m.lx.c.granted()
		} else {
			m.do()
		}
		*m = message{}
	}
}

func (l *loop) handle(ev *unix.EpollEvent) {
	if ev.Fd < 0 {
		var b [8]byte
		unix.Read(l.bell, b[:])
		return
	}
	e := l.ends[ev.Fd]
	if e == nil || e.turn != uint32(ev.Pad) {
		return // it was closed by an earlier event of this batch
	}
	const in = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
	if ev.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		e.hup = true
	}
	if ev.Events&unix.EPOLLOUT != 0 && (e.connecting || len(e.out) > 0) {
		e.flush()
	}
	if ev.Events&in != 0 && !e.closed {
		e.more, e.drained = true, false
		e.owner.readable()
	}
}

// resume goes on with those that had more to read than one turn allowed.
func (l *loop) resume() {
	n := len(l.again)
	for i := range n {
		e := l.again[i]
		e.waiting = false
		if !e.closed {
			e.owner.readable()
		}
	}
	l.again = l.again[:copy(l.again, l.again[n:])]
}

func (l *loop) sweep() {
	for _, e := range l.ends {
		if e != nil {
			e.owner.sweep()
		}
	}
}

func (l *loop) closeAll() {
	for _, e := range l.ends {
		if e != nil {
			e.owner.abort()
		}
	}
	l.deliver() // leases that were granted on the way are given back
	unix.Close(l.ep)
	unix.Close(l.bell)
}

// owner is what an end belongs to: a client or a server.
type owner interface {
	readable()    // there are bytes, or an end, to read
	flushed()     // the end can take more
	broken(error) // connecting or writing failed
	sweep()
	hurry() // end with the current answer, or now when idle
	abort() // end now
}

// end is one socket of a loop.
type end struct {
	l     *loop
	owner owner
	fd    int32
	turn  uint32 // tells a descriptor from the one that had its number before
	out   []byte // what the socket did not take yet

	tls        *tls.Conn // nil: plain
	drained    bool      // nothing more to read below TLS until the next event
	connecting bool
	more       bool // there may be something to read: the kernel says so only once
	hup        bool // the peer will send no more, or the socket is broken
	waiting    bool // for its turn, in loop.again
	half       bool // nothing more will be written: shut the write side down once out is empty
	closed     bool
}

// Bounds of what a loop holds for one socket.
const (
	maxPending = 64 << 10 // bytes waiting for a slow reader before its writer is made to wait
	maxTurns   = 4        // reads in a row of one socket, while others wait
)

func (l *loop) add(e *end, fd int, o owner) error {
	l.turns++
	e.l, e.owner, e.fd, e.turn = l, o, int32(fd), l.turns
	if fd >= len(l.ends) {
		grown := make([]*end, fd+fd/2+64)
		copy(grown, l.ends)
		l.ends = grown
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(fd), Pad: int32(e.turn)}
	if err := unix.EpollCtl(l.ep, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		e.closed = true
		unix.Close(fd)
		return err
	}
	l.ends[fd] = e
	l.n++
	return nil
}

// close closes the socket at once.
func (e *end) close() {
	if e.closed {
		return
	}
	e.forget()
	if e.fd >= 0 {
		unix.Close(int(e.fd))
	}
}

// forget takes the socket out of the loop without closing it.
func (e *end) forget() {
	e.closed, e.out = true, nil
	if e.fd >= 0 {
		e.l.ends[e.fd] = nil
		e.l.n--
	}
}

// reset makes the close of the connection visible as an error.
func (e *end) reset() {
	if !e.closed {
		unix.SetsockoptLinger(int(e.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		e.close()
	}
}

// send writes p, or keeps what the socket does not take. False: the socket is broken.
func (e *end) send(p []byte) bool {
	if e.closed {
		return false
	}
	if e.tls != nil {
		var err error
		if p, err = e.seal(p); err != nil {
			return false
		}
	}
	return e.put(p)
}

// put writes p as it is, or keeps what the socket does not take.
func (e *end) put(p []byte) bool {
	if len(e.out) == 0 && !e.connecting {
		n, errno := sendTo(e.fd, p)
		if errno != 0 && errno != syscall.EAGAIN {
			return false
		}
		p = p[n:]
	}
	if len(p) > 0 {
		e.out = append(e.out, p...)
	}
	return true
}

// flush writes what is pending, now that the socket can take more.
func (e *end) flush() {
	if e.connecting {
		v, err := unix.GetsockoptInt(int(e.fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && v != 0 {
			err = syscall.Errno(v)
		}
		if err != nil {
			e.owner.broken(err)
			return
		}
		e.connecting = false
	}
	for len(e.out) > 0 {
		n, errno := sendTo(e.fd, e.out)
		if errno == syscall.EAGAIN {
			return
		}
		if errno != 0 {
			e.owner.broken(errno)
			return
		}
		if e.out = e.out[n:]; len(e.out) == 0 {
			e.out = nil
		}
	}
	if e.half {
		unix.Shutdown(int(e.fd), unix.SHUT_WR)
	}
	e.owner.flushed()
}

// hangUp says that nothing more will be written: the peer is told once it has everything.
func (e *end) hangUp() {
	e.goodbye()
	e.half = true
	if len(e.out) == 0 && !e.connecting {
		unix.Shutdown(int(e.fd), unix.SHUT_WR)
	}
}

// stuffed says that the other side should wait before it brings more.
func (e *end) stuffed() bool { return len(e.out) >= maxPending }

// recv reads once. What it returns is good until the next recv of any end of the loop.
func (e *end) recv() (b []byte, state recvState) {
	if e.tls != nil {
		return e.recvTLS()
	}
	n, errno := recvFrom(e.fd, e.l.in[:])
	switch {
	case errno == syscall.EAGAIN:
		e.more = false
		return nil, nothing
	case errno != 0 || n == 0:
		e.more, e.hup = false, true
		return nil, ended
	}
	// A short read has emptied the socket: what comes later comes with an event of its own. The end of the connection has had its
	// event, so with that one must read on.
	e.more = n == len(e.l.in) || e.hup
	return e.l.in[:n], some
}

type recvState uint8

const (
	some recvState = iota
	nothing
	ended
)

// later asks for another turn.
func (e *end) later() {
	if !e.waiting {
		e.waiting = true
		e.l.again = append(e.l.again, e)
	}
}

// Raw system calls: they never block, so the scheduler need not know of them.

func recvFrom(fd int32, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

func sendTo(fd int32, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// epollWait waits at most msec milliseconds, -1 without end.
func epollWait(ep int, events []unix.EpollEvent, msec int) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(ep), uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), uintptr(msec), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// door is a listening socket. The first loop accepts, and hands each connection to the loop with the fewest.
type door struct {
	end
	li *Listener
}

// openDoor accepts li's connections into loops until the door is closed.
func openDoor(loops []*loop, li *Listener) (*door, error) {
	fd, err := duplicate(li.Listener.(*net.TCPListener))
	if err != nil {
		return nil, err
	}
	d := &door{li: li}
	d.l = loops[0]
	d.l.call(func() { d.l.add(&d.end, fd, d) })
	return d, nil
}

// shut closes the door when it has taken in who waits outside, and returns then.
func (d *door) shut() {
	loops := d.li.e.loops
	shut := make(chan struct{})
	loops[0].call(func() {
		defer close(shut)
		if d.closed {
			return
		}
		d.more = true
		d.readable()
		// Another process may have the socket open, and then closing alone does not take it out of the set.
		unix.EpollCtl(d.l.ep, unix.EPOLL_CTL_DEL, int(d.fd), nil)
		d.close()
	})
	<-shut
	for _, l := range loops { // those that were handed a connection have welcomed it
		shut := make(chan struct{})
		l.call(func() { close(shut) })
		<-shut
	}
}

func (d *door) readable() {
	for d.more && !d.closed {
		fd, sa, err := unix.Accept4(int(d.fd), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
		case unix.EAGAIN:
			d.more = false
			return
		case unix.EINTR, unix.ECONNABORTED:
			continue
		default:
			return // out of descriptors or memory: sweep tries again
		}
		best := d.l.e.idlest()
		best.load.Add(1)
		if peer := peerOf(sa); best == d.l {
			best.welcome(d.li, fd, peer)
		} else {
			best.call(func() { best.welcome(d.li, fd, peer) })
		}
	}
}

// idlest is the loop with the fewest connections.
func (e *Engine) idlest() *loop {
	best := e.loops[0]
	for _, l := range e.loops[1:] {
		if l.load.Load() < best.load.Load() {
			best = l
		}
	}
	return best
}

func (d *door) sweep() {
	if d.more {
		d.readable()
	}
}

func (d *door) flushed()     {}
func (d *door) broken(error) {}
func (d *door) hurry()       {}
func (d *door) abort()       { d.close() }

// duplicate returns a descriptor of its own for a socket of the net package.
func duplicate(c interface{ File() (*os.File, error) }) (int, error) {
	f, err := c.File()
	if err != nil {
		return -1, err
	}
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true) // File made it blocking
	}
	return fd, err
}

func peerOf(sa unix.Sockaddr) netip.AddrPort {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// canLoop says whether connections of ln can be carried by loops.
func canLoop(ln net.Listener) bool {
	_, ok := ln.(*net.TCPListener)
	return ok
}
