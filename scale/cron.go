package scale

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Cron is a repeating time: minute, hour, day of the month, month and day of the week, in a time zone, as in crontab(5).
//
// Daylight saving is as in cron(8): a fixed time that is skipped counts at the moment of the change, and one that comes twice counts only
// the first time. With a "*" in the minute or the hour the expression follows the clock on the wall instead, without what is skipped, and twice
// what comes twice.
type Cron struct {
	text                              string
	zone                              *time.Location
	minute, hour, day, month, weekday uint64 // a bit for each value
	anyDay, anyWeekday                bool   // the field began with "*": only the other one counts
	wild                              bool   // minute or hour began with "*"
}

// cronField is what one of the five may hold.
type cronField struct {
	name      string
	low, high int
	names     []string // of low and on
}

var cronFields = [5]cronField{
	{name: "minute", low: 0, high: 59},
	{name: "hour", low: 0, high: 23},
	{name: "day of the month", low: 1, high: 31},
	{name: "month", low: 1, high: 12, names: []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
	{name: "day of the week", low: 0, high: 7, names: []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
}

var cronShort = map[string]string{
	"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *",
	"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}

// ParseCron reads five fields, each of numbers, names of months and days, ranges, lists and steps, or @hourly, @daily, @weekly, @monthly
// and @yearly. Errors say which field is wrong.
func ParseCron(text string, zone *time.Location) (*Cron, error) {
	expr := strings.TrimSpace(text)
	if long, ok := cronShort[expr]; ok {
		expr = long
	}
	parts := strings.Fields(expr)
	if len(parts) != len(cronFields) {
		return nil, fmt.Errorf("has %d fields; cron has five: minute, hour, day of the month, month and day of the week, as in \"0 9 * * 1-5\"", len(parts))
	}
	c := &Cron{text: strings.Join(parts, " "), zone: zone}
	bits := [5]*uint64{&c.minute, &c.hour, &c.day, &c.month, &c.weekday}
	for i, part := range parts {
		b, err := cronFields[i].parse(strings.ToLower(part))
		if err != nil {
			return nil, fmt.Errorf("has the %s %q, which %w", cronFields[i].name, part, err)
		}
		*bits[i] = b
	}
	if c.weekday&(1<<7) != 0 {
		c.weekday |= 1 // 7 is Sunday too
	}
	c.anyDay, c.anyWeekday = strings.HasPrefix(parts[2], "*"), strings.HasPrefix(parts[4], "*")
	c.wild = strings.HasPrefix(parts[0], "*") || strings.HasPrefix(parts[1], "*")
	if _, ok := c.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)); !ok {
		return nil, errors.New("is a day that never comes")
	}
	return c, nil
}

// parse reads one field: a list of ranges.
func (f cronField) parse(text string) (bits uint64, err error) {
	for part := range strings.SplitSeq(text, ",") {
		span, step, stepped := strings.Cut(part, "/")
		low, high := f.low, f.high
		if first, last, isRange := strings.Cut(span, "-"); span != "*" {
			if low, err = f.value(first); err != nil {
				return 0, err
			}
			switch {
			case isRange:
				if high, err = f.value(last); err != nil {
					return 0, err
				}
			case !stepped:
				high = low
			}
		} else if f.high == 7 {
			high = 6
		}
		every := 1
		if stepped {
			if every, err = strconv.Atoi(step); err != nil || every < 1 {
				return 0, fmt.Errorf("has the step %q; write a number from 1, as in */5", step)
			}
		}
		if low > high {
			return 0, fmt.Errorf("runs backwards; write the smaller one first")
		}
		for v := low; v <= high; v += every {
			bits |= 1 << v
		}
	}
	return bits, nil
}

func (f cronField) value(text string) (int, error) {
	for i, name := range f.names {
		if text == name {
			return f.low + i, nil
		}
	}
	n, err := strconv.ParseUint(text, 10, 8)
	if err != nil || int(n) < f.low || int(n) > f.high {
		return 0, fmt.Errorf("is not from %d to %d", f.low, f.high)
	}
	return int(n), nil
}

// String is the expression, and its zone unless that is UTC.
func (c *Cron) String() string {
	if c.zone == time.UTC {
		return c.text
	}
	return c.text + " " + c.zone.String()
}

// cronReach is how many days a search goes: eight years, between two 29ths of February around a century without one.
const cronReach = 8*366 + 2

// Prev returns the newest time of c at or before t, false when there is none within eight years.
func (c *Cron) Prev(t time.Time) (time.Time, bool) {
	y, m, d := t.In(c.zone).Date()
	for i := range cronReach {
		day := time.Date(y, m, d-i+1, 12, 0, 0, 0, time.UTC) // from tomorrow on: a change of the offset may move times across midnight
		if !c.onDay(day) {
			continue
		}
		var best time.Time
		for at := range c.times(day) {
			if !at.After(t) && at.After(best) {
				best = at
			}
		}
		if !best.IsZero() {
			return best, true
		}
	}
	return time.Time{}, false
}

// Next returns the first time of c after t, false when there is none within eight years.
func (c *Cron) Next(t time.Time) (time.Time, bool) {
	y, m, d := t.In(c.zone).Date()
	for i := range cronReach {
		day := time.Date(y, m, d+i-1, 12, 0, 0, 0, time.UTC)
		if !c.onDay(day) {
			continue
		}
		var best time.Time
		for at := range c.times(day) {
			if at.After(t) && (best.IsZero() || at.Before(best)) {
				best = at
			}
		}
		if !best.IsZero() {
			return best, true
		}
	}
	return time.Time{}, false
}

// onDay reports whether the month and the day match. When both the day of the month and the day of the week are given, either will do.
func (c *Cron) onDay(day time.Time) bool {
	if c.month&(1<<int(day.Month())) == 0 {
		return false
	}
	byDay, byWeekday := c.day&(1<<day.Day()) != 0, c.weekday&(1<<int(day.Weekday())) != 0
	if c.anyDay || c.anyWeekday {
		return byDay && byWeekday
	}
	return byDay || byWeekday
}

// times gives the moments of a day, in no order.
func (c *Cron) times(day time.Time) func(yield func(time.Time) bool) {
	return func(yield func(time.Time) bool) {
		for h := range 24 {
			if c.hour&(1<<h) == 0 {
				continue
			}
			for m := range 60 {
				if c.minute&(1<<m) == 0 {
					continue
				}
				first, second := c.resolve(day, h, m)
				if !first.IsZero() && !yield(first) || !second.IsZero() && !yield(second) {
					return
				}
			}
		}
	}
}

// resolve gives the moment, or the two, at which the clocks of the zone show a time; for a time that is skipped, the moment of the change.
func (c *Cron) resolve(day time.Time, h, m int) (first, second time.Time) {
	wall := time.Date(day.Year(), day.Month(), day.Day(), h, m, 0, 0, time.UTC)
	// The offsets in force on either side of any change near that time.
	_, before := wall.Add(-15 * time.Hour).In(c.zone).Zone()
	_, after := wall.Add(15 * time.Hour).In(c.zone).Zone()
	a, b := wall.Add(-time.Duration(before)*time.Second).In(c.zone), wall.Add(-time.Duration(after)*time.Second).In(c.zone)
	shows := func(t time.Time) bool { return t.Hour() == h && t.Minute() == m && t.Day() == wall.Day() }
	switch {
	case before == after && shows(a):
		return a, second
	case shows(a) && shows(b) && c.wild:
		return a, b
	case shows(a):
		return a, second // the first of two, or before the change
	case shows(b):
		return b, second
	case c.wild:
		return first, second
	}
	change, _ := a.ZoneBounds()
	return change, second
}
