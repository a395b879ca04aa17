package trace

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"time"
)

// counts makes requests of how many came in each period.
type counts struct {
	src    *csvSource
	width  int64
	bucket bucket // being expanded
	ahead  bucket
	held   bool // ahead is valid
	err    error
	last   int64

	rng   *rand.Rand
	left  int64   // of bucket's requests
	given int64   // of them
	u     float64 // where the last one lies in its period, from 0 to 1
	carry float64 // of even spacing: what part of a request earlier periods left

	holes    int
	hole     bucket // the first
	missing  int64  // periods in holes
	longest  int64
	rows     int
	requests int64
}

// bucket is one row.
type bucket struct {
	at   int64
	n    int64
	line int32
}

func (c *counts) read(b *bucket) error {
	var it item
	if err := c.src.next(&it); err != nil {
		return err
	}
	*b = bucket{it.at, c.src.count, it.Line}
	return nil
}

// openCounts reads the first two rows, whose distance says how long a row lasts.
func (t *Reader) openCounts() error {
	c := t.counts
	if err := c.read(&c.bucket); err != nil {
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%s: it has a header and no rows", t.name)
		}
		return err
	}
	c.width = int64(t.o.Period)
	switch err := c.read(&c.ahead); {
	case errors.Is(err, io.EOF) && c.width == 0:
		return t.errorf(int(c.bucket.line), "one row does not tell how long it lasts; say so: --period 1m")
	case errors.Is(err, io.EOF):
		c.err = err
	case err != nil:
		return err
	default:
		c.held = true
		if c.width == 0 {
			if c.width = c.ahead.at - c.bucket.at; c.width > 0 {
				t.warn(int(c.ahead.line), "each row is taken as the requests of %v, the distance of the first two; if that is wrong, set --period", time.Duration(c.width))
			}
		}
		if err := t.follows(); err != nil {
			return err
		}
	}
	if err := t.start(c.bucket.at); err != nil {
		return err
	}
	if t.o.Even {
		t.warn(0, "the requests of a row are spaced evenly over its period")
	} else {
		t.warn(0, "the requests of a row are placed at random within its period, by the seed %d", t.o.Seed)
	}
	c.fill(t)
	return nil
}

// follows checks the row ahead against the one before it.
func (t *Reader) follows() error {
	c := t.counts
	switch d := c.ahead.at - c.bucket.at; {
	case d == 0:
		return t.errorf(int(c.ahead.line), "the same time as in the row above; add the two counts up, or remove one row")
	case d < 0:
		return t.errorf(int(c.ahead.line), "this row is %v before the one above it; sort the trace by time", -time.Duration(d))
	case d < c.width:
		return t.errorf(int(c.ahead.line), "this row comes %v after the one above it, where a row lasts %v; mend it, or set --period", time.Duration(d), time.Duration(c.width))
	case d > c.width:
		if c.holes++; c.holes == 1 {
			c.hole = c.ahead
		}
		c.missing += (d+c.width/2)/c.width - 1
		c.longest = max(c.longest, d-c.width)
	}
	return nil
}

// advance goes to the next row.
func (t *Reader) advance() error {
	c := t.counts
	if !c.held {
		return c.err
	}
	c.bucket, c.held = c.ahead, false
	if c.err = c.read(&c.ahead); c.err == nil {
		c.held = true
		c.err = t.follows()
		c.held = c.err == nil
	}
	c.fill(t)
	return nil
}

// fill decides how many requests the row gets. What is drawn belongs to the row, so a part of a trace has the requests of the whole.
func (c *counts) fill(t *Reader) {
	c.rows++
	c.requests += c.bucket.n
	c.last = c.bucket.at
	mass := float64(c.bucket.n) * t.o.Scale
	c.given, c.u = 0, 0
	if t.o.Even {
		c.left = int64(math.Floor(mass + c.carry + 0.5))
		c.carry += mass - float64(c.left)
		return
	}
	c.rng = rand.New(rand.NewPCG(t.o.Seed, uint64(c.bucket.at)))
	whole, part := math.Modf(mass)
	c.left = int64(whole)
	if c.rng.Float64() < part {
		c.left++
	}
}

// nextCounted is the next request. Given their number, the points of a Poisson process lie as sorted uniform draws; these come one by one,
// each from the smallest of those left (Devroye, Non-Uniform Random Variate Generation, 1986, V.2).
func (t *Reader) nextCounted(it *item) error {
	c := t.counts
	for {
		if c.bucket.at >= t.to {
			return errPart
		}
		if c.left == 0 || c.bucket.at+c.width <= t.from {
			if err := t.advance(); err != nil {
				return err
			}
			continue
		}
		if t.o.Even {
			c.u = (float64(c.given) + 0.5) / float64(c.given+c.left)
		} else {
			c.u = 1 - (1-c.u)*math.Exp(-c.rng.ExpFloat64()/float64(c.left))
		}
		c.left--
		c.given++
		at := c.bucket.at + min(int64(c.u*float64(c.width)), c.width-1)
		if at < t.from {
			continue
		}
		if at >= t.to {
			return errPart
		}
		*it = item{Request: Request{Line: c.bucket.line}, at: at}
		return nil
	}
}
