// Package measure keeps the latest samples of every instance, each with its age: a value that is too old, or never
// came, is unknown, which is never the same as 0.
package measure

import (
	"sync"
	"time"
)

// Fresh is how old a sample may be before it counts as unknown.
const Fresh = 10 * time.Second

// Store holds samples by instance and metric. The zero value is ready.
type Store struct {
	mu sync.Mutex
	by map[string]map[string]sample
}

type sample struct {
	until time.Time
	value float64
}

// PoolKey is the name under which a [Store] keeps what was pushed for a whole pool. No instance has it.
func PoolKey(pool string) string { return "pool/" + pool }

// Set records a sample of an instance's metric, which is known for the time of [Fresh].
func (s *Store) Set(instance, metric string, value float64, now time.Time) {
	s.SetFor(instance, metric, value, now, Fresh)
}

// SetFor does as Set for a metric that is known for another time, such as three times its interval.
func (s *Store) SetFor(instance, metric string, value float64, now time.Time, fresh time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by == nil {
		s.by = map[string]map[string]sample{}
	}
	m := s.by[instance]
	if m == nil {
		m = map[string]sample{}
		s.by[instance] = m
	}
	if until := now.Add(fresh); !until.Before(m[metric].until) { // what comes late does not replace what is newer
		m[metric] = sample{until, value}
	}
}

// Of returns an instance's fresh metrics in the map into, which it empties first; a nil map is made when there are any. The map is the
// caller's.
func (s *Store) Of(instance string, now time.Time, into map[string]float64) map[string]float64 {
	clear(into)
	out := into
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, v := range s.by[instance] {
		if now.After(v.until) {
			continue
		}
		if out == nil {
			out = make(map[string]float64, len(s.by[instance]))
		}
		out[k] = v.value
	}
	return out
}

// Into adds an instance's fresh metrics to others.
func (s *Store) Into(metrics map[string]float64, instance string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, v := range s.by[instance] {
		if !now.After(v.until) {
			metrics[k] = v.value
		}
	}
}

// Drop makes metrics of an instance unknown at once: who measures them could not.
func (s *Store) Drop(instance string, metrics ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range metrics {
		delete(s.by[instance], m)
	}
	if len(s.by[instance]) == 0 {
		delete(s.by, instance)
	}
}

// Forget drops all samples of an instance.
func (s *Store) Forget(instance string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.by, instance)
}
