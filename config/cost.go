package config

// Cost is what the instances of a pool are made of, and what they may cost.
type Cost struct {
	// The first instances, which are on demand.
	OnDemandBase int `yaml:"on_demand_base" jsonschema:"minimum=0" example:"2"`
	// Percent of the others that are on demand; the rest is spot.
	OnDemandPercent int `yaml:"on_demand_percent" jsonschema:"minimum=0,maximum=100"`
	// Which type a launch asks for first.
	Allocation string `yaml:"allocation" jsonschema:"enum=lowest_price,enum=capacity_optimized,enum=price_capacity_optimized,enum=prioritized" noun:"an allocation"`
	// With lowest_price: over how many of the cheapest types spot is spread.
	SpotPools int `yaml:"spot_pools" jsonschema:"minimum=1"`
	// Launch on demand what the spot market does not give.
	Fallback bool `yaml:"fallback"`
	// Exchange what stands in on demand for spot again, when there is spot.
	ReturnToSpot bool `yaml:"return_to_spot"`
	// Types of machine, and what they cost.
	Types []CostType `yaml:"types" jsonschema:"required,minItems=1" example:"[{name: g4dn.xlarge, on_demand: 0.526, spot: 0.158}]"`
	// Zones over which instances are kept balanced.
	Zones []string `yaml:"zones" jsonschema:"minItems=1" example:"[a, b]"`
	// What the pool may cost.
	Budget CostBudget `yaml:"budget"`
	// A JSON file that says what the process provider has: {"g4dn.xlarge/spot/a": {"capacity": 3}}.
	Market string `yaml:"market" jsonschema:"minLength=1" example:"market.json"`
}

// CostType is a type of machine.
type CostType struct {
	// As the provider calls it.
	Name string `yaml:"name" jsonschema:"required,minLength=1" example:"g4dn.xlarge"`
	// Price per hour on demand. 0 is not to be had.
	OnDemand float64 `yaml:"on_demand" jsonschema:"minimum=0" example:"0.526"`
	// Price per hour as spot. 0 is not to be had.
	Spot float64 `yaml:"spot" jsonschema:"minimum=0" example:"0.158"`
	// Where it is to be had. Default: in all zones.
	Zones []string `yaml:"zones" jsonschema:"minItems=1" example:"[a]"`
}

// CostBudget is a ceiling in money.
type CostBudget struct {
	// Most that the instances may cost in an hour, by the cheapest mix. 0 sets no ceiling.
	PerHour float64 `yaml:"per_hour" jsonschema:"minimum=0" example:"20"`
	// Most that the instances may cost in a month of UTC. What is left of it is spread over what is left of the month. 0 sets no ceiling.
	PerMonth float64 `yaml:"per_month" jsonschema:"minimum=0" example:"8000"`
	// While a budget holds the capacity down: how long a request may be made to wait. What would wait longer is refused,
	// the least important first. 0 leaves it to the limits of the queue.
	ShedAfter Duration `yaml:"shed_after"`
}

// DefaultCost is a cost whose types alone are given: all on demand, as an Auto
// Scaling group has it.
func DefaultCost() Cost {
	return Cost{OnDemandPercent: 100, Allocation: "lowest_price", SpotPools: 1, Fallback: true, ReturnToSpot: true}
}

func (c *Cost) setDefaults() { *c = DefaultCost() }
