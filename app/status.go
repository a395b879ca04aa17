package app

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/scale"
	"github.com/weirlb/weir/telemetry"
	"github.com/weirlb/weir/window"
)

// Status is all there is to see now. It implements admin.Source.
func (a *App) Status() admin.Status {
	now := time.Now()
	s := admin.Status{
		Version: a.o.Version, PID: os.Getpid(), Generation: a.memo.Generation, Started: a.started, Time: now,
		Listeners: a.listening(), Leaving: a.leaving.status(),
	}
	for _, lp := range a.sorted() {
		p := lp.status(now)
		p.Cost = a.report(lp, now)
		s.Pools = append(s.Pools, p)
	}
	return s
}

// Record is what the newest decision up to a time that changed a pool's capacity was made from; nil: none is kept.
func (a *App) Record(pool string, at time.Time) (any, error) {
	a.mu.Lock()
	journal := a.tenure.journal
	a.mu.Unlock()
	r, err := journal.Record(pool, at)
	if r == nil || err != nil {
		return nil, err
	}
	return r, nil
}

// Decisions implements admin.Source.
func (a *App) Decisions(pool string, from, to time.Time, limit int) ([]scale.Decision, error) {
	a.mu.Lock()
	j := a.tenure.journal
	a.mu.Unlock()
	return j.Find(pool, from, to, limit)
}

func (a *App) sorted() []*livePool {
	ps := a.snapshot()
	slices.SortFunc(ps, func(x, y *livePool) int { return cmp.Compare(x.name, y.name) })
	return ps
}

func (a *App) listening() []admin.Listener {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := []admin.Listener{}
	for _, l := range a.listeners {
		v := admin.Listener{Address: l.addr().String(), TLS: l.certs != nil}
		v.Connections, v.Accepted, v.FailedHandshakes = l.counts()
		out = append(out, v)
	}
	slices.SortFunc(out, func(x, y admin.Listener) int { return cmp.Compare(x.Address, y.Address) })
	return out
}

func (lp *livePool) status(now time.Time) admin.Pool {
	s := lp.pool.Stats(now)
	c := lp.config()
	p := admin.Pool{
		Name: lp.name, Balance: c.Balance, Concurrency: c.Concurrency,
		Queue:    admin.Queue{Depth: s.Waiting, Limit: c.Queue.Limit, OldestWait: s.OldestWait.Seconds()},
		InFlight: s.InFlight, Slots: s.Slots, FailedOpen: s.FailedOpen,
		Rates: admin.Rates{Requests: s.Rate, Answers: s.Finished},
		Wait:  quantiles(s.Wait), Latency: quantiles(s.Latency), Totals: totals(s),
		Targets: []admin.Target{}, Instances: []admin.Instance{},
	}
	for _, t := range s.Targets {
		p.Targets = append(p.Targets, admin.Target{
			ID: t.Target.ID, Address: t.Target.Addr, State: t.State.String(), Reason: t.Reason, Since: t.Since,
			Weight: t.Target.Weight(), Slots: t.Target.Slots(), InFlight: t.Target.InFlight(),
			Requests: t.Target.Requests(), Failures: t.Target.Failures(), Overridden: t.Overridden,
		})
	}
	if s := lp.scaled.Load(); s != nil {
		s.status(&p, c, now)
	}
	return p
}

func (s *scaling) status(p *admin.Pool, c *config.Pool, now time.Time) {
	desired, last, manual := s.loop.Last()
	p.Scale = &admin.Scale{Min: c.Scale.Min, Max: c.Scale.Max, Desired: desired}
	if manual != nil {
		p.Scale.Manual = &admin.Manual{Desired: manual.Desired, Until: manual.Until}
	}
	if !last.Time.IsZero() {
		p.LastDecision = &last
	}
	grace := s.loop.Grace()
	p.Scale.Grace = admin.Grace{Seconds: grace.For.Seconds(), Why: grace.Why()}
	treated := s.loop.Treatments()
	for _, v := range s.fleet.Instances(now) {
		if end := grace.Until(v.Begun); v.State == fleet.Unhealthy && now.Before(end) {
			v.Why = fmt.Sprintf("%s; not replaced before %s: grace of %v", v.Why, end.UTC().Format(time.TimeOnly+" UTC"), grace)
		}
		switch v.State {
		case fleet.Ready:
			p.Scale.Ready++
		case fleet.Standby:
			p.Scale.Standby++
		case fleet.Warm:
			p.Scale.Warm++
		case fleet.Pending, fleet.PendingWait, fleet.Starting, fleet.Warming:
			if v.Spare {
				p.Scale.Preparing++
			} else {
				p.Scale.Loading++
			}
		}
		p.Instances = append(p.Instances, admin.Instance{
			ID: v.ID, State: string(v.State), Since: v.Since, Launched: v.Launched, Address: v.Addr, Ref: v.Ref,
			Version: v.Version, Type: v.Type, Market: v.Market, Zone: v.Zone, ETA: v.ETA.Seconds(), InFlight: v.InFlight, Slots: c.Concurrency,
			CPU: v.Usage.CPU, Memory: v.Usage.Memory, Adopted: v.Adopted, Why: v.Why, Spare: v.Spare, Protected: v.Protected, Hooks: waitsOf(v.Waits),
		})
		if v.Notice.Kind != "" {
			p.Instances[len(p.Instances)-1].Notice = new(v.Notice)
		}
		if t, ok := treated[v.ID]; ok && v.State == fleet.Unhealthy {
			one := &p.Instances[len(p.Instances)-1]
			one.Failing, one.Remedy = v.Failing, &admin.Remedy{Remedy: string(t.Remedy), Check: t.Check, Since: t.Since, Why: t.Why}
		}
	}
	if b := s.fleet.Boots(); b.Count > 0 {
		p.Boot = &admin.Boot{P50: b.P50, P90: b.P90, Count: b.Count}
	}
	if w := warmPool(c); w.On {
		p.WarmPool = &admin.WarmPool{
			State: c.WarmPool.State, Prepared: p.Scale.Warm, Preparing: p.Scale.Preparing, Wanted: w.Size(desired), Min: w.Min, Most: w.Most, Reuse: w.Reuse,
		}
	}
	if f := predictionOf(c); f != nil {
		p.Forecast = f.Measured()
	}
	p.Version, p.Refresh = s.fleet.Version(), s.loop.LastRefresh()
	if until, why := s.fleet.Blocked(); now.Before(until) {
		p.LaunchesBlocked = &admin.Blocked{Until: until, Why: why}
	}
}

func quantiles(s window.Summary) admin.Quantiles {
	return admin.Quantiles{P50: s.P50, P95: s.P95, P99: s.P99}
}

func totals(s pool.Stats) admin.Totals {
	return admin.Totals{
		Requests: s.Requests, OK: s.Answers2, ClientErrors: s.Answers4, ServerErrors: s.Answers5, Broken: s.Broken,
		RefusedQueueLimit: s.Full, RefusedQueueTimeout: s.TimedOut, Cancelled: s.Cancelled, Retries: s.Retries,
	}
}

// Metrics are Weir's own numbers. It implements admin.Source.
func (a *App) Metrics() telemetry.Snapshot {
	now := time.Now()
	a.mu.Lock()
	common := a.shared
	out := telemetry.Snapshot{Version: a.o.Version, Limited: common.limits.counts()}
	a.mu.Unlock()
	out.Routes = common.meters.Read()
	out.AccessLog, out.Spans = common.counts()
	for _, l := range a.listening() {
		out.Listeners = append(out.Listeners, telemetry.Listener{
			Address: l.Address, Connections: l.Connections, Accepted: l.Accepted,
			TLS: l.TLS, Handshakes: l.Accepted - l.FailedHandshakes, HandshakeErrors: l.FailedHandshakes,
		})
	}
	for _, lp := range a.sorted() {
		p := lp.metrics(now)
		if p.Fleet != nil {
			p.Fleet.Cost = a.cost(lp, now)
		}
		out.Pools = append(out.Pools, p)
	}
	return out
}

func (lp *livePool) metrics(now time.Time) telemetry.Pool {
	s := lp.pool.Stats(now)
	wait, latency := lp.pool.Histograms(telemetry.DurationBounds)
	p := telemetry.Pool{
		Name: lp.name, Received: s.Requests, Answers2: s.Answers2, Answers4: s.Answers4, Answers5: s.Answers5, Broken: s.Broken,
		Full: s.Full, TimedOut: s.TimedOut, Cancelled: s.Cancelled, Retries: s.Retries, Hedges: s.Hedges, Mirrored: lp.mirrored.Load(),
		Latency: telemetry.Histogram(latency), Wait: telemetry.Histogram(wait), Service: telemetry.Histogram(lp.pool.ServiceTimes(telemetry.ServiceBounds)),
		Waiting: s.Waiting, InFlight: s.InFlight, Slots: s.Slots, FailedOpen: s.FailedOpen,
	}
	scaled := lp.scaled.Load()
	if scaled == nil {
		for _, t := range s.Targets {
			p.Targets = append(p.Targets, telemetry.Target{
				ID: t.Target.ID, Up: up(t.State, s.FailedOpen), InFlight: t.Target.InFlight(),
				Requests: t.Target.Requests(), Failures: t.Target.Failures(),
			})
		}
		return p
	}
	desired, _, _ := scaled.loop.Last()
	boot := scaled.fleet.Boots()
	f := &telemetry.Fleet{Instances: map[string]int{}, Desired: desired, BootP50: boot.P50, BootP90: boot.P90, Boots: boot.Count, Remedies: remedyCounts(scaled.loop)}
	if c := lp.config(); c.Scale != nil && c.Scale.Cost != nil {
		n := scaled.fleet.Spot()
		f.Spot = &telemetry.Spot{Interruptions: n.Interruptions, Rebalances: n.Rebalances, Drained: n.Drained, Cut: n.Cut}
	}
	for _, v := range scaled.fleet.Instances(now) {
		f.Instances[string(v.State)]++
	}
	p.Fleet = f
	return p
}

// SinceStart sums up a pool's queue wait and whole latency since Weir started.
func (a *App) SinceStart(name string) (wait, latency window.Summary) {
	lp, err := a.pool(name)
	if err != nil {
		return wait, latency
	}
	return lp.pool.SinceStart()
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, os.ErrNotExist)
}
