package balance

import "math/bits"

// memory remembers which targets saw a hash last. It is an 8-way set-associative cache, so it is bounded, allocates nothing, and
// learning and finding cost one or two cache lines; of each set the least recently used is forgotten.
type memory struct {
	sets  [][ways]memo
	shift int // a hash's set is hash >> shift
	clock uint32
}

// memo is one remembered hash.
type memo struct {
	hash   uint64 // 0: empty
	used   uint32
	owners [owners]uint32 // the tags of the last targets, latest first; 0: none
}

const (
	ways   = 8
	owners = 5
)

// newMemory returns one that holds at least n hashes when they spread evenly.
func newMemory(n int) memory {
	b := max(1, bits.Len(uint(max(n-1, 0)/ways)))
	return memory{sets: make([][ways]memo, 1<<b), shift: 64 - b}
}

func (m *memory) find(h uint64) *memo {
	set := &m.sets[mix(h)>>m.shift]
	for i := range set {
		if set[i].hash == h {
			return &set[i]
		}
	}
	return nil
}

// learn notes that the target with that tag has just seen h.
func (m *memory) learn(h uint64, tag uint32) {
	m.clock++
	set := &m.sets[mix(h)>>m.shift]
	x := &set[0]
	for i := range set {
		if set[i].hash == h {
			x = &set[i]
			break
		}
		if m.clock-set[i].used > m.clock-x.used {
			x = &set[i]
		}
	}
	if x.hash != h {
		*x = memo{hash: h}
	}
	x.used = m.clock
	last := tag // move it to the front
	for i, o := range x.owners {
		x.owners[i], last = last, o
		if o == tag || o == 0 {
			break
		}
	}
}
