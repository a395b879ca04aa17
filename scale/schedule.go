package scale

import "time"

// Action is what a schedule does at set times, as a scheduled action of an Auto Scaling group: it sets any of min, max and desired. The
// bounds stay as it left them until another action sets them. Desired is set once, at the moment of the action; from then on the policies go on.
type Action struct {
	Name       string    // for the record; without one, its times
	Cron       *Cron     // when it repeats; nil: once, at At
	At         time.Time // with Cron nil
	Start, End time.Time // with Cron: only from Start and before End; zero times leave an end open
	Min, Max   *int      // nil: unchanged
	Desired    *int
}

// String names the action in the record.
func (a *Action) String() string {
	switch {
	case a.Name != "":
		return "schedule " + a.Name
	case a.Cron != nil:
		return "schedule " + a.Cron.String()
	}
	return "schedule at " + a.At.Format(time.RFC3339)
}

// Newest returns when the action last took place, at or before now; false: never yet.
func (a *Action) Newest(now time.Time) (time.Time, bool) {
	if a.Cron == nil {
		return a.At, !a.At.After(now)
	}
	if !a.End.IsZero() && !now.Before(a.End) {
		now = a.End.Add(-time.Nanosecond)
	}
	at, ok := a.Cron.Prev(now)
	return at, ok && !at.Before(a.Start)
}

// Next returns when the action takes place for the first time after now; false: never again.
func (a *Action) Next(now time.Time) (time.Time, bool) {
	if a.Cron == nil {
		return a.At, a.At.After(now)
	}
	if now.Before(a.Start) {
		now = a.Start.Add(-time.Nanosecond)
	}
	at, ok := a.Cron.Next(now)
	return at, ok && (a.End.IsZero() || at.Before(a.End))
}

// plan is what a schedule asks for at some moment.
type plan struct {
	minBy, maxBy *Action // the newest that set each; nil: none did
	maxLater     bool    // max was set after min
	set          *Action // one that sets desired just now
}

// bounds are min and max as the schedule left them. An action that crosses the other bound takes that along.
func (p *plan) bounds(low, high int) (int, int) {
	if p.minBy != nil {
		low = max(0, *p.minBy.Min)
	}
	if p.maxBy != nil {
		high = max(0, *p.maxBy.Max)
	}
	if p.maxLater {
		return min(low, high), high
	}
	return low, max(low, high)
}

// calendar remembers when each action took place and when it will again, because looking that up each second is dear.
type calendar []entry

type entry struct {
	action   *Action
	from, to time.Time // the last time, zero for never; and the next, zero for never
	known    bool
}

func newCalendar(actions []*Action) calendar {
	c := make(calendar, len(actions))
	for i, a := range actions {
		c[i].action = a
	}
	return c
}

// at says what the schedule asks for now, given when one looked last; with no last time only an action of this very moment sets desired.
func (c calendar) at(now, last time.Time) plan {
	var p plan
	var minAt, maxAt, setAt time.Time
	for i := range c {
		e := &c[i]
		e.look(now)
		a := e.action
		if e.from.IsZero() {
			continue
		}
		if a.Min != nil && !e.from.Before(minAt) {
			p.minBy, minAt = a, e.from
		}
		if a.Max != nil && !e.from.Before(maxAt) {
			p.maxBy, maxAt = a, e.from
		}
		if a.Desired != nil && !e.from.Before(setAt) && (e.from.After(last) && !last.IsZero() || e.from.Equal(now) && last.IsZero()) {
			p.set, setAt = a, e.from
		}
	}
	p.maxLater = p.maxBy != nil && maxAt.After(minAt)
	return p
}

func (e *entry) look(now time.Time) {
	if e.known && !now.Before(e.from) && (e.to.IsZero() || now.Before(e.to)) {
		return
	}
	e.known, e.from, e.to = true, time.Time{}, time.Time{}
	if at, ok := e.action.Newest(now); ok {
		e.from = at
	}
	if at, ok := e.action.Next(now); ok {
		e.to = at
	}
}
