package config

import "reflect"

// What Weir is designed to have and this version does not have yet. A file
// that uses it is told so instead of being asked whether it meant something
// else. A name moves from here to its struct with the version that brings it.

// laterKeys are keys by the struct they will belong to.
var laterKeys = map[reflect.Type][]string{
	reflect.TypeFor[Config]():     {"dns", "jobs", "peers", "regions", "tenants"},
	reflect.TypeFor[Pool]():       {"cost", "discover", "jobs", "schedule"},
	reflect.TypeFor[Target]():     {"priority", "zone"},
	reflect.TypeFor[Health]():     {"port", "prompt"},
	reflect.TypeFor[Check]():      {"on_failure", "port", "prompt"},
	reflect.TypeFor[Ejection]():   {"success_rate"},
	reflect.TypeFor[Template]():   {"image", "instances", "preset", "types", "user"},
	reflect.TypeFor[Scale]():      {"behavior", "budget", "predict", "schedule", "warm_pool"},
	reflect.TypeFor[Cost]():       {"degrade"},
	reflect.TypeFor[CostBudget](): {"degrade"},
	reflect.TypeFor[CostType]():   {"slots", "weight"},
}

// laterValues are values by the key they will be a value of.
var laterValues = map[string][]string{
	"provider": {"aws", "docker", "exec", "kubernetes"},
}
