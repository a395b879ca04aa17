// Package control closes the loop of capacity, once a second for each pool and at once when a queue forms: it looks at
// the pool and its fleet, lets scale decide, lets fleet/plan turn the decision into actions, and has the fleet carry them out.
package control

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/fleet/plan"
	"github.com/weirlb/weir/measure"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/scale"
)

// keepEvery is how often the state of policies that carry one is kept while the capacity stays: what a crash may cost them.
const keepEvery = 15 * time.Second

// Every is the time between two decisions.
const Every = time.Second

// Fleet is what a loop looks at and moves: a [fleet.Fleet], or that of a simulation.
type Fleet interface {
	AppendInstances(to []fleet.View, now time.Time) []fleet.View
	Boots() scale.Sample
	Blocked() (until time.Time, why string)

	Launch(n int, as plan.Placement)
	Keep(id, why string) error
	Drain(id, why string) error
	Stop(id, why string) error
}

// Options are what one loop is made of.
type Options struct {
	Pool    *pool.Pool
	Fleet   Fleet
	Samples *measure.Store
	Asker   *measure.Asker // of the queries of policies; nil when there are none
	Journal *Journal       // nil: nothing is kept

	Forecast func(now time.Time) *scale.Curve // what to expect from now on; nil: nobody forecasts. It must not block

	Slots int // of one instance; 0 means without limit
	Scale scale.Options
	Mix   *plan.Mix // what launches ask for; nil leaves it to the provider

	ShedAfter time.Duration // see [Loop.ShedAfter]

	Versions  Versions // of the fleet's template; nil: there are none
	Refresh   RefreshOptions
	Refreshed func(plan.Refresh) // told of each step of a refresh; it must not block

	Attendant Attendant // nil: nobody acts on single instances
	Reserve   Reserve   // nil: there is no warm pool
	Warm      plan.WarmPool

	Termination []plan.Termination // by which rules scale-in chooses
	Lifecycle   Lifecycle
	Remedies    Remedies
	Remedied    func(instance string, t Treatment) // told of each that begins; it must not block

	Desired int // to begin with, when nothing is known from before
	Log     *slog.Logger
	Decided func(scale.Decision) // told of each decision that changed the capacity; it must not block
}

// Loop is the loop of one pool.
type Loop struct {
	wake chan struct{}

	mu       sync.Mutex
	o        Options
	decider  *scale.Decider
	desired  int
	service  scale.Sample // the last that was measured: a quiet minute does not make it unknown
	boots    scale.Sample // of this step
	last     scale.Decision
	tape     tape
	budget   *scale.Budget        // of the moment; nil: as the options have it
	refresh  *plan.Refresh        // under way, or the last one; nil when there was none
	treated  map[string]Treatment // what is being done, by instance
	remedies []time.Time          // that began within the last hour, the oldest first
	remedied []RemedyCount
	blocked  string    // why launches are put off, as it was last logged
	kept     time.Time // when the state was last kept

	views   []fleet.View    // of the step under way; its memory is used again
	planned []plan.Instance // as it
	planner plan.Planner
}

// saved is what a loop carries over a restart of Weir.
type saved struct {
	Desired int          `json:"desired"`
	Decider scale.State  `json:"decider"`
	Service scale.Sample `json:"service"`

	Refresh *plan.Refresh `json:"refresh,omitempty"`

	Treated  map[string]Treatment `json:"treated,omitempty"`
	Remedies []time.Time          `json:"remedies,omitempty"`
}

// New returns a loop that goes on where an earlier Weir stopped.
func New(o Options) *Loop {
	l := &Loop{wake: make(chan struct{}, 1), o: o, decider: scale.New(o.Scale), desired: o.Desired}
	if o.Journal == nil {
		return l
	}
	if b := o.Journal.load(o.Pool.Name); b != nil {
		var s saved
		if err := json.Unmarshal(b, &s); err != nil {
			o.Log.Warn("the scaling state of an earlier run is not readable; starting afresh", "pool", o.Pool.Name, "error", err)
		} else {
			l.desired, l.service, l.refresh, l.treated, l.remedies = s.Desired, s.Service, s.Refresh, s.Treated, s.Remedies
			l.decider.Restore(s.Decider)
		}
	}
	return l
}

// ConfigureMix changes what the next launches ask for. What runs stays.
func (l *Loop) ConfigureMix(m *plan.Mix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.o.Mix = m
}

// SetBudget changes what money allows from now on; nil leaves it to the options.
func (l *Loop) SetBudget(b *scale.Budget) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.budget = b
}

// Configure changes what the next decisions are made by. What was learned stays.
func (l *Loop) Configure(slots int, o scale.Options, r RefreshOptions) {
	l.mu.Lock()
	defer l.mu.Unlock()
	state := l.decider.State()
	l.o.Slots, l.o.Scale, l.o.Refresh = slots, o, r
	l.decider = scale.New(o)
	l.decider.Restore(state)
	l.tape.cut()
}

// Wake asks for a decision now. It never blocks.
func (l *Loop) Wake() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Run decides until ctx ends.
func (l *Loop) Run(ctx context.Context) {
	t := time.NewTicker(Every)
	defer t.Stop()
	for {
		l.Step(time.Now())
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-l.wake:
		}
	}
}

// Manual sets the capacity by hand until the given time, or, with a zero time, until it is taken back by Auto.
func (l *Loop) Manual(desired int, until time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.o.Scale; desired < s.Min || desired > s.Max {
		return fmt.Errorf("pool %s: %d is outside of its min %d and max %d; change scale.min or scale.max to go there", l.o.Pool.Name, desired, s.Min, s.Max)
	}
	l.decider.Manual(desired, until)
	l.told()
	return nil
}

// Auto ends Manual.
func (l *Loop) Auto() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.decider.Auto()
	l.told()
}

// told is called when the decider was told something by a person, who is not to tell it again when Weir dies the moment after.
func (l *Loop) told() {
	l.tape.cut()
	if l.o.Journal != nil {
		l.saveBy(l.o.Journal.saveNow)
	}
	l.Wake()
}

// Last returns the capacity desired now, the newest decision, and until when it is held by hand, if it is.
func (l *Loop) Last() (desired int, d scale.Decision, manual *scale.Override) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.desired, l.last, l.decider.Manually()
}

// Step makes one decision and has it carried out. Run calls it; a simulation does so itself, with its own time.
func (l *Loop) Step(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	load := l.o.Pool.Load(now)
	l.views = serving(l.o.Fleet.AppendInstances(l.views[:0], now))
	views := l.views
	obs := l.tape.next(l.decider)
	l.observe(obs, load, views, now)
	d := l.decider.Decide(obs)
	changed := d.Desired != l.desired
	l.desired, l.last = d.Desired, d
	if l.o.Journal != nil {
		l.record(d, changed)
	}
	if changed {
		l.o.Log.Info("decision", "pool", d.Pool, "from", d.Previous, "to", d.Desired, "why", d.Why)
		if l.o.Decided != nil {
			l.o.Decided(d)
		}
	}
	l.degrade(d, views, now)
	record := l.tape.record(d)
	l.carryOut(load, views, now)
	if changed && l.o.Journal != nil { // last, for nothing waits for it
		if err := l.o.Journal.KeepRecord(record); err != nil {
			l.o.Log.Warn("what a decision was made from could not be recorded", "pool", d.Pool, "error", err)
		}
	}
}

// record keeps a decision, and when it changed the capacity also what the next Weir is to go on with.
func (l *Loop) record(d scale.Decision, changed bool) {
	if !changed {
		l.o.Journal.Add(d)
		if d.Time.Sub(l.kept) >= keepEvery && l.decider.Stateful() {
			l.kept = d.Time
			l.save()
		}
		return
	}
	l.kept = d.Time
	state, err := l.state()
	if err == nil {
		err = l.o.Journal.Keep(d, state)
	}
	if err != nil {
		l.o.Log.Warn("a decision could not be recorded", "pool", d.Pool, "error", err)
	}
}

func (l *Loop) state() ([]byte, error) {
	return json.Marshal(saved{l.desired, l.decider.State(), l.service, l.refresh, l.treated, l.remedies})
}

func (l *Loop) save() { l.saveBy(l.o.Journal.save) }

func (l *Loop) saveBy(write func(pool string, state []byte) error) {
	b, err := l.state()
	if err == nil {
		err = write(l.o.Pool.Name, b)
	}
	if err != nil {
		l.o.Log.Warn("the scaling state could not be saved", "pool", l.o.Pool.Name, "error", err)
	}
}
