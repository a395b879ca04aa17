package forecast

import (
	"errors"
	"math"
	"testing"
	"time"
)

// wave is days of a day's wave that doubles on Saturdays and Sundays, in steps of half an hour, from a Monday.
func wave(days int) Series {
	s := Series{Start: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC), Step: 30 * time.Minute}
	for i := range days * 48 {
		s.Values = append(s.Values, waveAt(i))
	}
	return s
}

func waveAt(i int) float64 {
	v := 100 + 50*math.Sin(2*math.Pi*float64(i%48)/48)
	if day := i / 48 % 7; day >= 5 {
		v *= 2
	}
	return v
}

func TestItFindsDayAndWeekThroughMissingValues(t *testing.T) {
	s := wave(28)
	for i := 3; i < len(s.Values); i += 11 {
		s.Values[i] = math.NaN()
	}
	f, err := New(s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !f.Start.Equal(s.End()) || len(f.Point) != 96 {
		t.Fatalf("starts %v with %d steps, want %v with 96", f.Start, len(f.Point), s.End())
	}
	for i, v := range f.Point {
		if want := waveAt(28*48 + i); math.Abs(v-want) > 0.1*want {
			t.Errorf("step %d is %.1f, want %.1f within a tenth", i, v, want)
		}
		for q := range f.Values {
			if x := f.Values[q][i]; !finite(x) || x < 0 || q > 0 && x < f.Values[q-1][i] {
				t.Errorf("step %d: quantile %v is %v", i, f.Quantiles[q], x)
			}
		}
	}
}

func TestWhatIsConstantStays(t *testing.T) {
	s := wave(10)
	for i := range s.Values {
		s.Values[i] = 7
	}
	f, err := New(s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range f.Point {
		if math.Abs(v-7) > 0.01 {
			t.Fatalf("step %d is %v, want 7", i, v)
		}
	}
}

func TestTooLittleIsRefused(t *testing.T) {
	empty := wave(3)
	for i := range empty.Values {
		empty.Values[i] = math.NaN()
	}
	short := wave(1)
	short.Values = short.Values[:47]
	for _, s := range []Series{{Step: time.Minute}, empty, short} {
		if _, err := New(s, Options{}); !errors.Is(err, ErrShort) {
			t.Errorf("%d values: %v, want ErrShort", len(s.Values), err)
		}
	}
}

func TestNothingStaysNothing(t *testing.T) {
	s := wave(10)
	clear(s.Values)
	f, err := New(s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range f.Point {
		if v != 0 || f.Values[len(f.Values)-1][i] != 0 {
			t.Fatalf("step %d is %g, at most %g, want 0", i, v, f.Values[len(f.Values)-1][i])
		}
	}
}
