package scale

import (
	"math"
	"strconv"
	"time"
)

// words builds a sentence in a buffer that usually lives on the stack, because every decision of every pool writes a few.
type words []byte

// say makes a sentence of words: the one of the decision before, if it is the same.
func (obs *Observation) say(w words) string {
	for _, s := range obs.said {
		if s == string(w) {
			return s
		}
	}
	return string(w)
}

func (w words) text(s string) words { return append(w, s...) }

func (w words) int(n int) words { return strconv.AppendInt(w, int64(n), 10) }

// num writes a number as people do: at most two decimals when it is small, none when it is large.
func (w words) num(x float64) words {
	decimals := 0
	switch {
	case math.Abs(x) < 10:
		decimals = 2
	case math.Abs(x) < 100:
		decimals = 1
	}
	w = strconv.AppendFloat(w, x, 'f', decimals, 64)
	if decimals > 0 {
		for w[len(w)-1] == '0' {
			w = w[:len(w)-1]
		}
		if w[len(w)-1] == '.' {
			w = w[:len(w)-1]
		}
	}
	return w
}

// secs writes a length of time in seconds: "2.5 s".
func (w words) secs(s float64) words { return w.num(s).text(" s") }

func (w words) span(d time.Duration) words { return w.secs(d.Seconds()) }

// count writes a number with its noun in the right number: "1 instance", "3 instances".
func (w words) count(n int, noun string) words {
	w = w.int(n).text(" ").text(noun)
	if n != 1 {
		w = w.text("s")
	}
	return w
}

func (w words) instances(n int) words { return w.count(n, "instance") }
