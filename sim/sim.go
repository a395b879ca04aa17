// Package sim runs recorded traffic through the code that production runs: the pool with its queue and balancing, the loop of
// capacity with its policies, and the plan of the fleet. What production does with goroutines, sockets and processes it does with events in
// made-up time, so that weeks pass in seconds and the same input gives the same result to the last bit.
package sim

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/weirlb/weir/control"
	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/fleet/plan"
	"github.com/weirlb/weir/measure"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/scale"
)

// Request is one arrival.
type Request struct {
	At       time.Duration // since the start; not before the one before it
	Service  time.Duration // alone on a target that needs nothing loaded; 0: Options.Service says it
	Input    int           // tokens of the prompt
	Output   int           // tokens of the answer
	Model    uint64        // what the target must have loaded, hashed; 0: nothing in particular
	Prefix   []uint64      // hashes of the prompt's leading blocks, each including those before it
	Priority int
	Tenant   uint64
}

// Options are a pool, its fleet and what is to be found out.
type Options struct {
	Name    string
	Start   time.Time // of the time that At counts from
	Pool    pool.Options
	Scale   scale.Options
	Desired int // to begin with; these instances are ready at the start

	// Policy, when set, makes the one policy there is, in place of those of Scale: policies have state, and every run needs its own.
	Policy func() scale.Policy

	// Forecast, when set, is what a predict policy of Scale reads.
	Forecast *Forecast

	Slots int // of one instance, at least 1
	Seed  uint64

	// Boot draws how long an instance takes from its launch until it is ready.
	Boot func(*rand.Rand) time.Duration
	// Fail draws whether a launch comes to nothing, and how long that takes; nil: none does. One also fails when its boot takes longer than StartTimeout,
	// where that is not 0. Backoff spaces out launches after failures.
	Fail         func(*rand.Rand) (after time.Duration, fails bool)
	StartTimeout time.Duration
	Backoff      fleet.Backoff
	// Warm is the warm pool that is kept, and Rest what its instances do. Wake draws how long one takes until it is ready; nil: as long as Boot says when it
	// was stopped, and next to nothing otherwise.
	// Prepared of its instances are there from the start.
	Warm     plan.WarmPool
	Rest     fleet.Rest
	Wake     func(*rand.Rand) time.Duration
	Prepared int
	// Life draws how long an instance serves until it ends by itself; nil: for good.
	Life func(*rand.Rand) time.Duration
	// Service says how long a request takes when it does not say so itself.
	Service func(Request) time.Duration
	// Batch is by what part of the time that it takes alone a request takes longer for each further one on the same instance, 0 to 1; 0: they do not
	// slow each other down, 1: they share the instance evenly.
	Batch float64
	// Switch is what it costs a target to load another model than the newest Keeps that it has; 0: nothing.
	Switch time.Duration
	Keeps  int
	// Prefill is the time that a token of the prompt takes of Service; of prompts whose leading blocks the target has seen lately, that part is saved.
	Prefill     time.Duration
	PrefixBlock int // tokens of one block of Prefix
	PrefixKeeps int // blocks that one target remembers

	Promise time.Duration // the wait that is to be kept
	Price   float64       // of an instance for an hour, where Mix has none
	Drain   time.Duration

	Mix     *plan.Mix     // what instances are made of; nil: they are all alike
	Markets []Market      // of spot; those of Mix without one give all that is asked for
	Notice  time.Duration // before an instance is taken back; 0 means two minutes, as on EC2

	MaxLaunching int
	Lag          time.Duration // between two decisions; 0 means control.Every
	Quiet        time.Duration // the same when nothing has happened for a while; 0 means Tick
	Step         time.Duration // between two points of Result.Curve; 0 means a minute
	Terse        bool          // Result.Decisions stays empty: they are most of a result's memory
	Progress     func(at time.Duration, requests int)
}

// Tick is how often decisions are made when nothing has happened for a while: production decides each second, and so does the simulator
// for some seconds after every arrival, answer, boot and change of capacity. Then it looks up only this often.
const Tick = 15 * time.Second

// busyTicks is how many decisions follow an event a second apart.
const busyTicks = 3

// engine is one run.
type engine struct {
	o      Options
	now    time.Duration
	events events
	pool   *pool.Pool
	loop   *control.Loop
	fleet  *fleetOf
	ahead  *foresight // nil when nothing is forecast
	rng    *rand.Rand
	free   []*request
	result *Result

	nextTick  time.Duration
	busyUntil time.Duration // decisions are a second apart until then
	watching  bool          // an event that looks after what waits too long is on its way
	arrived   int
}

// Run simulates until the last request is answered and returns what its users and its owner would have seen. It fails when the options
// are of no pool, when requests come out of order, and when ctx ends.
func Run(ctx context.Context, o Options, requests iter.Seq[Request]) (*Result, error) {
	e, err := newEngine(o)
	if err != nil {
		return nil, err
	}
	next, stop := iter.Pull(requests)
	defer stop()
	last := time.Duration(0)
	r, more := next()
	for more || !e.done() {
		switch at, any := e.events.first(); {
		case any && (!more || at <= r.At) && at <= e.nextTick:
			e.handle(e.events.pop())
		case more && r.At <= e.nextTick:
			if r.At < last {
				return nil, fmt.Errorf("request %d arrives %v after the start, which is before the one before it at %v; sort the trace by time", e.arrived+1, r.At, last)
			}
			last = r.At
			e.arrive(r)
			if e.arrived%4096 == 0 {
				if ctx.Err() != nil {
					return nil, context.Cause(ctx)
				}
				if o.Progress != nil {
					o.Progress(e.now, e.arrived)
				}
			}
			r, more = next()
		default:
			e.tick()
		}
	}
	e.finish()
	return e.result, nil
}

// whole is o with its defaults.
func (o Options) whole() Options {
	o.Slots = max(o.Slots, 1)
	if o.Boot == nil {
		o.Boot = func(*rand.Rand) time.Duration { return 10 * time.Second }
	}
	if o.Service == nil {
		o.Service = func(Request) time.Duration { return time.Second }
	}
	if o.Lag <= 0 {
		o.Lag = control.Every
	}
	if o.Quiet <= 0 {
		o.Quiet = Tick
	}
	if o.Step <= 0 {
		o.Step = time.Minute
	}
	if o.Notice <= 0 {
		o.Notice = spotNotice
	}
	if o.Start.IsZero() {
		o.Start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return o
}

func newEngine(o Options) (*engine, error) {
	o = o.whole()
	e := &engine{o: o, rng: rand.New(rand.NewPCG(o.Seed, 0x57656972)), result: newResult(o)}
	o.Pool.Elastic, o.Pool.Wake = true, e.wake
	o.Pool.Chance = rand.NewPCG(o.Seed, 0x6368616e6365).Uint64
	var err error
	if e.pool, err = pool.New(o.Name, o.Pool, o.Start); err != nil {
		return nil, err
	}
	samples := new(measure.Store)
	e.fleet = newFleet(e, samples)
	o.Scale.Pool = o.Name
	if o.Policy != nil {
		o.Scale.Policies = []scale.Policy{o.Policy()}
	}
	loop := control.Options{
		Pool: e.pool, Fleet: e.fleet, Samples: samples, Slots: o.Slots, Scale: o.Scale, Desired: o.Desired, Mix: o.Mix,
		Log: slog.New(slog.DiscardHandler), Decided: e.result.decided, Reserve: e.fleet, Warm: o.Warm,
	}
	if o.Forecast != nil {
		e.ahead = e.foresee(o.Forecast)
		loop.Forecast = e.ahead.Curve
	}
	e.loop = control.New(loop)
	e.fleet.found(o.Desired)
	return e, nil
}

// time is the pool's time at d.
func (e *engine) time(d time.Duration) time.Time { return e.o.Start.Add(d) }

func (e *engine) done() bool { return e.result.InFlight() == 0 }

// wake is called by the pool when a queue forms: the decision is made now, as in production.
func (e *engine) wake() { e.nextTick = e.now }

// stir keeps decisions a second apart for a while.
func (e *engine) stir() {
	e.busyUntil = e.now + busyTicks*e.o.Lag
	e.nextTick = min(e.nextTick, e.now+e.o.Lag)
}

// tick makes a decision.
func (e *engine) tick() {
	e.now = max(e.now, e.nextTick)
	e.fleet.measure()
	if e.ahead != nil {
		e.ahead.look()
	}
	e.loop.Step(e.time(e.now))
	e.result.Ticks++
	e.result.draw(e.now, false)
	if desired, _, _ := e.loop.Last(); desired != e.fleet.desired {
		e.fleet.desired = desired
		e.stir()
	}
	step := e.o.Lag
	if e.now >= e.busyUntil {
		step = max(step, e.o.Quiet)
	}
	e.nextTick = e.now + step
}

// handle lets an event happen.
func (e *engine) handle(v event) {
	e.now = v.at
	switch v.kind {
	case answered:
		e.answer(v.request)
	case booted:
		e.fleet.booted(v.instance)
	case swept:
		e.watching = false
		e.pool.Tick(e.time(e.now))
		e.sweep()
	case ended:
		e.fleet.ended(v.instance)
	case stepped:
		e.ahead.step()
	case traded:
		e.fleet.traded()
	case taken:
		e.fleet.end(v.instance)
	case failed:
		e.fleet.failed(v.instance)
	case allowed:
		e.stir()
	case crashed:
		e.fleet.crashed(v.instance)
	case woken:
		e.fleet.woken(v.instance)
	case shared:
		e.shared(v)
	}
}
