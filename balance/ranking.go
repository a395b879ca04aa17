package balance

// ranking knows the best of its contestants at any time: a tournament tree, whose leaves are seats and whose inner
// nodes hold the winner of the two below. A change of one contestant is played again up to the root, O(log n), and usually ends
// a few games up, where the winner stays the same.
type ranking struct {
	marks []mark
	nodes []int32 // nodes[1] is the winner, nodes[len(marks)+i] contestant i; none while it is out
}

// mark is what contestants are compared by: the lower key wins; of equal ones, whose turn is due earlier.
type mark struct {
	key float64
	due uint64 // virtual time, see choice; it wraps around
}

const none int32 = -1

// reset plays all games anew, with the contestants that in accepts.
func (k *ranking) reset(in func(i int) bool) {
	n := len(k.marks)
	if cap(k.nodes) < 2*n {
		k.nodes = make([]int32, 2*n)
	}
	k.nodes = k.nodes[:2*n]
	for i := range n {
		k.nodes[n+i] = none
		if in(i) {
			k.nodes[n+i] = int32(i)
		}
	}
	for i := n - 1; i >= 1; i-- {
		k.nodes[i] = k.better(k.nodes[2*i], k.nodes[2*i+1])
	}
}

// first is the best contestant, or none.
func (k *ranking) first() int32 {
	if len(k.marks) == 0 {
		return none
	}
	return k.nodes[1]
}

// firstBut is the best contestant that out does not name.
func (k *ranking) firstBut(out []int32) int32 {
	var was [8]int32 // few requests fail on more targets
	held := was[:0]
	for _, i := range out {
		held = append(held, k.nodes[len(k.marks)+int(i)])
		k.place(i, false)
	}
	best := k.first()
	for j, i := range out {
		if held[j] != none {
			k.place(i, true)
		}
	}
	return best
}

// contains reports whether i is a contestant.
func (k *ranking) contains(i int32) bool { return k.nodes[len(k.marks)+int(i)] != none }

// place makes i a contestant or takes it out. It is called after a change of i's mark, too.
func (k *ranking) place(i int32, in bool) {
	leaf := len(k.marks) + int(i)
	k.nodes[leaf] = none
	if in {
		k.nodes[leaf] = i
	}
	for n := leaf / 2; n >= 1; n /= 2 {
		w := k.better(k.nodes[2*n], k.nodes[2*n+1])
		if w == k.nodes[n] && w != i {
			return // i neither won nor wins here, so it does not further up
		}
		k.nodes[n] = w
	}
}

func (k *ranking) better(a, b int32) int32 {
	switch {
	case a == none:
		return b
	case b == none:
		return a
	}
	x, y := &k.marks[a], &k.marks[b]
	switch {
	case x.key != y.key:
		if x.key < y.key {
			return a
		}
	case x.due != y.due:
		if int64(x.due-y.due) < 0 {
			return a
		}
	case a < b:
		return a
	}
	return b
}
