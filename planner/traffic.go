package planner

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/weirlb/weir/sim"
)

// Traffic is what was recorded, to be planned for in place of what a user knows.
type Traffic struct {
	About    string // it in a line
	Start    time.Time
	Requests []sim.Request // in order, each with its service time
}

// What a recording is looked at by.
const (
	binLength   = 5 * time.Minute // in which loads are compared
	usualShare  = 0.95            // of these bins have at most a usual day's highest load
	nightPart   = 0.05            // of them have at most its lowest
	mostTried   = 300_000         // requests that one run takes
	aroundPeak  = 30 * time.Minute
	leastTraced = 100 // requests to plan by
)

// Recorded is what follows from a recording.
type recorded struct {
	*Traffic
	Mean, High time.Duration
	SCV        float64
	Usual      float64 // requests at the same time, at the highest of a usual day, if none waited
	Night      float64
	Highest    float64
	rhythm     rhythm

	usual, peak []sim.Request // that candidates are tried by; each begins at 0
	usualFrom   time.Duration
	peakFrom    time.Duration
	whole       bool // usual is all of it
}

// read finds out what is to be known of a recording.
func (t *Traffic) read() (*recorded, error) {
	n := len(t.Requests)
	if n < leastTraced {
		return nil, fmt.Errorf("%d requests are too few to plan by; give a recording of %d at least", n, leastTraced)
	}
	r := &recorded{Traffic: t}
	span := t.Requests[n-1].At
	bins := make([]float64, int(span/binLength)+1) // service time that arrives in each
	var sum, sum2 float64
	for i := range t.Requests {
		q := &t.Requests[i]
		if q.Service <= 0 {
			return nil, fmt.Errorf("request %d has no service time; a plan needs what each takes on an idle machine", i+1)
		}
		s := q.Service.Seconds()
		sum, sum2 = sum+s, sum2+s*s
		r.High = max(r.High, q.Service)
		bins[int(q.At/binLength)] += s / binLength.Seconds()
	}
	mean := sum / float64(n)
	r.Mean = time.Duration(mean * float64(time.Second))
	r.SCV = max(0, sum2/float64(n)/(mean*mean)-1)
	if len(bins) > 1 {
		last := (span - time.Duration(len(bins)-1)*binLength).Seconds() / binLength.Seconds()
		bins[len(bins)-1] /= max(last, 0.2) // it is not a whole one
	}
	sorted := slices.Sorted(slices.Values(bins))
	at := func(q float64) float64 { return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)] }
	r.Usual, r.Night, r.Highest = at(usualShare), at(nightPart), float64(t.together())
	r.rhythm = rhythmOf(bins, t.Start)
	highest := time.Duration(slices.Index(bins, sorted[len(sorted)-1])) * binLength
	r.peakFrom = max(0, highest-aroundPeak)
	r.peak = t.part(r.peakFrom, highest+binLength+aroundPeak)
	r.usual, r.whole = t.Requests, true
	if n > mostTried {
		r.whole = false
		r.usualFrom, r.usual = t.usualPart(span)
	}
	return r, nil
}

// together is how many requests there were at the same time at most, if none waited.
func (t *Traffic) together() (most int) {
	ends := make([]time.Duration, len(t.Requests))
	for i := range t.Requests {
		ends[i] = t.Requests[i].At + t.Requests[i].Service
	}
	slices.Sort(ends)
	over := 0
	for i := range t.Requests {
		for over < len(ends) && ends[over] <= t.Requests[i].At {
			over++
		}
		most = max(most, i+1-over)
	}
	return most
}

// part is what came between two times, from 0 on.
func (t *Traffic) part(from, to time.Duration) []sim.Request {
	i, _ := slices.BinarySearchFunc(t.Requests, from, byArrival)
	j, _ := slices.BinarySearchFunc(t.Requests, to, byArrival)
	out := slices.Clone(t.Requests[i:min(j, i+mostTried)])
	for k := range out {
		out[k].At -= from
	}
	return out
}

func byArrival(q sim.Request, at time.Duration) int { return int(min(max(q.At-at, -1), 1)) }

// usualPart is the stretch of mostTried requests that has the median length: neither the busiest nor the quietest of its size.
func (t *Traffic) usualPart(span time.Duration) (from time.Duration, part []sim.Request) {
	type stretch struct{ first, last int }
	var all []stretch
	for i := 0; i+mostTried <= len(t.Requests); i += mostTried {
		all = append(all, stretch{i, i + mostTried - 1})
	}
	length := func(s stretch) time.Duration { return t.Requests[s.last].At - t.Requests[s.first].At }
	slices.SortStableFunc(all, func(a, b stretch) int { return int(min(max(length(a)-length(b), -1), 1)) })
	s := all[len(all)/2]
	from = t.Requests[s.first].At
	return from, t.part(from, t.Requests[s.last].At+1)
}

// rhythm is the hours of the day in which load comes.
type rhythm struct {
	From, To int     // the hours, in the recording's zone; equal: there is none
	Load     float64 // requests at the same time in these hours, at most nine days of ten
	Strength float64 // how much of the hours' loads, each in terms of its day's, the hour of the day explains, 0 to 1
}

const (
	rhythmDays     = 3   // that a rhythm is looked for in at least
	rhythmStrength = 0.5 // from which it is one
)

// rhythmOf looks for hours of the day that are busier than the others on every day.
func rhythmOf(bins []float64, start time.Time) (r rhythm) {
	const perHour = int(time.Hour / binLength)
	hours := len(bins) / perHour
	if hours < rhythmDays*24-1 { // the last request of three days comes a little before their end
		return r
	}
	loads := make([]float64, hours)
	for h := range loads {
		loads[h] = average(bins[h*perHour : (h+1)*perHour])
	}
	var of, terms [24][]float64 // by the hour of the day: loads, and in terms of the 24 hours around
	total, n := 0.0, 0
	for h, load := range loads {
		hour := start.Add(time.Duration(h) * time.Hour).Hour()
		of[hour] = append(of[hour], load)
		from := min(max(h-12, 0), hours-24)
		if day := average(loads[from : from+24]); day > 0 {
			terms[hour] = append(terms[hour], load/day)
			total, n = total+(load/day-1)*(load/day-1), n+1
		}
	}
	explained := 0.0
	var means [24]float64
	for h := range terms {
		means[h] = average(terms[h])
		explained += float64(len(terms[h])) * (means[h] - 1) * (means[h] - 1)
	}
	if n == 0 || total == 0 || explained/total < rhythmStrength {
		return r
	}
	r.Strength = explained / total
	// The longest run of hours above their day's mean, around midnight too.
	best := 0
	for from := range 24 {
		n := 0
		for n < 24 && means[(from+n)%24] > 1 {
			n++
		}
		if n > best && n < 24 {
			best, r.From, r.To = n, from, (from+n)%24
		}
	}
	var busy []float64
	for i := range best {
		busy = append(busy, of[(r.From+i)%24]...)
	}
	slices.Sort(busy)
	if len(busy) > 0 {
		r.Load = busy[min(int(math.Ceil(0.9*float64(len(busy)))), len(busy)-1)]
	}
	return r
}

func average(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(max(len(v), 1))
}
