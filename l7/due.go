package l7

import (
	"sync/atomic"
	"time"
)

// phase is what a connection's goroutine waits for.
type phase uint8

const (
	phaseIdle   phase = iota // the next request
	phaseHead                // the rest of a request's head
	phaseTunnel              // bytes of either side, after an upgrade
	phaseQueue               // a slot; the pool has its own timeout
	phaseTarget              // the first byte of an answer
	phaseStream              // more of an answer, or room to write it
	phaseBusy                // nothing: it is at work
	phaseLinger              // the client's last bytes
	phaseBody                // the rest of a body that decides where the request goes; of loops alone, it does not fit into due
)

// cancellable says that a client that leaves in this phase leaves a request behind.
func (p phase) cancellable() bool { return p >= phaseQueue && p <= phaseBusy }

// due packs a connection's phase, the time at which it is overdue and what others marked it with into one word, so that a phase change
// costs one atomic operation and whoever interrupts a connection (the sweep, the watcher, a shutdown) can never hit a
// later phase than the one it looked at: it has to mark the word it saw, and the goroutine sees the mark when it moves on.
type due struct{ v atomic.Uint64 }

const (
	markLate   = 1 << 0 // the phase took too long
	markGone   = 1 << 1 // the client left
	markClosed = 1 << 2 // Weir ends
	marks      = markLate | markGone | markClosed
	phaseShift = 3
	timeShift  = 6
)

// tick is the resolution of deadlines in due.
const tick = int64(time.Millisecond)

func pack(p phase, at int64) uint64 { return uint64(at/tick)<<timeShift | uint64(p)<<phaseShift }

// enter moves to a phase that is overdue at a time (0: never) and returns the marks that the last one was given.
func (d *due) enter(p phase, at int64) uint64 { return d.v.Swap(pack(p, at)) & marks }

func (d *due) load() (p phase, at int64, v uint64) {
	v = d.v.Load()
	return phase(v >> phaseShift & 7), int64(v>>timeShift) * tick, v
}

// mark marks the word v and reports whether it was still the current one and not marked yet.
func (d *due) mark(v, m uint64) bool {
	return v&marks == 0 && d.v.CompareAndSwap(v, v|m)
}

// marked returns the marks of the current phase.
func (d *due) marked() uint64 { return d.v.Load() & marks }

// extend moves the deadline of the phase p, if that is still the current one.
func (d *due) extend(p phase, at int64) {
	if q, _, v := d.load(); q == p && v&marks == 0 {
		d.v.CompareAndSwap(v, pack(p, at))
	}
}
