package control

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/weirlb/weir/scale"
)

// Journal keeps the decisions of all pools: those that changed something for good, on disk; the latest of the others, too, in
// memory, so that "why did nothing happen" has an answer.
type Journal struct {
	db *bolt.DB

	mu     sync.Mutex
	recent map[string]*recent // by pool
}

const (
	recentKept   = 600    // decisions of a pool in memory: ten minutes of one a second
	recentAll    = 120000 // of all pools together: two minutes of a thousand pools
	decisionKept = 10000  // decisions of a pool on disk
)

// recent is the newest decisions of a pool.
type recent struct {
	ring []scale.Decision
	next int // where the oldest one is, and the next one goes
}

// add drops the oldest decision when there are as many as are kept.
func (r *recent) add(d scale.Decision, kept int) {
	if len(r.ring) > kept { // there are more pools now
		r.ring, r.next = slices.Concat(r.ring[r.next:], r.ring[:r.next])[len(r.ring)-kept:], 0
	}
	if len(r.ring) < kept {
		r.ring = append(r.ring, d)
	} else {
		r.ring[r.next] = d
	}
	r.next = (r.next + 1) % kept
}

var (
	decisionsBucket = []byte("decisions")
	statesBucket    = []byte("deciders")
)

// NewJournal prepares the database.
func NewJournal(db *bolt.DB) (*Journal, error) {
	err := db.Update(func(tx *bolt.Tx) error {
		for _, b := range [][]byte{decisionsBucket, recordsBucket, statesBucket, eventsBucket} {
			if _, err := tx.CreateBucketIfNotExists(b); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("preparing the database of decisions: %w", err)
	}
	return &Journal{db: db, recent: map[string]*recent{}}, nil
}

// Add keeps a decision in memory.
func (j *Journal) Add(d scale.Decision) {
	j.mu.Lock()
	defer j.mu.Unlock()
	r := j.recent[d.Pool]
	if r == nil {
		r = new(recent)
		j.recent[d.Pool] = r
	}
	r.add(d, max(1, min(recentKept, recentAll/len(j.recent))))
}

// Keep writes down a decision that changed the capacity, and with it what the next Weir is to go on with. It is one transaction, because a
// launch waits for it.
func (j *Journal) Keep(d scale.Decision, state []byte) error {
	b, err := json.Marshal(d)
	if err != nil {
		return err
	}
	pool := []byte(d.Pool)
	return j.db.Batch(func(tx *bolt.Tx) error {
		if err := appendTo(tx.Bucket(decisionsBucket), pool, b, decisionKept); err != nil {
			return err
		}
		return tx.Bucket(statesBucket).Put(pool, state)
	})
}

// appendTo adds a text to a pool's, of which the newest are kept.
func appendTo(b *bolt.Bucket, pool, text []byte, kept uint64) error {
	b, err := b.CreateBucketIfNotExists(pool)
	if err != nil {
		return err
	}
	n, err := b.NextSequence()
	if err != nil {
		return err
	}
	if n > kept {
		if err := b.Delete(key(n - kept)); err != nil {
			return err
		}
	}
	return b.Put(key(n), text)
}

func key(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// Find returns up to limit decisions of a pool ("" for all pools) from the given span, the newest first. Zero times leave an end open.
func (j *Journal) Find(pool string, from, to time.Time, limit int) ([]scale.Decision, error) {
	var out []scale.Decision
	within := func(t time.Time) bool {
		return (from.IsZero() || !t.Before(from)) && (to.IsZero() || !t.After(to))
	}
	err := j.db.View(func(tx *bolt.Tx) error {
		root := tx.Bucket(decisionsBucket)
		return root.ForEachBucket(func(name []byte) error {
			if pool != "" && pool != string(name) {
				return nil
			}
			c, n := root.Bucket(name).Cursor(), 0
			for k, v := c.Last(); k != nil && n < limit; k, v = c.Prev() {
				var d scale.Decision
				if err := json.Unmarshal(v, &d); err != nil {
					return fmt.Errorf("reading a decision of pool %s: %w", name, err)
				}
				if !from.IsZero() && d.Time.Before(from) {
					break
				}
				if within(d.Time) {
					out = append(out, d)
					n++
				}
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	j.mu.Lock()
	for name, r := range j.recent {
		if pool != "" && pool != name {
			continue
		}
		for _, d := range r.ring {
			if within(d.Time) {
				out = append(out, d)
			}
		}
	}
	j.mu.Unlock()
	newestFirst(out)
	return out[:min(len(out), limit)], nil
}

// save keeps a decider's state, load returns it, nil when there is none.
func (j *Journal) save(pool string, state []byte) error {
	return j.db.Batch(func(tx *bolt.Tx) error { return tx.Bucket(statesBucket).Put([]byte(pool), state) })
}

// saveNow does not wait for what other pools have to save.
func (j *Journal) saveNow(pool string, state []byte) error {
	return j.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(statesBucket).Put([]byte(pool), state) })
}

func (j *Journal) load(pool string) (state []byte) {
	j.db.View(func(tx *bolt.Tx) error {
		if v := tx.Bucket(statesBucket).Get([]byte(pool)); v != nil {
			state = append(state, v...)
		}
		return nil
	})
	return state
}

func newestFirst(ds []scale.Decision) {
	slices.SortStableFunc(ds, func(a, b scale.Decision) int { return b.Time.Compare(a.Time) })
}
