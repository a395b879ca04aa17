package config

import "time"

// Intervals of a [Health] check that names none. They differ because the
// first pass of an instance is part of its cold start, and checks of
// instances stay on this machine.
const (
	DefaultTargetInterval   = Duration(15 * time.Second)
	DefaultInstanceInterval = Duration(time.Second)
)

// Default is the file that says nothing. It is not valid by itself: a file
// needs a listener and a pool.
func Default() Config {
	return Config{
		Admin:    Admin{Address: "127.0.0.1:9900"},
		State:    "weir-state",
		Log:      Log{Level: "info", Format: "auto"},
		Limits:   Limits{Header: 32 * KiB, URI: 8 * KiB},
		Timeouts: Timeouts{Header: seconds(10), KeepAlive: seconds(75)},
	}
}

// DefaultPool is a pool that says nothing.
func DefaultPool() Pool {
	return Pool{
		Balance:  LeastConnections,
		Queue:    Queue{Limit: 1000, Timeout: seconds(60)},
		Timeouts: PoolTimeouts{Connect: seconds(5), FirstByte: seconds(60), Idle: seconds(300), KeepAlive: seconds(60)},
		Ejection: Ejection{ConsecutiveFailures: 5, Base: seconds(30), Max: seconds(300), MaxPercent: 10},
		FailOpen: 1,
		Drain:    seconds(300),
	}
}

// DefaultTarget is a target whose address alone is given.
func DefaultTarget() Target { return Target{Weight: 1} }

// DefaultHealth is `health: {}`. Its Interval is 0: Parse replaces that by
// [DefaultTargetInterval] or [DefaultInstanceInterval].
func DefaultHealth() Health {
	return Health{
		Path:      "/health",
		Method:    "GET",
		Timeout:   seconds(5),
		Healthy:   2,
		Unhealthy: 2,
		Expect:    Expect{Status: StatusList{200}},
	}
}

// DefaultCheck is `liveness: {}`.
func DefaultCheck() Check {
	return Check{
		Path:      "/health",
		Method:    "GET",
		Interval:  seconds(15),
		Timeout:   seconds(5),
		Unhealthy: 2,
		Expect:    Expect{Status: StatusList{200}},
	}
}

// DefaultTemplate is a template whose command alone is given.
func DefaultTemplate() Template {
	return Template{
		Provider:     ProviderProcess,
		StartTimeout: seconds(600),
		StopTimeout:  seconds(30),
		Backoff:      Backoff{Initial: seconds(1), Max: seconds(60)},
		Log:          InstanceLog{MaxSize: 10 * MiB, Keep: 3},
	}
}

// DefaultWarmUp is a warm-up whose path alone is given. Its Method is empty:
// Parse replaces that by POST with a body and GET without.
func DefaultWarmUp() WarmUp { return WarmUp{Timeout: seconds(60)} }

// DefaultScale is the scale of a template pool that says nothing: one
// instance.
func DefaultScale() Scale {
	return Scale{
		Min:           1,
		Max:           1,
		Policies:      []Policy{{Queue: new(DefaultQueuePolicy())}},
		ScaleInWindow: seconds(60),
		ZeroAfter:     seconds(300),
	}
}

// DefaultQueuePolicy is `queue: {}`.
func DefaultQueuePolicy() QueuePolicy { return QueuePolicy{WaitP95: seconds(2)} }

// defaulter is a type whose values start from defaults instead of zero
// wherever a file makes a new one: in a map, a list or behind a pointer.
type defaulter interface{ setDefaults() }

func (c *Config) setDefaults()      { *c = Default() }
func (p *Pool) setDefaults()        { *p = DefaultPool() }
func (t *Target) setDefaults()      { *t = DefaultTarget() }
func (h *Health) setDefaults()      { *h = DefaultHealth() }
func (c *Check) setDefaults()       { *c = DefaultCheck() }
func (t *Template) setDefaults()    { *t = DefaultTemplate() }
func (w *WarmUp) setDefaults()      { *w = DefaultWarmUp() }
func (s *Scale) setDefaults()       { *s = DefaultScale() }
func (q *QueuePolicy) setDefaults() { *q = DefaultQueuePolicy() }

func seconds(n int) Duration { return Duration(n) * Duration(time.Second) }
