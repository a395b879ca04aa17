package route

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
)

// Arm is one of the ways that a split sends requests.
type Arm struct {
	Name   string // of its pool; who is assigned to it follows the name, not the place in the list
	Weight int    // its share is this over the sum of all; 0 takes nothing
}

// Split divides requests among arms by their weights.
type Split struct {
	arms  []arm
	total uint64
}

type arm struct {
	weight uint64
	hash   uint64
}

// maxWeight keeps the sum of any number of weights far from overflowing.
const maxWeight = 1 << 20

// NewSplit checks arms. Choose returns indexes into them.
func NewSplit(arms []Arm) (*Split, error) {
	s := &Split{}
	seen := map[string]bool{}
	for _, a := range arms {
		switch {
		case a.Weight < 0 || a.Weight > maxWeight:
			return nil, fmt.Errorf("the weight of %q is %d; it must be from 0 to %d", a.Name, a.Weight, maxWeight)
		case seen[a.Name]:
			return nil, fmt.Errorf("%q is listed twice; add its weights up", a.Name)
		}
		seen[a.Name] = true
		s.arms = append(s.arms, arm{uint64(a.Weight), mix(fnv(a.Name))})
		s.total += uint64(a.Weight)
	}
	if s.total == 0 {
		return nil, errors.New("no pool of the split has a weight over 0; give one a weight")
	}
	return s, nil
}

// Choose returns the arm of a request: by chance, a uniformly random number, or when sticky is not empty the same arm for the same
// sticky as long as weights allow it. When one weight changes only that arm's share moves; every Weir chooses the same.
//
// Sticky ones are chosen by weighted rendezvous hashing (Wang, Schindelhauer and Mirrokni; the "logarithmic method"): each arm
// draws an exponential variable from the hash of key and arm, at the rate of its weight, and the least wins.
func (s *Split) Choose(chance uint64, sticky []byte) int {
	if len(sticky) == 0 {
		at, _ := bits.Mul64(chance, s.total)
		for i := range s.arms {
			if at < s.arms[i].weight {
				return i
			}
			at -= s.arms[i].weight
		}
	}
	key := fnv(sticky)
	best, least := -1, math.Inf(1)
	for i := range s.arms {
		a := &s.arms[i]
		if a.weight == 0 {
			continue
		}
		u := (float64(mix(key^a.hash)>>11) + 0.5) / (1 << 53) // in (0, 1)
		if draw := -math.Log(u) / float64(a.weight); best < 0 || draw < least {
			best, least = i, draw
		}
	}
	return best
}

// AppendKey appends a new value for the cookie that makes a client's assignment last.
func AppendKey(dst []byte, chance uint64) []byte { return strconv.AppendUint(dst, chance, 36) }

// fnv is FNV-1a.
func fnv[T string | []byte](b T) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(b) {
		h = (h ^ uint64(b[i])) * 1099511628211
	}
	return h
}

// mix is the finalizer of splitmix64: every bit of x moves every bit of the result.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
