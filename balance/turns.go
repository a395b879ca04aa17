package balance

// turns shares picks out in proportion to shares, in virtual time: each contestant's next turn is due a stride after its last, and
// strides are the inverse of shares. It is self-clocked fair queueing (Golestani, 1994): the clock is the time at which the last turn
// was due. Over any stretch each contestant gets its share to within one turn, as with nginx's smooth weighted round robin, but a turn
// costs O(log n) instead of O(n); the order among different shares differs.
type turns struct {
	rank  ranking
	clock uint64
}

// unit is the stride of the share 1. Due times are compared by their difference, so the clock may wrap around.
const unit = 1 << 40

func stride(share int) uint64 { return unit / uint64(max(share, 1)) }

// take gives i its turn and says that its next one is due after step.
func (q *turns) take(i int32, step uint64) {
	m := &q.rank.marks[i]
	// Who was due before the clock was out for a while. What it missed is not made up for.
	if int64(m.due-q.clock) > 0 {
		q.clock = m.due
	}
	m.due = q.clock + step
	q.rank.place(i, q.rank.contains(i))
}
