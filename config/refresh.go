package config

// Refresh is how instances follow a template that has changed: a few at a
// time, as an instance refresh of EC2 Auto Scaling does it.
type Refresh struct {
	// Begin by itself when a reload brings another template. Without it, weir refresh does.
	Auto bool `yaml:"auto"`
	// Percent of the desired capacity that stays ready.
	MinHealthyPercent int `yaml:"min_healthy_percent" jsonschema:"minimum=0,maximum=100"`
	// Percent of the desired capacity that there may be at most. Above 100, new instances are launched before old ones go.
	MaxHealthyPercent int `yaml:"max_healthy_percent" jsonschema:"minimum=100,maximum=200"`
	// Percent replaced at which to pause, ascending.
	Checkpoints []int `yaml:"checkpoints" example:"[20, 50]"`
	// Length of such a pause.
	CheckpointDelay Duration `yaml:"checkpoint_delay"`
	// How long the new instances are watched, when all are replaced, before it counts as done.
	BakeTime Duration `yaml:"bake_time"`
	// Time for one batch to be replaced; it fails after that. 0 waits for ever.
	Timeout Duration `yaml:"timeout"`
	// Launches in a row that may fail before it fails.
	Failures int `yaml:"failures" jsonschema:"minimum=1"`
	// Go back to the template before when it fails.
	Rollback bool `yaml:"rollback"`
	// What the answers of the new instances must be like.
	Gate Gate `yaml:"gate"`
}

// Gate fails a refresh by what the new instances answer; without a value
// nothing is looked at.
type Gate struct {
	// Most failed requests on the new instances, in percent.
	ErrorPercent float64 `yaml:"error_percent" jsonschema:"minimum=0,maximum=100" example:"5"`
	// Most that they may take, in terms of the old ones: 2 is twice as long.
	LatencyFactor float64 `yaml:"latency_factor" jsonschema:"minimum=0" example:"2"`
	// Answers before anything is judged.
	Requests int `yaml:"requests" jsonschema:"minimum=1"`
}

// DefaultRefresh is how a pool with a template is refreshed when nothing is
// written.
func DefaultRefresh() Refresh {
	return Refresh{
		Auto: true, MinHealthyPercent: 90, MaxHealthyPercent: 100, CheckpointDelay: seconds(3600), Failures: 2, Rollback: true,
		Gate: DefaultGate(),
	}
}

// DefaultGate looks at nothing.
func DefaultGate() Gate { return Gate{Requests: 20} }

func (r *Refresh) setDefaults() { *r = DefaultRefresh() }
func (g *Gate) setDefaults()    { *g = DefaultGate() }

func (v checker) refresh(path string, p *Pool) {
	r := p.Refresh
	if p.Template == nil && v.has(path) {
		v.fail(path, "replaces instances that Weir has launched, and this pool has none; remove it, or add a template")
		return
	}
	last := 0
	for i, c := range r.Checkpoints {
		at := item(child(path, "checkpoints"), i)
		if c < 1 || c > 100 {
			v.fail(at, "%d is no percentage of instances replaced; write 1 to 100", c)
		} else if c <= last {
			v.fail(at, "%d does not come after %d; write the checkpoints in ascending order", c, last)
		}
		last = max(last, c)
	}
}
