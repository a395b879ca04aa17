// Package money adds up what instances cost: now, today, in this month, and what they would have cost had all been on demand.
package money

import (
	"cmp"
	"slices"
	"time"
)

// Instance is one instance that is paid for.
type Instance struct {
	Type   string
	Market string  // on_demand or spot
	Price  float64 // per hour, in any one currency
	List   float64 // per hour, on demand; what Price is compared with
}

// Account is what a pool has cost. It is plain data, so that a caller can store it and go on from it. Its zero value has
// spent nothing. Days and months are those of the location of the times that are given.
type Account struct {
	At       time.Time `json:"at"` // up to when it is added up
	Day      Sum       `json:"day"`
	Month    Sum       `json:"month"`
	Requests float64   `json:"requests"` // finished, in this month
}

// Sum is money spent in a time.
type Sum struct {
	Spent    float64 `json:"spent"`
	OnDemand float64 `json:"on_demand"` // what it would have been
	Hours    float64 `json:"hours"`     // of instances
}

// LongestGap is the longest time between two calls of Add that is charged. Over a longer one Weir did not run, and nobody
// knows what was there.
const LongestGap = 5 * time.Minute

// Add charges the instances for the time since the last Add and counts the requests that finished in it. A clock that was
// set back charges nothing. What falls before the month's first moment is left out of the new month.
func (a *Account) Add(now time.Time, instances []Instance, requests float64) {
	last := a.At
	if last.IsZero() {
		last = now
	}
	last = last.In(now.Location())
	if day := startOfDay(now); last.Before(day) {
		a.Day = Sum{}
	}
	if month := startOfMonth(now); last.Before(month) {
		a.Month, a.Requests = Sum{}, 0
	}
	if gap := now.Sub(last); gap > 0 && gap <= LongestGap {
		a.Day.charge(now.Sub(latest(last, startOfDay(now))), instances)
		a.Month.charge(now.Sub(latest(last, startOfMonth(now))), instances)
	}
	a.Requests += requests
	a.At = now
}

func (s *Sum) charge(d time.Duration, instances []Instance) {
	for i := range instances {
		s.Spent += instances[i].Price * d.Hours()
		s.OnDemand += cmp.Or(instances[i].List, instances[i].Price) * d.Hours()
		s.Hours += d.Hours()
	}
}

// Report is what an Account comes to.
type Report struct {
	PerHour         float64 `json:"per_hour"` // of what runs now
	OnDemandPerHour float64 `json:"on_demand_per_hour"`
	Today           float64 `json:"today"`
	Month           float64 `json:"month"` // to date
	MonthOnDemand   float64 `json:"month_on_demand"`
	Saved           float64 `json:"saved"` // in this month, against all on demand
	Projected       float64 `json:"projected"`
	PerThousand     float64 `json:"per_1000_requests"` // 0 before the first request
	Lines           []Line  `json:"lines,omitempty"`
}

// Line is what the instances of one type and market cost.
type Line struct {
	Type    string  `json:"type"`
	Market  string  `json:"market"`
	N       int     `json:"instances"`
	PerHour float64 `json:"per_hour"`
}

// Report sums up, for the instances that run now. Projected is the month to date, and what runs now until its end.
func (a *Account) Report(now time.Time, instances []Instance) Report {
	today, month, requests := a.Day, a.Month, a.Requests
	if a.At.Before(startOfDay(now)) { // nothing was added since
		today = Sum{}
	}
	if a.At.Before(startOfMonth(now)) {
		month, requests = Sum{}, 0
	}
	r := Report{Today: today.Spent, Month: month.Spent, MonthOnDemand: month.OnDemand, Saved: month.OnDemand - month.Spent}
	for _, one := range instances {
		r.PerHour += one.Price
		r.OnDemandPerHour += cmp.Or(one.List, one.Price)
		i := slices.IndexFunc(r.Lines, func(l Line) bool { return l.Type == one.Type && l.Market == one.Market })
		if i < 0 {
			i = len(r.Lines)
			r.Lines = append(r.Lines, Line{Type: one.Type, Market: one.Market})
		}
		r.Lines[i].N++
		r.Lines[i].PerHour += one.Price
	}
	slices.SortFunc(r.Lines, func(a, b Line) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Market, b.Market))
	})
	r.Projected = r.Month + r.PerHour*LeftOfMonth(now).Hours()
	if requests > 0 {
		r.PerThousand = r.Month / requests * 1000
	}
	return r
}

// Budget is a ceiling; a 0 sets none.
type Budget struct {
	PerHour  float64 `json:"per_hour,omitempty"`
	PerMonth float64 `json:"per_month,omitempty"`
}

// Hourly is what may be spent per hour from now on: PerHour, and no more than lasts to the end of the month with what is
// left of PerMonth. Without a budget ok is false.
func (b Budget) Hourly(now time.Time, spent float64) (perHour float64, ok bool) {
	if b.PerMonth > 0 {
		perHour, ok = max(0, b.PerMonth-spent)/max(1, LeftOfMonth(now).Hours()), true
	}
	if b.PerHour > 0 && (!ok || b.PerHour < perHour) {
		perHour, ok = b.PerHour, true
	}
	return perHour, ok
}

// LeftOfMonth is the time to the end of the month, in the location of now.
func LeftOfMonth(now time.Time) time.Duration { return startOfMonth(now).AddDate(0, 1, 0).Sub(now) }

func startOfDay(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, t.Location())
}

func startOfMonth(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, t.Location())
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
