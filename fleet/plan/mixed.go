package plan

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"
)

// The markets in which a machine is had.
const (
	OnDemand = "on_demand" // kept as long as it is paid for
	Spot     = "spot"      // cheaper, and may be taken back after a notice
)

// Allocation says which of several types of machine a launch asks for first, in the words of AWS.
type Allocation string

// The allocation strategies. Those that look at capacity are for spot; on-demand launches under them take the lowest price, as on AWS.
const (
	LowestPrice            Allocation = "lowest_price"             // the cheapest, spread over Mix.SpotPools of them
	CapacityOptimized      Allocation = "capacity_optimized"       // where most is free, for there interruptions are rarest
	PriceCapacityOptimized Allocation = "price_capacity_optimized" // the cheapest of those with at least half as much free as the freest
	Prioritized            Allocation = "prioritized"              // in the order of Mix.Types
)

// MachineType is a type of machine that a pool may use.
type MachineType struct {
	Name     string
	OnDemand float64  // price per hour; 0 is not offered
	Spot     float64  // price per hour; 0 is not offered
	Zones    []string // where it is had; empty is in all of Mix.Zones
}

// Mix is what the instances of a pool are to be made of. The zero value leaves all to the provider.
type Mix struct {
	Base       int // the first instances, which are on demand
	Percent    int // of the instances above Base that are on demand, 0 to 100
	Allocation Allocation
	SpotPools  int // how many (type, zone) of the cheapest LowestPrice spreads spot over; below 1 is 1
	Types      []MachineType
	Zones      []string
	Fallback   bool // launch on demand what the spot market does not give
	Return     bool // launch spot in place of what runs on demand beyond its share, when the spot market gives again
}

// Offer is what is known of a market at the moment.
type Offer struct {
	Price float64 // per hour; 0 is the price of the type
	Free  int     // machines that could be had now; more is a smaller risk of interruption
}

// Capacity reports whether what the markets have to give decides where launches go.
func (m *Mix) Capacity() bool {
	return m.Allocation == CapacityOptimized || m.Allocation == PriceCapacityOptimized
}

// OnDemandOf is how many of desired instances are to be on demand: base, and of the rest Percent, rounded up, as an Auto
// Scaling group of mixed instances has it.
func (m *Mix) OnDemandOf(desired int) int {
	base := max(0, min(desired, m.Base))
	return base + (max(0, desired-base)*m.Percent+99)/100
}

// Cost is the least that desired instances cost in an hour: the cheapest type of each market, with spot where the mix has it.
func (m *Mix) Cost(desired int) float64 {
	demand, spot := m.cheapest(OnDemand), m.cheapest(Spot)
	if spot == 0 {
		spot = demand
	}
	if demand == 0 {
		demand = spot
	}
	n := m.OnDemandOf(desired)
	return float64(n)*demand + float64(desired-n)*spot
}

// Affordable is the largest number of instances, at most limit, whose Cost is within perHour.
func (m *Mix) Affordable(perHour float64, limit int) int {
	// Cost never falls with desired, so the first that is too dear is found by halving.
	low, high := 0, max(0, limit)
	for low < high {
		mid := (low + high + 1) / 2
		if m.Cost(mid) <= perHour+1e-9 {
			low = mid
		} else {
			high = mid - 1
		}
	}
	return low
}

func (m *Mix) cheapest(market string) float64 {
	best := math.Inf(1)
	for i := range m.Types {
		if price := m.Types[i].price(market); price > 0 {
			best = min(best, price)
		}
	}
	if math.IsInf(best, 1) {
		return 0
	}
	return best
}

// Price is what an instance costs in an hour by the list; 0 is unknown.
func (m *Mix) Price(p Placement) float64 {
	for i := range m.Types {
		if m.Types[i].Name == p.Type {
			return m.Types[i].price(p.Market)
		}
	}
	return 0
}

func (t *MachineType) price(market string) float64 {
	if market == Spot {
		return t.Spot
	}
	return t.OnDemand
}

// Place says what the next n launches ask for, given what lives (all instances that count towards desired, on their way
// or ready), what was refused lately, and what is known of the markets. It returns fewer than n when nothing may be asked
// for now: what it would want was refused and its back-off is not over.
//
// On-demand instances come first, until there are OnDemandOf(desired). Each goes to the zone with the fewest instances,
// of those the one with the fewest of its market, so that one zone's interruption takes as little as possible; within
// the zone Allocation chooses the type.
func (m *Mix) Place(n, desired int, live []Placement, refused *Refusals, offers map[Placement]Offer, now time.Time) []Placement {
	if len(m.Types) == 0 {
		return make([]Placement, max(0, n))
	}
	live = slices.Clone(live)
	var placed []Placement
	for range n {
		market := Spot
		if count(live, func(p Placement) bool { return p.Market != Spot }) < m.OnDemandOf(desired) {
			market = OnDemand
		}
		one, ok := m.choose(market, live, refused, offers, now)
		if !ok && market == Spot && m.Fallback {
			one, ok = m.choose(OnDemand, live, refused, offers, now)
		}
		if !ok {
			break
		}
		live, placed = append(live, one), append(placed, one)
	}
	return placed
}

// choose returns the best placement in a market.
func (m *Mix) choose(market string, live []Placement, refused *Refusals, offers map[Placement]Offer, now time.Time) (Placement, bool) {
	open := slices.DeleteFunc(m.Placements(market), func(p Placement) bool { return now.Before(refused.Until(p)) })
	if len(open) == 0 {
		return Placement{}, false
	}
	if calm := slices.DeleteFunc(slices.Clone(open), func(p Placement) bool { return refused.Avoids(p, now) }); len(calm) > 0 {
		open = calm
	}
	inZone := func(zone, market string) int {
		return count(live, func(p Placement) bool { return p.Zone == zone && (market == "" || p.Market == market) })
	}
	zone := slices.MinFunc(open, func(a, b Placement) int {
		return cmp.Or(cmp.Compare(inZone(a.Zone, ""), inZone(b.Zone, "")), cmp.Compare(inZone(a.Zone, market), inZone(b.Zone, market)))
	}).Zone
	open = slices.DeleteFunc(open, func(p Placement) bool { return p.Zone != zone })

	price := func(p Placement) float64 { return cmp.Or(offers[p].Price, m.Price(p)) }
	byPrice := func(a, b Placement) int { return cmp.Compare(price(a), price(b)) }
	free := func(p Placement) int { return offers[p].Free }
	switch {
	case m.Allocation == Prioritized:
	case market == Spot && m.Allocation == CapacityOptimized:
		slices.SortStableFunc(open, func(a, b Placement) int { return cmp.Or(cmp.Compare(free(b), free(a)), byPrice(a, b)) })
	case market == Spot && m.Allocation == PriceCapacityOptimized:
		most := free(slices.MaxFunc(open, func(a, b Placement) int { return cmp.Compare(free(a), free(b)) }))
		open = slices.DeleteFunc(open, func(p Placement) bool { return 2*free(p) < most })
		slices.SortStableFunc(open, byPrice)
	default:
		slices.SortStableFunc(open, byPrice)
		if market == Spot {
			open = open[:min(len(open), max(1, m.SpotPools))]
			slices.SortStableFunc(open, func(a, b Placement) int {
				return cmp.Compare(count(live, func(p Placement) bool { return p == a }), count(live, func(p Placement) bool { return p == b }))
			})
		}
	}
	return open[0], true
}

// Placements are all that a market has, in the order of Types.
func (m *Mix) Placements(market string) (all []Placement) {
	for i := range m.Types {
		t := &m.Types[i]
		if t.price(market) == 0 {
			continue
		}
		zones := t.Zones
		if len(zones) == 0 {
			zones = m.Zones
		}
		if len(zones) == 0 {
			zones = []string{""}
		}
		for _, zone := range zones {
			all = append(all, Placement{Type: t.Name, Market: market, Zone: zone})
		}
	}
	return all
}

func count(all []Placement, is func(Placement) bool) (n int) {
	for _, p := range all {
		if is(p) {
			n++
		}
	}
	return n
}

// How long a placement is left alone after a refusal: doubled by each one in a row.
const (
	firstRefusal = 30 * time.Second
	mostRefusal  = 10 * time.Minute
)

// Refusals remembers where a provider said "insufficient capacity". The zero value remembers none. It is not safe for
// concurrent use.
type Refusals struct {
	of    map[Placement]refusal
	avoid map[Placement]time.Time
}

type refusal struct {
	until time.Time
	wait  time.Duration
}

// Refuse notes a refusal, and returns until when the placement is left alone. A refusal that comes while the placement is
// left alone (of a launch that was on its way) lengthens nothing.
func (r *Refusals) Refuse(p Placement, now time.Time) time.Time {
	if r.of == nil {
		r.of = make(map[Placement]refusal)
	}
	last := r.of[p]
	if now.Before(last.until) {
		return last.until
	}
	wait := min(mostRefusal, max(firstRefusal, 2*last.wait))
	r.of[p] = refusal{now.Add(wait), wait}
	return r.of[p].until
}

// Avoid has a placement asked for only where there is no other until a time, as when its machines are taken back.
func (r *Refusals) Avoid(p Placement, until time.Time) {
	if r.avoid == nil {
		r.avoid = make(map[Placement]time.Time)
	}
	if until.After(r.avoid[p]) {
		r.avoid[p] = until
	}
}

// Avoids reports whether the placement is to be asked for only where there is no other. A nil Refusals avoids none.
func (r *Refusals) Avoids(p Placement, now time.Time) bool {
	return r != nil && now.Before(r.avoid[p])
}

// Clone returns a copy.
func (r *Refusals) Clone() *Refusals {
	return &Refusals{of: maps.Clone(r.of), avoid: maps.Clone(r.avoid)}
}

// Grant forgets the refusals of a placement, for it was had again.
func (r *Refusals) Grant(p Placement) { delete(r.of, p) }

// Until is the time before which the placement is not to be asked for; zero when there is none. A nil Refusals has none.
func (r *Refusals) Until(p Placement) time.Time {
	if r == nil {
		return time.Time{}
	}
	return r.of[p].until
}
