package config

// WarmPool is instances that are prepared and take no traffic, as the warm
// pool of an EC2 Auto Scaling group: max(min, max_prepared - desired) of
// them. Scale-out takes them before it launches.
type WarmPool struct {
	// What they do meanwhile: stopped ends them once they are warmed up and launches them again, hibernated suspends them with
	// their memory, so that they are ready again in milliseconds, running lets them run.
	State string `yaml:"state" jsonschema:"enum=stopped,enum=hibernated,enum=running" noun:"a state of a warm pool"`
	// Prepared instances that are kept at any capacity.
	Min int `yaml:"min" jsonschema:"minimum=0"`
	// Prepared and serving instances together, above which no more are prepared than min. Default: scale.max.
	MaxPrepared *int `yaml:"max_prepared" jsonschema:"minimum=0"`
	// Scale-in sends instances back to the warm pool.
	Reuse bool `yaml:"reuse"`
}

// DefaultWarmPool is `warm_pool: {}`.
func DefaultWarmPool() WarmPool { return WarmPool{State: "stopped"} }

func (w *WarmPool) setDefaults() { *w = DefaultWarmPool() }
