package sim

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/fleet/plan"
	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/measure"
	"github.com/weirlb/weir/scale"
	"github.com/weirlb/weir/target"
)

// fleetOf is the simulated fleet: instances whose boots are drawn and whose ends are events.
type fleetOf struct {
	e         *engine
	samples   *measure.Store
	instances []*instance // in the order of their launches
	boots     fleet.Measured
	wakes     fleet.Measured
	n         int
	desired   int
	measured  time.Duration
	markets   *markets
	refused   plan.Refusals

	fate      *rand.Rand    // of failures, so that they change no other chance
	failures  int           // launches in a row that came to nothing
	notBefore time.Duration // of the next launch, after such
}

func newFleet(e *engine, samples *measure.Store) *fleetOf {
	return &fleetOf{e: e, samples: samples, desired: e.o.Desired, markets: newMarkets(e.o), fate: rand.New(rand.NewPCG(e.o.Seed, 0x66617465))}
}

// found starts the run with n instances that are ready, and whose boots and wakings were measured.
func (f *fleetOf) found(n int) {
	f.expect()
	for range n {
		as, any := f.place(n)
		if !any {
			return
		}
		f.boots.Add(f.e.o.Boot(f.e.rng))
		if wake := f.e.o.Wake; wake != nil {
			f.wakes.Add(wake(f.e.rng))
		}
		f.join(f.launch(as))
	}
	for range f.e.o.Prepared {
		as, any := f.place(n)
		if !any {
			return
		}
		in := f.launch(as)
		in.spare = true
		f.rest(in)
	}
}

func (f *fleetOf) launch(as plan.Placement) *instance {
	f.n++
	in := &instance{id: fmt.Sprintf("i-%d", f.n), e: f.e, as: as, market: f.markets.of(as), launched: f.e.now, since: f.e.now, state: fleet.Starting}
	f.instances = append(f.instances, in)
	f.pay(in)
	return in
}

func (f *fleetOf) join(in *instance) {
	now := f.e.time(f.e.now)
	in.state, in.since, in.ready = fleet.Ready, f.e.now, f.e.now
	in.target = target.New(in.id, in.id, 1, f.e.o.Slots)
	in.target.Link = in
	f.e.pool.Add(in.target, health.Status{State: target.Healthy, Passed: true, Reason: "simulated", Since: now}, now)
	if life := f.e.o.Life; life != nil && !in.mortal {
		in.mortal = true
		f.e.events.push(event{at: f.e.now + life(f.fate), kind: crashed, instance: in})
	}
}

// booted makes an instance a target or takes it into the warm pool, unless it was stopped meanwhile.
func (f *fleetOf) booted(in *instance) {
	if in.gone {
		return
	}
	f.boots.Add(f.e.now - in.launched)
	f.failures, f.notBefore = 0, 0
	if in.spare {
		f.rest(in)
		return
	}
	f.e.result.ColdStarts++
	f.join(in)
	f.e.stir()
}

// end takes an instance away and accounts for it.
func (f *fleetOf) end(in *instance) {
	if in.gone {
		return
	}
	in.gone = true
	f.unpay(in)
	f.leave(in)
	f.instances = slices.DeleteFunc(f.instances, func(o *instance) bool { return o == in })
	if in.running > 0 {
		f.e.cut(in)
	}
}

// leave takes an instance out of traffic.
func (f *fleetOf) leave(in *instance) {
	if in.target != nil {
		f.e.pool.Remove(in.target, f.e.time(f.e.now))
		in.target = nil
	}
	f.samples.Forget(in.id)
}

// drained ends an instance that has finished what it did, or takes it into the warm pool.
func (f *fleetOf) drained(in *instance) {
	if !in.spare || in.notice.Kind != "" {
		f.end(in)
		return
	}
	f.leave(in)
	f.rest(in)
}

// ended cuts what an instance still does when its time to drain is over.
func (f *fleetOf) ended(in *instance) {
	if in.draining && f.e.now >= in.deadline {
		f.end(in)
	}
}

func (f *fleetOf) find(id string) (*instance, error) {
	for _, in := range f.instances {
		if in.id == id {
			return in, nil
		}
	}
	return nil, fmt.Errorf("there is no instance %s", id)
}

// AppendInstances shows the fleet as the loop of capacity sees it.
func (f *fleetOf) AppendInstances(to []fleet.View, _ time.Time) []fleet.View {
	for _, in := range f.instances {
		v := fleet.View{
			ID: in.id, State: in.state, Since: f.e.time(in.since), Launched: f.e.time(in.launched), InFlight: in.running,
			Target: in.target, Placement: in.as, Notice: in.notice, Spare: in.spare, Woken: in.woken,
		}
		if in.target != nil {
			v.Ready = f.e.time(in.ready)
		}
		to = append(to, v)
	}
	return to
}

// Boots sums up the newest boots, Wakes the newest wakings.
func (f *fleetOf) Boots() scale.Sample { return f.boots.Sample() }
func (f *fleetOf) Wakes() scale.Sample { return fleet.WakesOf(&f.wakes, &f.boots, f.e.o.Rest) }

// Blocked puts launches off after some that failed.
func (f *fleetOf) Blocked() (until time.Time, why string) {
	if f.notBefore <= f.e.now {
		return time.Time{}, ""
	}
	return f.e.time(f.notBefore), "a launch failed"
}

// failed ends a launch that came to nothing, unless it was stopped meanwhile.
func (f *fleetOf) failed(in *instance) {
	if in.gone {
		return
	}
	f.e.result.Failures++
	f.backOff()
	f.end(in)
	f.e.stir()
}

// crashed ends an instance that has not gone before, and has a machine.
func (f *fleetOf) crashed(in *instance) {
	if in.mortal = false; in.gone || !in.paid {
		return
	}
	f.e.result.Crashes++
	if f.e.now-in.ready < fleet.CrashLoop {
		f.backOff()
	}
	f.end(in)
	f.e.stir()
}

func (f *fleetOf) backOff() {
	f.failures++
	f.notBefore = f.e.now + f.e.o.Backoff.After(f.failures)
	f.e.events.push(event{at: f.notBefore, kind: allowed})
}

// Launch begins n launches, of which the market may refuse some.
func (f *fleetOf) Launch(n int, as plan.Placement) { f.begin(n, as, false) }

func (f *fleetOf) begin(n int, as plan.Placement, spare bool) {
	for range n {
		if f.refuses(as) {
			f.e.stir() // the next decision asks elsewhere
			continue
		}
		in := f.launch(as)
		in.spare = spare
		f.e.result.Launches++
		boot, what := max(f.e.o.Boot(f.e.rng), time.Millisecond), booted
		if fail := f.e.o.Fail; fail != nil {
			if after, fails := fail(f.fate); fails {
				boot, what = max(after, time.Millisecond), failed
			}
		}
		if most := f.e.o.StartTimeout; most > 0 && boot > most {
			boot, what = most, failed
		}
		f.e.events.push(event{at: f.e.now + boot, kind: what, instance: in})
	}
}

// Keep takes a drain back.
func (f *fleetOf) Keep(id, _ string) error {
	in, err := f.find(id)
	if err != nil {
		return err
	}
	in.draining, in.spare, in.state, in.since = false, false, fleet.Ready, f.e.now
	f.e.pool.Drain(in.target, false, f.e.time(f.e.now))
	return nil
}

// Drain lets an instance finish what it does.
func (f *fleetOf) Drain(id, _ string) error {
	in, err := f.find(id)
	if err != nil {
		return err
	}
	in.draining, in.state, in.since = true, fleet.Draining, f.e.now
	f.e.pool.Drain(in.target, true, f.e.time(f.e.now))
	if in.running == 0 {
		f.drained(in)
	} else if f.e.o.Drain > 0 {
		in.deadline = f.e.now + f.e.o.Drain
		f.e.events.push(event{at: in.deadline, kind: ended, instance: in})
	}
	return nil
}

// Stop ends an instance now.
func (f *fleetOf) Stop(id, _ string) error {
	in, err := f.find(id)
	if err == nil {
		f.end(in)
	}
	return err
}

// measure notes how busy each instance was since the last look, as a processor's or GPU's gauge would say.
func (f *fleetOf) measure() {
	now := f.e.now
	if span := now - f.measured; span > 0 {
		at := f.e.time(now)
		for _, in := range f.instances {
			if in.target == nil {
				continue
			}
			in.account(now)
			busy := in.busy
			in.busy = 0
			part := busy.Seconds() / (min(span, max(now-in.ready, time.Millisecond)).Seconds() * float64(f.e.o.Slots))
			f.samples.Set(in.id, scale.CPUUtilization, 100*min(part, 1), at)
		}
	}
	f.measured = now
}

// instance is one of the fleet.
type instance struct {
	id       string
	e        *engine
	as       plan.Placement
	market   *market // that it is of; nil without a recording of it
	notice   plan.Notice
	state    fleet.State
	launched time.Duration
	since    time.Duration
	ready    time.Duration
	target   *target.Target
	draining bool
	deadline time.Duration // of the drain
	woken    bool          // came from the warm pool, and has not been ready since
	spare    bool          // belongs to the warm pool, or is on its way there
	paid     bool          // has a machine
	paidFrom time.Duration
	mortal   bool // its end is planned
	gone     bool

	running int
	counted time.Duration
	busy    time.Duration // slots times time since the last measurement
	models  []uint64      // loaded, the newest last
	blocks  prefixes
	batch   batch
}

func (in *instance) account(now time.Duration) {
	in.busy += time.Duration(in.running) * (now - in.counted)
	in.counted = now
}

func (in *instance) begin(now time.Duration) { in.account(now); in.running++ }
func (in *instance) end(now time.Duration)   { in.account(now); in.running-- }

// service is how long the instance works on a request when it has no other: what the request takes, and what must be loaded first.
func (in *instance) service(q *request) time.Duration {
	o := &in.e.o
	d := cmp.Or(q.Service, o.Service(q.Request))
	if o.Prefill > 0 && len(q.Prefix) > 0 {
		hit := in.blocks.use(q.Prefix, o.PrefixKeeps)
		saved := min(hit*o.PrefixBlock, q.Input)
		in.e.result.PromptTokens += int64(q.Input)
		in.e.result.CachedTokens += int64(saved)
		d -= time.Duration(saved) * o.Prefill
	}
	if o.Switch > 0 && q.Model != 0 && !in.has(q.Model) {
		d += o.Switch
		in.e.result.Switches++
	}
	return max(d, time.Microsecond)
}

// has reports whether a model is loaded, and loads it.
func (in *instance) has(model uint64) bool {
	i := slices.Index(in.models, model)
	if i >= 0 {
		in.models = append(slices.Delete(in.models, i, i+1), model)
		return true
	}
	if len(in.models) >= max(in.e.o.Keeps, 1) {
		in.models = slices.Delete(in.models, 0, 1)
	}
	in.models = append(in.models, model)
	return false
}
