package fleet

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/fleet/plan"
	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/measure"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/target"
)

// machines is a provider whose instances exist only in memory: they are up after boot, and end when told.
type machines struct {
	mu       sync.Mutex
	boot     time.Duration // 0: at once; under 0: never
	fail     error         // of every launch
	running  map[string]*machine
	stopped  func(id string) // told of each that is asked to end
	launched int
}

type machine struct {
	m     *machines
	id    string
	since time.Time
	boot  time.Duration
	done  chan struct{}
	once  sync.Once
	how   string
	deaf  bool // does not end when asked
}

func (m *machines) Launch(_ context.Context, s Spec) (Handle, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.launched++
	if m.fail != nil {
		return nil, m.fail
	}
	x := &machine{m: m, id: s.ID, since: time.Now(), boot: m.boot, done: make(chan struct{})}
	m.running[s.ID] = x
	return x, nil
}

func (m *machines) Adopt(_ context.Context, id, _ string) (Handle, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if x := m.running[id]; x != nil {
		return x, nil
	}
	return nil, ErrGone
}

func (m *machines) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.running)
}

func (x *machine) end(how string) {
	x.once.Do(func() {
		x.m.mu.Lock()
		delete(x.m.running, x.id)
		x.m.mu.Unlock()
		x.how = how
		close(x.done)
	})
}

func (x *machine) Ref() string           { return "ref-" + x.id }
func (x *machine) Addr() string          { return x.id }
func (x *machine) Done() <-chan struct{} { return x.done }
func (x *machine) Exit() string          { return x.how }
func (x *machine) Usage() (Usage, error) { return Usage{CPU: 50, Memory: 1 << 20}, nil }
func (x *machine) Stop(grace time.Duration) {
	if x.m.stopped != nil {
		x.m.stopped(x.id)
	}
	if !x.deaf {
		x.end("asked to")
		return
	}
	time.AfterFunc(grace, func() { x.end("made to") })
}

// world is a fleet with all that is around it.
type world struct {
	t      *testing.T
	m      *machines
	pool   *pool.Pool
	fleet  *Fleet
	db     *bolt.DB
	path   string
	cancel context.CancelFunc
	warm   error // of the warm-up request
	hang   bool  // the warm-up request is not answered
	hooks  []Hook
	events []Event
	mu     sync.Mutex
}

// inWorld runs a test in made-up time.
func inWorld(t *testing.T, test func(*world)) {
	path := filepath.Join(t.TempDir(), "weir.db")
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, m: &machines{running: map[string]*machine{}, boot: 3 * time.Second}, path: path}
		w.open()
		defer w.close()
		test(w)
	})
}

// open starts Weir's part; what the provider runs was there before.
func (w *world) open() {
	w.t.Helper()
	var err error
	if w.db, err = bolt.Open(w.path, 0o600, &bolt.Options{NoSync: true}); err != nil {
		w.t.Fatal(err)
	}
	store, err := NewStore(w.db)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.pool, err = pool.New("api", pool.Options{Balance: "least_connections", Elastic: true, Limits: admit.Limits{Queue: 100}}, time.Now()); err != nil {
		w.t.Fatal(err)
	}
	var ctx context.Context
	ctx, w.cancel = context.WithCancel(context.Background())
	w.fleet, err = New(ctx, w.pool, w.m, store, &measure.Store{}, w.options(), slog.New(slog.DiscardHandler), func(e Event) {
		w.mu.Lock()
		w.events = append(w.events, e)
		w.mu.Unlock()
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) options() Options {
	return Options{
		Slots: 1, Drain: time.Minute, StartTimeout: 20 * time.Second, StopTimeout: 5 * time.Second,
		Backoff: Backoff{Initial: time.Second, Max: 8 * time.Second},
		Hooks:   w.hooks, HookEnv: []string{"API=here"},
		Watch: func(ctx context.Context, addr string, s health.Status, report func(health.Status)) {
			for ctx.Err() == nil {
				w.m.mu.Lock()
				x := w.m.running[addr]
				up := x != nil && x.boot >= 0 && time.Since(x.since) >= x.boot
				w.m.mu.Unlock()
				s = health.Rule{Healthy: 1, Unhealthy: 2}.Next(s, health.Outcome{Pass: up, Reason: "GET /ready: 503"}, time.Now())
				report(s)
				select {
				case <-ctx.Done():
				case <-time.After(100 * time.Millisecond):
				}
			}
		},
		WarmUp: func(ctx context.Context, _ string) error {
			if w.hang {
				<-ctx.Done()
			}
			return w.warm
		},
		Join: func(*target.Target) {}, Leave: func(*target.Target) {},
	}
}

// close ends Weir's part as a crash would: nothing is told to the instances.
func (w *world) close() {
	w.cancel()
	w.fleet.Wait()
	w.db.Close()
}

func (w *world) states() string {
	var s []string
	for _, v := range w.fleet.Instances(time.Now()) {
		s = append(s, string(v.State))
	}
	return strings.Join(s, " ")
}

// after lets time pass.
func (w *world) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *world) want(states string) {
	w.t.Helper()
	if got := w.states(); got != states {
		w.t.Fatalf("instances are %q, want %q", got, states)
	}
}

// request is a lease that tells when it was granted: a waiting one must not be looked at.
type request struct {
	pool.Lease
	granted atomic.Bool
}

func (w *world) acquire() *request {
	r := &request{}
	r.Ready = func(*pool.Lease) { r.granted.Store(true) }
	if v, _ := w.pool.Acquire(&r.Lease, time.Now()); v == admit.Run {
		r.granted.Store(true)
	}
	return r
}

func TestAnInstanceServesOnceItIsReadyAndItsBootIsLearned(t *testing.T) {
	inWorld(t, func(w *world) {
		held := w.acquire()
		w.fleet.Launch(1, plan.Placement{})
		w.after(2 * time.Second)
		w.want("starting")
		if held.granted.Load() {
			t.Fatal("a request was given to an instance that loads")
		}
		w.after(1500 * time.Millisecond)
		w.want("ready")
		if !held.granted.Load() {
			t.Fatal("the held request was not given to the new instance")
		}
		if b := w.fleet.Boots(); b.Count != 1 || b.P50 < 3 || b.P50 > 3.5 {
			t.Errorf("boots %+v, want one of 3 s and a bit", b)
		}
		w.fleet.Launch(1, plan.Placement{})
		w.after(time.Second)
		if v := w.fleet.Instances(time.Now())[1]; v.ETA < 1500*time.Millisecond || v.ETA > 2500*time.Millisecond {
			t.Errorf("a second into its boot the ETA is %v, want about 2 s", v.ETA)
		}
	})
}

func TestADrainWaitsForWhatIsInFlightAndCanBeTakenBack(t *testing.T) {
	inWorld(t, func(w *world) {
		w.fleet.Launch(1, plan.Placement{})
		w.after(4 * time.Second)
		l := w.acquire()
		id := w.fleet.Instances(time.Now())[0].ID
		w.fleet.Drain(id, "scale in")
		w.after(30 * time.Second)
		w.want("draining")
		w.fleet.Keep(id, "wanted again")
		w.after(time.Second)
		w.want("ready")
		w.fleet.Drain(id, "scale in")
		w.after(time.Second)
		l.Release(pool.Outcome{Status: 200}, time.Now())
		w.after(time.Second)
		w.want("")
		if w.m.count() != 0 {
			t.Error("the instance still runs")
		}
	})
}

func TestADrainHasADeadline(t *testing.T) {
	inWorld(t, func(w *world) {
		w.fleet.Launch(1, plan.Placement{})
		w.after(4 * time.Second)
		w.acquire() // never released
		w.fleet.Drain(w.fleet.Instances(time.Now())[0].ID, "scale in")
		w.after(59 * time.Second)
		w.want("draining")
		w.after(2 * time.Second)
		w.want("")
	})
}

func TestWhatNeverBecomesReadyIsEndedAndPutsOffTheNext(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*world)
		wait time.Duration
		why  string
	}{
		"never ready":  {func(w *world) { w.m.boot = -1 }, 21 * time.Second, "not ready within 20s; its last check: GET /ready: 503"},
		"no launch":    {func(w *world) { w.m.fail = errors.New("no such program") }, time.Second, "no such program"},
		"bad warm-up":  {func(w *world) { w.warm = errors.New("POST /predict: 500") }, 4 * time.Second, "warm-up request failed: POST /predict: 500"},
		"ends at once": {func(w *world) { w.m.boot = -1; time.AfterFunc(time.Second, w.endAll) }, 2 * time.Second, "ended before it was ready: crashed"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				c.set(w)
				w.fleet.Launch(1, plan.Placement{})
				w.after(c.wait)
				w.want("")
				until, why := w.fleet.Blocked()
				if !strings.Contains(why, c.why) || until.IsZero() {
					t.Errorf("blocked until %v: %q, want %q", until, why, c.why)
				}
				if w.m.count() != 0 {
					t.Error("it still runs")
				}
			})
		})
	}
}

func (w *world) endAll() {
	w.m.mu.Lock()
	var all []*machine
	for _, x := range w.m.running {
		all = append(all, x)
	}
	w.m.mu.Unlock()
	for _, x := range all {
		x.end("crashed")
	}
}

func TestBackoffDoublesAndASuccessEndsIt(t *testing.T) {
	inWorld(t, func(w *world) {
		w.m.fail = errors.New("broken")
		for _, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 8 * time.Second} {
			w.fleet.Launch(1, plan.Placement{})
			synctest.Wait()
			w.after(50 * time.Millisecond)
			until, _ := w.fleet.Blocked()
			if d := time.Until(until); d > want || d < want-200*time.Millisecond {
				t.Fatalf("the next launch is put off by %v, want %v", d, want)
			}
		}
		w.m.fail = nil
		w.fleet.Launch(1, plan.Placement{})
		w.after(4 * time.Second)
		if until, why := w.fleet.Blocked(); !until.IsZero() || why != "" {
			t.Errorf("after a success: blocked until %v, %s", until, why)
		}
	})
}

func TestACrashTakesTheTargetOut(t *testing.T) {
	inWorld(t, func(w *world) {
		w.fleet.Launch(2, plan.Placement{})
		w.after(4 * time.Second)
		w.want("ready ready")
		w.m.mu.Lock()
		x := w.m.running[w.fleet.Instances(time.Now())[0].ID]
		w.m.mu.Unlock()
		w.after(20 * time.Second)
		x.end("killed by SIGKILL")
		w.after(time.Second)
		w.want("ready")
		if s := w.pool.Stats(time.Now()); len(s.Targets) != 1 {
			t.Errorf("%d targets", len(s.Targets))
		}
		if until, _ := w.fleet.Blocked(); !until.IsZero() {
			t.Error("an instance that had served for long does not put off its replacement")
		}
	})
}

func TestTheNextWeirAdopts(t *testing.T) {
	inWorld(t, func(w *world) {
		w.fleet.Launch(1, plan.Placement{})
		w.after(4 * time.Second)
		w.fleet.Launch(1, plan.Placement{})
		w.after(time.Second)
		w.want("ready starting")
		w.close()
		w.open()
		// The one that was ready serves at once, before any check.
		if l := w.acquire(); !l.granted.Load() {
			t.Error("an adopted instance does not serve at once")
		}
		w.want("ready starting")
		w.after(3 * time.Second)
		w.want("ready ready")
		if w.m.launched != 2 || w.m.count() != 2 {
			t.Errorf("%d launched, %d run; want 2 and 2", w.m.launched, w.m.count())
		}
		if b := w.fleet.Boots(); b.Count == 0 {
			t.Error("the measured boots are forgotten")
		}
		// One that ended meanwhile is forgotten.
		w.close()
		w.endAll()
		w.open()
		w.want("")
		if rs, err := w.fleet.store.load(""); err != nil || len(rs) != 0 {
			t.Errorf("records left: %+v %v", rs, err)
		}
	})
}

func TestWhatWasWarmingIsWarmedAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		w.hang = true
		w.fleet.Launch(1, plan.Placement{})
		w.after(4 * time.Second)
		w.want("warming")
		w.close()
		w.hang = false
		w.open()
		w.after(time.Second)
		w.want("ready")
	})
}

func TestACrashBetweenLaunchAndRecordLeavesNoOrphan(t *testing.T) {
	inWorld(t, func(w *world) {
		// What the disk holds when Weir dies just after the provider has launched: a record without a reference.
		if err := w.fleet.store.put(record{ID: "api-x", Pool: "api", State: Pending, Launched: time.Now()}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.m.Launch(context.Background(), Spec{ID: "api-x"}); err != nil {
			t.Fatal(err)
		}
		w.close()
		w.open()
		w.after(4 * time.Second)
		w.want("ready")
		w.fleet.Drain("api-x", "done")
		w.after(time.Second)
		if w.m.count() != 0 {
			t.Error("an orphan is left")
		}
	})
}

func TestRetireEndsAll(t *testing.T) {
	inWorld(t, func(w *world) {
		w.fleet.Launch(3, plan.Placement{})
		w.after(2 * time.Second) // loading
		w.fleet.Launch(1, plan.Placement{})
		if err := w.fleet.Retire(context.Background(), "test"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.want("")
		if w.m.count() != 0 {
			t.Error("some still run")
		}
	})
}
