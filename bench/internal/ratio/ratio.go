// Package ratio summarises repeated measurements, and compares two programs
// by what each took in the same round, so that a change of the machine's speed
// between rounds falls out.
package ratio

import (
	"maps"
	"slices"
)

// Rounds holds one measurement per round. A refused round has no entry.
type Rounds map[int]float64

// Summary is the middle and the span of a set of measurements.
type Summary struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	N      int     `json:"rounds"` // how many measurements; 0 means the rest is meaningless
}

// Summary returns the median (the mean of the middle two when their number is
// even), the least and the greatest.
func (r Rounds) Summary() Summary {
	values := slices.Sorted(maps.Values(r))
	n := len(values)
	if n == 0 {
		return Summary{}
	}
	return Summary{Median: (values[(n-1)/2] + values[n/2]) / 2, Min: values[0], Max: values[n-1], N: n}
}

// To returns r divided by base, round by round. Rounds that either lacks, and
// rounds whose base is not positive, are left out.
func (r Rounds) To(base Rounds) Rounds {
	quotients := make(Rounds)
	for round, value := range r {
		if b := base[round]; b > 0 {
			quotients[round] = value / b
		}
	}
	return quotients
}
