package scale

// Budget bounds the capacity by money.
type Budget struct {
	PerHour float64 // for people
	Most    int     // instances that PerHour pays for, of the cheapest mix
}

// budget lets the capacity be no more than is paid for. It comes after min: a ceiling that gives way is none.
func (c *clamp) budget() {
	if b := c.o.Budget; b != nil {
		c.set(BoundBudget, min(c.desired, b.Most))
	}
}
