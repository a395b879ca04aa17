package sim

import (
	"time"

	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/fleet/plan"
)

// resumes is how long an instance takes that only waited: its readiness is checked once.
const resumes = 100 * time.Millisecond

// Prepare begins n launches for the warm pool.
func (f *fleetOf) Prepare(n int, as plan.Placement) { f.begin(n, as, true) }

// Park lets an instance finish what it does, and takes it into the warm pool.
func (f *fleetOf) Park(id, why string) error {
	in, err := f.find(id)
	if err != nil {
		return err
	}
	in.spare = true
	return f.Drain(id, why)
}

// Wake takes an instance of the warm pool, or one that is being prepared for it, into traffic. The market may have no machine any more for one that was
// stopped.
func (f *fleetOf) Wake(id, _ string) error {
	in, err := f.find(id)
	if err != nil {
		return err
	}
	in.spare = false
	if in.state != fleet.Warm {
		return nil // it joins when it is ready
	}
	takes := resumes
	if !in.paid {
		if f.refuses(in.as) {
			f.end(in)
			f.e.stir() // the next decision asks elsewhere
			return nil
		}
		f.pay(in)
		takes = f.e.o.Boot(f.e.rng)
	}
	if wake := f.e.o.Wake; wake != nil {
		takes = wake(f.e.rng)
	}
	in.state, in.since, in.launched, in.woken = fleet.Starting, f.e.now, f.e.now, true
	f.e.events.push(event{at: f.e.now + max(takes, time.Millisecond), kind: woken, instance: in})
	return nil
}

// rest keeps an instance in the warm pool. One that is stopped there has no machine, and remembers nothing.
func (f *fleetOf) rest(in *instance) {
	in.state, in.since, in.draining = fleet.Warm, f.e.now, false
	if f.e.o.Rest != fleet.RestHibernated && f.e.o.Rest != fleet.RestRunning {
		f.unpay(in)
		in.models, in.blocks = nil, prefixes{}
	}
	f.e.stir()
}

// woken makes an instance of the warm pool a target, unless it was stopped meanwhile.
func (f *fleetOf) woken(in *instance) {
	if in.gone {
		return
	}
	f.wakes.Add(f.e.now - in.launched)
	f.e.result.Woken++
	in.woken = false
	f.join(in)
	f.e.stir()
}

// pay notes that an instance has a machine from now on.
func (f *fleetOf) pay(in *instance) {
	in.paid, in.paidFrom = true, f.e.now
	if in.market != nil {
		in.market.held++
	}
	f.e.result.runs(f.e.now, in.as, 1)
}

// unpay gives the machine back that an instance may have.
func (f *fleetOf) unpay(in *instance) {
	if !in.paid {
		return
	}
	in.paid = false
	if in.market != nil && in.notice.Kind == "" {
		in.market.held--
	}
	f.e.result.ran(in.as, f.e.now-in.paidFrom)
	f.e.result.runs(f.e.now, in.as, -1)
}
