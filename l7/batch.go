package l7

import (
	"net"
	"runtime"
	"sync"
	"time"
)

// batch writes to a connection what many streams have to say at about the same time in one go. HTTP/2's library writes whenever it has nothing
// more to frame, which is after nearly every answer of a busy connection, and a system call costs more than all the rest of an answer.
type batch struct {
	to net.Conn

	mu      sync.Mutex
	changed sync.Cond // buf has been written, or writing has ended
	buf     []byte
	spare   []byte
	busy    bool // a goroutine writes, or is about to
	err     error
}

// maxBatch bounds what waits to be written: beyond that writers wait.
const maxBatch = 256 << 10

func newBatch(to net.Conn) *batch {
	b := &batch{to: to}
	b.changed.L = &b.mu
	return b
}

// Write takes p in. An error that writing it meets is that of a later Write.
func (b *batch) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.buf) >= maxBatch && b.err == nil {
		b.changed.Wait()
	}
	if b.err != nil {
		return 0, b.err
	}
	b.buf = append(b.buf, p...)
	if !b.busy {
		b.busy = true
		go b.flush()
	}
	return len(p), nil
}

// flush writes until nothing is left. Those who are ready to say something are let say it first.
func (b *batch) flush() {
	runtime.Gosched()
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.buf) > 0 && b.err == nil {
		out := b.buf
		b.buf, b.spare = b.spare[:0], nil
		b.mu.Unlock()
		_, err := b.to.Write(out)
		b.mu.Lock()
		b.spare, b.err = out[:0], err
		b.changed.Broadcast()
	}
	b.busy = false
	b.changed.Broadcast()
}

// lastWrite bounds how long the end of a connection waits for what is still to be written.
const lastWrite = time.Second

// drain waits until everything is written.
func (b *batch) drain() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.busy {
		b.to.SetWriteDeadline(time.Now().Add(lastWrite))
	}
	for b.busy {
		b.changed.Wait()
	}
}
