package app

import (
	"time"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/fleet/plan"
	"github.com/weirlb/weir/scale"
)

// mixOf is what a pool's launches ask for; nil without a cost.
func mixOf(c *config.Pool) *plan.Mix {
	if c.Scale == nil || c.Scale.Cost == nil {
		return nil
	}
	k := c.Scale.Cost
	m := &plan.Mix{
		Base: k.OnDemandBase, Percent: k.OnDemandPercent, Allocation: plan.Allocation(k.Allocation),
		SpotPools: k.SpotPools, Fallback: k.Fallback, Return: k.ReturnToSpot, Zones: k.Zones,
	}
	for _, t := range k.Types {
		m.Types = append(m.Types, plan.MachineType{Name: t.Name, OnDemand: t.OnDemand, Spot: t.Spot, Zones: t.Zones})
	}
	return m
}

// budgetOf is the ceiling in money of a pool; nil without one.
func budgetOf(s *config.Scale) *scale.Budget {
	if s.Cost == nil || s.Cost.Budget.PerHour == 0 {
		return nil
	}
	perHour := s.Cost.Budget.PerHour
	return &scale.Budget{PerHour: perHour, Most: mixOf(&config.Pool{Scale: s}).Affordable(perHour, s.Max)}
}

// marketOf is the market file of a pool; empty without one.
func marketOf(c *config.Pool) string {
	if c.Scale == nil || c.Scale.Cost == nil {
		return ""
	}
	return c.Scale.Cost.Market
}

// shedAfter is how long a request may be made to wait while a budget binds; 0 without one.
func shedAfter(c *config.Pool) time.Duration {
	if c.Scale == nil || c.Scale.Cost == nil {
		return 0
	}
	return time.Duration(c.Scale.Cost.Budget.ShedAfter)
}
