package config

// Pool is a set of interchangeable targets with one queue.
//
// It has either Targets, which are fixed, or a Template, from which Weir
// launches instances.
type Pool struct {
	// Fixed addresses, each "host:port" or {address, weight, slots}.
	Targets []Target `yaml:"targets" jsonschema:"minItems=1" example:"[\"127.0.0.1:9001\"]"`
	// How a target is chosen among those with a free slot.
	Balance string `yaml:"balance" jsonschema:"enum=round_robin,enum=weighted_round_robin,enum=least_connections,enum=random_two_choices,enum=hash,enum=ip_hash,enum=least_response_time,enum=prequal,enum=least_utilization,enum=prefix_affinity,enum=affinity" noun:"an algorithm"`
	// With balance hash: what keeps to a target: client, header:NAME, cookie:NAME, query:NAME or json:FIELD of the body.
	HashBy Key `yaml:"hash_by" keys:"client header cookie query json"`
	// With balance prefix_affinity: where the prompt is.
	Prefix *Prefix `yaml:"prefix"`
	// With balance affinity: what a target keeps at hand.
	Affinity *Affinity `yaml:"affinity"`
	// With balance least_utilization: what targets report.
	Utilization *Utilization `yaml:"utilization"`
	// Slots of each target: requests it may work on at a time. 0 sets no limit.
	Concurrency int `yaml:"concurrency" jsonschema:"minimum=0"`
	// Requests that wait for a free slot.
	Queue Queue `yaml:"queue"`
	// Time over which the share and the slots of a new target grow to their full size. 0 gives it all at once.
	SlowStart Duration `yaml:"slow_start"`
	// Keep a client on its target, by a signed cookie.
	Sticky *Sticky `yaml:"sticky"`
	// Bounds all requests that are tried again on another target.
	Retries Retries `yaml:"retries"`
	// Protocol to targets: HTTP/1.1, or HTTP/2 (h2c without tls), which gRPC needs.
	Protocol string `yaml:"protocol" jsonschema:"enum=h1,enum=h2" noun:"a protocol"`
	// Speak TLS to targets. {} is enough where their certificates are publicly trusted.
	TLS *TargetTLS `yaml:"tls"`
	// Tell targets the client's address by the PROXY protocol: v1 or v2. Each client connection then has one of its own to the target.
	ProxyProtocol string `yaml:"proxy_protocol" jsonschema:"enum=v1,enum=v2" noun:"a version of the PROXY protocol"`
	// How long a target may take.
	Timeouts PoolTimeouts `yaml:"timeouts"`
	// Readiness check: a target takes traffic only while it passes. Without one, fixed
	// targets are taken as healthy and an instance is ready once it accepts a connection.
	Health *Health `yaml:"health"`
	// Liveness check: an instance that fails it is restarted.
	Liveness *Check `yaml:"liveness"`
	// Ask an agent on each target for its weight and state, as HAProxy's agent-check does.
	Agent *Agent `yaml:"agent"`
	// What targets tell of their load in the headers of their answers: orca is Envoy's form.
	LoadReport string `yaml:"load_report" jsonschema:"enum=off,enum=orca" noun:"a form of load report"`
	// Passive ejection of targets that fail real requests.
	Ejection Ejection `yaml:"ejection"`
	// Minimum of healthy targets; below it requests go to all targets. 0 never does so.
	FailOpen int `yaml:"fail_open" jsonschema:"minimum=0"`
	// How long a target that leaves may take to finish its requests.
	Drain Duration `yaml:"drain"`
	// How to launch one instance.
	Template *Template `yaml:"template"`
	// Server that runs on the targets, which says where its metrics and its health are, and what its names mean.
	Preset string `yaml:"preset" jsonschema:"enum=vllm,enum=sglang,enum=triton,enum=tgi,enum=llamacpp,enum=ollama,enum=comfyui,enum=cog,enum=dcgm" noun:"a preset"`
	// Where the targets tell their metrics, in the form of Prometheus.
	Metrics *Scrape `yaml:"metrics"`
	// How many instances there are. Without it, exactly one.
	Scale *Scale `yaml:"scale"`
	// How instances follow a template that has changed.
	Refresh Refresh `yaml:"refresh"`
	// Instances that are prepared and take no traffic, so that scale-out need not wait for a boot.
	WarmPool *WarmPool `yaml:"warm_pool"`
	// What happens to instances between their launch and their end.
	Lifecycle Lifecycle `yaml:"lifecycle"`
}

// Target is one address that takes traffic.
type Target struct {
	// Host and port.
	Address string `yaml:"address" jsonschema:"required" example:"\"127.0.0.1:9001\""`
	// Share of the traffic relative to the other targets.
	Weight int `yaml:"weight" jsonschema:"minimum=1,maximum=65535"`
	// Requests it may work on at a time. Default: the pool's concurrency.
	Slots int `yaml:"slots" jsonschema:"minimum=1"`
}

// Prefix is where the prompt of a request is, whose beginning decides which
// target has computed it before.
type Prefix struct {
	// Fields of the JSON body that hold the prompt; the first one that is there counts. A dot reaches into an object.
	JSON StringList `yaml:"json" jsonschema:"minItems=1" example:"[messages, prompt]"`
	// Bytes of the prompt that are compared as one.
	Block Size `yaml:"block"`
}

// Affinity is what a target keeps at hand for the requests that need it,
// such as a checkpoint or a LoRA.
type Affinity struct {
	// Where a request says it: header:NAME, cookie:NAME, query:NAME or json:FIELD of the body.
	By Key `yaml:"by" jsonschema:"required" keys:"header cookie query json" example:"json:model"`
	// How much longer a request takes where it has to be fetched first, until Weir has measured that. A request goes
	// elsewhere once waiting for its favourite would take longer.
	SwitchCost Duration `yaml:"switch_cost"`
	// How many different ones a target keeps at hand at a time, such as the LoRAs that its server holds.
	Keeps int `yaml:"keeps" jsonschema:"minimum=1,maximum=64"`
}

// Utilization is what targets report of themselves.
type Utilization struct {
	// Name of the gauge, which is least where the next request goes, such as kv_cache_usage_perc or application_utilization.
	Metric string `yaml:"metric" jsonschema:"minLength=1"`
	// A report that is older counts for nothing; it never counts as 0.
	MaxAge Duration `yaml:"max_age"`
}

// Sticky keeps a client on its target by a signed cookie.
type Sticky struct {
	// Name of the cookie.
	Cookie string `yaml:"cookie"`
	// How long a client without a request is remembered, from 1s to 7d in whole seconds; each answer renews it.
	Duration Duration `yaml:"duration"`
	// SameSite of the cookie. It is Secure where the client came by TLS; none needs that.
	SameSite string `yaml:"same_site" jsonschema:"enum=lax,enum=strict,enum=none" noun:"a value of SameSite"`
	// How long a request waits for a slot of its own target before it takes another. 0 takes another at once.
	Wait Duration `yaml:"wait"`
}

// Retries bound the requests that are tried again, so that a pool in
// trouble is not given more work than it had.
type Retries struct {
	// Most requests tried again at a time, in percent of those in flight.
	BudgetPercent int `yaml:"budget_percent" jsonschema:"minimum=1,maximum=100"`
	// Most requests tried again at a time while few are in flight.
	Min int `yaml:"min" jsonschema:"minimum=0"`
}

// TargetTLS is TLS to targets.
type TargetTLS struct {
	// Files with the authorities that targets' certificates are held to, in PEM. Default: the system's.
	CA StringList `yaml:"ca" jsonschema:"minItems=1" example:"[targets.pem]"`
	// Name that certificates must have, also sent as SNI. Default: the host of the target's address.
	ServerName string `yaml:"server_name"`
	// File with the certificate that Weir shows to targets, in PEM.
	Cert string `yaml:"cert"`
	// File with its private key, in PEM.
	Key string `yaml:"key"`
	// Believe any certificate. Only for tests: who is in between can read and change everything.
	Insecure bool `yaml:"insecure"`
}

// Agent is a small server beside each target that says how it is.
type Agent struct {
	// Port of the agent, on the target's host.
	Port int `yaml:"port" jsonschema:"required,minimum=1,maximum=65535" example:"9101"`
	// Time between two questions.
	Interval Duration `yaml:"interval"`
}

// Queue bounds the requests that a pool holds.
type Queue struct {
	// Most requests held at a time; above it the answer is 503. 0 holds none.
	Limit int `yaml:"limit" jsonschema:"minimum=0"`
	// Longest wait; after it the answer is 503.
	Timeout Duration `yaml:"timeout"`
	// Who of equal priority is next: fifo the oldest, deadline the one with the nearest deadline,
	// shortest_first the one that will take the least time.
	Order string `yaml:"order" jsonschema:"enum=fifo,enum=deadline,enum=shortest_first" noun:"an order"`
	// With order shortest_first: what predicts the time that a request takes.
	Size *RequestSize `yaml:"size"`
	// Bound of being overtaken. With order shortest_first: nobody who came this much later goes first; default: half of timeout.
	// With order deadline: the deadline of requests that have none; default: timeout.
	MaxWait Duration `yaml:"max_wait"`
	// Share the slots between the tenants that wait; routes say who a tenant is.
	Fair bool `yaml:"fair"`
}

// RequestSize is what predicts the time that a request takes: exactly one
// of its keys is set. What its numbers mean Weir learns from the times it
// measures.
type RequestSize struct {
	// Header with a number.
	Header string `yaml:"header" jsonschema:"minLength=1"`
	// Fields of the JSON body with numbers, which are multiplied. A dot reaches into an object.
	JSON StringList `yaml:"json" jsonschema:"minItems=1" example:"[steps, n]"`
	// The length of the body.
	Bytes bool `yaml:"bytes"`
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
	// What is done for an instance that fails a check, by the check's name: a field of the answer, which must be true unless
	// expect.json says otherwise; timeout, when there is no answer; or other. Instances are replaced for all that is not named.
	OnFailure map[string]Remedy `yaml:"on_failure" example:"{model_loaded: restart}"`
	// How many remedies may begin within an hour. Default: twice the instances desired, at least 10.
	RemediesPerHour int `yaml:"remedies_per_hour" jsonschema:"minimum=1"`
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
