package control

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/weirlb/weir/scale"
)

// Record is all that it takes to make a decision again: what the decider carried over at some moment, and what it observed from then on,
// up to the observation that led to the decision.
type Record struct {
	State        scale.State         `json:"state"`
	Observations []scale.Observation `json:"observations"` // in the order of their time; the last one led to Decision
	Decision     scale.Decision      `json:"decision"`
}

// How many steps a Record goes back at most: enough that the state need not be exported in each of them, which costs little where no policy
// carries state of its own, while observations take memory for every instance.
const (
	tapeLength = 16
	tapeShort  = 4 // without such policies
)

// tapeInstances is from how many instances on, in all its observations, a Record begins anew, so that those of a large pool stay small.
const tapeInstances = 10_000

// tape holds the newest observations of a loop, and the state that the decider had before the oldest of them. Its memory is used again and again.
type tape struct {
	state scale.State
	obs   [tapeLength]scale.Observation
	n     int
}

// next returns the observation to fill in for a step that begins now.
func (t *tape) next(d *scale.Decider) *scale.Observation {
	most := tapeShort
	if d.Stateful() {
		most = tapeLength
	}
	if t.n >= most || t.n > 0 && t.n*len(t.obs[t.n-1].Instances) >= tapeInstances {
		t.n = 0
	}
	if t.n == 0 {
		t.state = d.State()
	}
	t.n++
	return &t.obs[t.n-1]
}

// cut begins anew: what a decision depends on has changed in another way than by its observations.
func (t *tape) cut() { t.n = 0 }

// record is the way to the newest observation's decision.
func (t *tape) record(d scale.Decision) Record {
	return Record{State: t.state, Observations: t.obs[:t.n], Decision: d}
}

var recordsBucket = []byte("records")

const recordsKept = 500 // of a pool on disk

// KeepRecord writes a record down, made small: its observations are much alike.
func (j *Journal) KeepRecord(r Record) error {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err := json.NewEncoder(z).Encode(r); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return j.db.Batch(func(tx *bolt.Tx) error {
		return appendTo(tx.Bucket(recordsBucket), []byte(r.Decision.Pool), b.Bytes(), recordsKept)
	})
}

// Record returns the record of the newest decision of a pool that changed its capacity, up to the given time; the zero time is now. It
// returns nil when none is kept.
func (j *Journal) Record(pool string, at time.Time) (*Record, error) {
	var found *Record
	err := j.db.View(func(tx *bolt.Tx) error {
		bk := tx.Bucket(recordsBucket).Bucket([]byte(pool))
		if bk == nil {
			return nil
		}
		c := bk.Cursor()
		for k, v := c.Last(); k != nil; k, v = c.Prev() {
			r, err := readRecord(v)
			if err != nil {
				return fmt.Errorf("reading a record of pool %s: %w", pool, err)
			}
			if at.IsZero() || !r.Decision.Time.After(at) {
				found = r
				return nil
			}
		}
		return nil
	})
	return found, err
}

func readRecord(b []byte) (*Record, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	r := new(Record)
	if err := json.NewDecoder(z).Decode(r); err != nil {
		return nil, err
	}
	return r, nil
}
