package forecast

import (
	"math"
	"time"
)

// Series is a metric at evenly spaced times: Values[i] belongs to the time from Start + i*Step until the next one. What is
// missing is NaN; infinite values count as missing.
type Series struct {
	Start  time.Time
	Step   time.Duration
	Values []float64
}

// End is when the last value's time ends, and when a forecast begins.
func (s Series) End() time.Time { return s.Start.Add(time.Duration(len(s.Values)) * s.Step) }

// Resample returns the series in steps of step, each the mean of the known values in it. Steps begin at multiples of step
// since the zero time, so that the same hour always gives the same values; a first or last step of which less than half is
// there is left out. A step that is shorter than the series' own, or no multiple of it, gives the series as it is.
func (s Series) Resample(step time.Duration) Series {
	if s.Step <= 0 || step <= s.Step || step%s.Step != 0 || len(s.Values) == 0 {
		return s
	}
	per := int(step / s.Step)
	first := s.Start.Truncate(step)
	skipped := int(s.Start.Sub(first) / s.Step)
	out := Series{Start: first, Step: step}
	if skipped > per/2 {
		out.Start = first.Add(step)
	}
	for from := -skipped; from < len(s.Values); from += per {
		lo, hi := max(from, 0), min(from+per, len(s.Values))
		if 2*(hi-lo) < per {
			continue
		}
		sum, known := 0.0, 0
		for _, v := range s.Values[lo:hi] {
			if finite(v) {
				sum += v
				known++
			}
		}
		mean := math.NaN()
		if known > 0 {
			mean = sum / float64(known)
		}
		out.Values = append(out.Values, mean)
	}
	return out
}

// Last returns the newest part of the series that is d long, or all of it.
func (s Series) Last(d time.Duration) Series {
	if s.Step <= 0 {
		return s
	}
	if drop := len(s.Values) - int(d/s.Step); drop > 0 {
		s.Start, s.Values = s.Start.Add(time.Duration(drop)*s.Step), s.Values[drop:]
	}
	return s
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
