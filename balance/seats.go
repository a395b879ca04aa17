package balance

import (
	"slices"

	"github.com/weirlb/weir/target"
)

// seats numbers the targets in rotation, in the rotation's order.
type seats struct {
	targets []*target.Target
	at      map[*target.Target]int32
}

// sit takes the new rotation and returns, for each of its seats, the seat that its target had before, or none.
// It returns nil when nobody moved.
func (s *seats) sit(rotation []*target.Target) (from []int32) {
	if slices.Equal(s.targets, rotation) {
		return nil
	}
	from = make([]int32, len(rotation))
	at := make(map[*target.Target]int32, len(rotation))
	for i, t := range rotation {
		from[i] = none
		if old, ok := s.at[t]; ok {
			from[i] = old
		}
		at[t] = int32(i)
	}
	s.targets, s.at = slices.Clone(rotation), at
	return from
}

// seat is where t sits, or none when it is not in rotation (any more).
func (s *seats) seat(t *target.Target) int32 {
	if i, ok := s.at[t]; ok {
		return i
	}
	return none
}

// skipped appends the seats of the targets that r must not get.
func (s *seats) skipped(dst []int32, r *Request) []int32 {
	for _, t := range r.Skip {
		if i := s.seat(t); i != none && !slices.Contains(dst, i) {
			dst = append(dst, i)
		}
	}
	return dst
}

// carry brings what was kept for each seat to the new seats; who is new gets fresh's. From nil means that nobody moved.
func carry[T any](old []T, from []int32, fresh func(i int) T) []T {
	if from == nil {
		return old
	}
	out := make([]T, len(from))
	for i, f := range from {
		if f == none {
			out[i] = fresh(i)
		} else {
			out[i] = old[f]
		}
	}
	return out
}

// zero is for carry: who is new starts with the zero value.
func zero[T any](int) (v T) { return v }

// free is the set of the seats that have a free slot, made for drawing from it.
type free struct {
	list []int32
	pos  []int32 // of each seat in list, or none
}

func (f *free) reset(targets []*target.Target) {
	f.list, f.pos = f.list[:0], slices.Grow(f.pos[:0], len(targets))[:len(targets)]
	for i, t := range targets {
		f.pos[i] = none
		f.put(int32(i), t.Free())
	}
}

func (f *free) put(i int32, in bool) {
	switch at := f.pos[i]; {
	case in && at == none:
		f.pos[i] = int32(len(f.list))
		f.list = append(f.list, i)
	case !in && at != none:
		last := f.list[len(f.list)-1]
		f.list[at], f.pos[last] = last, at
		f.list = f.list[:len(f.list)-1]
		f.pos[i] = none
	}
}

// An algorithm that cannot keep an order, as what it compares by changes on its own, looks at all usable targets up to reach, and at
// some by chance when there are more: the best of 8 is among the best quarter in 9 of 10 picks.
const (
	reach = 16
	some  = 8
)

// draw appends different seats of usable targets in random order: all if there are up to reach, otherwise some.
func (f *free) draw(dst []int32, targets []*target.Target, r *Request) []int32 {
	n := len(f.list)
	if n == 0 {
		return dst
	}
	m, start := n, below(r.Chance, n)
	if n > reach {
		m = some
	}
	x := r.Chance
	part := n / m
	for k := range m {
		// One of each part of the list, from a random place on, so that none is drawn twice.
		x = mix(x + 1)
		at := start + k*part + below(x, part)
		if at >= n {
			at -= n
		}
		if i := f.list[at]; r.usable(targets[i]) {
			dst = append(dst, i)
		}
	}
	if len(dst) > 0 {
		return dst
	}
	for _, i := range f.list { // all that were drawn are skipped: len(r.Skip) >= m, so this ends soon
		if r.usable(targets[i]) {
			return append(dst, i)
		}
	}
	return dst
}

// below maps a random x to 0 <= i < n.
func below(x uint64, n int) int { return int((x >> 32) * uint64(n) >> 32) }

// mix is the finalizer of splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
