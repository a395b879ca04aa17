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
