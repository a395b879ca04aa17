package trace

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

var units = []time.Duration{time.Second, time.Millisecond, time.Microsecond, time.Nanosecond}

// clock reads the times of a trace. The first row settles how they are written, and every further row has to keep to it.
type clock struct {
	set      bool
	dates    bool
	zoned    bool // dates have a zone
	moments  bool // numbers count from 1970
	unit     time.Duration
	mooncake bool // the columns are those of Mooncake's traces, which count milliseconds

	day     [10]byte // the last date's text, whose begin is
	dayUnix int64
	dayOK   bool
}

// Years that a trace may be of: what lies outside is another column or another unit.
var (
	earliest = time.Date(1971, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	most     = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
)

const howToWrite = "write 2026-01-31T08:00:00Z, 2026-01-31 08:00:00, or Unix seconds or milliseconds"

// read is a time in nanoseconds since 1970, or since the trace's begin.
func (c *clock) read(v []byte, t *Reader, col *column, line int) (int64, error) {
	if !c.set {
		if err := c.settle(v, t, col, line); err != nil {
			return 0, err
		}
	}
	if !c.dates {
		return c.number(v)
	}
	at, zoned, ok := c.date(v, t.zone())
	switch {
	case !ok:
		return 0, fmt.Errorf("%q is not written as the first row's time; %s, the same way in all rows", clip(v), howToWrite)
	case zoned != c.zoned:
		return 0, fmt.Errorf("%q %s a zone, unlike the first row's; write all with one, or none", clip(v), map[bool]string{true: "has", false: "lacks"}[zoned])
	case at < earliest || at > most:
		return 0, fmt.Errorf("%q lies outside of 1971 to 2200; mend or remove the row", clip(v))
	}
	return at, nil
}

// settle decides by the first row how times are written.
func (c *clock) settle(v []byte, t *Reader, col *column, line int) error {
	if _, zoned, ok := c.date(v, t.zone()); ok {
		c.set, c.dates, c.zoned, t.dated = true, true, zoned, true
		if !zoned && t.o.Zone == nil {
			t.warn(line, "its times name no zone and are taken as UTC; if that is wrong, set --zone, such as --zone Europe/Berlin")
		}
		return nil
	}
	n, err := strconv.ParseFloat(string(v), 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return fmt.Errorf("%q is no time; %s", clip(v), howToWrite)
	}
	if n < 0 {
		return fmt.Errorf("%q is negative; write a time from 0 up", clip(v))
	}
	unit := t.o.Unit
	if unit == 0 {
		unit = col.unit
	}
	guess := time.Duration(0)
	switch { // Unix times of the years 1973 to 5138
	case n < 1e8:
	case n < 1e11:
		guess = time.Second
	case n < 1e14:
		guess = time.Millisecond
	case n < 1e17:
		guess = time.Microsecond
	default:
		guess = time.Nanosecond
	}
	switch {
	case unit != 0:
		c.moments = n*float64(unit) >= 1e8*1e9
	case guess != 0:
		unit, c.moments = guess, true
		t.warn(line, "times such as %s are taken as Unix times in %s; if that is wrong, set --unit", clip(v), unitName(unit))
	case c.mooncake:
		unit = time.Millisecond
		t.warn(line, "times such as %s are taken as milliseconds from the trace's begin, as Mooncake's traces have it; if that is wrong, set --unit", clip(v))
	default:
		return fmt.Errorf("%q could count seconds or milliseconds; say which: --unit s, or --unit ms", clip(v))
	}
	c.set, c.unit, t.dated = true, unit, c.moments
	return nil
}

func unitName(u time.Duration) string {
	return [...]string{"seconds", "milliseconds", "microseconds", "nanoseconds"}[max(slices.Index(units, u), 0)]
}

// number reads digits and a fraction exactly, and other forms as a float.
func (c *clock) number(v []byte) (int64, error) {
	whole, fraction, scale := uint64(0), int64(0), int64(c.unit)
	i := 0
	for ; i < len(v) && v[i] >= '0' && v[i] <= '9' && i < 19; i++ {
		whole = whole*10 + uint64(v[i]-'0')
	}
	digits := i
	if i < len(v) && v[i] == '.' {
		for i++; i < len(v) && v[i] >= '0' && v[i] <= '9'; i++ {
			scale /= 10
			fraction += int64(v[i]-'0') * scale
		}
	}
	at := int64(0)
	if i == len(v) && digits > 0 {
		if whole > math.MaxInt64/2/uint64(c.unit) {
			return 0, fmt.Errorf("%q is beyond the year 2200; mend or remove the row, or set --unit", clip(v))
		}
		at = int64(whole)*int64(c.unit) + fraction
	} else {
		f, err := strconv.ParseFloat(string(v), 64)
		switch {
		case err != nil || math.IsNaN(f):
			return 0, fmt.Errorf("%q is no time, unlike the first row's; mend or remove the row", clip(v))
		case f < 0:
			return 0, fmt.Errorf("%q is negative; write a time from 0 up", clip(v))
		case f*float64(c.unit) > math.MaxInt64/2:
			return 0, fmt.Errorf("%q is beyond the year 2200; mend or remove the row, or set --unit", clip(v))
		}
		at = int64(f * float64(c.unit))
	}
	if c.moments && (at < earliest || at > most) {
		return 0, fmt.Errorf("%q lies outside of 1971 to 2200; mend or remove the row", clip(v))
	}
	return at, nil
}

// date reads 2006-01-02, then a T or a space, 15:04 and perhaps :05 and a fraction, and perhaps a zone; or nginx's
// 02/Jan/2006:15:04:05 -0700. It is by hand because time.Parse takes most of the time of reading a trace.
func (c *clock) date(v []byte, zone *time.Location) (at int64, zoned, ok bool) {
	if len(v) >= 26 && v[2] == '/' && v[6] == '/' {
		return c.combined(v)
	}
	if len(v) < 16 || v[4] != '-' || v[7] != '-' || v[10] != ' ' && v[10] != 'T' && v[10] != 't' || v[13] != ':' {
		return 0, false, false
	}
	if !c.dayOK || string(c.day[:]) != string(v[:10]) {
		y, ok1 := digits(v[:4])
		m, ok2 := digits(v[5:7])
		d, ok3 := digits(v[8:10])
		day := time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC)
		if !ok1 || !ok2 || !ok3 || day.Year() != y || int(day.Month()) != m || day.Day() != d {
			return 0, false, false
		}
		copy(c.day[:], v)
		c.dayUnix, c.dayOK = day.Unix(), true
	}
	hour, ok1 := digits(v[11:13])
	minute, ok2 := digits(v[14:16])
	second, nanos := 0, 0
	rest := v[16:]
	ok3 := true
	if len(rest) >= 3 && rest[0] == ':' {
		second, ok3 = digits(rest[1:3])
		rest = rest[3:]
		if len(rest) > 1 && (rest[0] == '.' || rest[0] == ',') {
			i, scale := 1, 100_000_000
			for ; i < len(rest) && rest[i] >= '0' && rest[i] <= '9'; i++ {
				nanos += int(rest[i]-'0') * scale
				scale /= 10
			}
			rest = rest[i:]
		}
	}
	if !ok1 || !ok2 || !ok3 || hour > 23 || minute > 59 || second > 60 {
		return 0, false, false
	}
	if c.dayUnix < -9e9 || c.dayUnix > 9e9 { // nanoseconds would overflow; read refuses the year
		return math.MinInt64, len(rest) > 0, true
	}
	seconds := c.dayUnix + int64(hour*3600+minute*60+second)
	if len(rest) == 0 {
		if zone != time.UTC {
			seconds = time.Date(1970, 1, 1, 0, 0, int(seconds), 0, zone).Unix()
		}
		return seconds*1e9 + int64(nanos), false, true
	}
	offset, ok := offset(rest)
	return (seconds-offset)*1e9 + int64(nanos), true, ok
}

// offset reads Z, +01:00, +0100, +01, " +0100" or " UTC", in seconds.
func offset(v []byte) (int64, bool) {
	if v[0] == ' ' {
		v = v[1:]
	}
	switch s := string(v); s {
	case "Z", "z", "UTC", "GMT":
		return 0, true
	case "":
		return 0, false
	}
	sign := int64(1)
	switch v[0] {
	case '-':
		sign = -1
	case '+':
	default:
		return 0, false
	}
	v = v[1:]
	if len(v) == 5 && v[2] == ':' {
		v = append(append(make([]byte, 0, 4), v[:2]...), v[3:]...)
	}
	if len(v) == 2 {
		v = append(append(make([]byte, 0, 4), v...), "00"...)
	}
	if len(v) != 4 {
		return 0, false
	}
	h, ok1 := digits(v[:2])
	m, ok2 := digits(v[2:])
	return sign * int64(h*3600+m*60), ok1 && ok2 && h < 24 && m < 60
}

const months = "JanFebMarAprMayJunJulAugSepOctNovDec"

// combined reads 02/Jan/2006:15:04:05 -0700.
func (c *clock) combined(v []byte) (at int64, zoned, ok bool) {
	month := 0
	for m := range 12 {
		if string(v[3:6]) == months[3*m:3*m+3] {
			month = m + 1
		}
	}
	d, ok1 := digits(v[:2])
	y, ok2 := digits(v[7:11])
	hour, ok3 := digits(v[12:14])
	minute, ok4 := digits(v[15:17])
	second, ok5 := digits(v[18:20])
	shift, ok6 := offset(v[20:])
	if month == 0 || !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || !ok6 || d < 1 || d > 31 || v[11] != ':' || v[14] != ':' || v[17] != ':' || hour > 23 || minute > 59 || second > 60 {
		return 0, false, false
	}
	if y < 1700 || y > 2250 { // nanoseconds would overflow; read refuses the year
		return math.MinInt64, true, true
	}
	return (time.Date(y, time.Month(month), d, hour, minute, second, 0, time.UTC).Unix() - shift) * 1e9, true, true
}

func digits(v []byte) (int, bool) {
	n := 0
	for _, b := range v {
		if b < '0' || b > '9' {
			return 0, false
		}
		n = n*10 + int(b-'0')
	}
	return n, true
}
