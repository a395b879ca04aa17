package sim

import (
	"math/rand/v2"
	"time"

	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/fleet/plan"
)

// Market is what a zone of the spot market had to give, as it was recorded. Zones without a recording give all that is asked for.
type Market struct {
	Type   string // of machines; empty are all types of the zone together
	Zone   string
	Gap    time.Duration // between two counts, above 0
	Counts []int         // how many machines could be had, from the start of the run on; behind the end it begins anew
}

// at is the count at a time.
func (m *Market) at(d time.Duration) int { return m.Counts[int(d/m.Gap)%len(m.Counts)] }

// spotNotice is how long before its end an instance is told of it, as on EC2.
const spotNotice = 2 * time.Minute

// market is a Market while a run goes on.
type market struct {
	Market
	tick   int           // that holds now
	change time.Duration // when the next one with another count begins; 0: never
	held   int           // machines that run there and have no notice
}

// markets are those of a run.
type markets struct {
	all []*market
	rng *rand.Rand // its own, so that a market changes no other chance
}

func newMarkets(o Options) *markets {
	ms := &markets{rng: rand.New(rand.NewPCG(o.Seed, 0x73706f74))}
	for _, one := range o.Markets {
		m := &market{Market: one}
		m.advance()
		ms.all = append(ms.all, m)
	}
	return ms
}

// count is how many machines there are now.
func (m *market) count() int { return m.Counts[m.tick%len(m.Counts)] }

// advance goes to the next count that differs.
func (m *market) advance() {
	m.tick = int(m.change / m.Gap)
	for i := range m.Counts {
		if next := m.tick + 1 + i; m.Counts[next%len(m.Counts)] != m.count() {
			m.change = time.Duration(next) * m.Gap
			return
		}
	}
	m.change = 0
}

// next is when any of the markets changes; 0: never.
func (ms *markets) next() (at time.Duration) {
	for _, m := range ms.all {
		if m.change > 0 && (at == 0 || m.change < at) {
			at = m.change
		}
	}
	return at
}

// of is the recording that holds for a placement: that of its type, or else that of its whole zone; nil when there is none.
func (ms *markets) of(as plan.Placement) (found *market) {
	if as.Market != plan.Spot {
		return nil
	}
	for _, m := range ms.all {
		switch {
		case m.Zone != as.Zone:
		case m.Type == as.Type:
			return m
		case m.Type == "":
			found = m
		}
	}
	return found
}

// refuses reports whether the market has no machine for a placement, and remembers it as production does.
func (f *fleetOf) refuses(as plan.Placement) bool {
	m := f.markets.of(as)
	if m == nil || m.held < m.count() {
		f.refused.Grant(as)
		return false
	}
	until := f.refused.Refuse(as, f.e.time(f.e.now))
	f.e.events.push(event{at: until.Sub(f.e.o.Start), kind: allowed})
	f.e.result.Refused++
	return true
}

// expect plans the next change of a market.
func (f *fleetOf) expect() {
	if at := f.markets.next(); at > 0 {
		f.e.events.push(event{at: at, kind: traded})
	}
}

// traded lets the markets that change now do so. Of the machines that one no longer has, chance says which get their notice.
func (f *fleetOf) traded() {
	now := f.e.now
	for _, m := range f.markets.all {
		if m.change == 0 || m.change > now {
			continue
		}
		m.advance()
		if m.held <= m.count() {
			continue
		}
		var there []*instance
		for _, in := range f.instances {
			if in.market == m && in.paid && in.notice.Kind == "" {
				there = append(there, in)
			}
		}
		f.markets.rng.Shuffle(len(there), func(i, j int) { there[i], there[j] = there[j], there[i] })
		for _, in := range there[:m.held-m.count()] {
			f.interrupt(in)
		}
		f.e.stir()
	}
	f.expect()
}

// interrupt gives an instance its notice.
func (f *fleetOf) interrupt(in *instance) {
	end := f.e.now + f.e.o.Notice
	in.market.held--
	in.notice = plan.Notice{Kind: plan.Interruption, Deadline: f.e.time(end)}
	f.refused.Avoid(in.as, f.e.time(f.e.now+fleet.AvoidFor))
	f.e.result.Interruptions++
	f.e.events.push(event{at: end, kind: taken, instance: in})
}

// Refused is where the market refused lately, for the plan.
func (f *fleetOf) Refused() *plan.Refusals { return &f.refused }

// Offers is what the recorded markets have to give now.
func (f *fleetOf) Offers() map[plan.Placement]plan.Offer {
	mix := f.e.o.Mix
	out := make(map[plan.Placement]plan.Offer)
	for _, as := range mix.Placements(plan.Spot) {
		if m := f.markets.of(as); m != nil {
			out[as] = plan.Offer{Free: max(0, m.count()-m.held)}
		}
	}
	return out
}

// place is what an instance that is there from the start is made of. It is false when the markets have none.
func (f *fleetOf) place(desired int) (plan.Placement, bool) {
	mix := f.e.o.Mix
	if mix == nil {
		return plan.Placement{}, true
	}
	live := make([]plan.Placement, 0, len(f.instances))
	for _, in := range f.instances {
		live = append(live, in.as)
	}
	for {
		placed := mix.Place(1, desired, live, &f.refused, f.Offers(), f.e.time(f.e.now))
		if len(placed) == 0 {
			return plan.Placement{}, false
		}
		if !f.refuses(placed[0]) {
			return placed[0], true
		}
	}
}
