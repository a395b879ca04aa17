package trace

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestReadBoots(t *testing.T) {
	for _, c := range []struct {
		name, text string
		unit       time.Duration
		want       []time.Duration
		warnings   int
	}{
		{"Alibaba's", "timestamp_anon,value,container_ip\n1662859290.0,3000.0,086b\n1662859290.0,1500.0,47d9\n", 0, []time.Duration{1500 * ms, 3 * time.Second}, 1},
		{"those that failed", "boot_seconds,Outcome\n20,ok\n5.5,failed\n7,timeout\n9,SUCCESS\n", 0, []time.Duration{9 * time.Second, 20 * time.Second}, 0},
		{"seconds", "boot_seconds\n20\n5.5\n", 0, []time.Duration{5500 * ms, 20 * time.Second}, 0},
		{"zipped milliseconds", zipped(t, "host,Load Time (ms)\na,20\n"), 0, nil, -1},
		{"milliseconds", "host,load_time_ms\na,20\n", 0, []time.Duration{20 * ms}, 0},
		{"a unit said", "boot\n20\n", time.Minute, []time.Duration{20 * time.Minute}, 0},
		{"no unit", "boot\n20\n", 0, []time.Duration{20 * time.Second}, 1},
	} {
		b, err := ReadBoots("b", strings.NewReader(c.text), c.unit)
		if c.warnings < 0 {
			if err == nil {
				t.Errorf("%s: no error", c.name)
			}
			continue
		}
		if err != nil || !slices.Equal(b.Times, c.want) || len(b.Warnings) != c.warnings {
			t.Errorf("%s: %+v, %v", c.name, b, err)
		}
	}
	b := Boots{Times: []time.Duration{10, 20, 40}}
	for q, want := range map[float64]time.Duration{-1: 10, 0: 10, 0.25: 15, 0.5: 20, 0.75: 30, 1: 40, 2: 40} {
		if got := b.Quantile(q); got != want {
			t.Errorf("quantile %g is %v, want %v", q, got, want)
		}
	}
}

func TestReadBootsErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "empty",
		"boot_ms\n":                    "no rows",
		"host,pid\na,1\n":              `b:1: no column says how long a boot took. It has "host", "pid"`,
		"boot_ms,status\n1,failed\n":   "all of its 1 boots failed",
		"boot_ms,status\n1,maybe\n":    "b:2: status is \"maybe\"; write ok or failed",
		"boot_ms\n-1\n":                "b:2: boot_ms is \"-1\"",
		"boot_ms\nNaN\n":               "b:2:",
		"boot_seconds\n1\n100000\n":    "b:3:",
		"boot_ms,load_ms\n1,2\n":       "remove one",
		"host,boot_ms\na,1\n2\n":       "b:3: 1 fields",
		"boot_ms\n1\x00\n":             "binary",
		zipped(t, "boot_ms\n1\n")[:25]: "ends in the middle",
	} {
		if b, err := ReadBoots("b", strings.NewReader(text), 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want %q", text, b, err, want)
		}
	}
}

func TestReadSpot(t *testing.T) {
	s, err := ReadSpot("zone.json", strings.NewReader(`{"metadata": {"gap_seconds": 300}, "data": [0, 4, 16]}`))
	if err != nil || !reflect.DeepEqual(s, &Spot{Name: "zone.json", Gap: 5 * time.Minute, Counts: []int{0, 4, 16}}) {
		t.Fatalf("%+v, %v", s, err)
	}
	for at, want := range map[time.Duration]int{-1: 0, 0: 0, 5*time.Minute - 1: 0, 5 * time.Minute: 4, 14 * time.Minute: 16, 15 * time.Minute: 0, 21 * time.Minute: 4} {
		if got := s.At(at); got != want {
			t.Errorf("at %v %d, want %d", at, got, want)
		}
	}
	if s.Span() != 15*time.Minute {
		t.Errorf("span %v", s.Span())
	}
	for text, want := range map[string]string{
		"":  "empty",
		"a": "gap_seconds",
		"{\"metadata\":\n{\"gap_seconds\": 3}, \"data\": [1,]}":   "s:2:",
		`{"metadata": {"gap_seconds": 0}, "data": [1]}`:           "gap_seconds is 0",
		`{"metadata": {"gap_seconds": 3}, "data": []}`:            "no ticks",
		`{"metadata": {"gap_seconds": 3}, "data": [1, -1]}`:       "data[1] is -1",
		`{"metadata": {"gap_seconds": 3}, "data": [0.5]}`:         "data[0] is 0.5",
		`{"metadata": {"gap_seconds": 3}, "data": ["a"]}`:         "no recording",
		zipped(t, `{"metadata": {"gap_seconds": 3}}`)[:20]:        "ends in the middle",
		`{"metadata": {"gap_seconds": 1e300}, "data": [1]}`:       "gap_seconds is 1e+300",
		`{"timestamp": 0, "input_length": 1, "output_length": 1}`: "gap_seconds is 0",
	} {
		if s, err := ReadSpot("s", strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want %q", text, s, err, want)
		}
	}
}

func FuzzReadBoots(f *testing.F) {
	f.Add([]byte("timestamp_anon,value,container_ip\n1662859290.0,3000.0,086b\n"))
	f.Add([]byte("boot_seconds\n20\n\"5\"\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := ReadBoots("b", bytes.NewReader(text), 0)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "b:") {
				t.Errorf("the error names no file: %v", err)
			}
			return
		}
		if len(b.Times) == 0 || b.Times[0] < 0 || !slices.IsSorted(b.Times) {
			t.Errorf("%v", b.Times)
		}
	})
}

func FuzzReadSpot(f *testing.F) {
	f.Add([]byte(`{"metadata": {"gap_seconds": 300}, "data": [0, 4, 16]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ReadSpot("s", bytes.NewReader(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "s:") {
				t.Errorf("the error names no file: %v", err)
			}
			return
		}
		if s.Gap <= 0 || s.At(time.Hour) < 0 {
			t.Errorf("%+v", s)
		}
	})
}
