package config

// Alarm tells when something is where it should not be: a metric beyond a
// threshold, or a rule over other alarms.
type Alarm struct {
	// Whose metric; needed with metric.
	Pool string `yaml:"pool" jsonschema:"minLength=1" example:"api"`
	// A metric of the pool, or else the average of its instances.
	Metric string `yaml:"metric" jsonschema:"minLength=1" example:"oldest_wait"`
	// PromQL that gives the value, instead of a metric.
	Query string `yaml:"query" jsonschema:"minLength=1"`
	// Over other alarms, instead of a metric, as CloudWatch writes composite alarms: ALARM(a) AND NOT OK(b).
	Rule string `yaml:"rule" jsonschema:"minLength=1" example:"'ALARM(a) AND ALARM(b)'"`
	// Where the alarm goes off.
	Threshold *float64 `yaml:"threshold" example:"2"`
	// On which side of it.
	Comparison string `yaml:"comparison" jsonschema:"enum=above,enum=at_least,enum=below,enum=at_most" noun:"a comparison"`
	// How samples become the point of a period.
	Statistic string `yaml:"statistic" jsonschema:"enum=average,enum=maximum,enum=minimum,enum=sum" noun:"a statistic"`
	// Length of one point.
	Period Duration `yaml:"period"`
	// Points that are looked at.
	Points int `yaml:"points" jsonschema:"minimum=1,maximum=1440"`
	// How many of them must be beyond the threshold. Default: all.
	Breach int `yaml:"breach" jsonschema:"minimum=1"`
	// What a missing point counts as.
	Missing string `yaml:"missing" jsonschema:"enum=missing,enum=ignore,enum=breaching,enum=not_breaching" noun:"a treatment of missing points"`
	// What to do when the state changes.
	Actions []AlarmAction `yaml:"actions" jsonschema:"minItems=1" example:"[{webhook: {url: \"http://127.0.0.1:9000/alarm\"}}]"`
}

// AlarmAction is what to do when an alarm changes its state: exactly one of
// webhook and exec.
type AlarmAction struct {
	// To which states: alarm, ok, insufficient_data.
	On []string `yaml:"on" jsonschema:"minItems=1,enum=alarm,enum=ok,enum=insufficient_data" noun:"a state of an alarm" example:"[alarm, ok]"`
	// Send a POST with the change as JSON.
	Webhook *Webhook `yaml:"webhook"`
	// Run a program, with the change as JSON on its standard input and in WEIR_ALARM, WEIR_STATE and WEIR_REASON.
	Exec []string `yaml:"exec" jsonschema:"minItems=1" example:"[./page-me]"`
	// How long one attempt may take.
	Timeout Duration `yaml:"timeout"`
	// How often it is tried again after it failed, with pauses of 1 s, 2 s, 4 s and so on.
	Retries *int `yaml:"retries" jsonschema:"minimum=0,maximum=10"`
}

// Webhook is where a POST goes.
type Webhook struct {
	// Where to.
	URL string `yaml:"url" jsonschema:"required" example:"\"http://127.0.0.1:9000/alarm\""`
	// Headers of the request.
	Headers map[string]string `yaml:"headers"`
}

// DefaultAlarm is an alarm whose metric and threshold alone are given. Its
// Breach is 0: Parse replaces that by Points.
func DefaultAlarm() Alarm {
	return Alarm{Comparison: "above", Statistic: "average", Period: seconds(60), Points: 1, Missing: "missing"}
}

// DefaultAlarmAction is an action that says only what to do.
func DefaultAlarmAction() AlarmAction {
	return AlarmAction{On: []string{"alarm"}, Timeout: seconds(10), Retries: new(3)}
}

func (a *Alarm) setDefaults()       { *a = DefaultAlarm() }
func (a *AlarmAction) setDefaults() { *a = DefaultAlarmAction() }

// completeAlarms fills in what alarms leave out, and lets the policies that
// name one have its metric and threshold.
func completeAlarms(cfg *Config) {
	for _, a := range cfg.Alarms {
		if a.Breach == 0 {
			a.Breach = a.Points
		}
	}
	for _, p := range cfg.Pools {
		if p.Scale == nil {
			continue
		}
		for i := range p.Scale.Policies {
			one := &p.Scale.Policies[i]
			if s := one.Step; s != nil && cfg.Alarms[s.Alarm] != nil {
				a := cfg.Alarms[s.Alarm]
				s.Metric, s.Query, s.Threshold, s.Comparison = a.Metric, a.Query, a.Threshold, a.Comparison
				s.Statistic, s.Period, s.Points, s.Breach, s.Missing = a.Statistic, a.Period, a.Points, a.Breach, a.Missing
			}
			if s := one.Simple; s != nil && cfg.Alarms[s.Alarm] != nil {
				a := cfg.Alarms[s.Alarm]
				s.Metric, s.Query, s.Threshold, s.Comparison = a.Metric, a.Query, a.Threshold, a.Comparison
				s.Statistic, s.Period, s.Points, s.Breach, s.Missing = a.Statistic, a.Period, a.Points, a.Breach, a.Missing
			}
		}
	}
}
