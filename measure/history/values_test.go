package history

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/weirlb/weir/measure"
)

// What was written comes back as it was written, from a history that is open and from one that lies there: every value of late, one a minute of before.
func TestValues(t *testing.T) {
	dir := t.TempDir()
	to := time.Now().Truncate(time.Minute)
	from := to.Add(-6 * time.Hour)
	db := open(t, Options{Dir: dir, Retention: 48 * time.Hour, Detail: 2 * time.Hour})
	n := 0.0
	for at := from; !at.After(to); at = at.Add(15 * time.Second) {
		n++
		add(t, db, sample(at, n, "__name__", "came_total", "pool", "api"), sample(at, 7*n, "__name__", "came_total", "pool", "chat"), sample(at, n, "__name__", "other", "pool", "api"))
	}
	add(t, db, Sample{Labels: labels.FromStrings("__name__", "came_total", "pool", "api"), Time: to.Add(time.Second), Value: Stale})
	read := func(from archive) (pools []string, points []measure.Point) {
		t.Helper()
		err := from.Values(t.Context(), "came_total", map[string]string{"pool": "api"}, to.Add(-6*time.Hour), to.Add(time.Minute), func(l labels.Labels, ps []measure.Point) {
			pools, points = append(pools, l.Get("pool")), slices.Clone(ps)
		})
		if err != nil {
			t.Fatal(err)
		}
		return pools, points
	}
	check := func(how string, pools []string, points []measure.Point) {
		t.Helper()
		if !slices.Equal(pools, []string{"api"}) {
			t.Fatalf("%s: pools %q", how, pools)
		}
		if got := points[len(points)-1]; got.Value != n || !got.Time.Equal(to) {
			t.Errorf("%s: the last value is %v at %v, want %v at %v", how, got.Value, got.Time, n, to)
		}
		if first := points[0].Time; first.Sub(from) > 2*time.Minute {
			t.Errorf("%s: it begins at %v, want %v", how, first, from)
		}
		for i := 1; i < len(points); i++ {
			if !points[i].Time.After(points[i-1].Time) || points[i].Value < points[i-1].Value {
				t.Fatalf("%s: %v follows %v", how, points[i], points[i-1])
			}
		}
	}
	pools, points := read(db)
	check("open", pools, points)
	if err := db.Compact(); err != nil {
		t.Fatal(err)
	}
	pools, points = read(db)
	check("compacted", pools, points)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	a, err := OpenArchive(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	pools, again := read(a)
	check("closed", pools, again)
	if len(again) < 6*60 {
		t.Errorf("%d values in six hours", len(again))
	}
	if _, err := OpenArchive(t.TempDir(), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("an empty directory is a history")
	}
}

// archive is either form of a history.
type archive interface {
	Values(ctx context.Context, name string, of map[string]string, from, to time.Time, f func(labels.Labels, []measure.Point)) error
}
