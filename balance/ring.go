package balance

import (
	"math/bits"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/weirlb/weir/target"
)

// ring is a consistent hash ring (Karger et al., 1997): each target owns the arcs that end at its points. Points depend on nothing but
// the target's ID and weight, so that several Weirs, and one that was restarted, agree.
type ring struct {
	points []uint64 // the upper 40 bits are the place, the lower 24 the seat; in order
	starts []uint32 // of each equal part of the ring, its first point
	shift  int      // a hash's part is hash >> shift
	counts []int32  // points of each seat
}

const (
	// pointsPerUnit makes what a target owns of the ring differ by 9 % (one sigma) from its share.
	pointsPerUnit = 128

	seatBits = 24
)

// pointCounts is how many points each target gets: in proportion to its weight, and 128 to 255 on average. The unit is a power of two,
// so that it, and with it the points of those that stay, rarely changes when others come and go.
func pointCounts(targets []*target.Target) []int32 {
	sum := 0
	for _, t := range targets {
		sum += t.Weight()
	}
	counts := make([]int32, len(targets))
	per := 1 << (bits.Len(uint(sum/max(len(targets), 1))) - 1)
	for i, t := range targets {
		counts[i] = int32(max(1, pointsPerUnit*t.Weight()/per))
	}
	return counts
}

// set brings the ring up to date: from says where the targets sat before, see seats.sit. What did not change is kept in order, so
// that a target more or less costs one pass.
func (g *ring) set(targets []*target.Target, from []int32) {
	if len(targets) == 0 {
		*g = ring{}
		return
	}
	counts := pointCounts(targets)
	if from == nil && slices.Equal(counts, g.counts) {
		return
	}
	now := make([]int32, len(g.counts)) // where the owners of points that stay sit now
	for i := range now {
		now[i] = none
	}
	var added []uint64
	for i, t := range targets {
		old := int32(i)
		if from != nil {
			old = from[i]
		}
		if old != none && int(old) < len(g.counts) && g.counts[old] == counts[i] {
			now[old] = int32(i)
			continue
		}
		seed := xxhash.Sum64String(t.ID)
		for k := range counts[i] {
			added = append(added, mix(seed+uint64(k))>>seatBits<<seatBits|uint64(i))
		}
	}
	slices.Sort(added)
	g.points = merge(g.points, now, added)
	g.counts = counts
	g.index()
}

// merge returns the points of old whose seat has a place in now, and those added, in order.
func merge(old []uint64, now []int32, added []uint64) []uint64 {
	out := make([]uint64, 0, len(old)+len(added))
	for _, p := range old {
		i := now[p&(1<<seatBits-1)]
		if i == none {
			continue
		}
		p = p>>seatBits<<seatBits | uint64(i)
		for len(added) > 0 && added[0] < p {
			out, added = append(out, added[0]), added[1:]
		}
		out = append(out, p)
	}
	return append(out, added...)
}

// index divides the ring into parts of about eight points, one cache line, so that finding one is one look-up and a few steps.
func (g *ring) index() {
	n := max(1, bits.Len(uint(len(g.points)/8)))
	g.shift = 64 - n
	g.starts = slices.Grow(g.starts[:0], 1<<n)[:1<<n]
	part := 0
	for i, p := range g.points {
		for ; part <= int(p>>g.shift); part++ {
			g.starts[part] = uint32(i)
		}
	}
	for ; part < len(g.starts); part++ {
		g.starts[part] = uint32(len(g.points))
	}
}

// owner is the seat that owns a place on the ring, which must not be empty.
func (g *ring) owner(place uint64) int32 {
	i := int(g.starts[place>>g.shift])
	for i < len(g.points) && g.points[i]>>seatBits < place>>seatBits {
		i++
	}
	if i == len(g.points) {
		i = 0
	}
	return int32(g.points[i] & (1<<seatBits - 1))
}
