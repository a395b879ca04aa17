package admin

import (
	"time"

	"github.com/weirlb/weir/money"
)

// Costs is what GET /v1/cost answers. Money is in the currency of the config's prices; days and months are those of UTC.
type Costs struct {
	Time  time.Time  `json:"time"`
	Pools []PoolCost `json:"pools"`
	Total Total      `json:"total"`
}

// PoolCost is what one pool has cost and costs.
type PoolCost struct {
	Pool   string       `json:"pool"`
	Gone   bool         `json:"gone,omitempty"` // not in the config any more
	Budget money.Budget `json:"budget,omitzero"`
	money.Report
}

// Total is the sum over all pools.
type Total struct {
	PerHour       float64 `json:"per_hour"`
	Today         float64 `json:"today"`
	Month         float64 `json:"month"`
	MonthOnDemand float64 `json:"month_on_demand"`
	Saved         float64 `json:"saved"`
	Projected     float64 `json:"projected"`
}

// Add adds a pool to the list and to the sum.
func (c *Costs) Add(one PoolCost) {
	c.Pools = append(c.Pools, one)
	c.Total.PerHour += one.PerHour
	c.Total.Today += one.Today
	c.Total.Month += one.Month
	c.Total.MonthOnDemand += one.MonthOnDemand
	c.Total.Saved += one.Saved
	c.Total.Projected += one.Projected
}
