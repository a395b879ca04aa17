package config

// Lifecycle is what happens to instances between their launch and their end.
type Lifecycle struct {
	// What is to be done while a new instance waits to serve, or one that is on its way out waits to end.
	Hooks []Hook `yaml:"hooks" jsonschema:"minItems=1" example:"[{name: register, on: launch, exec: [./register]}]"`
	// Instances are replaced before they have run for longer, a tenth of them at a time. 0 lets them run.
	MaxLifetime Duration `yaml:"max_lifetime"`
	// How long after its launch an instance that fails its checks is not replaced. Default: learned from measured boots.
	HealthGrace *Duration `yaml:"health_grace"`
	// Without health_grace: what the learned one is, in terms of the 99th percentile of boots. 0 learns none.
	HealthGraceFactor float64 `yaml:"health_grace_factor" jsonschema:"minimum=0,maximum=100"`
}

// Hook is one thing that an instance waits for, as a lifecycle hook of EC2
// Auto Scaling: a program, a webhook, or with neither somebody who says that
// it is done.
type Hook struct {
	// For whoever completes it, and the record.
	Name string `yaml:"name" jsonschema:"required,minLength=1,maxLength=255" example:"register"`
	// Whose way waits: launch or terminate.
	On string `yaml:"on" jsonschema:"required,enum=launch,enum=terminate" noun:"a transition" example:"launch"`
	// Run a program, with what it is about as JSON on its standard input and in WEIR_ variables.
	Exec []string `yaml:"exec" jsonschema:"minItems=1" example:"[./register]"`
	// Send a POST with what it is about as JSON.
	Webhook *Webhook `yaml:"webhook"`
	// How long the instance waits without a heartbeat, from 1s to 2h.
	Timeout Duration `yaml:"timeout"`
	// What counts when the time is up or the hook fails: continue, or abandon, which ends a new instance.
	DefaultResult string `yaml:"default_result" jsonschema:"enum=continue,enum=abandon" noun:"a result"`
	// Text that is handed to the hook as it is.
	Metadata string `yaml:"metadata" jsonschema:"maxLength=1023"`
}

// DefaultLifecycle is how instances live when nothing is written.
func DefaultLifecycle() Lifecycle { return Lifecycle{HealthGraceFactor: 3} }

// DefaultHook is a hook that says only when and what.
func DefaultHook() Hook { return Hook{Timeout: seconds(3600), DefaultResult: "abandon"} }

func (l *Lifecycle) setDefaults() { *l = DefaultLifecycle() }

func (h *Hook) setDefaults() { *h = DefaultHook() }
