package admin

import (
	"sync"

	"github.com/weirlb/weir/scale"
	"github.com/weirlb/weir/telemetry"
)

// tally counts the decisions that were published, for the metrics: each one passes here, and nobody else sees them all.
type tally struct {
	mu    sync.Mutex
	pools map[string]steps
}

// steps counts a pool's decisions by their direction.
type steps struct{ out, in uint64 }

func (t *tally) add(d scale.Decision) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pools == nil {
		t.pools = map[string]steps{}
	}
	n := t.pools[d.Pool]
	switch {
	case d.Desired > d.Previous:
		n.out++
	case d.Desired < d.Previous:
		n.in++
	}
	t.pools[d.Pool] = n
}

// metrics are the source's, with the decisions counted here.
func (s *Server) metrics() telemetry.Snapshot {
	snapshot := s.o.Source.Metrics()
	s.tally.mu.Lock()
	defer s.tally.mu.Unlock()
	for i := range snapshot.Pools {
		p := &snapshot.Pools[i]
		if p.Fleet == nil {
			continue
		}
		fleet := *p.Fleet
		n := s.tally.pools[p.Name]
		fleet.Grown, fleet.Shrunk = n.out, n.in
		p.Fleet = &fleet
	}
	return snapshot
}
