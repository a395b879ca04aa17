package config

import (
	"net/netip"
	"time"
)

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
		Admin:     Admin{Address: "127.0.0.1:9900"},
		State:     "weir-state",
		Log:       Log{Level: "info", Format: "auto"},
		Metrics:   DefaultMetrics(),
		Limits:    Limits{Header: 32 * KiB, URI: 8 * KiB, Clients: ClientLimits{Network4: 32, Network6: 64}},
		Timeouts:  Timeouts{Header: seconds(10), Body: seconds(30), KeepAlive: seconds(75)},
		DebugFrom: []Network{{netip.MustParsePrefix("127.0.0.0/8")}, {netip.MustParsePrefix("::1/128")}},
	}
}

// DefaultAccessLog is `access_log: {}`.
func DefaultAccessLog() AccessLog {
	return AccessLog{Path: "stderr", Format: "json", Sample: 1, KeepErrors: true, Slow: seconds(5)}
}

// DefaultTracing is tracing whose endpoint alone is given.
func DefaultTracing() Tracing { return Tracing{Protocol: "http", Sample: 0.1, Service: "weir"} }

// DefaultListen is a listener whose address and routes alone are given. Its
// Protocols are empty: Parse fills them in.
func DefaultListen() Listen { return Listen{Engine: EngineAuto} }

// DefaultTLS is the tls of a listener that says nothing.
func DefaultTLS() TLS { return TLS{MinVersion: "1.2"} }

// DefaultClientAuth is client_auth whose authorities alone are given.
func DefaultClientAuth() ClientAuth { return ClientAuth{Mode: "require"} }

// DefaultProxyProtocol is proxy_protocol whose networks alone are given.
func DefaultProxyProtocol() ProxyProtocol { return ProxyProtocol{Required: true} }

// DefaultRoute is a route whose action alone is given. Its Name is empty:
// Parse fills it in.
func DefaultRoute() Route {
	return Route{Priority: Priority{Max: 10}, Retry: Retry{Attempts: 3}}
}

// DefaultArm is a part of a split whose pool alone is given.
func DefaultArm() Arm { return Arm{Weight: 1} }

// DefaultRedirect is a redirect whose target alone is given.
func DefaultRedirect() Redirect { return Redirect{Status: 308} }

// DefaultRespond is `respond: {}`.
func DefaultRespond() Respond { return Respond{Status: 200} }

// DefaultMirror is a mirror whose pool alone is given.
func DefaultMirror() Mirror { return Mirror{Percent: 100, MaxBody: 64 * KiB} }

// DefaultPool is a pool that says nothing.
func DefaultPool() Pool {
	return Pool{
		Balance:    LeastConnections,
		Queue:      Queue{Limit: 1000, Timeout: seconds(60), Order: OrderFIFO},
		Timeouts:   PoolTimeouts{Connect: seconds(5), FirstByte: seconds(60), Idle: seconds(300), KeepAlive: seconds(60)},
		Retries:    Retries{BudgetPercent: 20, Min: 3},
		Protocol:   ProtocolH1,
		LoadReport: "off",
		Ejection:   Ejection{ConsecutiveFailures: 5, Base: seconds(30), Max: seconds(300), MaxPercent: 10},
		FailOpen:   1,
		Drain:      seconds(300),
		Refresh:    DefaultRefresh(),
		Lifecycle:  DefaultLifecycle(),
	}
}

// DefaultPrefix is `prefix: {}`: the fields of chat and of plain completions.
func DefaultPrefix() Prefix { return Prefix{JSON: StringList{"messages", "prompt"}, Block: 256} }

// DefaultAffinity is affinity whose key alone is given.
func DefaultAffinity() Affinity { return Affinity{SwitchCost: seconds(5), Keeps: 1} }

// DefaultUtilization is `utilization: {}`.
func DefaultUtilization() Utilization {
	return Utilization{Metric: "gpu_utilization", MaxAge: seconds(10)}
}

// DefaultSticky is `sticky: {}`.
func DefaultSticky() Sticky {
	return Sticky{Cookie: "weir_session", Duration: seconds(86_400), SameSite: "lax"}
}

// DefaultAgent is an agent whose port alone is given.
func DefaultAgent() Agent { return Agent{Interval: seconds(2)} }

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
		Combine:       "aws",
	}
}

// DefaultTargetPolicy is a target policy whose metric and value alone are given.
func DefaultTargetPolicy() TargetPolicy { return TargetPolicy{Style: StyleFast, LowRatio: 0.9} }

// DefaultStepPolicy is a step policy whose metric, threshold and steps alone
// are given. Its Breach is 0: Parse replaces that by Points.
func DefaultStepPolicy() StepPolicy {
	return StepPolicy{Statistic: "average", Period: seconds(60), Points: 1, Missing: "missing", AdjustmentType: "change_in_capacity"}
}

// DefaultSimplePolicy is a simple policy whose metric, threshold and
// adjustment alone are given. Its Breach is 0: Parse replaces that by Points.
func DefaultSimplePolicy() SimplePolicy {
	return SimplePolicy{
		Comparison: "above", Statistic: "average", Period: seconds(60), Points: 1, Missing: "missing",
		AdjustmentType: "change_in_capacity", Cooldown: seconds(300),
	}
}

// DefaultHPAPolicy is `hpa: {}`.
func DefaultHPAPolicy() HPAPolicy { return HPAPolicy{SyncPeriod: Seconds(15 * time.Second)} }

// DefaultHPARules are scale_up or scale_down that say nothing.
func DefaultHPARules() HPARules { return HPARules{SelectPolicy: "Max"} }

// DefaultKEDAPolicy is keda whose triggers alone are given.
func DefaultKEDAPolicy() KEDAPolicy { return KEDAPolicy{PollingInterval: Seconds(30 * time.Second)} }

// DefaultKEDAFallback is a fallback whose numbers alone are given.
func DefaultKEDAFallback() KEDAFallback { return KEDAFallback{Behavior: "static"} }

// DefaultSchedulePolicy is a schedule whose time and effect alone are given.
func DefaultSchedulePolicy() SchedulePolicy { return SchedulePolicy{Timezone: "UTC"} }

// DefaultQueuePolicy is `queue: {}`.
func DefaultQueuePolicy() QueuePolicy { return QueuePolicy{WaitP95: seconds(2)} }

// defaulter is a type whose values start from defaults instead of zero
// wherever a file makes a new one: in a map, a list or behind a pointer.
type defaulter interface{ setDefaults() }

func (c *Config) setDefaults()         { *c = Default() }
func (a *AccessLog) setDefaults()      { *a = DefaultAccessLog() }
func (t *Tracing) setDefaults()        { *t = DefaultTracing() }
func (l *Listen) setDefaults()         { *l = DefaultListen() }
func (t *TLS) setDefaults()            { *t = DefaultTLS() }
func (c *ClientAuth) setDefaults()     { *c = DefaultClientAuth() }
func (p *ProxyProtocol) setDefaults()  { *p = DefaultProxyProtocol() }
func (r *Route) setDefaults()          { *r = DefaultRoute() }
func (a *Arm) setDefaults()            { *a = DefaultArm() }
func (r *Redirect) setDefaults()       { *r = DefaultRedirect() }
func (r *Respond) setDefaults()        { *r = DefaultRespond() }
func (m *Mirror) setDefaults()         { *m = DefaultMirror() }
func (p *Pool) setDefaults()           { *p = DefaultPool() }
func (p *Prefix) setDefaults()         { *p = DefaultPrefix() }
func (a *Affinity) setDefaults()       { *a = DefaultAffinity() }
func (u *Utilization) setDefaults()    { *u = DefaultUtilization() }
func (s *Sticky) setDefaults()         { *s = DefaultSticky() }
func (a *Agent) setDefaults()          { *a = DefaultAgent() }
func (t *Target) setDefaults()         { *t = DefaultTarget() }
func (h *Health) setDefaults()         { *h = DefaultHealth() }
func (c *Check) setDefaults()          { *c = DefaultCheck() }
func (t *Template) setDefaults()       { *t = DefaultTemplate() }
func (w *WarmUp) setDefaults()         { *w = DefaultWarmUp() }
func (s *Scale) setDefaults()          { *s = DefaultScale() }
func (q *QueuePolicy) setDefaults()    { *q = DefaultQueuePolicy() }
func (h *HPAPolicy) setDefaults()      { *h = DefaultHPAPolicy() }
func (r *HPARules) setDefaults()       { *r = DefaultHPARules() }
func (k *KEDAPolicy) setDefaults()     { *k = DefaultKEDAPolicy() }
func (f *KEDAFallback) setDefaults()   { *f = DefaultKEDAFallback() }
func (t *TargetPolicy) setDefaults()   { *t = DefaultTargetPolicy() }
func (s *StepPolicy) setDefaults()     { *s = DefaultStepPolicy() }
func (s *SimplePolicy) setDefaults()   { *s = DefaultSimplePolicy() }
func (s *SchedulePolicy) setDefaults() { *s = DefaultSchedulePolicy() }

// everyDefault is one of each, for the schema.
func everyDefault() []any {
	return []any{
		Default(), DefaultAccessLog(), DefaultTracing(),
		DefaultListen(), DefaultTLS(), DefaultClientAuth(), DefaultProxyProtocol(),
		DefaultRoute(), DefaultArm(), DefaultRedirect(), DefaultRespond(), DefaultMirror(),
		DefaultPrometheus(), DefaultScrape(),
		DefaultPool(), DefaultPrefix(), DefaultAffinity(), DefaultUtilization(), DefaultSticky(), DefaultAgent(), DefaultTarget(),
		DefaultHealth(), DefaultCheck(), DefaultTemplate(), DefaultWarmUp(), DefaultWarmPool(), DefaultLifecycle(), DefaultHook(), DefaultRemedy(), DefaultScale(), DefaultCost(), DefaultQueuePolicy(),
		DefaultTargetPolicy(), DefaultStepPolicy(), DefaultSimplePolicy(), DefaultSchedulePolicy(),
		DefaultHPAPolicy(), DefaultHPARules(), DefaultKEDAPolicy(), DefaultKEDAFallback(), DefaultKnativePolicy(), DefaultPredictPolicy(), DefaultAlarm(), DefaultAlarmAction(),
	}
}

func seconds(n int) Duration { return Duration(n) * Duration(time.Second) }
