package control

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/weirlb/weir/money"
)

// Ledger keeps what the pools have cost, across restarts of Weir.
type Ledger struct {
	db *bolt.DB

	mu       sync.Mutex
	accounts map[string]*money.Account // by pool
	counted  map[string]uint64         // requests of a pool that are in its account, of this process
}

var moneyBucket = []byte("money")

// NewLedger goes on with what an earlier Weir wrote down. An account that cannot be read is an error: money is not forgotten in silence.
func NewLedger(db *bolt.DB) (*Ledger, error) {
	l := &Ledger{db: db, accounts: map[string]*money.Account{}, counted: map[string]uint64{}}
	err := db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(moneyBucket)
		if err != nil {
			return err
		}
		return b.ForEach(func(pool, text []byte) error {
			a := new(money.Account)
			if err := json.Unmarshal(text, a); err != nil {
				return fmt.Errorf("the account of pool %s: %w", pool, err)
			}
			l.accounts[string(pool)] = a
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("reading what instances have cost: %w", err)
	}
	return l, nil
}

// Begin notes how many requests of a pool finished before its account goes on, so that they are not counted again.
func (l *Ledger) Begin(pool string, finished uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counted[pool] = finished
}

// Charge adds what the instances of a pool cost since the last time, and the requests, of which finished is the number since the start. It
// returns the account.
func (l *Ledger) Charge(now time.Time, pool string, instances []money.Instance, finished uint64) money.Account {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.accounts[pool]
	if a == nil {
		a = new(money.Account)
		l.accounts[pool] = a
	}
	var requests uint64
	if before, ok := l.counted[pool]; ok && finished > before {
		requests = finished - before
	}
	l.counted[pool] = finished
	a.Add(now, instances, float64(requests))
	return a.Clone()
}

// Of returns the account of a pool; ok is false when it never had one.
func (l *Ledger) Of(pool string) (_ money.Account, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.accounts[pool]; a != nil {
		return a.Clone(), true
	}
	return money.Account{}, false
}

// Pools returns the names of all pools with an account, sorted; also of those that are gone, which have cost what they did.
func (l *Ledger) Pools() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.accounts))
}

// Save writes all accounts down, together.
func (l *Ledger) Save() error {
	l.mu.Lock()
	texts := make(map[string][]byte, len(l.accounts))
	for pool, a := range l.accounts {
		b, err := json.Marshal(a)
		if err != nil {
			l.mu.Unlock()
			return err
		}
		texts[pool] = b
	}
	l.mu.Unlock()
	if len(texts) == 0 {
		return nil
	}
	return l.db.Batch(func(tx *bolt.Tx) error {
		b := tx.Bucket(moneyBucket)
		for pool, text := range texts {
			if err := b.Put([]byte(pool), text); err != nil {
				return err
			}
		}
		return nil
	})
}
