// Package pool is the live heart of the data plane: the targets of one pool, their slots and one queue. A request
// takes a free slot or waits; the slot that becomes free next, wherever that is, goes to the oldest or most urgent request. No target has
// a queue of its own, so the wait is that of the ideal single queue.
//
// A pool reads no clock: every method takes now, so that the simulator drives the same code with its own time.
package pool

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/balance"
	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/target"
)

// ErrNoOther says that a request failed on every target there is.
var ErrNoOther = errors.New("no other target to try")

// ErrBudget says that a request is not tried again because too many others are: the pool as a whole fails, and retries would keep it down.
var ErrBudget = errors.New("the pool's budget of retries is spent")

// Options are what may be changed while the pool runs.
type Options struct {
	Balance   string          // an algorithm's name, see balance.Names
	Balancing balance.Options // what else the algorithm may be told; its Name is not looked at
	Limits    admit.Limits    // of the queue
	Order     admit.Order     // of requests of the same priority and tenant in the queue
	Ageing    float64         // see admit.Rule, as for MaxWait; 0 means the default
	MaxWait   time.Duration
	Retries   admit.Budget // the zero value allows 20 % of the active requests, at least 3
	FailOpen  int          // with fewer healthy targets than this, requests go to all; 0 never
	Ejector   health.Ejector
	Elastic   bool // its targets come and go with a fleet: with no target at all, requests are held for the next one

	// SlowStart is how long a target that becomes healthy beside others takes to grow to its whole share and all its slots; 0 means that it
	// has them at once. Aggression bends the ramp as in Envoy: the part is (elapsed/SlowStart)^(1/Aggression); 0 means 1, a straight line.
	SlowStart  time.Duration
	Aggression float64

	// StickyWait is how long a request waits for the target that has its session before any other will do. 0 means as long as it
	// may wait at all, less than 0 that it takes another one at once.
	StickyWait time.Duration

	Drain time.Duration // how long a draining target is given, for Stats to say; 0 when nobody knows

	// Chance gives the random numbers of the balancing; nil: nobody can foretell them. It is called with the pool's lock held.
	Chance func() uint64

	// Wake, when set, is called when a request has to wait and none did before. It must not block.
	Wake func()
}

func (o Options) rule() admit.Rule {
	return admit.Rule{Order: o.Order, Ageing: o.Ageing, MaxWait: o.MaxWait, Timeout: o.Limits.Timeout}
}

func (o Options) balance() balance.Options {
	b := o.Balancing
	b.Name = o.Balance
	return b
}

// Outcome is how a request on a target ended.
type Outcome struct {
	Status    int  // of the answer; 0 when there was none
	Failed    bool // the target spoilt it: refused, broke off, answered nonsense or 5xx
	Cancelled bool // the client left, or another target was faster with a hedged request
	Unsent    bool // no byte of the request was written: another attempt costs no target anything

	FirstByte time.Duration // from the slot to the answer's head; 0 when there was none
}

// Pool holds the targets, slots and queue of one pool. All methods may be called from any goroutine.
type Pool struct {
	Name string

	mu        sync.Mutex
	o         Options
	picker    balance.Picker
	request   balance.Request // of the pick that is going on
	members   []*member       // all targets; target.Index is the place
	byID      map[string]*member
	overrides map[string]Override
	rotation  []*target.Target // those that may be given requests
	limit     int              // slots in rotation; 0 when a target has no limit
	expected  int              // instances on their way
	open      bool             // rotation holds unhealthy ones too, as too few are healthy
	stale     bool             // the members have changed since rotation was made
	rotated   time.Time        // when rotation was made
	print     uint64           // of the shares and limits that picker was told
	printed   time.Time

	marked  []*member // whose ejection is not the zero value
	ejected int       // of them, those that are ejected, as far as noticed
	swept   time.Time
	ramping []*member // that start slowly
	stepped time.Time // when their shares were last set

	queue    *admit.Line
	choosy   admit.Side // requests that some target failed: a free slot there is no use to them
	parking  []*member  // targets that requests with a session wait for
	aside    []*admit.Entry
	times    admit.Predictor
	squeezed int // see Squeeze: one more than may wait; 0 is no bound
	running  int
	retrying int
	lastBusy time.Time
	m        meters
}

// New returns an empty pool. The error is that of an unknown algorithm.
func New(name string, o Options, now time.Time) (*Pool, error) {
	picker, err := balance.New(o.balance())
	if err != nil {
		return nil, fmt.Errorf("pool %s: %w", name, err)
	}
	return &Pool{
		Name: name, o: o, picker: picker, queue: admit.NewLine(o.rule(), now), m: newMeters(), lastBusy: now,
		byID: map[string]*member{}, overrides: map[string]Override{},
	}, nil
}

// Configure changes the options; targets, slots and what waits stay.
func (p *Pool) Configure(o Options, now time.Time) error {
	picker, err := balance.New(o.balance())
	if err != nil {
		return fmt.Errorf("pool %s: %w", p.Name, err)
	}
	p.mu.Lock()
	if o.balance() != p.o.balance() {
		p.picker = picker
	}
	p.o = o
	if o.rule() != p.queue.Rule() {
		p.requeue(o.rule())
	}
	p.printed = time.Time{} // whoever configures the pool may change its targets next
	p.rotateAndTell(now)
	return nil
}

// requeue lets what waits wait by another rule.
func (p *Pool) requeue(r admit.Rule) {
	for e := range p.queue.All {
		p.aside = append(p.aside, e)
	}
	p.queue.Configure(r)
	for _, e := range p.aside {
		l := e.Owner.(*Lease)
		q := p.ask(l)
		p.queue.Again(e, &q)
	}
	clear(p.aside)
	p.aside = p.aside[:0]
}

// ask is what the queue needs to know of a request. Its service time is looked up only where it matters.
func (p *Pool) ask(l *Lease) admit.Request {
	r := admit.Request{Arrived: l.arrived, Deadline: l.Ask.Deadline, Priority: l.Ask.Priority, Tenant: l.Ask.Tenant}
	if p.o.Order == admit.ShortestFirst || r.Tenant != 0 {
		r.Service = p.times.Predict(l.Ask.Size)
	}
	return r
}

// Acquire asks for a slot. Run: the lease holds one now. Queue: it waits, and l.Ready will be called. Refuse: the
// error says why and the lease is idle again.
func (p *Pool) Acquire(l *Lease, now time.Time) (admit.Verdict, error) {
	var a answered
	p.mu.Lock()
	l.begin(p, now)
	p.queue.Arrive(&l.entry)
	p.m.arrivals.Add(now, 1)
	p.m.requests++
	v, err := p.admit(l, now, &a)
	var wake func()
	if v == admit.Queue && p.queue.Len() == 1 {
		wake = p.o.Wake
	}
	p.mu.Unlock()
	a.tell()
	if wake != nil {
		wake()
	}
	return v, err
}

// admit gives l a slot, lets it wait or refuses it. The pool's lock is held.
func (p *Pool) admit(l *Lease, now time.Time, a *answered) (admit.Verdict, error) {
	if d := l.Ask.Deadline; !d.IsZero() && !now.Before(d) {
		p.m.refused[refusedDeadline]++
		return admit.Refuse, admit.DeadlinePassed(p.Name)
	}
	var side *admit.Side
	var until time.Time
	if m := p.favourite(l); m != nil {
		if m.t.Free() {
			p.grant(l, m.t, now)
			return admit.Run, nil
		}
		if p.o.StickyWait >= 0 {
			side = p.park(m)
			if p.o.StickyWait > 0 {
				until = now.Add(p.o.StickyWait)
			}
		}
	}
	// While others wait for any slot there is none; those that wait although one is free wait for another one and are not overtaken.
	if side == nil && p.queue.Free() == 0 {
		t := p.pick(l, now)
		if t == nil && p.stale && p.settle(now, a) {
			t = p.pick(l, now)
		}
		if t != nil {
			p.grant(l, t, now)
			return admit.Run, nil
		}
	}
	r := p.ask(l)
	if limits := p.queueLimits(); limits.Decide(false, p.queue.Len()) == admit.Refuse {
		victim := p.queue.Shed(&r)
		if victim == nil || limits.Queue == 0 {
			p.m.refused[refusedFull]++
			return admit.Refuse, p.full(now)
		}
		why := error(admit.Shed(p.Name, limits.Queue, p.limit, p.m.meanService(now)))
		if p.scarce() {
			why = p.overBudget(now)
		}
		p.refuse(victim, refusedShed, why, now, a)
	}
	l.wait(&r, side, until)
	return admit.Queue, nil
}

func (l *Lease) wait(r *admit.Request, side *admit.Side, until time.Time) {
	l.state, l.entry.Owner = waiting, l
	l.pool.queue.Push(&l.entry, r, side, until)
}

func (p *Pool) full(now time.Time) error {
	if len(p.members) == 0 && !p.o.Elastic {
		return &admit.Refusal{Limit: "targets", Message: fmt.Sprintf("pool %s has no targets", p.Name)}
	}
	if p.scarce() {
		return p.overBudget(now)
	}
	return admit.QueueFull(p.Name, p.o.Limits.Queue, p.limit, p.m.meanService(now))
}

// refuse ends the waiting of e. The pool's lock is held.
func (p *Pool) refuse(e *admit.Entry, why int, err error, now time.Time, a *answered) {
	l := e.Owner.(*Lease)
	p.drop(l)
	l.state, l.err = refused, err
	p.m.refused[why]++
	p.lastBusy = now
	a.add(l)
}

// drop takes a request out of the queue that will not be served. The pool's lock is held.
func (p *Pool) drop(l *Lease) {
	p.queue.Remove(&l.entry)
	p.queue.Forget(&l.entry)
	p.unspend(l)
	if l.twin != nil { // it goes on alone
		l.twin, l.twin.twin = nil, nil
	}
}

// expire refuses a request whose deadline or whose time in the queue is over.
func (p *Pool) expire(e *admit.Entry, now time.Time, a *answered) {
	l := e.Owner.(*Lease)
	if d := l.Ask.Deadline; !d.IsZero() && !now.Before(d) {
		p.refuse(e, refusedDeadline, admit.DeadlinePassed(p.Name), now, a)
		return
	}
	timeout := p.o.Limits.Timeout
	p.refuse(e, refusedTimeout, admit.QueueTimeout(p.Name, timeout, p.queue.Len()-1, p.limit, p.m.meanService(now)), now, a)
}

// Release gives the slot back and hands it to the most urgent request that waits. Releasing a lease that holds
// nothing does nothing, so that it can be deferred.
func (l *Lease) Release(o Outcome, now time.Time) {
	p := l.pool
	if p == nil || l.state != held {
		return
	}
	var a answered
	p.mu.Lock()
	m := l.member
	if l.twin != nil && o.Failed {
		l.twin.skip = append(l.twin.skip, l.target) // the request has failed there, too
	}
	p.end(l, o, now, &a)
	p.finish(l, o, now)
	p.dispatch(m, now, &a)
	p.mu.Unlock()
	a.tell()
}

// end takes the request off its target. The pool's lock is held.
func (p *Pool) end(l *Lease, o Outcome, now time.Time, a *answered) {
	t, m, took := l.target, l.member, now.Sub(l.granted)
	t.End(o.Failed)
	p.running--
	p.lastBusy = now
	l.state, l.target, l.member = idle, nil, nil
	p.queue.End(&l.entry, took)
	p.picker.Done(t, balance.Outcome{Now: now, Failed: o.Failed, Cancelled: o.Cancelled, FirstByte: o.FirstByte, Took: took})
	if o.Cancelled {
		return
	}
	if !o.Failed && p.o.Order == admit.ShortestFirst || l.Ask.Size > 0 && l.Ask.Tenant != 0 {
		p.times.Observe(l.Ask.Size, took)
	}
	if m == nil || m.gone {
		return
	}
	m.observe(o, took, p.usual(m, now))
	if p.o.Ejector.Enabled() && (o.Failed || m.ejection.Failures > 0) {
		p.eject(m, p.o.Ejector.Observe(m.ejection, !o.Failed, p.ejected, len(p.members), now), now)
		if m.state(now) != t.State() {
			p.stale = true
			p.settle(now, a)
		}
	}
}

// finish counts a request that is over, once, whichever of its leases it was. The pool's lock is held.
func (p *Pool) finish(l *Lease, o Outcome, now time.Time) {
	p.unspend(l)
	spoilt := o.Failed || o.Cancelled
	counted := !l.uncounted
	if twin := l.twin; twin != nil {
		l.twin, twin.twin = nil, nil
		counted = counted && !spoilt // else the request goes on with the twin
		twin.uncounted = !spoilt
	}
	if l.hedge && !spoilt && !l.uncounted {
		p.m.hedgesWon++
	}
	if !counted {
		return
	}
	if l.retried && !o.Cancelled {
		p.m.retried(!o.Failed)
	}
	p.m.finish(l, o, now)
}

// unspend gives back what l took of the budget of retries.
func (p *Pool) unspend(l *Lease) {
	if l.extra {
		l.extra = false
		p.retrying--
	}
}

// spend takes one retry from the budget, if there is one.
func (p *Pool) spend(l *Lease) bool {
	if !l.extra && !p.o.Retries.Allows(p.retrying, p.running+p.queue.Len()) {
		p.m.noBudget++
		return false
	}
	if !l.extra {
		l.extra = true
		p.retrying++
	}
	return true
}

// Cancel takes a waiting lease out of the queue and reports true. It reports false when the lease did not wait any
// more: then Ready was or will be called, and what was granted has to be released.
func (l *Lease) Cancel(now time.Time) bool {
	p := l.pool
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.state != waiting {
		return false
	}
	p.drop(l)
	l.state = idle
	p.lastBusy = now
	p.m.cancelled++
	return true
}

// Tick refuses who has waited too long, lets ejections end and slow starts go on. Call it every few dozen milliseconds.
func (p *Pool) Tick(now time.Time) {
	var a answered
	p.mu.Lock()
	for e, loose := p.queue.Expired(now); e != nil; e, loose = p.queue.Expired(now) {
		if loose {
			p.queue.Loosen(e) // it has waited long enough for its own target
		} else {
			p.expire(e, now, &a)
		}
	}
	p.sweep(now)
	p.step(now, &a)
	p.look(now, &a)
	if p.stale {
		p.rotate(now, &a)
	} else {
		p.dispatch(nil, now, &a)
	}
	p.mu.Unlock()
	a.tell()
}
