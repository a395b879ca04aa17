package scale

// Budget bounds the capacity by money.
type Budget struct {
	PerHour  float64 `json:"per_hour"`            // for people
	PerMonth float64 `json:"per_month,omitempty"` // for people: what PerHour comes from, if it does
	Spent    float64 `json:"spent,omitempty"`     // of PerMonth
	Most     int     `json:"most"`                // instances that PerHour pays for, of the cheapest mix
}

// budgetOf is the budget of this moment, if the observation has one, or else that of the options.
func (c *clamp) budgetOf() *Budget {
	if c.obs.Budget != nil {
		return c.obs.Budget
	}
	return c.o.Budget
}

// budget lets the capacity be no more than is paid for. It comes after min: a ceiling that gives way is none.
func (c *clamp) budget() {
	if b := c.budgetOf(); b != nil {
		c.set(BoundBudget, min(c.desired, b.Most))
	}
}
