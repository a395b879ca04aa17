package main

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// histogram is one of Prometheus's: how many values were at most each bound.
type histogram struct {
	bounds []float64 // ascending; the last is +Inf
	counts []float64 // cumulative
	sum    float64
}

// readHistogram finds the histogram called name, of one pool, in Prometheus's text format.
func readHistogram(r io.Reader, name, pool string) (histogram, error) {
	var h histogram
	label := fmt.Sprintf("pool=%q", pool)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), name)
		if !ok || !strings.Contains(rest, label) {
			continue
		}
		at := strings.LastIndexByte(rest, ' ')
		value, err := strconv.ParseFloat(rest[at+1:], 64)
		if err != nil {
			return h, fmt.Errorf("reading the metric %s: %w", name, err)
		}
		switch {
		case strings.HasPrefix(rest, "_sum{"):
			h.sum = value
		case strings.HasPrefix(rest, "_bucket{"):
			_, le, _ := strings.Cut(rest, `le="`)
			le, _, _ = strings.Cut(le, `"`)
			bound, err := strconv.ParseFloat(le, 64)
			if err != nil {
				return h, fmt.Errorf("reading the metric %s: the bound %q: %w", name, le, err)
			}
			if n := len(h.bounds); n > 0 && (bound <= h.bounds[n-1] || value < h.counts[n-1]) {
				return h, fmt.Errorf("reading the metric %s: its buckets are not in order", name)
			}
			h.bounds, h.counts = append(h.bounds, bound), append(h.counts, value)
		}
	}
	if err := lines.Err(); err != nil {
		return h, fmt.Errorf("reading the metric %s: %w", name, err)
	}
	if len(h.bounds) == 0 || !math.IsInf(h.bounds[len(h.bounds)-1], 1) {
		return h, fmt.Errorf("the metric %s of pool %s is not among Weir's; is the binary of another version?", name, pool)
	}
	return h, nil
}

// since is what was added to an earlier state of the histogram.
func (h histogram) since(earlier histogram) histogram {
	d := histogram{bounds: h.bounds, counts: slices.Clone(h.counts), sum: h.sum - earlier.sum}
	for i := range min(len(earlier.counts), len(d.counts)) {
		d.counts[i] -= earlier.counts[i]
	}
	return d
}

func (h histogram) count() float64 {
	if len(h.counts) == 0 {
		return 0
	}
	return h.counts[len(h.counts)-1]
}

// atMost is the share of the values at most bound, which is one of the histogram's bounds.
func (h histogram) atMost(bound float64) float64 {
	for i, b := range h.bounds {
		if b >= bound && h.count() > 0 {
			return h.counts[i] / h.count()
		}
	}
	return 0
}

// quantile is the q-quantile, 0 < q <= 1, on the assumption that values lie evenly within a bucket, as Prometheus's
// histogram_quantile takes it. It is the last finite bound for values beyond that, and 0 without any.
func (h histogram) quantile(q float64) float64 {
	rank := q * h.count()
	if rank == 0 {
		return 0
	}
	low, below := 0.0, 0.0
	for i, bound := range h.bounds {
		if h.counts[i] >= rank {
			if math.IsInf(bound, 1) {
				return low
			}
			return low + (bound-low)*(rank-below)/(h.counts[i]-below)
		}
		low, below = bound, h.counts[i]
	}
	return low
}

// least is the smallest bound: what lies below it cannot be told apart.
func (h histogram) least() float64 {
	if len(h.bounds) == 0 {
		return 0
	}
	return h.bounds[0]
}

// read writes a quantile for people.
func (h histogram) read(q float64) string {
	switch x := h.quantile(q); {
	case h.count() == 0:
		return "–"
	case x <= h.least():
		return "≤" + seconds(h.least())
	default:
		return seconds(x)
	}
}
