package l7

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A loop also carries TLS connections once their handshake is done: crypto/tls takes an error that calls itself temporary for what it
// is, so that it can read from a socket that does not block, record by record as they come.

// layer is what lies below a TLS connection: a net.Conn while it shakes hands and when a goroutine carries it, the end of a loop else.
type layer struct {
	net.Conn        // on a loop only its addresses count
	e        *end   // nil before and beside loops
	batch    *batch // of writes; nil: each by itself
}

// layered puts a layer below what is to become a TLS connection.
func layered(c net.Conn) net.Conn { return &layer{Conn: c} }

// inBatches has writes to a TLS connection, or one without TLS, put together. It returns the connection to use.
func inBatches(c net.Conn) net.Conn {
	t, ok := c.(*tls.Conn)
	if !ok {
		return &layer{Conn: c, batch: newBatch(c)}
	}
	if y, ok := t.NetConn().(*layer); ok {
		y.batch = newBatch(y.Conn)
	}
	return c
}

// NetConn returns the connection below.
func (y *layer) NetConn() net.Conn { return y.Conn }

// notYet is the error of a read that found nothing yet.
type notYet struct{}

func (notYet) Error() string   { return "nothing has come yet" }
func (notYet) Timeout() bool   { return true }
func (notYet) Temporary() bool { return true }

func (y *layer) Read(p []byte) (int, error) {
	if y.e == nil {
		return y.Conn.Read(p)
	}
	return y.e.unseal(p)
}

// Write collects the records that make up one send.
func (y *layer) Write(p []byte) (int, error) {
	switch {
	case y.batch != nil:
		return y.batch.Write(p)
	case y.e == nil:
		return y.Conn.Write(p)
	}
	y.e.l.sealed = append(y.e.l.sealed, p...)
	return len(p), nil
}

func (y *layer) Close() error {
	if y.batch != nil {
		y.batch.drain()
	}
	if y.e == nil {
		return y.Conn.Close()
	}
	return nil // the loop closes it
}

func (y *layer) SetDeadline(t time.Time) error {
	if y.e == nil {
		return y.Conn.SetDeadline(t)
	}
	return nil
}

func (y *layer) SetReadDeadline(t time.Time) error {
	if y.e == nil {
		return y.Conn.SetReadDeadline(t)
	}
	return nil
}

func (y *layer) SetWriteDeadline(t time.Time) error {
	if y.e == nil {
		return y.Conn.SetWriteDeadline(t)
	}
	return nil
}

// unseal reads what is encrypted.
func (e *end) unseal(p []byte) (int, error) {
	if e.drained {
		return 0, notYet{}
	}
	n, errno := recvFrom(e.fd, p)
	switch {
	case errno == syscall.EAGAIN:
		e.drained = true
		return 0, notYet{}
	case errno != 0:
		return 0, errno
	case n == 0:
		return 0, io.EOF
	}
	e.drained = n < len(p) && !e.hup
	return n, nil
}

// recvTLS is recv for what is encrypted.
func (e *end) recvTLS() ([]byte, recvState) {
	e.l.sealed = e.l.sealed[:0]
	n, err := e.tls.Read(e.l.in[:])
	if len(e.l.sealed) > 0 && !e.put(e.l.sealed) { // what TLS itself had to say
		err = io.ErrUnexpectedEOF
	}
	switch {
	case n > 0:
		return e.l.in[:n], some // more stays set: records that came along wait in the TLS connection
	case errors.Is(err, notYet{}):
		e.more = false
		return nil, nothing
	}
	e.more, e.hup = false, true
	return nil, ended
}

// seal encrypts p.
func (e *end) seal(p []byte) ([]byte, error) {
	e.l.sealed = e.l.sealed[:0]
	_, err := e.tls.Write(p)
	return e.l.sealed, err
}

// goodbye tells the other side that this is the end and not a cut.
func (e *end) goodbye() {
	if e.tls == nil || e.closed || e.half {
		return
	}
	e.l.sealed = e.l.sealed[:0]
	if e.tls.CloseWrite() == nil {
		e.put(e.l.sealed)
	}
}

// toLoop has a loop carry a TLS connection whose handshake is done. False: it cannot.
func (e *Engine) toLoop(l *Listener, c *tls.Conn, o origin) bool {
	y, ok := c.NetConn().(*layer)
	if !ok || len(e.loops) == 0 {
		return false
	}
	tc, ok := y.Conn.(*net.TCPConn)
	if !ok {
		return false
	}
	fd, err := duplicate(tc)
	if err != nil {
		return false
	}
	tc.Close()
	to := e.idlest()
	to.load.Add(1)
	to.call(func() { to.receive(l, fd, c, y, o) })
	return true
}

// receive begins to serve a TLS connection that was counted in.
func (l *loop) receive(li *Listener, fd int, t *tls.Conn, y *layer, o origin) {
	c := &client{li: li, from: o}
	c.from.lane = uint32(l.id)
	c.l, c.tls, y.e = l, t, &c.end
	s := li.site.Load()
	c.enter(phaseIdle, s.KeepAlive)
	if err := l.add(&c.end, fd, c); err != nil {
		c.left()
		return
	}
	if l.e.down.Load() {
		c.hurry()
		return
	}
	c.more = true // a request may have come with the end of the handshake
	c.readable()
}

// toGoroutine takes the connection out of the loop.
func (c *client) toGoroutine() (net.Conn, error) {
	unix.EpollCtl(c.l.ep, unix.EPOLL_CTL_DEL, int(c.fd), nil)
	c.forget()
	c.l.load.Add(-1)
	f := os.NewFile(uintptr(c.fd), "client")
	nc, err := net.FileConn(f) // a duplicate
	f.Close()
	if err != nil || c.tls == nil {
		return nc, err
	}
	y := c.tls.NetConn().(*layer)
	y.Conn, y.e = nc, nil
	return c.tls, nil
}
