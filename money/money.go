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
	Market string    // on_demand or spot; "" when nobody said
	Price  float64   // per hour, in any one currency; 0 is unknown
	List   float64   // per hour, on demand; what Price is compared with; 0 compares it with itself
	Since  time.Time // of its launch: it is charged from then on
}

// Account is what a pool has cost. It is plain data, so that a caller can store it and go on from it. Its zero value has
// spent nothing. Days and months are those of UTC, as AWS bills.
type Account struct {
	At       time.Time `json:"at"`    // up to when it is added up
	Total    Sum       `json:"total"` // since the account was begun
	Day      Sum       `json:"day"`
	Month    Sum       `json:"month"`
	Kinds    []Kind    `json:"kinds,omitempty"` // the month, by type and market
	Requests float64   `json:"requests"`        // answered, in this month
}

// Sum is money spent in a time.
type Sum struct {
	Spent    float64 `json:"spent"`
	OnDemand float64 `json:"on_demand"` // what it would have been
	Hours    float64 `json:"hours"`     // of instances
}

// Kind is what the instances of one type and market cost.
type Kind struct {
	Type   string `json:"type"`
	Market string `json:"market"`
	Sum
}

// furthestBack is how far a clock may be set back before what it says is believed: until then nothing is charged, so that no
// moment is charged twice.
const furthestBack = time.Hour

// Add charges the instances that run for the time since the last Add, or since their launch when that is later, and counts the
// requests that were answered in it. However long the time is, it is charged: an instance that was there before and is there
// now has run, also while nobody looked. What falls before the month's first moment is left out of the new month. The first
// Add charges from the launches, but nothing from before the month.
func (a *Account) Add(now time.Time, instances []Instance, requests float64) {
	now = now.UTC()
	last := a.At.UTC()
	if now.Before(last) && last.Sub(now) < furthestBack {
		return
	}
	day, month := startOfDay(now), startOfMonth(now)
	switch {
	case a.At.IsZero():
		last = month
	case now.Before(last):
		last = now
	}
	if !sameDay(last, now) {
		a.Day = Sum{}
	}
	if !startOfMonth(last).Equal(month) {
		a.Month, a.Requests, a.Kinds = Sum{}, 0, nil
	}
	for i := range instances {
		one := &instances[i]
		from := latest(last, one.Since)
		a.Total.charge(one, from, now)
		a.Day.charge(one, latest(from, day), now)
		a.Month.charge(one, latest(from, month), now)
		a.kind(one).charge(one, latest(from, month), now)
	}
	a.Requests += requests
	a.At = now
}

// Clone returns a copy that shares nothing.
func (a *Account) Clone() Account {
	b := *a
	b.Kinds = slices.Clone(a.Kinds)
	return b
}

func (a *Account) kind(one *Instance) *Sum {
	for i := range a.Kinds {
		if k := &a.Kinds[i]; k.Type == one.Type && k.Market == one.Market {
			return &k.Sum
		}
	}
	a.Kinds = append(a.Kinds, Kind{Type: one.Type, Market: one.Market})
	return &a.Kinds[len(a.Kinds)-1].Sum
}

func (s *Sum) charge(one *Instance, from, to time.Time) {
	if !from.Before(to) {
		return
	}
	hours := to.Sub(from).Hours()
	s.Spent += one.Price * hours
	s.OnDemand += cmp.Or(one.List, one.Price) * hours
	s.Hours += hours
}

// Report is what an Account comes to.
type Report struct {
	PerHour         float64 `json:"per_hour"` // of what runs now
	OnDemandPerHour float64 `json:"on_demand_per_hour"`
	Today           float64 `json:"today"`
	Month           float64 `json:"month"` // to date
	MonthOnDemand   float64 `json:"month_on_demand"`
	Saved           float64 `json:"saved"` // in this month, against all on demand
	Total           float64 `json:"total"` // since the account was begun
	Hours           float64 `json:"instance_hours"`
	Projected       float64 `json:"projected"` // the month to date, and what runs now until its end
	Requests        float64 `json:"requests"`  // answered, in this month
	PerThousand     float64 `json:"per_1000_requests,omitempty"`
	Unpriced        int     `json:"unpriced,omitempty"` // instances that run and have no known price
	Lines           []Line  `json:"lines,omitempty"`    // by type and market
}

// Line is what the instances of one type and market cost.
type Line struct {
	Type    string  `json:"type"`
	Market  string  `json:"market"`
	N       int     `json:"instances"`
	PerHour float64 `json:"per_hour"`
	Month   float64 `json:"month"`
	Hours   float64 `json:"instance_hours"` // in this month
}

// Report sums up, for the instances that run now.
func (a *Account) Report(now time.Time, instances []Instance) Report {
	day, month, kinds, requests := a.Day, a.Month, a.Kinds, a.Requests
	if now = now.UTC(); a.At.Before(startOfDay(now)) { // nothing was added since
		day = Sum{}
	}
	if a.At.Before(startOfMonth(now)) {
		month, kinds, requests = Sum{}, nil, 0
	}
	r := Report{
		Today: day.Spent, Month: month.Spent, MonthOnDemand: month.OnDemand, Saved: month.OnDemand - month.Spent,
		Total: a.Total.Spent, Hours: month.Hours, Requests: requests,
	}
	for _, k := range kinds {
		r.Lines = append(r.Lines, Line{Type: k.Type, Market: k.Market, Month: k.Spent, Hours: k.Hours})
	}
	for _, one := range instances {
		r.PerHour += one.Price
		r.OnDemandPerHour += cmp.Or(one.List, one.Price)
		if one.Price == 0 {
			r.Unpriced++
		}
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
		perHour, ok = b.Lasting(now, spent), true
	}
	if b.PerHour > 0 && (!ok || b.PerHour < perHour) {
		perHour, ok = b.PerHour, true
	}
	return perHour, ok
}

// Lasting is what may be spent per hour so that what is left of PerMonth lasts to the end of the month. In the last hour it is
// no more than what is left: nothing is launched in the last minute to spend the rest.
func (b Budget) Lasting(now time.Time, spent float64) float64 {
	return max(0, b.PerMonth-spent) / max(1, LeftOfMonth(now).Hours())
}

// LeftOfMonth is the time to the end of the month, in UTC.
func LeftOfMonth(now time.Time) time.Duration {
	now = now.UTC()
	return startOfMonth(now).AddDate(0, 1, 0).Sub(now)
}

func startOfDay(t time.Time) time.Time { return t.Truncate(24 * time.Hour) } // exact in UTC

func sameDay(a, b time.Time) bool { return startOfDay(a).Equal(startOfDay(b)) }

func startOfMonth(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
