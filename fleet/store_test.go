package fleet

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

func openStore(tb testing.TB) *Store {
	tb.Helper()
	db, err := bolt.Open(filepath.Join(tb.TempDir(), "weir.db"), 0o600, &bolt.Options{NoSync: true})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { db.Close() })
	s, err := NewStore(db)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// The names of instances begin as their pool's does, and those of several pools may begin alike.
func TestAPoolLoadsItsOwnInstancesAlone(t *testing.T) {
	s := openStore(t)
	for _, pool := range []string{"api", "API", "api-eu", "api_eu", "ap", "zeta"} {
		for i := range 3 {
			if err := s.put(record{ID: fmt.Sprintf("%s%d", prefixOf(pool), i) + pool, Pool: pool, State: Ready, Launched: time.Unix(1e9, 0)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for pool, want := range map[string]int{"api": 3, "API": 3, "api-eu": 3, "api_eu": 3, "ap": 3, "zeta": 3, "none": 0, "": 18} {
		rs, err := s.load(pool)
		if err != nil || len(rs) != want {
			t.Errorf("pool %q: %d records, %v; want %d", pool, len(rs), err, want)
		}
		for _, r := range rs {
			if pool != "" && r.Pool != pool {
				t.Errorf("pool %q got an instance of %q", pool, r.Pool)
			}
		}
	}
	if pools, err := s.Pools(); err != nil || len(pools) != 6 {
		t.Errorf("pools with records: %v, %v", pools, err)
	}
}

// BenchmarkLoad is what a start reads: the records of 1,000 pools with ten instances each, a pool at a time.
func BenchmarkLoad(b *testing.B) {
	s := openStore(b)
	err := s.db.Update(func(tx *bolt.Tx) error {
		for p := range 1000 {
			for i := range 10 {
				id := fmt.Sprintf("pool-%d-%05d", p, i)
				text := fmt.Sprintf(`{"id":%q,"pool":"pool-%d","ref":"pid:1 start:2","state":"ready","launched":"2026-01-05T09:00:00Z","ready":"2026-01-05T09:00:09Z"}`, id, p)
				if err := tx.Bucket(instancesBucket).Put([]byte(id), []byte(text)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		for p := range 1000 {
			if rs, err := s.load(fmt.Sprintf("pool-%d", p)); err != nil || len(rs) != 10 {
				b.Fatal(len(rs), err)
			}
		}
	}
}
