package config

import (
	"math"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "300s": 300 * time.Second, "5m": 5 * time.Minute, "1h30m": 90 * time.Minute, "250ms": 250 * time.Millisecond,
		"1d": 24 * time.Hour, "1d12h": 36 * time.Hour, "1.5s": 1500 * time.Millisecond, "10us": 10 * time.Microsecond, "10µs": 10 * time.Microsecond,
		"3ns": 3, "100000d": 100000 * 24 * time.Hour,
	} {
		if got, err := parseDuration(text); err != nil || time.Duration(got) != want {
			t.Errorf("%q: got %v, %v; want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"300": `write one such as "300s" or "300ms"`, "1h30": `has no unit`, "": "is not a duration", "s": "is not a duration", "-5s": "is not a duration",
		"+5s": "is not a duration", "1.s": "is not a duration", ".5s": "is not a duration", "5 s": "is not a duration", "5S": "is not a duration",
		"1e3s": "is not a duration", "300000000h": "is too large",
	} {
		if got, err := parseDuration(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, %v; want %s", text, got, err, want)
		}
	}
}

func TestDurationString(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", time.Second: "1s", time.Minute: "1m", time.Hour: "1h", 90 * time.Minute: "1h30m", 100 * time.Minute: "1h40m",
		75 * time.Second: "1m15s", 10 * time.Minute: "10m", 250 * time.Millisecond: "250ms", time.Hour + time.Second: "1h0m1s",
	} {
		if got := Duration(d).String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "0B": 0, "512B": 512, "64KiB": 64 << 10, "10MB": 10_000_000, "1GiB": 1 << 30, "1.5MiB": 3 << 19, "2TiB": 2 << 40, "1kB": 1000, "1KB": 1000, "3GB": 3e9, "1TB": 1e12,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%q: got %v, %v; want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"65536": `write one such as "65536B", "65536KiB" or "65536MB"`, "": "is not a size", "big": "is not a size", "-1B": "is not a size",
		"1GiB1": "is not a size", "1GiB1MiB": "is not a size", "1 GiB": "is not a size", "8Kb": "is not a size", "9000000TiB": "is too large",
	} {
		if got, err := parseSize(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, %v; want %s", text, got, err, want)
		}
	}
}

func TestSizeString(t *testing.T) {
	for size, want := range map[Size]string{0: "0B", 1: "1B", 1024: "1KiB", 1536: "1536B", 32 * KiB: "32KiB", 10 * MiB: "10MiB", GiB: "1GiB", 3 * TiB: "3TiB"} {
		if got := size.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// FuzzUnits holds that what the parsers accept is what the patterns of the
// schema accept, apart from what is too large, and that it is never negative.
func FuzzUnits(f *testing.F) {
	for _, s := range []string{"0", "1h30m", "1.5s", "10µs", "64KiB", "1.5GB", "-1s", "1..s", "9999999999999h", "00", "1d1d"} {
		f.Add(s)
	}
	duration, size := regexp.MustCompile(durationPattern), regexp.MustCompile(sizePattern)
	check := func(t *testing.T, text string, pattern *regexp.Regexp, got int64, err error) {
		if (err == nil) != pattern.MatchString(text) && (err == nil || !strings.Contains(err.Error(), errTooLarge.Error())) {
			t.Errorf("%q: got %d, %v, but the pattern says otherwise", text, got, err)
		}
		if got < 0 || got == math.MaxInt64 {
			t.Errorf("%q: got %d", text, got)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parseDuration(text)
		check(t, text, duration, int64(d), err)
		s, err := parseSize(text)
		check(t, text, size, int64(s), err)
	})
}
