package admit

import (
	"math"
	"time"
)

// Predictor learns how long requests take from their size, a number that the user names: steps, images, tokens, bytes. Sizes fall into cells,
// four to an octave, each with the mean of what was measured in it. A cell that has seen little leans on a line through all
// measurements (log time over log size, least squares), so that sizes never seen before are predicted too. Old measurements
// fade: it follows a model that becomes slower. The zero value has learned nothing.
//
// It takes tens of nanoseconds and 4 KB, and allocates nothing.
type Predictor struct {
	cells [cells]cell
	all   cell // whatever their size, also those without

	// The sums of the regression, each fading: weight, log size, log time, its squares and products.
	w, x, y, xx, xy float64
}

type cell struct {
	n    float64
	mean float64 // seconds
}

const (
	cells    = 256
	perTwice = 4                // cells to an octave of sizes
	smallest = -16              // log2 of the size from which the cells begin
	fade     = 1 - 1.0/512      // by which the regression forgets with each measurement
	memory   = 64               // measurements over which a cell's mean is taken
	trust    = 4                // measurements that the line is worth beside a cell's own
	quick    = 1e-6             // seconds; nothing counts as shorter
	ceiling  = 30 * 24 * 3600.0 // seconds; nothing is predicted to take longer
)

func (c *cell) observe(v float64) {
	c.n = min(c.n+1, memory)
	c.mean += (v - c.mean) / c.n
}

func cellOf(log float64) int {
	return int(min(max((log-smallest)*perTwice, 0), cells-1))
}

// sized says whether a size can be learned from.
func sized(size float64) bool { return size > 0 && size <= math.MaxFloat64 }

// Observe learns from one request that took so long. Sizes of 0, and what is not a positive finite number, count as unknown.
func (p *Predictor) Observe(size float64, took time.Duration) {
	s := max(took.Seconds(), quick)
	p.all.observe(s)
	if !sized(size) {
		return
	}
	x, y := math.Log2(size), math.Log2(s)
	p.cells[cellOf(x)].observe(s)
	p.w = p.w*fade + 1
	p.x = p.x*fade + x
	p.y = p.y*fade + y
	p.xx = p.xx*fade + x*x
	p.xy = p.xy*fade + x*y
}

// Predict is how long a request of that size is expected to take; 0 when nothing was learned yet. A request of unknown size is
// expected to take as long as the mean of all.
func (p *Predictor) Predict(size float64) time.Duration {
	if !sized(size) || p.w == 0 {
		return seconds(p.all.mean)
	}
	x := math.Log2(size)
	c := &p.cells[cellOf(x)]
	line := p.line(x)
	return seconds((c.n*c.mean + trust*line) / (c.n + trust))
}

// line is the regression's answer in seconds. With sizes that are all alike there is no slope to learn: it is the mean then.
func (p *Predictor) line(x float64) float64 {
	mx, my := p.x/p.w, p.y/p.w
	slope := 0.0
	if spread := p.xx/p.w - mx*mx; spread > 1e-3 {
		slope = (p.xy/p.w - mx*my) / spread
	}
	return min(math.Exp2(my+slope*(x-mx)), ceiling)
}

func seconds(s float64) time.Duration {
	return time.Duration(min(max(s, 0), ceiling) * float64(time.Second))
}
