package trace

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

func TestSummary(t *testing.T) {
	var b strings.Builder
	b.WriteString("timestamp,exec_time_seconds,model,status\n")
	for i := range 600 { // a request each second, and a hundred more within the fourth minute
		fmt.Fprintf(&b, "%d,%d,m%d,%d\n", 1700000000+i, 1+i%100, i%2*i%3, 200+i%6/5*303)
		if i == 200 {
			b.WriteString(strings.Repeat("1700000200,,,\n", 100))
		}
	}
	r, err := Open("t", strings.NewReader(b.String()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Summarize()
	if err != nil {
		t.Fatal(err)
	}
	if s.Requests != 700 || s.Span != 599*time.Second || s.Peak != 160 || s.PeakAt != 3*time.Minute || math.Abs(s.Mean-700/(599.0/60)) > 1e-9 || s.Failed != 100 {
		t.Errorf("%+v", s)
	}
	if q := s.Service; q.Count != 600 || math.Abs(q.P50-50) > 0.05 || math.Abs(q.P95-95) > 0.1 || math.Abs(q.Max-100) > 0.1 || math.Abs(q.Mean-50.5) > 0.1 {
		t.Errorf("service %+v", q)
	}
	if len(s.Models) != 3 || s.Models[0] != (Share{"m0", 400}) {
		t.Errorf("models %+v", s.Models)
	}
	var text strings.Builder
	if err := s.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"700, 100 of them failed", "9m59s", "160, 3m after the start", "p50 50 s, p95 95 s", "(of 600 that say so)", "m0 57 %", "█", "requests a minute"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
}

func TestSummaryOfCounts(t *testing.T) {
	for _, c := range []struct {
		o        Options
		requests int64
		peak     float64
		span     time.Duration
	}{
		{Options{}, 10, 5, 6 * time.Minute},
		{Options{Scale: 10}, 100, 50, 6 * time.Minute},
		{Options{To: Moment{Offset: 3 * time.Minute}}, 7, 5, 3 * time.Minute},
		{Options{From: Moment{Offset: 2 * time.Minute}}, 8, 5, 4 * time.Minute},
		{Options{Max: 4}, 4, 2, 3 * time.Minute},
	} {
		r, err := Open("t", strings.NewReader(matches), c.o)
		if err != nil {
			t.Fatal(err)
		}
		s, err := r.Summarize()
		if err != nil || s.Requests != c.requests || s.Peak != c.peak || s.Span != c.span {
			t.Errorf("%+v: %+v, %v", c.o, s, err)
		}
	}
	// A billion requests are added up, not made.
	r, err := Open("t", strings.NewReader("period,count\n1998-04-30 21:30:00,1000000000000\n1998-04-30 21:31:00,0\n"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := r.Summarize(); err != nil || s.Requests != 1e12 {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestBinsKeepTheirSum checks that a series that outgrows its bins loses nothing.
func TestBinsKeepTheirSum(t *testing.T) {
	s := &Summary{Width: time.Second}
	for i := range 1000 {
		s.add(time.Duration(i*i)*time.Minute, 1)
	}
	sum := 0.0
	for _, n := range s.Bins {
		sum += n
	}
	if sum != 1000 || len(s.Bins) > maxBins || len(s.Bins) < maxBins/4 {
		t.Errorf("%g in %d bins of %v", sum, len(s.Bins), s.Width)
	}
}
