package config

// Remedy is what is done for an instance that fails a check.
type Remedy struct {
	// replace: another one is launched first, then it drains. restart: it ends at once and another one is launched. reload: it is told to load
	// again, and replaced when that does not help in time. scale_up: another one is launched, and it stays.
	Do string `yaml:"do" jsonschema:"required,enum=replace,enum=restart,enum=reload,enum=scale_up" noun:"a remedy" example:"restart"`
	// For reload: where on the instance a request is sent.
	Path string `yaml:"path" example:"/load"`
	// For reload: its method.
	Method string `yaml:"method"`
	// For reload: a program to run instead, which finds the instance in WEIR_ variables.
	Exec []string `yaml:"exec" jsonschema:"minItems=1" example:"[./reload]"`
	// For reload: how long it may take until the check passes.
	Timeout Duration `yaml:"timeout"`
}

// DefaultRemedy is one that says only what to do.
func DefaultRemedy() Remedy { return Remedy{Method: "POST", Timeout: seconds(60)} }

func (r *Remedy) setDefaults() { *r = DefaultRemedy() }

func (*Remedy) short() string { return "do" }
