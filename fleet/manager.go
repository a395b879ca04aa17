package fleet

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weirlb/weir/fleet/plan"
	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/measure"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/scale"
	"github.com/weirlb/weir/target"
)

// Options are what a fleet needs to know of its pool. The functions are the edges' work, handed in so that the fleet
// itself speaks to nothing but its provider.
type Options struct {
	Template     Template
	Slots        int           // of each instance's target; 0 means without limit
	Drain        time.Duration // how long what is in flight on a draining instance may take
	StartTimeout time.Duration // an instance that is not ready by then has failed
	MarketFile   string        // as in Spec
	StopTimeout  time.Duration // from being asked to end to being ended by force
	Backoff      Backoff
	Rest         Rest // of instances in the warm pool; "" is RestStopped
	Protect      bool // new instances from scale-in
	Hooks        []Hook
	HookEnv      []string // of the programs of hooks, beside Weir's own and that of the call; NAME=value

	// Watch checks readiness at addr until ctx ends, and reports after each check.
	Watch func(ctx context.Context, addr string, from health.Status, report func(health.Status))
	// Live, when set, checks liveness; an instance that fails it is replaced.
	Live func(ctx context.Context, addr string, report func(health.Status))
	// WarmUp, when set, sends the warm-up request before the instance takes traffic.
	WarmUp func(ctx context.Context, addr string) error
	// Join prepares a target before it joins the pool, and Leave cleans up after it left.
	Join, Leave func(*target.Target)
	// Elsewhere, when set, is how many requests another process has in flight on an instance: one that this process has replaced, and that
	// finishes what it has.
	Elsewhere func(id string) int
}

// Backoff spaces out launches after instances that failed before they were ready: Initial, doubled each time, up to Max.
type Backoff struct{ Initial, Max time.Duration }

// After is how long a launch is put off after so many that failed in a row, at least one.
func (b Backoff) After(failures int) time.Duration {
	d := b.Initial << min(failures-1, 20)
	if d <= 0 || d > b.Max {
		return b.Max
	}
	return d
}

// CrashLoop is how soon after it was ready an instance has ended for its end to count as a launch that failed.
const CrashLoop = 10 * time.Second

// Event tells of something that happened to an instance.
type Event struct {
	Time     time.Time
	Pool     string
	Instance string
	State    State // with StateChanged; else ""
	Kind     EventKind
	Why      string
}

// EventKind is what an Event is about.
type EventKind string

// The kinds of events.
const (
	StateChanged    EventKind = ""         // it is in State now
	SpotNotice      EventKind = "spot"     // its provider takes it back, may do so, or has done so
	CapacityRefused EventKind = "capacity" // there was no such machine
	HookMoved       EventKind = "hook"     // it began to wait for a lifecycle hook, or one has its result
)

// Fleet holds the instances of one pool. All methods may be called from any goroutine.
type Fleet struct {
	pool     *pool.Pool
	provider Provider
	store    *Store
	samples  *measure.Store
	log      *slog.Logger
	changed  func(Event) // told of every change; it must not block

	ctx   context.Context // ends the goroutines, not the instances
	lives sync.WaitGroup

	mu        sync.Mutex
	o         Options
	instances map[string]*instance
	boots     Measured  // launch to ready
	wakes     Measured  // from waking in the warm pool until ready
	failures  int       // launches in a row that never became ready
	notBefore time.Time // no launch before, after failures
	lastFail  string
	restarts  int

	refused       plan.Refusals
	spot          SpotCounts
	releases      releases
	failedVersion int // whose launches are counted in failures
}

// instance is one instance in its life; its fields are guarded by the fleet's lock.
type instance struct {
	record
	since   time.Time // of the state
	why     string
	handle  Handle
	target  *target.Target
	usage   Usage
	adopted bool
	notice  plan.Notice
	cut     bool     // it was taken back with requests in flight
	failing []string // of its checks, by the newest

	prepared bool // runs and is warmed up: it needs no warm-up request when it is woken
	woken    bool // came from the warm pool: its boot says nothing of others
	rested   bool // and has not been ready since

	orders  chan order
	kick    chan struct{}     // something it waits for has changed
	running map[string]func() // what ends a hook that runs, by the token of its wait
	writing chan struct{}     // full while the record goes to disk
}

func newInstance(r record, why string) *instance {
	return &instance{record: r, since: time.Now(), why: why, orders: make(chan order, 4), kick: make(chan struct{}, 1), running: map[string]func(){}, writing: make(chan struct{}, 1)}
}

// begun is when an instance began to get ready: its launch, or the end of its launch hooks. The lock is held, or it is its own goroutine.
func (in *instance) begun() time.Time {
	if in.Greeted.After(in.Launched) {
		return in.Greeted
	}
	return in.Launched
}

// order is what the plan may tell an instance.
type order struct {
	kind orderKind
	why  string
}

type orderKind uint8

const (
	orderDrain  orderKind = iota
	orderKeep             // stop draining, go on
	orderStop             // end it without waiting for what is in flight
	orderWake             // take it from the warm pool into traffic
	orderPark             // drain it into the warm pool
	orderErrand           // drain it to where a person sent it
)

// New returns a fleet and adopts the instances that an earlier Weir left running: they are in the pool when New
// returns, if they were ready then. ctx ends Weir's care, not the instances.
func New(ctx context.Context, p *pool.Pool, pr Provider, st *Store, samples *measure.Store, o Options, log *slog.Logger, changed func(Event)) (*Fleet, error) {
	f := &Fleet{
		pool: p, provider: pr, store: st, samples: samples, log: log, changed: changed, ctx: ctx, o: o,
		instances: map[string]*instance{}, boots: measured(st.loadBoots(p.Name)), wakes: measured(st.loadWakes(p.Name)),
	}
	rs, err := st.load(p.Name)
	if err != nil {
		return nil, err
	}
	if f.releases, err = st.loadReleases(p.Name); err != nil {
		return nil, err
	}
	if err := f.setTemplate(o.Template); err != nil {
		return nil, err
	}
	for _, r := range rs {
		if err := f.adopt(r); err != nil {
			return nil, err
		}
	}
	f.lives.Go(f.sample)
	f.watchNotices()
	return f, nil
}

// adopt goes on with a recorded instance, or forgets it when it no longer runs.
func (f *Fleet) adopt(r record) error {
	h, err := f.provider.Adopt(f.ctx, r.ID, r.Ref)
	if errors.Is(err, ErrGone) && r.State == Warm && f.o.Rest != RestHibernated && f.o.Rest != RestRunning {
		f.adoptStopped(r)
		return nil
	}
	if errors.Is(err, ErrGone) {
		f.log.Info("an instance ended while Weir was away", "pool", r.Pool, "instance", r.ID)
		return f.store.remove(r.ID)
	}
	if err != nil {
		return fmt.Errorf("adopting instance %s of pool %s: %w", r.ID, r.Pool, err)
	}
	r.Ref = h.Ref()
	if r.Version == 0 {
		r.Version = f.releases.Wanted // launched by a Weir that did not count them
	}
	if r.State == Warming {
		r.State = Starting // its warm-up request went down with the Weir that sent it
	}
	if (r.State == Draining || r.State == TerminatingWait) && r.Spare {
		r.Spare = false // it was on its way to the warm pool; who drained it there is gone
	}
	if r.State != Warm {
		if err := resume(h); err != nil {
			f.log.Warn("an adopted instance may be suspended", "instance", r.ID, "error", err)
		}
	}
	in := newInstance(r, "adopted")
	in.handle, in.adopted, in.prepared = h, true, aside(r.State)
	in.remind()
	f.instances[r.ID] = in
	f.log.Info("adopted a running instance", "pool", r.Pool, "instance", r.ID, "state", r.State, "address", h.Addr())
	if r.State == Ready || r.State == Unhealthy {
		// It served until a moment ago: let it serve at once, its checks go on from there.
		f.join(in, health.Status{State: target.Healthy, Passed: true, Reason: "adopted", Since: time.Now()})
	}
	f.lives.Go(func() { f.live(in) })
	return nil
}

// adoptStopped goes on with an instance of the warm pool that does not run.
func (f *Fleet) adoptStopped(r record) {
	r.Ref = ""
	in := newInstance(r, "adopted")
	in.adopted = true
	in.remind()
	f.instances[r.ID] = in
	f.lives.Go(func() { f.live(in) })
}

// Configure changes the options for launches and drains to come.
func (f *Fleet) Configure(o Options) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.o = o
	if err := f.setTemplate(o.Template); err != nil {
		f.log.Warn("a new version of the template could not be recorded", "pool", f.pool.Name, "error", err)
	}
	for _, in := range f.instances {
		if in.target != nil {
			in.target.SetSlots(o.Slots)
		}
		in.look() // what it waits for may be gone
	}
}

func (f *Fleet) options() Options {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.o
}

// Launch begins n launches.
func (f *Fleet) Launch(n int, as plan.Placement) { f.begin(n, as, false) }

func (f *Fleet) begin(n int, as plan.Placement, spare bool) {
	now, version := time.Now(), f.Version()
	for range n {
		in := newInstance(record{ID: f.newID(), Pool: f.pool.Name, State: Pending, Launched: now, Version: version, Spare: spare, Placement: as}, "")
		f.mu.Lock()
		f.instances[in.ID] = in
		f.mu.Unlock()
		f.tell(in, Pending, "")
		f.lives.Go(func() { f.live(in) })
	}
}

// newID returns a name that no instance of this machine has: the pool, so that people know what it is, and chance.
func (f *Fleet) newID() string { return prefixOf(f.pool.Name) + strings.ToLower(rand.Text()[:5]) }

// prefixOf is what the names of all instances of a pool begin with; the store finds them by it.
func prefixOf(pool string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, strings.ToLower(pool)) + "-"
}

// Drain lets an instance finish what is in flight and ends it.
func (f *Fleet) Drain(id, why string) error { return f.order(id, order{orderDrain, why}) }

// Keep takes a drain back, as long as the instance was not told to end.
func (f *Fleet) Keep(id, why string) error { return f.order(id, order{orderKeep, why}) }

// Stop ends an instance without waiting for what is in flight.
func (f *Fleet) Stop(id, why string) error { return f.order(id, order{orderStop, why}) }

func (f *Fleet) order(id string, o order) error {
	f.mu.Lock()
	in := f.instances[id]
	f.mu.Unlock()
	if in == nil {
		return fmt.Errorf("pool %s has no instance %s", f.pool.Name, id)
	}
	select {
	case in.orders <- o:
		f.mark(in, o.kind)
	default: // it has orders enough
	}
	return nil
}

// mark notes at once where an order sends an instance, so that the next plan counts it there.
func (f *Fleet) mark(in *instance, k orderKind) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch k {
	case orderWake, orderKeep:
		in.Spare = false
	case orderPark:
		in.Spare = true
	}
}

// Wait returns when the fleet's goroutines have ended, after its context has. The instances go on.
func (f *Fleet) Wait() { f.lives.Wait() }

// Retire ends every instance, draining first, and returns when all are gone or ctx ends.
func (f *Fleet) Retire(ctx context.Context, why string) error {
	for {
		f.mu.Lock()
		n := len(f.instances)
		for _, in := range f.instances {
			if in.State != Draining && in.State != Stopping && in.State != TerminatingWait {
				select {
				case in.orders <- order{orderDrain, why}:
				default:
				}
			}
		}
		f.mu.Unlock()
		if n == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("pool %s: %d instances still run: %w", f.pool.Name, n, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// View is an instance at one moment.
type View struct {
	ID       string
	State    State
	Since    time.Time // of the state
	Why      string
	Launched time.Time
	Ready    time.Time
	ETA      time.Duration // until it should be ready, from measured boots; 0 when it is, or nothing is known
	Addr     string
	Ref      string
	InFlight int
	Usage    Usage
	Adopted  bool
	Target   *target.Target // nil while it takes no traffic
	Version  int            // of the template it was launched from
	Spare    bool           // belongs to the warm pool
	Woken    bool           // came from there
	Errand   Errand         // where a person sent it
	plan.Placement

	Notice  plan.Notice
	Failing []string // which of its checks fail, while it is Unhealthy; not to be changed

	Protected bool   // from scale-in
	Waits     []Wait // for hooks, when it is in PendingWait or TerminatingWait; not to be changed

	Begun time.Time // to get ready: launched, or the end of its launch hooks
	Born  time.Time // launched for the first time; waking and resuming do not change it
}

// Instances returns all instances, the oldest first.
func (f *Fleet) Instances(now time.Time) []View { return f.AppendInstances(nil, now) }

// AppendInstances appends all instances to a slice, the oldest first.
func (f *Fleet) AppendInstances(to []View, now time.Time) []View {
	f.mu.Lock()
	defer f.mu.Unlock()
	boot, before := f.boots.Sample(), len(to)
	to = slices.Grow(to, len(f.instances))
	for _, in := range f.instances {
		v := View{
			ID: in.ID, State: in.State, Since: in.since, Why: in.why, Launched: in.Launched, Ready: in.record.Ready,
			Ref: in.Ref, Usage: in.usage, Adopted: in.adopted, Target: in.target, Version: in.Version, Spare: in.Spare, Woken: in.rested, Placement: in.Placement,
			Notice: in.notice, Failing: in.failing, Errand: in.Errand, Protected: in.Protected, Waits: in.Waits, Begun: in.begun(), Born: in.Born,
		}
		if in.handle != nil {
			v.Addr = in.handle.Addr()
		}
		v.InFlight = f.inFlight(in)
		if boot.Count > 0 && !in.Spare && !(in.woken && in.prepared) && (in.State == Pending || in.State == PendingWait || in.State == Starting || in.State == Warming) {
			v.ETA = max(time.Duration(boot.P50*float64(time.Second))-now.Sub(in.Launched), time.Second)
		}
		to = append(to, v)
	}
	slices.SortFunc(to[before:], func(a, b View) int { return cmp.Or(a.Launched.Compare(b.Launched), cmp.Compare(a.ID, b.ID)) })
	return to
}

// inFlight is how many requests an instance works on, whoever sent them. The lock is held.
func (f *Fleet) inFlight(in *instance) (n int) {
	if in.target != nil {
		n = in.target.InFlight()
	}
	if f.o.Elsewhere != nil {
		n += f.o.Elsewhere(in.ID)
	}
	return n
}

// busy is inFlight for those that do not hold the lock.
func (f *Fleet) busy(in *instance) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.inFlight(in)
}

// Boots sums up the measured boots, launch to ready.
func (f *Fleet) Boots() scale.Sample {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.boots.Sample()
}

// Wakes sums up how long instances of the warm pool took from waking until they were ready. Until that was measured, one that keeps its machine is taken to
// need a second, and one that is stopped to boot like any other.
func (f *Fleet) Wakes() scale.Sample {
	f.mu.Lock()
	defer f.mu.Unlock()
	return WakesOf(&f.wakes, &f.boots, f.o.Rest)
}

// WakesOf is what Wakes says of what was measured.
func WakesOf(wakes, boots *Measured, rest Rest) scale.Sample {
	switch {
	case wakes.Sample().Count > 0:
		return wakes.Sample()
	case rest == RestHibernated || rest == RestRunning:
		return scale.Sample{Count: 1, Mean: 1, P50: 1, P90: 1, P99: 1}
	}
	return boots.Sample()
}

// Blocked says until when no launch is wise, and why, after launches that failed; the zero time when launches are fine.
func (f *Fleet) Blocked() (until time.Time, why string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.notBefore, f.lastFail
}

// sample reads what every running instance uses, once a second.
func (f *Fleet) sample() {
	type sampled struct {
		*instance
		handle Handle // of this moment: one that is stopped for the warm pool loses its own
	}
	var running []sampled
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-f.ctx.Done():
			return
		case <-t.C:
		}
		f.mu.Lock()
		running = running[:0]
		for _, in := range f.instances {
			if in.handle != nil && in.State != Stopping && in.State != Gone {
				running = append(running, sampled{in, in.handle})
			}
		}
		f.mu.Unlock()
		for _, r := range running {
			in := r.instance
			u, err := r.handle.Usage()
			if err != nil {
				continue // unknown: the last sample grows old
			}
			now := time.Now()
			f.samples.Set(in.ID, "cpu_utilization", u.CPU, now)
			f.samples.Set(in.ID, "machine_cpu_utilization", u.CPU/float64(runtime.NumCPU()), now)
			f.samples.Set(in.ID, "memory_bytes", float64(u.Memory), now)
			if limit := f.options().Template.Limits.Memory; limit > 0 {
				f.samples.Set(in.ID, "memory_utilization", 100*float64(u.Memory)/float64(limit), now)
			}
			f.mu.Lock()
			in.usage = u
			f.mu.Unlock()
		}
	}
}
