package alarm

import (
	"math"
	"slices"
	"time"
)

// Point is what a metric was over one period.
type Point struct {
	Value float64 `json:"value"`
	Known bool    `json:"known"` // false: nothing was measured
}

// Statistic is how the samples of a period become its point.
type Statistic string

// The statistics. The zero Statistic is Average.
const (
	Average Statistic = "average"
	Maximum Statistic = "maximum"
	Minimum Statistic = "minimum"
	Sum     Statistic = "sum"
)

// Series turns samples into points of one period each. A period ends with the sample that is taken at its end, and the first period with
// the very first sample, so that one sample per period gives one point for each, at once. Its exported state may be kept and set.
type Series struct {
	Period    time.Duration // above 0
	Statistic Statistic
	Keep      int // points

	SeriesState
}

// SeriesState is what a Series carries from one sample to the next.
type SeriesState struct {
	End    time.Time `json:"end,omitzero"` // of the period that is open
	Total  float64   `json:"total,omitempty"`
	Count  int       `json:"count,omitempty"`
	Low    float64   `json:"low,omitempty"`
	High   float64   `json:"high,omitempty"`
	Points []Point   `json:"points,omitempty"` // the oldest first
}

// Clone returns a copy that shares nothing with s.
func (s SeriesState) Clone() SeriesState {
	s.Points = slices.Clone(s.Points)
	return s
}

// Add takes the sample of now, or notes that there is none, and reports whether a period ended with it. When the clock was set back the
// series begins anew.
func (s *Series) Add(now time.Time, value float64, known bool) (ended bool) {
	if s.End.IsZero() || now.Before(s.End.Add(-s.Period)) {
		s.SeriesState = SeriesState{End: now}
	}
	for i := 0; now.After(s.End); i++ { // periods that passed without a sample at their end
		s.close()
		ended = true
		if gap := now.Sub(s.End); i > s.Keep && gap > s.Period {
			s.End = s.End.Add(gap.Truncate(s.Period)) // nothing older counts any more
		}
	}
	if known && !math.IsNaN(value) && !math.IsInf(value, 0) {
		if s.Count == 0 || value < s.Low {
			s.Low = value
		}
		if s.Count == 0 || value > s.High {
			s.High = value
		}
		s.Total += value
		s.Count++
	}
	if !now.Before(s.End) {
		s.close()
		ended = true
	}
	return ended
}

// close ends the open period and begins the next.
func (s *Series) close() {
	p := Point{Known: s.Count > 0}
	switch {
	case !p.Known:
	case s.Statistic == Maximum:
		p.Value = s.High
	case s.Statistic == Minimum:
		p.Value = s.Low
	case s.Statistic == Sum:
		p.Value = s.Total
	default:
		p.Value = s.Total / float64(s.Count)
	}
	if over := len(s.Points) + 1 - max(1, s.Keep); over > 0 {
		s.Points = slices.Delete(s.Points, 0, min(over, len(s.Points)))
	}
	s.Points = append(s.Points, p)
	s.End = s.End.Add(s.Period)
	s.Total, s.Count, s.Low, s.High = 0, 0, 0, 0
}

// Fresh reports whether the newest point is known: what an action is to go by.
func (s *Series) Fresh() bool { return len(s.Points) > 0 && s.Points[len(s.Points)-1].Known }

// Newest returns the newest point that is known.
func (s *Series) Newest() (value float64, known bool) {
	for _, p := range slices.Backward(s.Points) {
		if p.Known {
			return p.Value, true
		}
	}
	return 0, false
}
