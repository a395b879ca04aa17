package history

import (
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// Scope adds the values that one source gives round by round. A series that the source gave in the round before and does not give now has
// ended. A Scope is used by one goroutine at a time.
type Scope struct {
	db   *DB
	last map[uint64]labels.Labels
	next map[uint64]labels.Labels
}

// Scope returns one for a new source.
func (db *DB) Scope() *Scope {
	return &Scope{db: db, last: map[uint64]labels.Labels{}, next: map[uint64]labels.Labels{}}
}

// Append adds the values of a round, and ends the series that are not among them. It may append to batch.
func (s *Scope) Append(now time.Time, batch []Sample) error {
	clear(s.next)
	for i := range batch {
		h := batch[i].Labels.Hash()
		s.next[h] = batch[i].Labels
		delete(s.last, h)
	}
	for _, l := range s.last {
		batch = append(batch, Sample{Labels: l, Time: now, Value: Stale})
	}
	s.last, s.next = s.next, s.last
	if len(batch) == 0 {
		return nil
	}
	return s.db.Append(batch)
}

// End ends all series of the source.
func (s *Scope) End(now time.Time) error { return s.Append(now, nil) }
