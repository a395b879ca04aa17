// Package config reads Weir's one YAML file into validated structs.
//
// It is the only package that knows YAML. [Load] and [Parse] apply defaults,
// expand ${NAME} from the environment, refuse what they do not know, and
// report every mistake of a file at once, each with its line and a remedy.
package config

// Config is one whole file.
//
// The doc comments of this file are also the descriptions in [Schema], so
// they speak to the person who writes the YAML.
type Config struct {
	// Addresses that Weir accepts requests on, each with its routes.
	Listen []Listen `yaml:"listen" jsonschema:"required,minItems=1" example:"[{address: \":8080\", routes: [{pool: api}]}]"`
	// Pools by name. A name is 1 to 63 letters, digits, "-" or "_".
	Pools map[string]*Pool `yaml:"pools" jsonschema:"required,minProperties=1" example:"{api: {targets: [\"127.0.0.1:9001\"]}}"`
	// Where the API, the metrics and the dashboard are served.
	Admin Admin `yaml:"admin"`
	// Directory for what must survive a restart: instances, decisions, logs of instances.
	State string `yaml:"state" jsonschema:"minLength=1"`
	// What Weir writes about itself to standard error.
	Log Log `yaml:"log"`
	// What a client may send, on every listener.
	Limits Limits `yaml:"limits"`
	// How long a client may take, on every listener.
	Timeouts Timeouts `yaml:"timeouts"`

	// Warnings are findings that do not stop Weir, such as a pool that no
	// route uses. Load and Parse fill them.
	Warnings []Error `yaml:"-"`
}

// Listen is an address with the routes that are served there.
type Listen struct {
	// Host and port, such as ":8080" or "127.0.0.1:8080". Port 0 takes any free port.
	Address string `yaml:"address" jsonschema:"required" example:"\":8080\""`
	// Rules that send a request to a pool. The most specific host wins, then the most specific path.
	Routes []Route `yaml:"routes" jsonschema:"required,minItems=1" example:"[{pool: api}]"`
	// Add a Via header to requests and answers.
	Via bool `yaml:"via"`
	// Send the RFC 7239 Forwarded header beside X-Forwarded-For, -Proto and -Host.
	ForwardedHeader bool `yaml:"forwarded"`
}

// Route sends the requests that match its host and path to a pool.
type Route struct {
	// Host to match: exact, "*.example.com" for every name below it, or "*" or "" for any.
	Host string `yaml:"host"`
	// Path to match: exact "/a", prefix "/v1/*", or "*" or "" for any.
	Path string `yaml:"path"`
	// Name of the pool that answers.
	Pool string `yaml:"pool" jsonschema:"required" example:"api"`
}

// Admin is where Weir tells about itself and takes orders.
type Admin struct {
	// Host and port. An address that is not loopback needs a token. Port 0 takes any free port.
	Address string `yaml:"address"`
	// Bearer token that every request must carry, best written as ${NAME}. Empty asks for none.
	Token string `yaml:"token"`
}

// Log is what Weir writes about itself.
type Log struct {
	// Least severe level that is written.
	Level string `yaml:"level" jsonschema:"enum=debug,enum=info,enum=warn,enum=error" noun:"a level"`
	// Form of a line; auto is text on a terminal and json otherwise.
	Format string `yaml:"format" jsonschema:"enum=auto,enum=text,enum=json" noun:"a format"`
}

// Limits bound what a client may send.
type Limits struct {
	// Largest request header block; above it the answer is 431.
	Header Size `yaml:"header"`
	// Longest request target; above it the answer is 414.
	URI Size `yaml:"uri"`
	// Largest request body; above it the answer is 413. 0 sets no limit.
	Body Size `yaml:"body"`
	// Most open client connections of one listener. 0 sets no limit.
	Connections int `yaml:"connections" jsonschema:"minimum=0"`
}

// Timeouts bound how long a client may take.
type Timeouts struct {
	// From the first byte of a request to the end of its header.
	Header Duration `yaml:"header"`
	// How long an idle client connection is kept.
	KeepAlive Duration `yaml:"keep_alive"`
}

// Pool is a set of interchangeable targets with one queue.
//
// It has either Targets, which are fixed, or a Template, from which Weir
// launches instances.
type Pool struct {
	// Fixed addresses, each "host:port" or {address, weight}.
	Targets []Target `yaml:"targets" jsonschema:"minItems=1" example:"[\"127.0.0.1:9001\"]"`
	// How a target is chosen among those with a free slot.
	Balance string `yaml:"balance" jsonschema:"enum=round_robin,enum=weighted_round_robin,enum=least_connections" noun:"an algorithm"`
	// Slots of each target: requests it may work on at a time. 0 sets no limit.
	Concurrency int `yaml:"concurrency" jsonschema:"minimum=0"`
	// Requests that wait for a free slot.
	Queue Queue `yaml:"queue"`
	// How long a target may take.
	Timeouts PoolTimeouts `yaml:"timeouts"`
	// Readiness check: a target takes traffic only while it passes. Without one, fixed
	// targets are taken as healthy and an instance is ready once it accepts a connection.
	Health *Health `yaml:"health"`
	// Liveness check: an instance that fails it is restarted.
	Liveness *Check `yaml:"liveness"`
	// Passive ejection of targets that fail real requests.
	Ejection Ejection `yaml:"ejection"`
	// Minimum of healthy targets; below it requests go to all targets. 0 never does so.
	FailOpen int `yaml:"fail_open" jsonschema:"minimum=0"`
	// How long a target that leaves may take to finish its requests.
	Drain Duration `yaml:"drain"`
	// How to launch one instance.
	Template *Template `yaml:"template"`
	// How many instances there are. Without it, exactly one.
	Scale *Scale `yaml:"scale"`
}

// Target is one address that takes traffic.
type Target struct {
	// Host and port.
	Address string `yaml:"address" jsonschema:"required" example:"\"127.0.0.1:9001\""`
	// Share of the traffic relative to the other targets.
	Weight int `yaml:"weight" jsonschema:"minimum=1,maximum=65535"`
}

// Queue bounds the requests that a pool holds.
type Queue struct {
	// Most requests held at a time; above it the answer is 503. 0 holds none.
	Limit int `yaml:"limit" jsonschema:"minimum=0"`
	// Longest wait; after it the answer is 503.
	Timeout Duration `yaml:"timeout"`
}

// PoolTimeouts bound how long a target may take. There is no limit on the
// total length of an answer.
type PoolTimeouts struct {
	// To open a connection.
	Connect Duration `yaml:"connect"`
	// From the end of the request to the first byte of the answer.
	FirstByte Duration `yaml:"first_byte"`
	// Between two chunks of an answer.
	Idle Duration `yaml:"idle"`
	// How long an idle connection to a target is kept.
	KeepAlive Duration `yaml:"keep_alive"`
}

// Health is an active readiness check.
type Health struct {
	// Path of the request.
	Path string `yaml:"path"`
	// Method of the request.
	Method string `yaml:"method"`
	// Time between two checks of a target. Default: 15s for targets, 1s for a template,
	// where it is part of every cold start.
	Interval Duration `yaml:"interval"`
	// Time after which a check has failed.
	Timeout Duration `yaml:"timeout"`
	// Passes in a row that make an unhealthy target healthy; a new one needs one pass.
	Healthy int `yaml:"healthy" jsonschema:"minimum=1"`
	// Failures in a row that make a healthy target unhealthy.
	Unhealthy int `yaml:"unhealthy" jsonschema:"minimum=1"`
	// What the answer must be.
	Expect Expect `yaml:"expect"`
}

// Check is an active liveness check. There is no way back to pass, because
// an instance that fails it is restarted.
type Check struct {
	// Path of the request.
	Path string `yaml:"path"`
	// Method of the request.
	Method string `yaml:"method"`
	// Time between two checks of an instance.
	Interval Duration `yaml:"interval"`
	// Time after which a check has failed.
	Timeout Duration `yaml:"timeout"`
	// Failures in a row after which the instance is restarted.
	Unhealthy int `yaml:"unhealthy" jsonschema:"minimum=1"`
	// What the answer must be.
	Expect Expect `yaml:"expect"`
}

// Expect is what the answer to a check must be; every part must hold.
type Expect struct {
	// Status codes that pass: one, or a list.
	Status StatusList `yaml:"status" jsonschema:"minItems=1" example:"[200]"`
	// Fields that a JSON body must have with exactly these values; a dot reaches
	// into an object, as in "checks.model".
	JSON map[string]any `yaml:"json"`
	// Text that the body must contain.
	Body string `yaml:"body"`
}

// StatusList is a list of HTTP status codes, 100 to 599. The file may give
// a single one without brackets.
type StatusList []int

// Ejection takes a target out for a while after failures of real requests.
//
// The n-th ejection in a row lasts n times Base, at most Max, as Envoy's
// outlier detection does.
type Ejection struct {
	// Failures in a row (5xx or no connection) that eject a target.
	ConsecutiveFailures int `yaml:"consecutive_failures" jsonschema:"minimum=1"`
	// Length of the first ejection.
	Base Duration `yaml:"base"`
	// Longest ejection.
	Max Duration `yaml:"max"`
	// Most targets ejected at a time, in percent of the pool, but always at least one.
	MaxPercent int `yaml:"max_percent" jsonschema:"minimum=0,maximum=100"`
	// Never eject.
	Off bool `yaml:"off"`
}

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

// Names that a file may use, as values of the fields above.
const (
	RoundRobin         = "round_robin"
	WeightedRoundRobin = "weighted_round_robin"
	LeastConnections   = "least_connections"

	MetricQueueDepth        = "queue_depth"
	MetricInFlight          = "in_flight"
	MetricRequestsPerSecond = "requests_per_second"
	MetricCPUUtilization    = "cpu_utilization"

	ProviderProcess = "process"
)
