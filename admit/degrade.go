package admit

import (
	"fmt"
	"math"
	"time"
)

// Backlog is how many requests may wait so that the last of them waits no longer than patience, by Little's law: what slots work off in
// that time. Without slots none may; with an unknown service time (0) there is no bound, -1.
func Backlog(slots int, service, patience time.Duration) int {
	switch {
	case slots <= 0:
		return 0
	case service <= 0:
		return -1
	}
	return int(min(float64(slots)*(float64(patience)/float64(service)), math.MaxInt32))
}

// OverBudget is the refusal of a request that would wait too long in a pool that its budget keeps from growing.
func OverBudget(pool string, waiting, slots int, service time.Duration) *Refusal {
	return &Refusal{
		Limit:      "scale.cost.budget.shed_after",
		Message:    fmt.Sprintf("pool %s may not grow, as its budget is spent, and more important requests go first", pool),
		RetryAfter: RetryAfter(waiting, slots, service),
	}
}

// Least is the request that is to go first when fewer may wait: the youngest of the lowest priority, of the tenant that has most requests
// waiting; nil when none waits.
func (q *Line) Least() *Entry {
	i := q.waiting.lowest()
	if i < 0 {
		return nil
	}
	return q.levels[i].longest[0].flow.youth.last.entry
}
