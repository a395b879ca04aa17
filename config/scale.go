package config

// Scale is how many instances a pool has.
type Scale struct {
	// Fewest instances. With 0, requests are held until the first one is ready.
	Min int `yaml:"min" jsonschema:"minimum=0"`
	// Most instances.
	Max int `yaml:"max" jsonschema:"required,minimum=1" example:"4"`
	// Instances at the first start, from min to max. Without it, min.
	Desired *int `yaml:"desired" jsonschema:"minimum=0"`
	// Rules that propose a capacity; the largest proposal wins. Default: queue with wait_p95 2s.
	Policies []Policy `yaml:"policies" jsonschema:"minItems=1" example:"[{queue: {wait_p95: 2s}}]"`
	// Scale in only to the highest capacity that was asked for during this window.
	ScaleInWindow Duration `yaml:"scale_in_window"`
	// With min 0: how long there must have been no request before the last instance goes.
	ZeroAfter Duration `yaml:"zero_after"`
	// Most instances that may be launching at a time. 0 sets no limit.
	MaxLaunching int `yaml:"max_launching" jsonschema:"minimum=0"`
}

// Policy is one rule that proposes a desired capacity: exactly one of its
// keys is set.
type Policy struct {
	// Keep a metric at a value per instance.
	Target *TargetPolicy `yaml:"target"`
	// Keep the wait in the queue short.
	Queue *QueuePolicy `yaml:"queue"`
}

// TargetPolicy proposes the capacity at which Metric would be at Value.
type TargetPolicy struct {
	// What is measured, per instance; cpu_utilization is in percent of one core.
	Metric string `yaml:"metric" jsonschema:"required,enum=queue_depth,enum=in_flight,enum=requests_per_second,enum=cpu_utilization" noun:"a metric" example:"in_flight"`
	// Where to keep it, above 0.
	Value float64 `yaml:"value" jsonschema:"required,exclusiveMinimum=0" example:"4"`
}

// QueuePolicy proposes the capacity at which requests wait at most WaitP95,
// 95 of 100 times.
type QueuePolicy struct {
	// 95th percentile of the wait to aim for.
	WaitP95 Duration `yaml:"wait_p95"`
}
