package trace

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"time"
)

// sorter puts rows in the order of time that stand a little out of it. Rows in order go through a queue, late ones through a heap, so
// that a sorted trace costs nothing.
type sorter struct {
	src    source
	name   string
	window int64
	spread int64 // disorder that the reader made itself

	queue  queue
	late   itemHeap
	latest int64 // of all rows so far
	any    bool
	err    error // of the source, given after what waits

	nLate     int
	firstLate int32
	farthest  int64
}

// itemHeap gives the earliest item first, and of equally early ones that of the first line. What moves as it is sifted are keys, not items.
type itemHeap struct {
	keys  []itemKey
	items []item
	free  []int32
}

type itemKey struct {
	at   int64
	line int32
	slot int32 // in items
}

func (k itemKey) before(o itemKey) bool { return k.at < o.at || k.at == o.at && k.line < o.line }

// first is the earliest item, nil when there is none.
func (h *itemHeap) first() *item {
	if len(h.keys) == 0 {
		return nil
	}
	return &h.items[h.keys[0].slot]
}

func (h *itemHeap) push(it *item) {
	k := itemKey{at: it.at, line: it.Line}
	if n := len(h.free); n > 0 {
		k.slot, h.free = h.free[n-1], h.free[:n-1]
		h.items[k.slot] = *it
	} else {
		k.slot = int32(len(h.items))
		h.items = append(h.items, *it)
	}
	h.keys = append(h.keys, k)
	i := len(h.keys) - 1
	for i > 0 && k.before(h.keys[(i-1)/2]) {
		h.keys[i] = h.keys[(i-1)/2]
		i = (i - 1) / 2
	}
	h.keys[i] = k
}

func (h *itemHeap) pop() {
	slot := h.keys[0].slot
	h.items[slot] = item{} // lets go of what it points at
	h.free = append(h.free, slot)
	n := len(h.keys) - 1
	k := h.keys[n]
	h.keys = h.keys[:n]
	i := 0
	for {
		child := 2*i + 1
		if child >= n {
			break
		}
		if child+1 < n && h.keys[child+1].before(h.keys[child]) {
			child++
		}
		if !h.keys[child].before(k) {
			break
		}
		h.keys[i] = h.keys[child]
		i = child
	}
	if n > 0 {
		h.keys[i] = k
	}
}

// peek is the next row, which stays. It is valid until the next call.
func (s *sorter) peek() (*item, error) {
	for s.err == nil {
		if p := s.front(); p != nil && p.at <= s.latest-s.window {
			return p, nil
		}
		s.err = s.read()
	}
	if p := s.front(); p != nil {
		return p, nil
	}
	return nil, s.err
}

// next takes the next row.
func (s *sorter) next(it *item) error {
	p, err := s.peek()
	if err != nil {
		return err
	}
	*it = *p
	if p == s.late.first() {
		s.late.pop()
		return nil
	}
	s.queue.pop()
	return nil
}

func (s *sorter) front() *item {
	p, l := s.queue.front(), s.late.first()
	if l != nil && (p == nil || l.at < p.at || l.at == p.at && l.Line < p.Line) {
		return l
	}
	return p
}

// read takes one row from the source.
func (s *sorter) read() error {
	it := s.queue.push()
	if err := s.src.next(it); err != nil {
		s.queue.unpush()
		return err
	}
	if !s.any || it.at >= s.latest {
		s.any, s.latest = true, it.at
		return nil
	}
	behind := s.latest - it.at
	row := *it
	s.queue.unpush()
	if behind > s.window {
		hint := "sort the trace by time"
		if s.window > 0 {
			hint += fmt.Sprintf(", or allow more than %v of disorder", time.Duration(s.window))
		}
		return fmt.Errorf("%s:%d: this row is %v before one above it; %s", s.name, row.Line, time.Duration(behind), hint)
	}
	if behind > s.spread {
		if s.nLate++; s.nLate == 1 {
			s.firstLate = row.Line
		}
		s.farthest = max(s.farthest, behind)
	}
	s.late.push(&row)
	return nil
}

// queue holds items in chunks, so that a long one is neither copied as it grows nor kept as it empties.
type queue struct {
	chunks [][]item
	head   int // in the first chunk
	spare  []item
}

const chunkItems = 256

// push makes room for an item at the end.
func (q *queue) push() *item {
	n := len(q.chunks)
	if n == 0 || len(q.chunks[n-1]) == chunkItems {
		if q.spare == nil {
			q.spare = make([]item, 0, chunkItems)
		}
		q.chunks, q.spare = append(q.chunks, q.spare), nil
		n++
	}
	c := &q.chunks[n-1]
	*c = append(*c, item{})
	return &(*c)[len(*c)-1]
}

// unpush takes back the last push.
func (q *queue) unpush() {
	n := len(q.chunks) - 1
	if q.chunks[n] = q.chunks[n][:len(q.chunks[n])-1]; len(q.chunks[n]) == 0 {
		q.chunks = q.chunks[:n]
	}
}

// front is the first item, nil when there is none.
func (q *queue) front() *item {
	if len(q.chunks) == 0 || q.head == len(q.chunks[0]) {
		return nil
	}
	return &q.chunks[0][q.head]
}

// pop removes the first item.
func (q *queue) pop() {
	c := q.chunks[0]
	c[q.head] = item{} // lets go of what it points at
	if q.head++; q.head == len(c) {
		q.chunks[0], q.spare, q.head = nil, c[:0], 0
		q.chunks = q.chunks[1:]
	}
}

// watch looks at rows in order for what is odd about them.
type watch struct {
	rows   int
	last   int64
	hashes map[uint64]struct{} // of the rows at last
	twins  int
	twin   int32 // the first one's line
	begin  int64
	gaps   [8]gap // the longest, longest first
}

// gap is a time without requests.
type gap struct {
	length int64
	line   int32 // that ends it
	at     int64 // when it begins
}

// look says whether a row equals one of the same time.
func (w *watch) look(it *item) (twin bool) {
	if w.rows++; w.rows == 1 {
		w.begin, w.hashes = it.at, map[uint64]struct{}{}
	} else if it.at != w.last {
		clear(w.hashes)
		w.gap(gap{it.at - w.last, it.Line, w.last})
	} else {
		_, twin = w.hashes[it.hash]
	}
	if twin {
		if w.twins++; w.twins == 1 {
			w.twin = it.Line
		}
	}
	w.hashes[it.hash] = struct{}{}
	w.last = it.at
	return twin
}

func (w *watch) gap(g gap) {
	if g.length <= w.gaps[len(w.gaps)-1].length {
		return
	}
	i, _ := slices.BinarySearchFunc(w.gaps[:], g, func(a, b gap) int { // longest first
		if a.length >= b.length {
			return -1
		}
		return 1
	})
	copy(w.gaps[i+1:], w.gaps[i:len(w.gaps)-1])
	w.gaps[i] = g
}

// odd are the gaps that may be holes in the recording: at least a minute, and fifty times the mean between requests.
func (w *watch) odd() []gap {
	if w.rows < 2 {
		return nil
	}
	mean := (w.last - w.begin) / int64(w.rows-1)
	n := 0
	for n < len(w.gaps) && w.gaps[n].length >= max(int64(time.Minute), mean*50) {
		n++
	}
	return w.gaps[:n]
}

// scaler repeats or thins the requests of a trace.
type scaler struct {
	o  *Options
	in func(*item) error

	ahead  item // the next row, when held
	held   bool
	copies itemHeap
	recent float64 // the mean distance between rows of late, in nanoseconds
	last   int64
	n      int
	err    error
}

// meanOver is about how many distances the mean is taken over.
const meanOver = 16

func (s *scaler) next(it *item) error {
	if s.o.Scale == 1 {
		return s.in(it)
	}
	for {
		for !s.held && s.err == nil {
			if s.err = s.in(&s.ahead); s.err == nil {
				s.held = s.multiply()
			}
		}
		if c := s.copies.first(); c != nil && (!s.held || c.at < s.ahead.at) {
			*it = *c
			s.copies.pop()
			return nil
		}
		if s.held {
			*it, s.held = s.ahead, false
			return nil
		}
		if s.err != nil {
			return s.err
		}
	}
}

// multiply makes the copies of the row ahead and says whether it is taken itself.
func (s *scaler) multiply() bool {
	if s.n++; s.n > 1 {
		weight := 1 / float64(min(s.n-1, meanOver))
		s.recent += (float64(s.ahead.at-s.last) - s.recent) * weight
	}
	s.last = s.ahead.at
	whole, part := math.Modf(s.o.Scale)
	n := int(whole)
	if chance(s.o.Seed, uint64(s.ahead.Line), 0) < part {
		n++
	}
	for k := 1; k < n; k++ {
		c := s.ahead
		c.at += int64(s.recent * chance(s.o.Seed, uint64(s.ahead.Line), uint64(k)))
		s.copies.push(&c)
	}
	return n > 0
}

// chance is a number from 0 to below 1 that belongs to the k-th draw of line n: SplitMix64's finaliser (Steele, Lea and Flood, OOPSLA
// 2014) over them, so that a draw does not depend on which others were made.
func chance(seed, n, k uint64) float64 {
	x := seed ^ bits.RotateLeft64(n*0x9e3779b97f4a7c15, 17) ^ k*0xd1342543de82ef95
	for range 2 {
		x += 0x9e3779b97f4a7c15
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		x ^= x >> 31
	}
	return float64(x>>11) / (1 << 53)
}
