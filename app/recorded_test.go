package app

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/measure/history"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/scale"
	"github.com/weirlb/weir/sim"
	"github.com/weirlb/weir/telemetry"
	"github.com/weirlb/weir/trace"
)

// A day of a busy pool, written as Weir writes it, with a restart that took twenty minutes: what comes of it is the day again.
func TestRecordedIsTheDayAgain(t *testing.T) {
	db, err := history.Open(history.Options{Dir: filepath.Join(t.TempDir(), "metrics"), Retention: 15 * 24 * time.Hour, Detail: 6 * time.Hour, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	to := time.Now().Truncate(time.Minute)
	from := to.Add(-24 * time.Hour)
	name := func(n string, more ...string) labels.Labels {
		return labels.FromStrings(append([]string{"__name__", n, "pool", "api"}, more...)...)
	}
	took := func(at time.Time) float64 { // seconds: slower at the end of the day
		if at.Sub(from) > 18*time.Hour {
			return 3
		}
		return 0.4
	}
	var came, came2, sum float64
	buckets := make([]float64, len(telemetry.ServiceBounds)+1)
	down := from.Add(10 * time.Hour)
	var sent float64
	for at := from; !at.After(to); at = at.Add(20 * time.Second) {
		if at.After(down) && at.Before(down.Add(20*time.Minute)) {
			came, came2, sum = 0, 0, 0
			clear(buckets)
			continue
		}
		n := math.Round(20 + 15*math.Sin(2*math.Pi*at.Sub(from).Hours()/24))
		if at.After(from) {
			sent += n
		}
		came, came2, sum = came+n, came2+7*n, sum+n*took(at)
		batch := []history.Sample{
			{Labels: name("weir_received_requests_total"), Time: at, Value: came}, {Labels: name("weir_service_duration_seconds_sum"), Time: at, Value: sum},
			{Labels: labels.FromStrings("__name__", "weir_received_requests_total", "pool", "chat"), Time: at, Value: came2},
			{Labels: name("weir_desired_instances"), Time: at, Value: 4},
		}
		for i := range buckets {
			bound, le := math.Inf(1), "+Inf"
			if i < len(telemetry.ServiceBounds) {
				bound = telemetry.ServiceBounds[i]
				le = number(bound)
			}
			if took(at) <= bound {
				buckets[i] += n
			}
			batch = append(batch, history.Sample{Labels: name("weir_service_duration_seconds_bucket", "le", le), Time: at, Value: buckets[i]})
		}
		if err := db.Append(batch); err != nil {
			t.Fatal(err)
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	r, err := recorded(t.Context(), db, "api", from, to)
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	t.Logf("%d requests of %s, in %v and %d MB", r.Arrivals(), strconv.FormatFloat(sent, 'f', 0, 64), time.Since(began), (after.TotalAlloc-before.TotalAlloc)>>20)
	if off := math.Abs(float64(r.Arrivals()) - sent); off > 0.01*sent {
		t.Errorf("%d requests, want %v", r.Arrivals(), sent)
	}
	if len(r.Gaps) != 1 || r.Gaps[0].Span < 18*time.Minute || r.Gaps[0].Span > 22*time.Minute || r.Restarts != 1 || r.Desired == nil || *r.Desired != 4 {
		t.Errorf("gaps %v, %d restarts, desired %v", r.Gaps, r.Restarts, r.Desired)
	}
	var early, late, n, m float64
	for q := range r.Requests(trace.RebuildOptions{Seed: 3}) {
		if q.At < 17*time.Hour {
			early, n = early+q.Service.Seconds(), n+1
		} else if q.At > 19*time.Hour {
			late, m = late+q.Service.Seconds(), m+1
		}
	}
	if math.Abs(early/n-0.4) > 0.01 || math.Abs(late/m-3) > 0.06 {
		t.Errorf("requests take %.3f s early and %.3f s late, want 0.4 and 3", early/n, late/m)
	}
	if _, err := recorded(t.Context(), db, "none", from, to); err == nil {
		t.Error("a pool that is not there has a history")
	}
}

// Who asks leaves, or it takes too long: then a run of hours of dense traffic ends at once.
func TestWonderingEndsWithItsContext(t *testing.T) {
	r := &admin.Recorded{Counted: trace.Counted{From: time.Now().Add(-24 * time.Hour), To: time.Now(), Periods: []trace.Period{{At: 0, Span: 24 * time.Hour, N: 50_000_000}}}}
	o := sim.Options{Name: "a", Pool: pool.Options{Balance: "least_connections"}, Slots: 4, Desired: 4, Scale: scale.Options{Min: 4, Max: 4}, Service: func(sim.Request) time.Duration { return time.Millisecond }}
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("the client left")
	told := 0
	began := time.Now()
	_, err := wonder(ctx, o, r, func(done float64) {
		if told++; told == 3 {
			cancel(gone)
		}
		if done < 0 || done > 1 {
			t.Errorf("it is %v done", done)
		}
	})
	if !errors.Is(err, gone) || told < 3 {
		t.Errorf("error %v after %d words of progress", err, told)
	}
	if d := time.Since(began); d > 20*time.Second {
		t.Errorf("it went on for %v", d)
	}
}
