package fleet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/weirlb/weir/fleet/plan"
)

// record is what must survive Weir's own death: enough to find an instance again and to go on with it.
type record struct {
	ID       string    `json:"id"`
	Pool     string    `json:"pool"`
	Ref      string    `json:"ref,omitempty"` // "" until the provider has launched it
	State    State     `json:"state"`
	Launched time.Time `json:"launched"`
	Ready    time.Time `json:"ready,omitzero"`
	Version  int       `json:"version,omitempty"` // of the template it was launched from
	Spare    bool      `json:"spare,omitempty"`   // belongs to the warm pool, or is on its way there
	Errand   Errand    `json:"errand,omitempty"`  // where a person sent it
	plan.Placement

	Protected bool `json:"protected,omitempty"` // from scale-in

	Waits   []Wait    `json:"waits,omitempty"` // for hooks
	From    Place     `json:"from,omitempty"`  // and to, on the way that its hooks are about
	To      Place     `json:"to,omitempty"`
	Greeted time.Time `json:"greeted,omitzero"` // its launch hooks were done
	Born    time.Time `json:"born,omitzero"`    // when it was launched, whatever came later
}

// Store keeps the records of all pools' instances, and the measured boots, in Weir's database.
type Store struct{ db *bolt.DB }

var (
	instancesBucket = []byte("instances")
	bootsBucket     = []byte("boots")
	detachedBucket  = []byte("detached")
)

// NewStore prepares the database.
func NewStore(db *bolt.DB) (*Store, error) {
	err := db.Update(func(tx *bolt.Tx) error {
		for _, b := range [][]byte{instancesBucket, bootsBucket, releasesBucket, detachedBucket} {
			if _, err := tx.CreateBucketIfNotExists(b); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("preparing the database of instances: %w", err)
	}
	return &Store{db}, nil
}

// put writes a record. Writers at the same time share one commit.
func (s *Store) put(r record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return s.db.Batch(func(tx *bolt.Tx) error { return tx.Bucket(instancesBucket).Put([]byte(r.ID), b) })
}

func (s *Store) remove(id string) error {
	return s.db.Batch(func(tx *bolt.Tx) error { return tx.Bucket(instancesBucket).Delete([]byte(id)) })
}

// release makes an instance's record one of a detached instance.
func (s *Store) release(id string) error {
	return s.db.Batch(func(tx *bolt.Tx) error {
		if err := tx.Bucket(detachedBucket).Put([]byte(id), []byte("1")); err != nil {
			return err
		}
		return tx.Bucket(instancesBucket).Delete([]byte(id))
	})
}

// ForgetDetached drops the records of detached instances that do not run any more.
func (s *Store) ForgetDetached(runs func(id string) bool) error {
	return s.db.Update(func(tx *bolt.Tx) error {
		var ended [][]byte
		err := tx.Bucket(detachedBucket).ForEach(func(id, _ []byte) error {
			if !runs(string(id)) {
				ended = append(ended, bytes.Clone(id))
			}
			return nil
		})
		for _, id := range ended {
			err = errors.Join(err, tx.Bucket(detachedBucket).Delete(id))
		}
		return err
	})
}

// load returns the records of one pool, or of all with "". It reads those alone whose names begin as the pool's do, so that a start with
// thousands of pools does not read all records for each.
func (s *Store) load(pool string) ([]record, error) {
	var prefix []byte
	if pool != "" {
		prefix = []byte(prefixOf(pool))
	}
	var out []record
	err := s.db.View(func(tx *bolt.Tx) error {
		c := tx.Bucket(instancesBucket).Cursor()
		for k, v := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
			var r record
			if err := json.Unmarshal(v, &r); err != nil {
				return fmt.Errorf("reading the record of instance %s: %w", k, err)
			}
			if pool == "" || r.Pool == pool { // other pools' may begin in the same way
				out = append(out, r)
			}
		}
		return nil
	})
	return out, err
}

// Known says whether an instance has a record, or was detached.
func (s *Store) Known(id string) bool {
	found := false
	s.db.View(func(tx *bolt.Tx) error {
		found = tx.Bucket(instancesBucket).Get([]byte(id)) != nil || tx.Bucket(detachedBucket).Get([]byte(id)) != nil
		return nil
	})
	return found
}

// Pools returns the names of the pools that have records: a pool that left the config may still have instances.
func (s *Store) Pools() ([]string, error) {
	rs, err := s.load("")
	seen := map[string]bool{}
	var out []string
	for _, r := range rs {
		if !seen[r.Pool] {
			seen[r.Pool] = true
			out = append(out, r.Pool)
		}
	}
	return out, err
}

func (s *Store) putBoots(pool string, boots []float64) error {
	b, err := json.Marshal(boots)
	if err != nil {
		return err
	}
	return s.db.Batch(func(tx *bolt.Tx) error { return tx.Bucket(bootsBucket).Put([]byte(pool), b) })
}

// wakesOf is the key that the measured wakings of a pool have beside its boots; no name of a pool has a zero in it.
func wakesOf(pool string) string { return pool + "\x00wakes" }

func (s *Store) putWakes(pool string, wakes []float64) error { return s.putBoots(wakesOf(pool), wakes) }

func (s *Store) loadWakes(pool string) []float64 { return s.loadBoots(wakesOf(pool)) }

// Boots are the newest measured boots of a pool, launch to ready.
func (s *Store) Boots(pool string) []time.Duration {
	boots, _ := ReadBoots(s.db, pool)
	return boots
}

// ReadBoots does as [Store.Boots] in a database that may be open for reading alone.
func ReadBoots(db *bolt.DB, pool string) (boots []time.Duration, err error) {
	err = db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(bootsBucket)
		if b == nil {
			return nil
		}
		v := b.Get([]byte(pool))
		if v == nil {
			return nil
		}
		var seconds []float64
		if err := json.Unmarshal(v, &seconds); err != nil {
			return fmt.Errorf("reading the boots of pool %s: %w", pool, err)
		}
		for _, s := range seconds {
			boots = append(boots, time.Duration(s*float64(time.Second)))
		}
		return nil
	})
	return boots, err
}

func (s *Store) loadBoots(pool string) (boots []float64) {
	s.db.View(func(tx *bolt.Tx) error {
		if v := tx.Bucket(bootsBucket).Get([]byte(pool)); v != nil {
			return json.Unmarshal(v, &boots)
		}
		return nil
	})
	return boots
}
