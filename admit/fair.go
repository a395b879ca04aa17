package admit

import "time"

// level is one priority: its tenants take turns.
type level struct {
	index   int
	nobody  flow // of requests without a tenant
	flows   map[uint64]*flow
	ready   heap[turn]   // flows with requests that any slot is good for, the one that had least first
	longest heap[length] // flows with requests that wait, the one with most first
	served  float64      // the start tag of the last request that got a slot: whoever comes back begins there
	idle    []*flow      // flows that may be forgotten once the others have had as much
}

// flow is one tenant's requests of one priority.
type flow struct {
	tenant  uint64
	level   *level
	order   sequence
	youth   list // all that wait, as they began to
	running int
	served  float64 // slot-seconds had, the running requests' by expectation
	mean    cell    // of its service times
	pos     int     // in ready
	rank    int     // in longest
	resting bool    // in idle
}

type turn struct{ *flow }

func (a turn) before(b turn) bool {
	if a.served != b.served {
		return a.served < b.served
	}
	return a.tenant < b.tenant
}
func (a turn) move(i int) { a.pos = i }

type length struct{ *flow }

func (a length) before(b length) bool { return a.youth.n > b.youth.n }
func (a length) move(i int)           { a.rank = i }

func (f *flow) waiting() int { return f.youth.n }

// pushYouth puts a request behind those that wait; one that waits a second time came before most of them.
func (f *flow) pushYouth(n *node) {
	if last := f.youth.last; last == nil || last.entry.number < n.entry.number {
		f.youth.pushBack(n)
	} else {
		f.youth.pushFront(n)
	}
}

func (f *flow) lengthened() {
	if f.youth.n == 1 {
		f.level.longest.push(length{f})
	} else {
		f.level.longest.fix(f.rank)
	}
}

func (f *flow) shortened() {
	if f.youth.n == 0 {
		f.level.longest.remove(f.rank)
	} else {
		f.level.longest.fix(f.rank)
	}
}

func levelOf(priority int) int { return min(max(priority, MinPriority), MaxPriority) - MinPriority }

func (q *Line) level(priority int) *level {
	i := levelOf(priority)
	if q.levels[i] == nil {
		l := &level{index: i}
		l.nobody.level = l
		q.levels[i] = l
	}
	return q.levels[i]
}

func (l *level) find(tenant uint64) *flow {
	if tenant == 0 {
		return &l.nobody
	}
	return l.flows[tenant]
}

func (l *level) flow(q *Line, tenant uint64) *flow {
	f := l.find(tenant)
	if f != nil {
		return f
	}
	if n := len(q.spare); n > 0 {
		f = q.spare[n-1]
		q.spare = q.spare[:n-1]
		*f = flow{order: f.order}
	} else {
		f = &flow{}
	}
	f.tenant, f.level, f.served = tenant, l, l.served
	if l.flows == nil {
		l.flows = map[uint64]*flow{}
	}
	l.flows[tenant] = f
	q.tenants++
	return f
}

// Start counts a request that was given a slot for its tenant, whether it waited or not. It costs nothing while there are no tenants.
func (q *Line) Start(e *Entry, r *Request) {
	if e.flow == nil {
		if r.Tenant == 0 && q.tenants == 0 {
			return
		}
		e.flow = q.level(r.Priority).flow(q, r.Tenant)
	}
	f, l := e.flow, e.flow.level
	if f.waiting() == 0 {
		f.served = max(f.served, l.served)
	}
	if len(l.ready) == 0 || f.served <= l.ready[0].served { // not out of turn
		l.served = max(l.served, f.served)
	}
	e.charged = f.expect(r.Service)
	f.running++
	f.charge(e.charged)
}

// expect is what a request is charged in advance, in seconds. What is not known at all is the same for all, and more than nothing.
func (f *flow) expect(service time.Duration) float64 {
	switch {
	case service > 0:
		return service.Seconds()
	case f.mean.n > 0:
		return f.mean.mean
	}
	return 1
}

func (f *flow) charge(seconds float64) {
	f.served += seconds
	if f.order.len() > 0 {
		f.level.ready.fix(f.pos)
	}
}

// End counts a request out that held a slot for so long.
func (q *Line) End(e *Entry, took time.Duration) {
	f := e.flow
	if f == nil {
		return
	}
	f.running--
	f.mean.observe(took.Seconds())
	f.charge(took.Seconds() - e.charged)
	q.Forget(e)
}

// Forget ends the queue's interest in a request that neither waits nor runs.
func (q *Line) Forget(e *Entry) {
	f := e.flow
	e.flow = nil
	if f == nil || f.tenant == 0 || f.resting || f.running > 0 || f.waiting() > 0 {
		return
	}
	f.resting = true
	f.level.idle = append(f.level.idle, f)
}

// Sweep forgets the tenants that have nothing to do here and owe nothing. It may be called often and looks once a second.
func (q *Line) Sweep(now time.Time) {
	if q.tenants == 0 || now.Sub(q.swept) < time.Second {
		return
	}
	q.swept = now
	for _, l := range q.levels {
		if l == nil || len(l.idle) == 0 {
			continue
		}
		kept := l.idle[:0]
		for _, f := range l.idle {
			switch {
			case f.running > 0 || f.waiting() > 0:
				f.resting = false
			case f.served > l.served && len(l.ready) > 0:
				kept = append(kept, f)
			default:
				delete(l.flows, f.tenant)
				q.tenants--
				q.spare = append(q.spare, f)
			}
		}
		clear(l.idle[len(kept):])
		l.idle = kept
	}
}
