package history

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/weirlb/weir/measure"
)

// step is the time that one value of the coarse part stands for.
const step = time.Minute

// series is one series that gets values now, with what is known of its minute. It is guarded by the DB's lock.
type series struct {
	labels  labels.Labels
	counter bool
	fine    storage.SeriesRef // 0: not known yet
	coarse  storage.SeriesRef

	minute int64   // since 1970, of what follows
	n      int     // values in it
	sum    float64 // of them
	last   float64
	over   []minute
	ended  int64 // when it went stale, in milliseconds; 0: it has not
	seen   int64 // minute of the newest value
}

// minute is one that is over, and is not written yet.
type minute struct {
	of    int64 // since 1970
	value float64
}

// seriesOf finds the series of a sample, or begins it. The lock is held.
func (db *DB) seriesOf(x *Sample) *series {
	h := x.Labels.Hash()
	for ; ; h++ { // labels that share a hash take the next free place
		s := db.series[h]
		if s == nil {
			s = &series{labels: x.Labels, counter: x.Kind == measure.Counter || isCounter(x.Labels.Get(model.MetricNameLabel))}
			db.series[h] = s
			return s
		}
		if labels.Equal(s.labels, x.Labels) {
			return s
		}
	}
}

// isCounter goes by the names that Prometheus prescribes.
func isCounter(name string) bool {
	for _, end := range []string{"_total", "_count", "_sum", "_bucket"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}

// add counts a value of t, in milliseconds, into its minute. One of a minute that is over stays with the fine part only.
func (s *series) add(t int64, v float64) {
	m := t / step.Milliseconds()
	if m < s.seen {
		return
	}
	if IsStale(v) {
		s.ended = t
		return
	}
	s.ended = 0
	if math.IsNaN(v) {
		return
	}
	if m != s.minute {
		s.turn()
		s.minute = m
	}
	s.seen = max(s.seen, m)
	s.n++
	s.sum += v
	s.last = v
}

// turn ends the minute: a counter's last value stands for it, or a gauge's average.
func (s *series) turn() {
	if s.n == 0 {
		return
	}
	v := s.last
	if !s.counter {
		v = rounded(s.sum / float64(s.n))
	}
	s.over = append(s.over, minute{s.minute, v})
	s.n, s.sum = 0, 0
}

// rounded is v to one part in 16,000. An average has 52 bits after its first, nearly all of them chance, and each costs disk space.
func rounded(v float64) float64 {
	const drop = 52 - 13
	b := math.Float64bits(v) + 1<<(drop-1)
	return math.Float64frombits(b &^ (1<<drop - 1))
}

// idle is for how many minutes a series may have no value before it is forgotten here. It begins anew when it comes back.
const idle = 10

// thin moves the minutes that are over at t, in milliseconds, to the coarse part. The lock is held.
func (db *DB) thin(t int64) error {
	m := t / step.Milliseconds()
	if m <= db.minute {
		return nil
	}
	db.minute = m
	if db.coarse == nil {
		for h, s := range db.series {
			if s.seen < m-idle {
				delete(db.series, h)
			}
		}
		return nil
	}
	app := db.coarse.Appender(context.Background())
	for h, s := range db.series {
		if s.minute < m {
			s.turn()
		}
		if err := s.flush(app); err != nil {
			app.Rollback()
			return fmt.Errorf("thinning out the history: %w", err)
		}
		if s.seen < m-idle {
			delete(db.series, h)
		}
	}
	if err := app.Commit(); err != nil {
		return fmt.Errorf("thinning out the history: %w", err)
	}
	return nil
}

// flush adds the minutes of a series that are over, and its end.
func (s *series) flush(app storage.Appender) error {
	for _, m := range s.over {
		// At the end of the minute: the value is not known before.
		if err := s.put(app, (m.of+1)*step.Milliseconds()-1, m.value); err != nil {
			return err
		}
	}
	s.over = s.over[:0]
	if s.ended > 0 {
		if err := s.put(app, max(s.ended, (s.seen+1)*step.Milliseconds()), Stale); err != nil {
			return err
		}
		s.ended = 0
	}
	return nil
}

func (s *series) put(app storage.Appender, t int64, v float64) error {
	ref, err := app.Append(s.coarse, s.labels, t, v)
	if err == nil {
		s.coarse = ref
	} else if tooLate(err) {
		return nil
	}
	return err
}

// start is the time of the oldest value, in milliseconds; the largest number when there is none.
func start(db *tsdb.DB) int64 {
	if bs := db.Blocks(); len(bs) > 0 {
		return bs[0].Meta().MinTime
	}
	return db.Head().MinTime()
}
