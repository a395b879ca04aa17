package app

import (
	"time"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/fleet/plan"
	"github.com/weirlb/weir/money"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/scale"
	"github.com/weirlb/weir/telemetry"
)

// chargeEvery is how often what runs is charged, and so what a crash may leave uncharged until the next Weir charges it.
const chargeEvery = 5 * time.Second

// charge adds up what the pools cost until the tenure ends, and tells them what they may still spend.
func (a *App) charge(t *tenure) {
	for _, lp := range a.sorted() {
		t.ledger.Begin(lp.name, finished(lp.pool))
	}
	failed := false
	round := func() {
		for _, lp := range a.sorted() {
			a.chargePool(t, lp, time.Now().UTC())
		}
		err := t.ledger.Save()
		if err != nil && !failed {
			a.log.Error("what instances cost could not be written down", "error", err)
		}
		failed = err != nil
	}
	t.works.Go(func() {
		tick := time.NewTicker(chargeEvery)
		defer tick.Stop()
		for {
			round()
			select {
			case <-t.ctx.Done():
				round()
				return
			case <-tick.C:
			}
		}
	})
}

func (a *App) chargePool(t *tenure, lp *livePool, now time.Time) {
	scaled, c := lp.scaled.Load(), lp.config()
	if scaled == nil || c.Scale == nil || c.Scale.Cost == nil {
		return
	}
	account := t.ledger.Charge(now, lp.name, paid(c.Scale.Cost, scaled.fleet.Instances(now)), finished(lp.pool))
	scaled.loop.SetBudget(monthly(c, &account, now))
}

// finished is how many requests of a pool came to an answer since the start.
func finished(p *pool.Pool) uint64 {
	s := p.Stats(time.Now())
	return s.Answers2 + s.Answers4 + s.Answers5
}

// paid are the instances that cost money: those that the provider has launched and not ended. What is stopped in a warm pool costs nothing;
// what is suspended there keeps its machine.
func paid(c *config.Cost, views []fleet.View) []money.Instance {
	var out []money.Instance
	for _, v := range views {
		if v.Addr == "" || v.State == fleet.Gone {
			continue
		}
		one := money.Instance{Type: v.Type, Market: v.Market, Since: v.Launched}
		for _, t := range c.Types {
			if t.Name != v.Type {
				continue
			}
			one.Price, one.List = t.OnDemand, t.OnDemand
			if v.Market == plan.Spot {
				one.Price = t.Spot
			}
		}
		out = append(out, one)
	}
	return out
}

// slack is by how much a month's budget may be overdrawn for a while. What is left is spread over what is left of the month, so spending a
// little more now lowers what may be spent next; without the slack the last instance would come and go with each rounding.
const slack = 1.01

// monthly is what a pool may spend, when it has a budget per month; else nil, and the options say it.
func monthly(c *config.Pool, account *money.Account, now time.Time) *scale.Budget {
	k := c.Scale.Cost
	if k.Budget.PerMonth == 0 {
		return nil
	}
	perHour, _ := money.Budget{PerHour: k.Budget.PerHour, PerMonth: k.Budget.PerMonth}.Hourly(now, account.Month.Spent)
	return &scale.Budget{
		PerHour: perHour, PerMonth: k.Budget.PerMonth, Spent: account.Month.Spent,
		Most: mixOf(c).Affordable(perHour*slack, c.Scale.Max),
	}
}

// Costs is what GET /v1/cost answers.
func (a *App) Costs() admin.Costs {
	now := time.Now().UTC()
	a.mu.Lock()
	ledger := a.tenure.ledger
	a.mu.Unlock()
	out := admin.Costs{Time: now, Pools: []admin.PoolCost{}}
	live := map[string]*livePool{}
	for _, lp := range a.sorted() {
		live[lp.name] = lp
	}
	for _, name := range ledger.Pools() {
		account, _ := ledger.Of(name)
		one := admin.PoolCost{Pool: name}
		var instances []money.Instance
		if lp := live[name]; lp == nil {
			one.Gone = true
		} else if scaled, c := lp.scaled.Load(), lp.config(); scaled != nil && c.Scale != nil && c.Scale.Cost != nil {
			instances = paid(c.Scale.Cost, scaled.fleet.Instances(now))
			one.Budget = money.Budget{PerHour: c.Scale.Cost.Budget.PerHour, PerMonth: c.Scale.Cost.Budget.PerMonth}
		}
		one.Report = account.Report(now, instances)
		out.Add(one)
	}
	return out
}

// report is what a pool has cost; nil without prices.
func (a *App) report(lp *livePool, now time.Time) *money.Report {
	scaled, c := lp.scaled.Load(), lp.config()
	if scaled == nil || c.Scale == nil || c.Scale.Cost == nil {
		return nil
	}
	a.mu.Lock()
	ledger := a.tenure.ledger
	a.mu.Unlock()
	account, _ := ledger.Of(lp.name)
	r := account.Report(now.UTC(), paid(c.Scale.Cost, scaled.fleet.Instances(now)))
	return &r
}

// cost is what GET /metrics tells of a pool's account; nil when it has none.
func (a *App) cost(lp *livePool, now time.Time) *telemetry.Cost {
	r := a.report(lp, now)
	if r == nil {
		return nil
	}
	return &telemetry.Cost{PerHour: r.PerHour, OnDemandPerHour: r.OnDemandPerHour, Month: r.Month, MonthOnDemand: r.MonthOnDemand}
}
