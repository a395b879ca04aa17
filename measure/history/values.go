package history

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/weirlb/weir/measure"
)

// Values calls f with what was written of each series of a name between two times, as it was written: nothing is evaluated or filled in, and the ends of
// series are left out. Its slice is valid until f returns. of selects series by their labels, and is empty for all.
func (db *DB) Values(ctx context.Context, name string, of map[string]string, from, to time.Time, f func(labels.Labels, []measure.Point)) error {
	q, err := db.Querier(from.UnixMilli(), to.UnixMilli())
	if err != nil {
		return err
	}
	defer q.Close()
	return values(ctx, q, name, of, f)
}

func values(ctx context.Context, q storage.Querier, name string, of map[string]string, f func(labels.Labels, []measure.Point)) error {
	ms := []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, name)}
	for l, v := range of {
		ms = append(ms, labels.MustNewMatcher(labels.MatchEqual, l, v))
	}
	set := q.Select(ctx, false, nil, ms...)
	var points []measure.Point
	var it chunkenc.Iterator
	for set.Next() {
		points = points[:0]
		it = set.At().Iterator(it)
		for it.Next() == chunkenc.ValFloat {
			if t, v := it.At(); !IsStale(v) {
				points = append(points, measure.Point{Time: time.UnixMilli(t), Value: v})
			}
		}
		if err := it.Err(); err != nil {
			return fmt.Errorf("reading the history: %w", err)
		}
		if len(points) > 0 {
			f(set.At().Labels(), points)
		}
	}
	if err := set.Err(); err != nil {
		return fmt.Errorf("reading the history: %w", err)
	}
	return nil
}

// Archive is a history that nobody writes to now, read where it lies without a change to it.
type Archive struct {
	dir string
	log *slog.Logger
}

// OpenArchive finds the history in a directory; the error wraps [fs.ErrNotExist] when there is none.
func OpenArchive(dir string, log *slog.Logger) (*Archive, error) {
	if _, err := os.Stat(filepath.Join(dir, "fine")); err != nil {
		return nil, fmt.Errorf("opening the history: %w", err)
	}
	return &Archive{dir, log}, nil
}

// Values does as [DB.Values].
func (a *Archive) Values(ctx context.Context, name string, of map[string]string, from, to time.Time, f func(labels.Labels, []measure.Point)) error {
	fine, err := a.read(ctx, "fine", name, of, from, to)
	if err != nil {
		return err
	}
	coarse, err := a.read(ctx, "coarse", name, of, from, to)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, s := range fine { // of what is only in the coarse part the rest follows
		old := coarse[s.labels.String()].points
		n := 0
		for n < len(old) && old[n].Time.Before(s.points[0].Time) {
			n++
		}
		delete(coarse, s.labels.String())
		f(s.labels, append(old[:n:n], s.points...))
	}
	for _, s := range coarse {
		f(s.labels, s.points)
	}
	return nil
}

// archived is one series.
type archived struct {
	labels labels.Labels
	points []measure.Point
}

func (a *Archive) read(ctx context.Context, part, name string, of map[string]string, from, to time.Time) (all map[string]archived, err error) {
	dir := filepath.Join(a.dir, part)
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	sandbox, err := os.MkdirTemp("", "weir-history-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(sandbox)
	db, err := tsdb.OpenDBReadOnly(dir, sandbox, slog.New(quiet{a.log.Handler()}))
	if err != nil {
		return nil, fmt.Errorf("opening the history: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	q, err := db.Querier(from.UnixMilli(), to.UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("opening the history: %w", err)
	}
	defer q.Close()
	all = map[string]archived{}
	err = values(ctx, q, name, of, func(l labels.Labels, points []measure.Point) {
		all[l.String()] = archived{l.Copy(), append([]measure.Point(nil), points...)}
	})
	return all, err
}
