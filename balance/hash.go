package balance

import (
	"fmt"
	"math"

	"github.com/cespare/xxhash/v2"

	"github.com/weirlb/weir/target"
)

// hash sends the same key to the same target: consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam, 2018). A target
// that carries its bound, has no free slot or failed the request is passed over for the key's next choice, which is the same for each of
// its requests but differs between keys, so that no neighbour inherits all. Requests without a key go by least connections.
type hash struct {
	least
	bound float64
	ring  ring
	why   hashWhy
}

type hashWhy uint8

const (
	whyNoKey hashWhy = iota
	whyHome
	whyNextChoice
	whyAllFull
)

// choices is how many places on the ring a key tries. When they fail, nearly all targets are full, and the least loaded takes it.
const choices = 6

func newHash(o Options) Picker { return &hash{bound: o.BoundedLoad} }

func (p *hash) Set(rotation []*target.Target) {
	p.least.Set(rotation)
	p.ring.set(p.targets, p.least.from)
}

func (p *hash) Pick(r *Request) *target.Target {
	if p.why = whyNoKey; r.Key == 0 || len(p.targets) == 0 {
		return p.least.Pick(r)
	}
	p.why = whyHome
	var young *target.Target
	place := mix(r.Key)
	for range choices {
		i := p.ring.owner(place)
		t := p.targets[i]
		if p.has(t) && r.usable(t) {
			if p.grown(t, r.Key) {
				return t
			}
			if young == nil {
				young = t
			}
		}
		place = mix(place)
		p.why = whyNextChoice
	}
	if young != nil {
		return young
	}
	p.why = whyAllFull
	return p.least.Pick(r)
}

// has reports whether t has room for one more within its bound: the bound times its share of all in flight, rounded up.
func (p *hash) has(t *target.Target) bool {
	return float64(t.InFlight()+1) <= math.Ceil(p.bound*float64(p.inFlight+1)*float64(t.Share())/float64(p.shares))
}

// grown reports whether a target that starts slowly takes the key already. Each key has its moment, so keys come one after the other.
func (p *hash) grown(t *target.Target, key uint64) bool {
	part := ramp(t)
	return part >= weight || below(mix(key^xxhash.Sum64String(t.ID)), weight) < part
}

// Why implements Explainer.
func (p *hash) Why(t *target.Target) string {
	switch p.why {
	case whyNoKey:
		return "no key; " + p.least.Why(t)
	case whyHome:
		return fmt.Sprintf("hash: the key's own target, %d in flight", t.InFlight())
	case whyNextChoice:
		return fmt.Sprintf("hash: the key's own target is full or over %.2f times the mean; its next choice, %d in flight", p.bound, t.InFlight())
	}
	return "hash: the key's choices are full; " + p.least.Why(t)
}
