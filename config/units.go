package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time. A file writes it with units, as in "300s",
// "1h30m", "250ms" or "1d"; only 0 needs none.
type Duration time.Duration

// String formats d as a file would write it: "5m", not "5m0s".
func (d Duration) String() string {
	s := time.Duration(d).String()
	if whole, ok := strings.CutSuffix(s, "m0s"); ok {
		s = whole + "m"
	}
	if whole, ok := strings.CutSuffix(s, "h0m"); ok {
		s = whole + "h"
	}
	return s
}

// Size is a number of bytes. A file writes it with a unit, as in "64KiB" (of
// 1024) or "10MB" (of 1000); only 0 needs none.
type Size int64

// Sizes of 1024.
const (
	KiB Size = 1 << (10 * (iota + 1))
	MiB
	GiB
	TiB
)

// String formats s in the largest unit that divides it, such as "64KiB".
func (s Size) String() string {
	for _, u := range []struct {
		size Size
		name string
	}{{TiB, "TiB"}, {GiB, "GiB"}, {MiB, "MiB"}, {KiB, "KiB"}} {
		if s != 0 && s%u.size == 0 {
			return strconv.FormatInt(int64(s/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// The forms that parseDuration and parseSize accept, for the schema.
const (
	durationPattern = `^(0|([0-9]+(\.[0-9]+)?(d|h|ms|m|s|us|µs|ns))+)$`
	sizePattern     = `^(0|[0-9]+(\.[0-9]+)?(B|KiB|MiB|GiB|TiB|kB|KB|MB|GB|TB))$`
)

var durationUnits = map[string]float64{
	"ns": 1, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9, "m": 60e9, "h": 3600e9, "d": 86400e9,
}

var sizeUnits = map[string]float64{
	"B":   1,
	"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
	"kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
}

var errTooLarge = errors.New("is too large")

// parseDuration reads a Duration. Its errors continue the sentence that
// begins with the quoted text.
func parseDuration(text string) (Duration, error) {
	if text == "0" {
		return 0, nil
	}
	var total float64
	for rest := text; ; {
		n, unit, tail := cutQuantity(rest)
		switch {
		case n == "" || (unit != "" && durationUnits[unit] == 0):
			return 0, errors.New(`is not a duration; write one such as "30s", "5m", "1h30m" or "250ms"`)
		case unit == "":
			return 0, fmt.Errorf(`has no unit; write one such as "%[1]ss" or "%[1]sms"`, n)
		}
		f, err := strconv.ParseFloat(n, 64)
		if err != nil {
			return 0, errTooLarge
		}
		if total += f * durationUnits[unit]; total >= math.MaxInt64 {
			return 0, fmt.Errorf(`%w; the longest duration is about 292 years`, errTooLarge)
		}
		if rest = tail; rest == "" {
			return Duration(math.Round(total)), nil
		}
	}
}

// parseSize reads a Size. Its errors continue the sentence that begins with
// the quoted text.
func parseSize(text string) (Size, error) {
	if text == "0" {
		return 0, nil
	}
	n, unit, tail := cutQuantity(text)
	switch {
	case n == "" || tail != "" || (unit != "" && sizeUnits[unit] == 0):
		return 0, errors.New(`is not a size; write one such as "64KiB", "10MB" or "1GiB"`)
	case unit == "":
		return 0, fmt.Errorf(`has no unit; write one such as "%[1]sB", "%[1]sKiB" or "%[1]sMB"`, n)
	}
	f, err := strconv.ParseFloat(n, 64)
	if err != nil || f*sizeUnits[unit] >= math.MaxInt64 {
		return 0, fmt.Errorf(`%w; the largest size is below 8388608TiB`, errTooLarge)
	}
	return Size(math.Round(f * sizeUnits[unit])), nil
}

// cutQuantity splits a decimal number and the letters after it off s. The
// number is empty when s does not begin with a well-formed one.
func cutQuantity(s string) (number, unit, rest string) {
	const digits = "0123456789"
	end := len(s) - len(strings.TrimLeft(s, digits))
	if end == 0 {
		return "", "", s
	}
	if end < len(s) && s[end] == '.' {
		fraction := s[end+1:]
		n := len(fraction) - len(strings.TrimLeft(fraction, digits))
		if n == 0 {
			return "", "", s
		}
		end += 1 + n
	}
	tail := s[end:]
	stop := strings.IndexAny(tail, digits)
	if stop < 0 {
		stop = len(tail)
	}
	return s[:end], tail[:stop], tail[stop:]
}
