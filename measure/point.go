package measure

import "time"

// Point is a value at a moment.
type Point struct {
	Time  time.Time
	Value float64
}

// Kind says how a series moves, which decides what stands for a minute of it: the average of a gauge, the last value of a counter.
type Kind uint8

// The kinds of series.
const (
	Gauge   Kind = iota // goes up and down
	Counter             // only grows, until it starts again from 0
)
