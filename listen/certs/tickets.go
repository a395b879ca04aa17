package certs

import (
	"crypto/rand"
	"slices"
	"time"
)

// tickets are the keys that encrypt session tickets. The newest encrypts; those before it still decrypt.
type tickets struct {
	keys  [][32]byte
	since time.Time // of the newest
}

const (
	keptTickets   = 3 // the newest and the two before it
	defaultRotate = 12 * time.Hour
)

// restore begins with keys of another process. They count as new: nothing tells their age.
func (t *tickets) restore(keys [][32]byte, now time.Time) {
	t.keys, t.since = slices.Clone(keys[:min(len(keys), keptTickets)]), now
}

// forget makes every ticket worthless.
func (t *tickets) forget() { t.keys = nil }

func (t *tickets) due(now time.Time, every time.Duration) bool {
	if every <= 0 {
		every = defaultRotate
	}
	return len(t.keys) == 0 || now.Sub(t.since) >= every
}

// rotate begins a new key if it is time.
func (t *tickets) rotate(now time.Time, every time.Duration) {
	if !t.due(now, every) {
		return
	}
	var key [32]byte
	rand.Read(key[:]) // never fails
	t.keys = append([][32]byte{key}, t.keys[:min(len(t.keys), keptTickets-1)]...)
	t.since = now
}

func (t *tickets) all() [][32]byte { return slices.Clone(t.keys) }
