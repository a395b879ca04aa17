// Package history keeps what was measured, in an embedded Prometheus TSDB, and answers PromQL about it: every value for a while, and
// one a minute for the whole retention.
package history

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/weirlb/weir/measure"
)

// Options are how much is kept.
type Options struct {
	Dir       string        // made when it is not there
	Retention time.Duration // of everything
	Detail    time.Duration // of every value; older ones are kept once a minute
	MaxBytes  int64         // on disk; the oldest go first. 0 sets no limit
	Log       *slog.Logger
}

// late is how far behind the newest value of a series another one may come.
const late = time.Hour

// Sample is a value of a series.
type Sample struct {
	Labels labels.Labels // with the name under __name__
	Kind   measure.Kind
	Time   time.Time
	Value  float64 // Stale ends the series
}

// Stale is the value that says that a series has none any more.
var Stale = math.Float64frombits(value.StaleNaN)

// IsStale reports whether v is Stale.
func IsStale(v float64) bool { return value.IsStaleNaN(v) }

// DB is an open history. All methods may be called from any goroutine.
type DB struct {
	log    *slog.Logger
	engine *promql.Engine
	fine   *tsdb.DB // every value
	coarse *tsdb.DB // one a minute; nil when fine keeps all

	mu      sync.Mutex // held while values are added
	series  map[uint64]*series
	minute  int64 // the one that goes on, since 1970
	closed  bool
	refused uint64 // values that came too late, or twice
}

// Open opens a history, and makes one where there is none. What is damaged is repaired, or else moved aside, with a warning: a history
// that is lost must not stop what it is the history of.
func Open(o Options) (*DB, error) {
	db := &DB{log: o.Log, engine: newEngine(), series: map[uint64]*series{}}
	size, rest := o.MaxBytes, o.MaxBytes*2/5
	if o.Detail < o.Retention {
		size -= rest // as bench/tsdb has measured that they need it, with the log of the fine part
	} else {
		o.Detail = o.Retention
	}
	var err error
	if db.fine, err = openOrMove(filepath.Join(o.Dir, "fine"), options(o.Detail, size), o.Log); err != nil {
		return nil, fmt.Errorf("opening the history: %w", err)
	}
	if o.Detail < o.Retention {
		if db.coarse, err = openOrMove(filepath.Join(o.Dir, "coarse"), options(o.Retention, rest), o.Log); err != nil {
			db.fine.Close()
			return nil, fmt.Errorf("opening the history: %w", err)
		}
	}
	if err := db.forgetLast(time.Now()); err != nil {
		o.Log.Warn("the history's last values could not be marked as old", "error", err)
	}
	return db, nil
}

// options are the TSDB's. A Weir with little to measure must need little memory, so buffers and stripes are smaller than Prometheus's.
func options(retention time.Duration, size int64) *tsdb.Options {
	o := tsdb.DefaultOptions()
	o.RetentionDuration = retention.Milliseconds()
	o.MaxBytes = size
	// Blocks of at most a tenth of the time, as with Prometheus, so that what leaves does so in small parts; but not so small that the
	// index of each is most of it.
	o.MaxBlockDuration = max((retention / 10).Milliseconds(), 3*o.MinBlockDuration)
	o.SamplesPerChunk = 240
	o.WALCompression = "snappy"
	o.WALSegmentSize = 16 << 20
	o.StripeSize = 512
	o.HeadChunksWriteBufferSize = 256 << 10
	o.OutOfOrderTimeWindow = late.Milliseconds()
	return o
}

// openOrMove opens a TSDB, which repairs the end of its log by itself. A block that cannot be read is moved aside; when that does not help,
// all of it is.
func openOrMove(dir string, o *tsdb.Options, log *slog.Logger) (*tsdb.DB, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	inner := slog.New(quiet{log.Handler()})
	db, err := tsdb.Open(dir, inner, nil, o, nil)
	if err == nil {
		return db, nil
	}
	if moved := moveBlocks(dir, inner); len(moved) > 0 {
		log.Warn("blocks of the history are damaged and were moved aside; the rest goes on", "blocks", moved, "error", err)
		if db, err = tsdb.Open(dir, inner, nil, o, nil); err == nil {
			return db, nil
		}
	}
	aside := fmt.Sprintf("%s.damaged-%s", dir, time.Now().UTC().Format("20060102T150405.000"))
	if e := os.Rename(dir, aside); e != nil {
		return nil, errors.Join(err, e)
	}
	log.Warn("the history is damaged and was moved aside; a new one begins", "moved", aside, "error", err)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	return tsdb.Open(dir, inner, nil, o, nil)
}

// moveBlocks moves those blocks of a TSDB aside that do not open, and returns where to.
func moveBlocks(dir string, log *slog.Logger) (moved []string) {
	found, err := filepath.Glob(filepath.Join(dir, "*", "meta.json"))
	if err != nil {
		return nil
	}
	for _, meta := range found {
		block := filepath.Dir(meta)
		b, err := tsdb.OpenBlock(log, block, nil, nil)
		if err == nil {
			b.Close()
			continue
		}
		to := filepath.Join(filepath.Dir(dir), filepath.Base(block)+".damaged")
		if os.Rename(block, to) == nil {
			moved = append(moved, to)
		}
	}
	return moved
}

// quiet passes on what a TSDB has to say only when it is a warning: what it does every two hours is nobody's business.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && q.Handler.Enabled(ctx, l)
}

// forgetLast marks what an earlier process measured last as old. It is unknown until it is measured again, which PromQL would otherwise
// not believe for five minutes.
func (db *DB) forgetLast(now time.Time) error {
	from, to := now.Add(-lookback).UnixMilli(), now.UnixMilli()
	var batch []Sample
	err := db.each(from, to, func(l labels.Labels, t int64, v float64) {
		if !IsStale(v) && t < to {
			batch = append(batch, Sample{Labels: l, Time: now, Value: Stale})
		}
	})
	if err != nil || len(batch) == 0 {
		return err
	}
	return db.Append(batch)
}

// each calls f with the last value of every series of a span.
func (db *DB) each(from, to int64, f func(l labels.Labels, t int64, v float64)) error {
	q, err := db.fine.Querier(from, to)
	if err != nil {
		return err
	}
	defer q.Close()
	all := labels.MustNewMatcher(labels.MatchNotEqual, model.MetricNameLabel, "")
	set := q.Select(context.Background(), false, nil, all)
	for set.Next() {
		s := set.At()
		it := s.Iterator(nil)
		t, v := int64(math.MinInt64), 0.0
		for it.Next() != 0 {
			t, v = it.At()
		}
		if it.Err() == nil && t > math.MinInt64 {
			f(s.Labels(), t, v)
		}
	}
	return set.Err()
}

// Append adds values, all of them or, when the disk fails, none. A value that comes twice, or more than an hour behind the newest of its
// series, is left out and counted.
func (db *DB) Append(batch []Sample) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return ErrClosed
	}
	app := db.fine.Appender(context.Background())
	newest := int64(math.MinInt64)
	for i := range batch {
		x := &batch[i]
		one := db.seriesOf(x)
		t := x.Time.UnixMilli()
		newest = max(newest, t)
		ref, err := app.Append(one.fine, one.labels, t, x.Value)
		switch {
		case err == nil:
			one.fine = ref
			one.add(t, x.Value)
		case tooLate(err):
			db.refused++
		default:
			app.Rollback()
			return fmt.Errorf("adding to the history: %w", err)
		}
	}
	if err := app.Commit(); err != nil {
		return fmt.Errorf("adding to the history: %w", err)
	}
	return db.thin(newest)
}

// tooLate reports whether only one value is at fault.
func tooLate(err error) bool {
	return errors.Is(err, storage.ErrOutOfOrderSample) || errors.Is(err, storage.ErrDuplicateSampleForTimestamp) ||
		errors.Is(err, storage.ErrOutOfBounds) || errors.Is(err, storage.ErrTooOldSample)
}

// Stats are how much there is.
type Stats struct {
	Series  uint64 // that have values in the last hours
	Bytes   int64  // on disk
	Refused uint64 // values that came too late, or twice
	Oldest  time.Time
}

// Stats returns how much there is.
func (db *DB) Stats() Stats {
	db.mu.Lock()
	defer db.mu.Unlock()
	s := Stats{Refused: db.refused}
	if db.closed {
		return s
	}
	s.Series = db.fine.Head().NumSeries()
	oldest := start(db.fine)
	for _, one := range []*tsdb.DB{db.fine, db.coarse} {
		if one == nil {
			continue
		}
		oldest = min(oldest, start(one))
		for _, b := range one.Blocks() {
			s.Bytes += b.Size()
		}
		s.Bytes += one.Head().Size()
	}
	if oldest < math.MaxInt64 {
		s.Oldest = time.UnixMilli(oldest)
	}
	return s
}

// ErrClosed is the answer of a history that is closed, or not open yet.
var ErrClosed = errors.New("the history is not open")

// Close writes what is not written yet and ends all work.
func (db *DB) Close() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return nil
	}
	err := db.thin(math.MaxInt64)
	db.closed = true
	err = errors.Join(err, db.engine.Close(), db.fine.Close())
	if db.coarse != nil {
		err = errors.Join(err, db.coarse.Close())
	}
	return err
}

// Compact writes what is old enough to blocks now, as happens by itself every two hours.
func (db *DB) Compact() error {
	for _, one := range []*tsdb.DB{db.fine, db.coarse} {
		if one == nil {
			continue
		}
		if err := one.Compact(context.Background()); err != nil {
			return fmt.Errorf("compacting the history: %w", err)
		}
	}
	return nil
}
