package l7

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
)

// upload carries the rest of a request's body to the target while the connection's own goroutine reads the answer: a target
// may answer, or ask for the body with 100 Continue, before the whole body is there.
type upload struct {
	done      chan struct{}
	read      atomic.Bool // all of it came; the last of it may still be on its way to the target
	malformed error       // the client framed its body wrongly
	err       error       // anything else that cut it
}

// uploadBuffers are larger than those of heads: bodies that do not come with their head are images and audio.
var uploadBuffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

func (c *conn) startUpload(u *upstream) {
	up := &upload{done: make(chan struct{})}
	c.upload = up
	go func() {
		defer close(up.done)
		up.run(c, u)
	}()
}

func (up *upload) run(c *conn, u *upstream) {
	buf := uploadBuffers.Get().(*[32 << 10]byte)
	defer uploadBuffers.Put(buf)
	x := &c.x
	for !x.reqBody.Done() {
		k, err := c.Read(buf[:])
		if k == 0 {
			up.err = err
			if !errors.Is(err, os.ErrDeadlineExceeded) { // else endUpload wants it to end
				c.left() // half a request is of no use to the target
			}
			return
		}
		n, err := x.more(buf[:k])
		if err == nil && !x.reqBody.Done() && x.crawls(c.e.clock.Load()) {
			err = errCrawls
		}
		if err != nil {
			up.malformed = err
			u.SetDeadline(past) // wakes who reads the answer
			return
		}
		if x.reqBody.Done() {
			up.read.Store(true)
		}
		if _, up.err = u.Write(buf[:n]); up.err != nil {
			return // the answer, or its absence, says why
		}
		if pause := x.pause(); !x.reqBody.Done() {
			c.due.extend(phaseTarget, c.after(pause))
		} else {
			c.due.extend(phaseTarget, c.after(x.to.FirstByte))
		}
		c.due.extend(phaseStream, c.after(x.to.Idle)) // both may speak at a time
		c.in, c.n = keep(c.in, c.n, buf[n:k])
	}
}

// keep appends what belongs to the next request to the client's buffer.
func keep(in []byte, n int, p []byte) ([]byte, int) {
	if n+len(p) > len(in) {
		in = append(in[:n:n], make([]byte, n+len(p))...)
	}
	return in, n + copy(in[n:], p)
}

// uploading says whether the body is still on its way, or did not come whole.
func (c *conn) uploading() bool {
	if c.upload == nil {
		return false
	}
	select {
	case <-c.upload.done:
		return c.upload.err != nil || c.upload.malformed != nil
	default:
		return !c.upload.read.Load()
	}
}

// endUpload waits for the upload to end, after making it end unless the whole body went through, and reports whether it did.
func (c *conn) endUpload(cut bool) bool {
	if c.upload == nil {
		return true
	}
	if cut || c.uploading() {
		c.SetReadDeadline(past)
	}
	select {
	case <-c.upload.done:
	default:
		u := c.up.Load() // it may have answered without reading on
		u.SetWriteDeadline(past)
		<-c.upload.done
		u.SetWriteDeadline(noDeadline)
	}
	whole := c.upload.err == nil && c.upload.malformed == nil
	if whole {
		c.SetReadDeadline(noDeadline) // the upload ended by itself, and the client's next request is welcome
	}
	return whole
}

// tunnel carries bytes both ways after an upgrade, until both sides have ended.
func (c *conn) tunnel(u *upstream) {
	idle := func() int64 { return c.after(c.x.to.Idle) }
	c.enter(phaseTunnel, idle())
	c.SetDeadline(noDeadline)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := u.Write(c.in[:c.n]); err == nil {
			c.carry(u, c.Conn, idle)
		}
		closeWrite(u.Conn)
	}()
	c.carry(c.Conn, u, idle)
	closeWrite(c.Conn)
	<-done
}

// carry copies until src ends or a side breaks, putting off the idle deadline with every read.
func (c *conn) carry(dst io.Writer, src io.Reader, idle func() int64) {
	buf := uploadBuffers.Get().(*[32 << 10]byte)
	defer uploadBuffers.Put(buf)
	for {
		k, err := src.Read(buf[:])
		if k > 0 {
			c.due.extend(phaseTunnel, idle())
			if _, werr := dst.Write(buf[:k]); werr != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func closeWrite(c net.Conn) {
	if t, ok := c.(interface{ CloseWrite() error }); ok {
		t.CloseWrite()
	}
}
