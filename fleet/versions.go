package fleet

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// release is one version of a pool's template.
type release struct {
	Version  int      `json:"version"` // from 1
	Hash     string   `json:"hash"`
	Template Template `json:"template"`
}

// releases are the versions that a pool's template has had, and which of them new instances are launched from: the configured one, unless it was
// rolled back.
type releases struct {
	Configured string    `json:"configured"` // hash of the template in the file
	Wanted     int       `json:"wanted"`
	All        []release `json:"all"` // the oldest first
}

// releasesKept is how many versions of a template are remembered beside those that instances have.
const releasesKept = 10

var releasesBucket = []byte("templates")

func hashOf(t Template) (string, error) {
	b, err := json.Marshal(t) // maps are written in the order of their keys
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8]), nil
}

// configure makes t the configured template and reports whether something changed. A template that was configured before keeps its version, and
// one that is configured still is not wanted again when it was rolled back.
func (r *releases) configure(t Template) (changed bool, err error) {
	hash, err := hashOf(t)
	if err != nil || hash == r.Configured {
		return false, err
	}
	r.Configured = hash
	if i := slices.IndexFunc(r.All, func(o release) bool { return o.Hash == hash }); i >= 0 {
		r.Wanted = r.All[i].Version
	} else {
		r.add(t, hash)
	}
	return true, nil
}

func (r *releases) add(t Template, hash string) {
	next := 1
	if n := len(r.All); n > 0 {
		next = r.All[n-1].Version + 1
	}
	r.All = append(r.All, release{next, hash, t})
	r.Wanted = next
}

// find returns a version; one that is not known any more is the wanted one.
func (r *releases) find(version int) release {
	wanted := release{}
	for _, o := range r.All {
		if o.Version == version {
			return o
		}
		if o.Version == r.Wanted {
			wanted = o
		}
	}
	return wanted
}

// forget drops the oldest versions that are of no use.
func (r *releases) forget(used map[int]bool) {
	for len(r.All) > releasesKept {
		i := slices.IndexFunc(r.All, func(o release) bool { return o.Version != r.Wanted && !used[o.Version] })
		if i < 0 {
			return
		}
		r.All = slices.Delete(r.All, i, i+1)
	}
}

func (s *Store) loadReleases(pool string) (r releases, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		v := tx.Bucket(releasesBucket).Get([]byte(pool))
		if v == nil {
			return nil
		}
		return json.Unmarshal(v, &r)
	})
	if err != nil {
		return releases{}, fmt.Errorf("reading the versions of pool %s's template: %w", pool, err)
	}
	return r, nil
}

func (s *Store) putReleases(pool string, r releases) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return s.db.Batch(func(tx *bolt.Tx) error { return tx.Bucket(releasesBucket).Put([]byte(pool), b) })
}

// Version is that of the template that new instances are launched from.
func (f *Fleet) Version() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.releases.Wanted
}

// Want has new instances launched from a version that there was before, as a rollback does. Failed launches of another one do not put them off.
func (f *Fleet) Want(version int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.releases.find(version).Version != version {
		return fmt.Errorf("pool %s has no version %d of its template any more", f.pool.Name, version)
	}
	f.releases.Wanted = version
	f.forgive()
	return f.store.putReleases(f.pool.Name, f.releases)
}

// Renew makes the wanted template a new version, so that a refresh replaces instances that are of it already.
func (f *Fleet) Renew() (version int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.releases.find(f.releases.Wanted)
	f.releases.add(now.Template, now.Hash)
	return f.releases.Wanted, f.store.putReleases(f.pool.Name, f.releases)
}

// Failures is how many launches of a version failed in a row until now, and why the last of them did.
func (f *Fleet) Failures(version int) (n int, why string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failedVersion != version {
		return 0, ""
	}
	return f.failures, f.lastFail
}

// setTemplate makes t the configured template. The lock is held.
func (f *Fleet) setTemplate(t Template) error {
	changed, err := f.releases.configure(t)
	if err != nil || !changed {
		return err
	}
	used := map[int]bool{}
	for _, in := range f.instances {
		used[in.Version] = true
	}
	f.releases.forget(used)
	f.forgive()
	return f.store.putReleases(f.pool.Name, f.releases)
}

// forgive lets launches begin at once, whatever failed before. The lock is held.
func (f *Fleet) forgive() {
	f.failures, f.notBefore, f.lastFail = 0, time.Time{}, ""
}

func (f *Fleet) template(version int) Template {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.releases.find(version).Template
}
