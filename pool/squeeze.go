package pool

import (
	"time"

	"github.com/weirlb/weir/admit"
)

// NoSqueeze lifts what Squeeze bound.
const NoSqueeze = -1

// Squeeze bounds the queue to fewer requests than its limit, for as long as the pool may not grow for want of money; [NoSqueeze] lifts it.
// What waits beyond it is refused at once, the least important and youngest first. What has a slot keeps it.
func (p *Pool) Squeeze(limit int, now time.Time) {
	if limit < 0 {
		limit = NoSqueeze
	}
	var a answered
	p.mu.Lock()
	p.squeezed = limit + 1
	for p.squeezed > 0 && p.queue.Len() > limit {
		p.refuse(p.queue.Least(), refusedShed, p.overBudget(now), now, &a)
	}
	p.mu.Unlock()
	a.tell()
}

// queueLimits are the limits of the queue now. The lock is held.
func (p *Pool) queueLimits() admit.Limits {
	l := p.o.Limits
	if p.squeezed > 0 {
		l.Queue = min(l.Queue, p.squeezed-1)
	}
	return l
}

// scarce says whether it is money that bounds the queue. The lock is held.
func (p *Pool) scarce() bool { return p.squeezed > 0 && p.squeezed-1 < p.o.Limits.Queue }

func (p *Pool) overBudget(now time.Time) error {
	return admit.OverBudget(p.Name, p.queue.Len(), p.limit, p.m.meanService(now))
}
