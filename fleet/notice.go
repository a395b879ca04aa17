package fleet

import (
	"fmt"
	"time"

	"github.com/weirlb/weir/fleet/plan"
)

// Noticer is a provider that tells beforehand which of its instances it takes back.
type Noticer interface {
	// Notices are those in force, by instance. What a market file says is found in file; "" is none. It is asked often.
	Notices(file string) (map[string]plan.Notice, error)
}

// Offerer is a provider that knows what its markets have to give now.
type Offerer interface {
	Offers(file string) (map[plan.Placement]plan.Offer, error)
}

// SpotCounts are what became of instances that were to be taken back, since the start.
type SpotCounts struct {
	Interruptions uint64 // notices that an instance is taken back
	Rebalances    uint64 // notices that one may be
	Drained       uint64 // instances that were gone before their time was up, with nothing in flight
	Cut           uint64 // requests in flight on instances as they were taken
}

// noticeEvery is how often the provider is asked. EC2 recommends five seconds; a file is cheaper to look at.
const noticeEvery = 500 * time.Millisecond

// AvoidFor is how long a placement is not asked for after one of its machines was taken back.
const AvoidFor = 5 * time.Minute

// notice asks the provider for notices until Weir ends.
func (f *Fleet) notice(from Noticer) {
	t := time.NewTicker(noticeEvery)
	defer t.Stop()
	said := ""
	for {
		notices, err := from.Notices(f.options().MarketFile)
		switch {
		case err == nil:
			said = ""
			f.noticed(notices, time.Now())
		case err.Error() != said:
			said = err.Error()
			f.log.Warn("it is not known which instances are taken back", "pool", f.pool.Name, "error", err)
		}
		select {
		case <-f.ctx.Done():
			return
		case <-t.C:
		}
	}
}

// noticed takes over what the provider says of this fleet's instances. A notice that is taken back counts no more.
func (f *Fleet) noticed(notices map[string]plan.Notice, now time.Time) {
	f.mu.Lock()
	var fresh []*instance
	for id, in := range f.instances {
		n := notices[id]
		if n == in.notice {
			continue
		}
		if n.Kind != "" && n.Kind != in.notice.Kind {
			fresh = append(fresh, in)
			if n.Kind == plan.Interruption {
				f.spot.Interruptions++
				f.refused.Avoid(in.Placement, now.Add(AvoidFor))
			} else {
				f.spot.Rebalances++
			}
		}
		in.notice = n
	}
	f.mu.Unlock()
	for _, in := range fresh {
		n := notices[in.ID]
		if n.Kind == plan.Interruption {
			f.lives.Go(func() { f.countCut(in, n.Deadline) })
		}
		f.log.Warn("a notice for an instance", "pool", in.Pool, "instance", in.ID, "placement", in.Placement.String(), "notice", n.String())
		f.happened(in, SpotNotice, "", n.String())
	}
}

// takenSoon is how long before the end of a notice it is looked at what still runs: at the end itself its connections break first.
const takenSoon = 100 * time.Millisecond

// countCut notes what is in flight on an instance as it is taken back.
func (f *Fleet) countCut(in *instance, deadline time.Time) {
	t := time.NewTimer(time.Until(deadline.Add(-takenSoon)))
	defer t.Stop()
	select {
	case <-f.ctx.Done():
		return
	case <-t.C:
	}
	f.mu.Lock()
	n := 0
	if in.State != Gone {
		n = f.inFlight(in)
	}
	in.cut = in.cut || n > 0
	f.spot.Cut += uint64(n)
	f.mu.Unlock()
	if n > 0 {
		f.log.Error("an instance is taken back with requests in flight", "pool", in.Pool, "instance", in.ID, "in_flight", n)
		f.happened(in, SpotNotice, "", fmt.Sprintf("is taken back with requests in flight, which are cut: %d", n))
	}
}

// taken counts an instance that ended before it was taken back.
func (f *Fleet) taken(in *instance) {
	f.mu.Lock()
	drained := in.notice.Kind == plan.Interruption && !in.cut
	if drained {
		f.spot.Drained++
	}
	f.mu.Unlock()
	if drained {
		f.happened(in, SpotNotice, "", "had drained before it was taken back")
	}
}

// Spot counts notices and what became of the instances.
func (f *Fleet) Spot() SpotCounts {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.spot
}

// Offers is what the provider's markets have to give now; nil when it does not say.
func (f *Fleet) Offers() map[plan.Placement]plan.Offer {
	o, ok := f.provider.(Offerer)
	if !ok {
		return nil
	}
	offers, err := o.Offers(f.options().MarketFile)
	if err != nil {
		return nil // the next launch says what is wrong with the market
	}
	return offers
}

// watchNotices begins to listen for notices, where the provider gives any.
func (f *Fleet) watchNotices() {
	if n, ok := f.provider.(Noticer); ok {
		f.lives.Go(func() { f.notice(n) })
	}
}
