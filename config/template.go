package config

// Template is how to launch one instance.
type Template struct {
	// Where instances come from.
	Provider string `yaml:"provider" jsonschema:"enum=process" noun:"a provider"`
	// Program and arguments. {{.Port}} becomes the port the instance must listen on,
	// {{.ID}} its name and {{.Pool}} that of its pool.
	Command []string `yaml:"command" jsonschema:"required,minItems=1" example:"[./infer, --port, \"{{.Port}}\"]"`
	// Environment variables beside Weir's own; values may use {{.Port}} as the command does.
	Env map[string]string `yaml:"env"`
	// Working directory; empty is Weir's own.
	Dir string `yaml:"dir"`
	// What one instance may use.
	Limits InstanceLimits `yaml:"limits"`
	// Request that an instance must answer before it takes traffic.
	WarmUp *WarmUp `yaml:"warm_up"`
	// An instance that is not ready by then counts as a failed launch.
	StartTimeout Duration `yaml:"start_timeout"`
	// From asking an instance to end (SIGTERM) to making it (SIGKILL).
	StopTimeout Duration `yaml:"stop_timeout"`
	// Pause before a crashed instance is launched again.
	Backoff Backoff `yaml:"backoff"`
	// Files that keep what instances write.
	Log InstanceLog `yaml:"log"`
}

// InstanceLimits are resource limits of one instance; 0 sets none.
type InstanceLimits struct {
	// Address space, as setrlimit(2) counts it.
	Memory Size `yaml:"memory"`
	// Processor time over the whole life of the instance.
	CPUTime Duration `yaml:"cpu_time"`
	// Open files.
	OpenFiles int `yaml:"open_files" jsonschema:"minimum=0"`
	// How much it gives way to others, as nice(1) does it.
	Nice int `yaml:"nice" jsonschema:"minimum=0,maximum=19"`
}

// WarmUp is a request that an instance must answer with 2xx before it takes
// traffic.
type WarmUp struct {
	// Path of the request.
	Path string `yaml:"path" jsonschema:"required" example:"/predict"`
	// Method of the request. Default: POST with a body, GET without.
	Method string `yaml:"method"`
	// Body of the request.
	Body string `yaml:"body"`
	// Headers of the request.
	Headers map[string]string `yaml:"headers"`
	// Time after which the warm-up has failed.
	Timeout Duration `yaml:"timeout"`
}

// Backoff is the pause after a crash; it doubles with each crash in a row.
type Backoff struct {
	// Pause after the first crash.
	Initial Duration `yaml:"initial"`
	// Longest pause.
	Max Duration `yaml:"max"`
}

// InstanceLog bounds the log files of an instance.
type InstanceLog struct {
	// Size at which a file is rotated.
	MaxSize Size `yaml:"max_size"`
	// Rotated files that are kept.
	Keep int `yaml:"keep" jsonschema:"minimum=0"`
}

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
