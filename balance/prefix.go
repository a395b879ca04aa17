package balance

import (
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/weirlb/weir/target"
)

// prefix sends a prompt where the longest part of it was worked on before, as its KV cache may still hold that. It is an approximation
// that needs neither a tokenizer nor anything from the targets, like the cache-aware routers of SGLang and vLLM.
//
// The favourite keeps a request as long as that saves more than it costs: it may have lead more requests in flight than the least
// loaded target when it knows the whole prompt, less in proportion when it knows a part, and any target may have up to 1.5 times the
// least (SGLang: imbalanced when max-min > 64 and max > 1.5 min). Then least connections decides, and one more target knows the prompt.
type prefix struct {
	least
	memory memory
	lead   int
	tags   []uint32         // of each seat
	tagged map[uint32]int32 // the seat with that tag

	pending []uint64       // of the last pick, until Began
	picked  *target.Target // by it
	match   int            // blocks that the favourite knows, for Why
	yielded bool
}

// short is up to how many blocks a prompt counts as that long, as little is saved by knowing it: 2 KiB by default.
const short = 8

func newPrefix(o Options) Picker { return &prefix{memory: newMemory(o.Memory), lead: o.Lead} }

func (p *prefix) Set(rotation []*target.Target) {
	p.least.Set(rotation)
	if p.least.from == nil {
		return
	}
	// Targets are remembered by a hash of their ID, so one that comes back is known again.
	p.tags = make([]uint32, len(rotation))
	p.tagged = make(map[uint32]int32, len(rotation))
	for i, t := range rotation {
		tag := max(1, uint32(xxhash.Sum64String(t.ID)))
		p.tags[i], p.tagged[tag] = tag, int32(i)
	}
}

func (p *prefix) Pick(r *Request) *target.Target {
	p.pending, p.match, p.yielded = nil, 0, false
	_, idlest := p.first(r)
	if idlest == nil {
		return nil
	}
	favourite, match := p.favourite(r)
	if favourite != nil {
		p.match = match
		p.yielded = p.costs(favourite, idlest, match, len(r.Prefix))
	}
	if favourite == nil || p.yielded {
		favourite = p.least.Pick(r)
	}
	p.pending, p.picked = r.Prefix, favourite
	return favourite
}

// favourite is the least loaded usable target among those that know the longest part of the prompt, and that part in blocks.
func (p *prefix) favourite(r *Request) (best *target.Target, match int) {
	// A remembered prefix's own prefixes are remembered, too, up to rare exceptions.
	at, _ := slices.BinarySearchFunc(r.Prefix, true, func(h uint64, _ bool) int {
		if p.memory.find(h) != nil {
			return -1
		}
		return 1
	})
	// When all that know it are full, a few shorter parts are tried.
	for back := 1; at > 0 && back < 16; at, back = at-back, 2*back {
		m := p.memory.find(r.Prefix[at-1])
		if m == nil {
			continue
		}
		for _, tag := range m.owners {
			i, ok := p.tagged[tag]
			if !ok || !r.usable(p.targets[i]) {
				continue
			}
			if t := p.targets[i]; best == nil || crowding(t) < crowding(best) {
				best = t
			}
		}
		if best != nil {
			return best, at
		}
	}
	return nil, 0
}

// costs reports whether the favourite costs more than it saves, in requests per unit of weight.
func (p *prefix) costs(favourite, idlest *target.Target, match, blocks int) bool {
	f, least := crowding(favourite)*weight, crowding(idlest)*weight
	lead := p.lead
	if lead == 0 {
		lead = DefaultLead
		if s := slots(favourite); s > 0 {
			lead = min(lead, (s+1)/2)
		}
	}
	allowed := float64(lead) * float64(match) / float64(max(blocks, short))
	return f-least > allowed && f > 1.5*least
}

func (p *prefix) Began(t *target.Target) {
	i := p.update(t)
	if i != none && t == p.picked {
		// The longest first, so that what is forgotten first is the longest, too.
		for _, h := range slices.Backward(p.pending) {
			p.memory.learn(h, p.tags[i])
		}
	}
	p.pending = nil
}

// Why implements Explainer.
func (p *prefix) Why(t *target.Target) string {
	switch {
	case p.yielded:
		return fmt.Sprintf("prefix affinity: the target that knows %d of %d blocks is too far behind; %s", p.match, len(p.pending), p.least.Why(t))
	case p.match > 0:
		return fmt.Sprintf("prefix affinity: knows %d of %d blocks of the prompt, %d in flight", p.match, len(p.pending), t.InFlight())
	case len(p.pending) > 0:
		return "prefix affinity: nobody knows the prompt; " + p.least.Why(t)
	}
	return "no prompt to go by; " + p.least.Why(t)
}
