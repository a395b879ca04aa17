package config

import (
	"time"

	"github.com/weirlb/weir/scale"
)

// PredictPolicy launches ahead of the load that a forecast expects.
type PredictPolicy struct {
	// What is forecast: a total of the pool.
	Metric string `yaml:"metric" jsonschema:"minLength=1" example:"requests_per_second"`
	// PromQL on Weir's own history that gives the total, instead of its name.
	Query string `yaml:"query" jsonschema:"minLength=1" example:"'sum(demand)'"`
	// Of the metric, what one instance takes. Default: what slots and measured service times allow, for requests_per_second.
	Value float64 `yaml:"value" jsonschema:"exclusiveMinimum=0" example:"5"`
	// forecast_and_scale acts; forecast_only says what it would do.
	Mode string `yaml:"mode" jsonschema:"enum=forecast_and_scale,enum=forecast_only" noun:"a mode"`
	// Launch this long before the capacity is needed. Default: the boot that nine of ten are faster than, and margin.
	Lead Duration `yaml:"lead"`
	// Ready this long before the load comes, without lead.
	Margin Duration `yaml:"margin"`
	// Of the load forecast, the quantile to be ready for.
	Quantile float64 `yaml:"quantile" jsonschema:"minimum=0.5,maximum=0.99"`
	// How long the history is that it learns from.
	History Duration `yaml:"history"`
	// Of the forecast.
	Step Duration `yaml:"step"`
	// After which time the load repeats. Seven of them are the long season.
	Season Duration `yaml:"season"`
	// Whose days and weeks it follows, as in Europe/Berlin.
	Timezone string `yaml:"timezone" jsonschema:"minLength=1"`
	// Stop acting while reacting would have done better.
	Demote bool `yaml:"demote"`
	// What a forecast above max does: honor it, or increase it for as long.
	MaxCapacityBreach string `yaml:"max_capacity_breach" jsonschema:"enum=honor,enum=increase" noun:"a way to treat max"`
	// With increase: percent above the capacity forecast that max is raised to.
	MaxCapacityBuffer float64 `yaml:"max_capacity_buffer" jsonschema:"minimum=0,maximum=100"`
}

// ForecastOnly is the mode that only says.
const ForecastOnly = "forecast_only"

// DefaultPredictPolicy is `predict: {}`.
func DefaultPredictPolicy() PredictPolicy {
	return PredictPolicy{
		Metric: MetricRequestsPerSecond, Mode: "forecast_and_scale", Margin: seconds(60), Quantile: 0.9, History: 14 * 24 * seconds(3600),
		Step: seconds(300), Season: 24 * seconds(3600), Timezone: "UTC", Demote: true, MaxCapacityBreach: "honor",
	}
}

func (p *PredictPolicy) setDefaults() { *p = DefaultPredictPolicy() }

// Measured is the name under which the forecast and the policy know what is forecast.
func (p *PredictPolicy) Measured() string {
	if p.Query != "" {
		return "query:" + p.Query
	}
	return p.Metric
}

// Options translates the policy.
func (p *PredictPolicy) Options() scale.PredictOptions {
	return scale.PredictOptions{
		Metric: p.Measured(), Value: p.Value, Lead: time.Duration(p.Lead), Margin: time.Duration(p.Margin),
		ForecastOnly: p.Mode == ForecastOnly, Always: !p.Demote, Increase: p.MaxCapacityBreach == "increase", Buffer: p.MaxCapacityBuffer,
	}
}

func (v checker) predictPolicy(path string, p *PredictPolicy, in *Scale) {
	if at := child(path, "query"); v.has(at) && v.has(child(path, "metric")) {
		v.fail(at, "is given beside metric; keep one of them")
	} else if p.Metric != "" && !isMetric(p.Metric) {
		v.fail(child(path, "metric"), "%q cannot name a metric; PromQL goes under query", shorten(p.Metric))
	}
	if p.Value == 0 && (p.Query != "" || p.Metric != MetricRequestsPerSecond) && v.has(path) && !v.failed(path) && !v.failed(child(path, "value")) {
		v.fail(path, "has no \"value\"; add what one instance takes of the metric, as in value: 5")
	}
	if _, err := time.LoadLocation(p.Timezone); err != nil || p.Timezone == "Local" {
		v.fail(child(path, "timezone"), "%q is not a time zone; write one of the IANA database, such as \"Europe/Berlin\" or \"UTC\"", shorten(p.Timezone))
	}
	if at := child(path, "lead"); v.has(at) {
		v.positive(at, int64(p.Lead), "5m")
	}
	if p.Step < seconds(1) {
		v.fail(child(path, "step"), "%s is shorter than Weir looks; write \"1s\" or more", p.Step)
		return
	}
	if p.Season%p.Step != 0 || p.Season/p.Step < 4 || p.Season/p.Step > 1440 {
		v.fail(v.mentioned(child(path, "season"), child(path, "step")), "season %s is not 4 to 1440 whole steps of %s; write for example season: 24h and step: 5m", p.Season, p.Step)
	}
	if p.History < p.Season {
		v.fail(v.mentioned(child(path, "history"), child(path, "season")), "history %s is shorter than the season %s; write two of them or more", p.History, p.Season)
	} else if p.History/p.Step > 50_000 {
		v.fail(v.mentioned(child(path, "history"), child(path, "step")), "history %s has more than 50000 steps of %s; write a longer step", p.History, p.Step)
	}
	if at := child(path, "max_capacity_buffer"); v.has(at) && p.MaxCapacityBreach != "increase" {
		v.fail(at, "belongs to max_capacity_breach: increase; write that beside it, or remove it")
	}
	reactive, predicts := 0, 0
	for _, one := range in.Policies {
		switch {
		case one.Predict != nil:
			predicts++
		case one.Schedule == nil:
			reactive++
		}
	}
	switch {
	case predicts > 1:
		v.fail(path, "is one of %d predict policies of this pool; keep one", predicts)
	case reactive == 0:
		v.fail(path, "only raises what other policies ask for, and there is none; add one, such as {queue: {wait_p95: 2s}}")
	}
}
