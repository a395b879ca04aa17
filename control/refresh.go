package control

import (
	"errors"
	"fmt"
	"time"

	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/fleet/plan"
)

// Versions is what a refresh needs of a fleet beside what a Loop does: the versions of its template.
type Versions interface {
	Version() int                                   // that new instances are launched from
	Want(version int) error                         // launches them from another one
	Renew() (version int, err error)                // counts the present template as a new one
	Failures(version int) (inARow int, last string) // launches of it that never became ready
}

// RefreshOptions are how instances follow a template that has changed.
type RefreshOptions struct {
	plan.RefreshOptions
	Auto bool // begin by itself
}

// Refresh begins to replace the instances that are not of the wanted version of the template; with force all of them.
func (l *Loop) Refresh(force bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.o.Versions == nil {
		return fmt.Errorf("pool %s has no template to refresh by", l.o.Pool.Name)
	}
	if l.refresh.Active() {
		return fmt.Errorf("pool %s is being refreshed already: %s; cancel that first", l.o.Pool.Name, l.refresh.Why)
	}
	from := l.o.Versions.Version()
	if force {
		if _, err := l.o.Versions.Renew(); err != nil {
			return fmt.Errorf("recording a new version of pool %s's template: %w", l.o.Pool.Name, err)
		}
	} else if other := l.outdated(serving(l.o.Fleet.AppendInstances(nil, time.Now()))); other != 0 {
		from = other
	} else {
		return fmt.Errorf("pool %s: all instances are of version %d of the template already; write --force to replace them all the same", l.o.Pool.Name, from)
	}
	l.begin(from, time.Now())
	l.Wake()
	return nil
}

// CancelRefresh stops a refresh where it stands.
func (l *Loop) CancelRefresh() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.refresh.Active() {
		return fmt.Errorf("pool %s is not being refreshed", l.o.Pool.Name)
	}
	l.refresh.Cancel(time.Now())
	l.keepRefresh("cancelled")
	return nil
}

// RollbackRefresh goes back to the version before.
func (l *Loop) RollbackRefresh() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.refresh == nil:
		return fmt.Errorf("pool %s was not refreshed, so there is nothing to go back to", l.o.Pool.Name)
	case l.refresh.State == plan.RollingBack || l.refresh.State == plan.RolledBack:
		return fmt.Errorf("pool %s: version %d is being or was rolled back already", l.o.Pool.Name, l.refresh.To)
	case l.refresh.From == l.refresh.To:
		return errors.New("there is no version before")
	}
	if err := l.o.Versions.Want(l.refresh.From); err != nil {
		return err
	}
	l.refresh.GoBack()
	l.keepRefresh("rolls back")
	l.Wake()
	return nil
}

// LastRefresh is the refresh under way or the last one there was, nil when there was none.
func (l *Loop) LastRefresh() *plan.Refresh {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refresh == nil {
		return nil
	}
	return new(*l.refresh)
}

// outdated is the newest version that is not wanted of those that instances have, 0 when all have the wanted one.
func (l *Loop) outdated(views []fleet.View) (version int) {
	wanted := l.o.Versions.Version()
	for i := range views {
		if v := &views[i]; v.Version != wanted && v.State != fleet.Stopping && v.State != fleet.Draining {
			version = max(version, v.Version)
		}
	}
	return version
}

func (l *Loop) begin(from int, now time.Time) {
	l.refresh = &plan.Refresh{From: from, To: l.o.Versions.Version(), Started: now, State: plan.Refreshing, Why: "begins"}
	l.keepRefresh("begins")
}

// supersede has a refresh go on to a template that has changed since it began: new instances are of that already. What it would go back to stays what
// it was, as the version in between was never everywhere.
func (l *Loop) supersede(now time.Time) {
	l.refresh.Cancel(now)
	l.refresh.Why = fmt.Sprintf("superseded by version %d of the template", l.o.Versions.Version())
	l.keepRefresh("superseded")
	l.begin(l.refresh.From, now)
}

// keepRefresh writes a refresh down, so that the next Weir goes on with it, and tells of it.
func (l *Loop) keepRefresh(what string) {
	r := l.refresh
	l.o.Log.Info("instance refresh", "pool", l.o.Pool.Name, "state", r.State, "from", r.From, "to", r.To, "percent", r.Percent, "why", r.Why, "what", what)
	if l.o.Refreshed != nil {
		l.o.Refreshed(*r)
	}
	if l.o.Journal != nil {
		l.save()
	}
}

// refreshing takes a refresh further and gives the plan its moves.
func (l *Loop) refreshing(in *plan.Input, views []fleet.View) {
	if l.o.Versions == nil {
		return
	}
	if l.refresh.Active() && l.refresh.Wanted() != l.o.Versions.Version() {
		l.supersede(in.Now)
	}
	if !l.refresh.Active() {
		from := 0
		if l.o.Refresh.Auto && l.desired > 0 {
			from = l.outdated(views)
		}
		if from == 0 || l.refresh != nil && l.refresh.To == l.o.Versions.Version() {
			return // up to date, or that version was tried and given up
		}
		l.begin(from, in.Now)
	}
	was := *l.refresh
	in.Moves = l.refresh.Step(l.o.Refresh.RefreshOptions, in, l.watch(views, in.Now))
	now := *l.refresh
	if now.State == plan.RollingBack && was.State != plan.RollingBack {
		if err := l.o.Versions.Want(now.From); err != nil {
			l.o.Log.Error("a refresh cannot be rolled back", "pool", l.o.Pool.Name, "error", err)
			l.refresh.Cancel(in.Now)
			in.Moves = plan.Moves{}
		}
	}
	if now.State != was.State || now.Batch != was.Batch || now.Reached != was.Reached {
		l.keepRefresh("goes on")
	}
}

// watch sums up how the instances of a refresh do.
func (l *Loop) watch(views []fleet.View, now time.Time) (h plan.Health) {
	h.Failures, h.Why = l.o.Versions.Failures(l.refresh.To)
	if g := l.o.Refresh.Gate; g.ErrorRate == 0 && g.Latency == 0 {
		return h
	}
	version := make(map[string]int, len(views))
	for i := range views {
		version[views[i].ID] = views[i].Version
	}
	for _, t := range l.o.Pool.Stats(now).Targets {
		to := &h.Old
		if version[t.Target.ID] == l.refresh.To {
			to = &h.New
		}
		n := t.Target.Requests()
		if n == 0 {
			continue
		}
		to.Failed += t.Target.Failures()
		to.Latency = time.Duration((float64(to.Latency)*float64(to.Requests) + float64(t.Latency)*float64(n)) / float64(to.Requests+n))
		to.Requests += n
	}
	return h
}
