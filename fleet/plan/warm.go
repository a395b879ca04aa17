package plan

import (
	"cmp"
	"fmt"
	"slices"
)

// WarmPool is how many instances are kept prepared beside those that serve, as in an EC2 Auto Scaling warm pool.
type WarmPool struct {
	On      bool
	Min     int  // prepared instances, whatever the capacity is
	Most    int  // instances prepared and serving together; Min may take it beyond
	Reuse   bool // scale-in sends instances back to it
	Version int  // of the template that prepared instances are to have; 0 does not look
}

// Size is how many instances are to be prepared: max(Min, Most - desired).
func (w WarmPool) Size(desired int) int {
	if !w.On {
		return 0
	}
	return max(w.Min, w.Most-desired, 0)
}

// Wake takes a prepared instance, or one that is being prepared, into traffic.
type Wake struct {
	ID  string
	Why string
}

// Prepare launches N instances for the warm pool.
type Prepare struct {
	N   int
	As  Placement
	Why string
}

// Park takes an instance out of traffic, as Drain does, and into the warm pool once what runs on it has ended.
type Park struct {
	ID  string
	Why string
}

func (Wake) action()    {}
func (Prepare) action() {}
func (Park) action()    {}

func (a Wake) String() string    { return fmt.Sprintf("wake %s: %s", a.ID, a.Why) }
func (a Prepare) String() string { return fmt.Sprintf("prepare %d: %s", a.N, a.Why) }
func (a Park) String() string    { return fmt.Sprintf("park %s: %s", a.ID, a.Why) }

// wake takes up to n instances from the warm pool, those that are prepared before those that will be, and returns how many.
func (p *plan) wake(n int) (woken int) {
	slices.SortFunc(p.warm, soonest)
	for woken < n && woken < len(p.warm) {
		one := p.warm[woken]
		why := "prepared"
		if one.State != "warm" {
			why = "being prepared"
		}
		p.do(Wake{ID: one.ID, Why: fmt.Sprintf("%d desired, and it is %s", p.in.Desired, why)})
		p.coming = append(p.coming, one)
		woken++
	}
	p.warm = p.warm[woken:]
	return woken
}

// soonest orders a warm pool by how soon an instance could serve: the prepared ones, then those nearest to it.
func soonest(a, b *Instance) int {
	stage := func(i *Instance) int {
		return slices.Index([]string{"warm", "warming", "starting", "pending"}, i.State)
	}
	return cmp.Or(cmp.Compare(stage(a), stage(b)), a.Started.Compare(b.Started), cmp.Compare(a.ID, b.ID))
}

// discard ends what is prepared from another version of the template: it would serve with it.
func (p *plan) discard() {
	p.warm = slices.DeleteFunc(p.warm, func(one *Instance) bool {
		if p.in.Warm.Version == 0 || one.Version == p.in.Warm.Version {
			return false
		}
		p.do(Stop{ID: one.ID, Why: fmt.Sprintf("prepared from version %d of the template, and %d is wanted", one.Version, p.in.Warm.Version)})
		return true
	})
}

// room is how many instances the warm pool can take back.
func (p *plan) room() int {
	if !p.in.Warm.Reuse {
		return 0
	}
	return max(0, p.in.Warm.Size(p.in.Desired)-len(p.warm)-p.parking)
}

// restock brings the warm pool to its size. It launches only while the pool itself lacks nothing, a quarter of the size at a time, because
// what boots takes processors from what serves.
func (p *plan) restock() {
	size := p.in.Warm.Size(p.in.Desired)
	have := len(p.warm) + p.parking
	if have > size {
		slices.SortFunc(p.warm, soonest)
		for i := len(p.warm) - 1; i >= 0 && have > size; i-- {
			p.do(Stop{ID: p.warm[i].ID, Why: fmt.Sprintf("%d prepared, and with %d desired %d are to be", have, p.in.Desired, size)})
			have--
		}
		return
	}
	if have == size || len(p.coming) > 0 || p.missing() > 0 || p.in.Waiting > 0 || p.in.Now.Before(p.in.Backoff) {
		return
	}
	most := max(1, size/4)
	if m := p.in.MaxLaunching; m > 0 {
		most = min(most, m)
	}
	for _, one := range p.warm {
		if one.State != "warm" {
			most--
		}
	}
	if n := min(size-have, most); n > 0 {
		p.do(Prepare{N: n, Why: fmt.Sprintf("%d of %d prepared", have, size)})
	}
}
