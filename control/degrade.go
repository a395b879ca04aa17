package control

import (
	"time"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/scale"
)

// ShedAfter has requests refused that would wait longer, while a budget holds the capacity down; 0 refuses none.
func (l *Loop) ShedAfter(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.o.ShedAfter = d
}

// degrade bounds the pool's queue while it is the budget that holds the capacity down: to what the slots there are work off in
// the time that a request may be made to wait. As long as it is not known how long requests take, it bounds nothing.
func (l *Loop) degrade(d scale.Decision, views []fleet.View, now time.Time) {
	limit := pool.NoSqueeze
	if l.o.ShedAfter > 0 && d.Bound == scale.BoundBudget && l.o.Slots > 0 {
		ready := 0
		for i := range views {
			if views[i].State == fleet.Ready {
				ready++
			}
		}
		slots := max(ready, d.Desired) * l.o.Slots // those that load will serve what waits now
		limit = admit.Backlog(slots, time.Duration(l.service.Mean*float64(time.Second)), l.o.ShedAfter)
	}
	l.o.Pool.Squeeze(limit, now)
}
