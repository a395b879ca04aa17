package balance

import "github.com/weirlb/weir/target"

// choice ranks the targets that have a free slot by a key, and those with equal keys by whose turn it is. Turns are shared out in
// virtual time: the next one is due a stride after the last, and strides are the inverse of shares. It is self-clocked fair queueing
// (Golestani, 1994): the clock is the time at which the last turn was due. Over any stretch each target gets its share to within a
// turn, as with nginx's smooth weighted round robin, but a turn costs O(log n) instead of O(n); the order among different shares
// differs. As in nginx, who has no free slot gains nothing meanwhile.
type choice struct {
	seats
	rank    ranking // the due time of who is out is what is left of it, relative to the clock
	clock   uint64
	strides []uint64 // of each seat
}

// unit is the stride of the share 1. Due times are compared by their difference, so the clock may wrap around.
const unit = 1 << 40

// rotate takes a new rotation, whose turns go by weigh, and returns where its targets sat before, see seats.sit. The caller sets
// the keys and calls settle.
func (c *choice) rotate(rotation []*target.Target, weigh func(*target.Target) int) (from []int32) {
	for i := range c.targets { // who comes back is put back into turns by settle
		if c.rank.contains(int32(i)) {
			c.rank.marks[i].due -= c.clock
		}
	}
	from = c.sit(rotation)
	c.rank.marks = carry(c.rank.marks, from, zero[mark])
	before := carry(c.strides, from, zero[uint64])
	c.strides = make([]uint64, len(rotation))
	for i, t := range rotation {
		m, now := &c.rank.marks[i], unit/uint64(max(weigh(t), 1))
		c.strides[i] = now
		switch before[i] {
		case now:
		case 0:
			m.due = now
		default: // a target whose share grows does not sit out the wait of its small one
			m.due = uint64(int64(float64(int64(m.due)) / float64(before[i]) * float64(now)))
		}
	}
	return from
}

// settle ranks all that have a free slot, once their keys are set.
func (c *choice) settle() {
	c.rank.reset(func(i int) bool {
		free := c.targets[i].Free()
		if free {
			c.rank.marks[i].due += c.clock
		}
		return free
	})
}

// place brings i's rank up to date after a change of its key or slots.
func (c *choice) place(i int32) {
	free := c.targets[i].Free()
	if was := c.rank.contains(i); was && !free {
		c.rank.marks[i].due -= c.clock
	} else if !was && free {
		c.rank.marks[i].due += c.clock
	}
	c.rank.place(i, free)
}

// take gives i its turn; the next one is due after so many strides.
func (c *choice) take(i int32, strides int) {
	m := &c.rank.marks[i]
	// Who was due before the clock was not the best by key for a while. What it missed is not made up for.
	if int64(m.due-c.clock) > 0 {
		c.clock = m.due
	}
	m.due = c.clock + c.strides[i]*uint64(strides)
	c.rank.place(i, true)
}

// first is the best usable target for r, or nil. It does not take a turn.
func (c *choice) first(r *Request) (int32, *target.Target) {
	for {
		i := c.rank.first()
		if i == none {
			return none, nil
		}
		switch t := c.targets[i]; {
		case !t.Free(): // its slots were changed and the next Set is yet to come
			c.place(i)
			continue
		case !r.skips(t):
			return i, t
		}
		var buf [8]int32
		if i = c.rank.firstBut(c.skipped(buf[:0], r)); i == none {
			return none, nil
		}
		if t := c.targets[i]; t.Free() {
			return i, t
		}
		c.place(i)
	}
}

// next is the best usable target other than t, or nil: it is what explanations compare with.
func (c *choice) next(t *target.Target) *target.Target {
	_, other := c.first(&Request{Skip: []*target.Target{t}})
	return other
}
