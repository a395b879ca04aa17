package control

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/weirlb/weir/measure"
)

func TestForecasterSeesTheRushComeAndSurvivesAFailure(t *testing.T) {
	season := 24 * time.Hour
	start := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	failing := false
	read := func(_ context.Context, _ string, from, to time.Time, step time.Duration) (out []measure.Point, err error) {
		if failing {
			return nil, errors.New("the disk is gone")
		}
		for at := from.Add(step); !at.After(to); at = at.Add(step) {
			v := 2.0
			if at.Sub(start)%season > 9*time.Hour && at.Sub(start)%season <= 12*time.Hour {
				v = 20
			}
			if !at.Before(start) {
				out = append(out, measure.Point{Time: at, Value: v})
			}
		}
		return out, nil
	}
	f := NewForecaster(ForecastOptions{
		Pool: "api", Metric: "requests_per_second", History: 14 * season, Step: 15 * time.Minute, Season: season, Quantile: 0.9,
		Lead: func() time.Duration { return 30 * time.Minute },
	}, read, make(chan struct{}, 1), slog.New(slog.DiscardHandler))
	now := start.Add(10*season + 8*time.Hour)
	if f.Curve(now) != nil {
		t.Error("there is a curve before the first fit")
	}
	f.Fit(t.Context(), now)
	if err := f.Last().Err; err != nil {
		t.Fatal(err)
	}
	high := func(at time.Time) (v float64) {
		for _, x := range f.Curve(at).Values {
			v = max(v, x)
		}
		return v
	}
	if v := high(now); v > 4 {
		t.Errorf("at eight the next half hour has %.1f, want 2", v)
	}
	if v := high(now.Add(40 * time.Minute)); v < 18 || v > 22 {
		t.Errorf("at 8:40 the next half hour has %.1f, want 20", v)
	}
	failing = true
	f.Fit(t.Context(), now.Add(15*time.Minute))
	if last := f.Last(); last.Err == nil || f.Curve(now.Add(15*time.Minute)) == nil {
		t.Error("a failed fit is to be told, and to leave the forecast before")
	}

	// What was said is kept as it was said: each step once, a lead before it, and nothing of it lost with the failure.
	failing = false
	for i := range 8 {
		f.Fit(t.Context(), now.Add(time.Duration(i+2)*15*time.Minute))
	}
	said := f.Last().Said
	for i, s := range said {
		if i > 0 && s.Time.Sub(said[i-1].Time) != 15*time.Minute {
			t.Errorf("said of %v after %v", s.Time, said[i-1].Time)
		}
		if rush := s.Time.Sub(start)%season >= 9*time.Hour; rush != (s.Point > 10) || len(s.Values) != 4 || s.Values[2] < s.Point*0.9 {
			t.Errorf("at %v it said %.1f, %.1f", s.Time, s.Point, s.Values)
		}
	}
	if n := len(said); n < 9 || said[n-1].Time.Before(now.Add(9*15*time.Minute+30*time.Minute-15*time.Minute)) {
		t.Errorf("it said %d things, to %v", n, said[max(n-1, 0)].Time)
	}
}
