package admit

// node is a request's place in one sequence.
type node struct {
	entry      *Entry
	rank       int8   // higher ones first
	key        int64  // lower ones first
	seq        uint64 // among equals, the one that arrived first
	next, prev *node  // in the run
	pos        int    // in the heap; -1 in the run
	in         *sequence
}

func (n *node) before(m *node) bool {
	switch {
	case n.rank != m.rank:
		return n.rank > m.rank
	case n.key != m.key:
		return n.key < m.key
	}
	return n.seq < m.seq
}

func (n *node) move(i int) { n.pos = i }

// sequence keeps nodes in order. Those that come in order already, as all do in a plain first-come queue, are a linked list,
// where everything is O(1); the others are a heap, where it is O(log n). The first of both is the first of all.
type sequence struct {
	run  list
	rest heap[*node]
}

func (s *sequence) len() int { return s.run.n + len(s.rest) }

func (s *sequence) push(n *node) {
	n.in = s
	if s.run.last == nil || s.run.last.before(n) {
		n.pos = -1
		s.run.pushBack(n)
		return
	}
	s.rest.push(n)
}

// first is the node that is before all others, nil when there is none.
func (s *sequence) first() *node {
	if len(s.rest) > 0 && (s.run.first == nil || s.rest[0].before(s.run.first)) {
		return s.rest[0]
	}
	return s.run.first
}

func (s *sequence) remove(n *node) {
	if n.pos < 0 {
		s.run.remove(n)
	} else {
		s.rest.remove(n.pos)
	}
	n.in = nil
}

// list is a doubly linked list of nodes.
type list struct {
	first, last *node
	n           int
}

func (l *list) pushBack(n *node) {
	n.prev, n.next = l.last, nil
	if l.last != nil {
		l.last.next = n
	} else {
		l.first = n
	}
	l.last = n
	l.n++
}

func (l *list) pushFront(n *node) {
	n.prev, n.next = nil, l.first
	if l.first != nil {
		l.first.prev = n
	} else {
		l.last = n
	}
	l.first = n
	l.n++
}

func (l *list) remove(n *node) {
	if n.prev != nil {
		n.prev.next = n.next
	} else {
		l.first = n.next
	}
	if n.next != nil {
		n.next.prev = n.prev
	} else {
		l.last = n.prev
	}
	n.next, n.prev = nil, nil
	l.n--
}

// heap is a binary heap whose items know their places, so that any of them can be removed or moved in O(log n).
type heap[T item[T]] []T

type item[T any] interface {
	before(T) bool
	move(int) // to a place in the heap
}

func (h *heap[T]) push(x T) {
	*h = append(*h, x)
	h.up(len(*h) - 1)
}

func (h *heap[T]) remove(i int) {
	s := *h
	last := len(s) - 1
	moved := s[last]
	var none T
	s[last] = none
	*h = s[:last]
	if i < last {
		s[i] = moved
		h.fix(i)
	}
}

// fix restores the order after the item at i has changed.
func (h heap[T]) fix(i int) {
	if !h.down(i) {
		h.up(i)
	}
}

func (h heap[T]) up(i int) {
	x := h[i]
	for i > 0 {
		parent := (i - 1) / 2
		if !x.before(h[parent]) {
			break
		}
		h[i] = h[parent]
		h[i].move(i)
		i = parent
	}
	h[i] = x
	x.move(i)
}

func (h heap[T]) down(i int) bool {
	x, from := h[i], i
	for {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if child+1 < len(h) && h[child+1].before(h[child]) {
			child++
		}
		if !h[child].before(x) {
			break
		}
		h[i] = h[child]
		h[i].move(i)
		i = child
	}
	h[i] = x
	x.move(i)
	return i > from
}
