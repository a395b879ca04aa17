package scale

import (
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// Curve is the part of a forecast that a decision needs: an upper quantile of a metric's total from a little before now on. It is not changed once made.
type Curve struct {
	Metric string        `json:"metric"`
	Start  time.Time     `json:"start"` // when the first step begins
	Step   time.Duration `json:"step"`  // nanoseconds
	Values []float64     `json:"values"`

	// How forecasts of the last days did at the distance of the lead, against reacting, which is to have what was needed when one had to launch.
	Tried    int     `json:"tried,omitempty"`    // forecasts that were compared
	Error    float64 `json:"error,omitempty"`    // loss of the forecasts' quantile, 0 and up: see forecast.Accuracy
	Reactive float64 `json:"reactive,omitempty"` // loss of reacting
}

// highest is the largest value of the steps that touch the time from from to to, and when its step begins.
func (c *Curve) highest(from, to time.Time) (v float64, at time.Time, ok bool) {
	if c.Step <= 0 {
		return 0, at, false
	}
	for i, x := range c.Values {
		begin := c.Start.Add(time.Duration(i) * c.Step)
		if !begin.Add(c.Step).After(from) {
			continue
		}
		if begin.After(to) {
			break
		}
		if !math.IsNaN(x) && !math.IsInf(x, 0) && (!ok || x > v) {
			v, at, ok = x, begin, true
		}
	}
	return v, at, ok
}

// covers reports whether the curve reaches from from to to.
func (c *Curve) covers(from, to time.Time) bool {
	return len(c.Values) > 0 && !from.Before(c.Start) && c.Start.Add(time.Duration(len(c.Values))*c.Step).After(to)
}

// PredictOptions say how a forecast becomes a capacity.
type PredictOptions struct {
	Metric       string        // that is forecast, a total of the pool
	Value        float64       // of it per instance; 0, for requests_per_second alone: what measured service times and slots allow
	Lead         time.Duration // launch this long before the capacity is needed; 0 is nine tenths of measured boots, and Margin
	Margin       time.Duration // after a boot; AWS: the scheduling buffer time
	ForecastOnly bool          // say what it would do, and do nothing
	Always       bool          // never demote it
	Increase     bool          // a forecast above max raises max for as long; AWS: IncreaseMaxCapacity
	Buffer       float64       // with Increase: max is raised to this many percent above the forecast capacity
}

const (
	// predictUtilization is how busy slots are to be when the forecast holds: the rest is for chance.
	predictUtilization = 0.8
	// A forecast is judged from this many comparisons on.
	predictTried = 8
	// It is demoted when its error is above reacting's, and promoted when it is below this part of it.
	promoteBelow = 0.9
)

// Predict launches ahead of a forecast load, as predictive scaling of EC2 Auto Scaling does: it raises what the other policies ask for, and never
// lowers it. While its forecasts are worse than reacting would have been it is demoted, and only says what it would do.
type Predict struct {
	o       PredictOptions
	demoted bool
}

// NewPredict returns the policy, promoted.
func NewPredict(o PredictOptions) *Predict { return &Predict{o: o} }

// Name is "predict" and the metric.
func (p *Predict) Name() string { return "predict " + p.o.Metric }

// Propose asks for the capacity that the highest load forecast from now to now and the lead needs.
func (p *Predict) Propose(obs *Observation) Proposal {
	out := Proposal{Policy: p.Name(), Floor: true}
	c := obs.Forecast
	lead := p.Lead(obs.Boot)
	until := obs.Time.Add(lead)
	switch {
	case c == nil || c.Metric != p.o.Metric:
		out.Why = "there is no forecast yet"
		return out
	case !c.covers(obs.Time, until):
		out.Why = fmt.Sprintf("the forecast does not reach %v ahead", lead.Round(time.Second))
		return out
	}
	each, how := p.each(obs)
	if !(each > 0) {
		out.Why = how
		return out
	}
	load, at, ok := c.highest(obs.Time, until)
	if !ok {
		out.Why = "the forecast has no value for the time from now to the lead"
		return out
	}
	n := ceil(load / each)
	out.Why = fmt.Sprintf("ceil(%.4g forecast at %s / %s) = %d, %v ahead", load, at.UTC().Format("15:04:05"), how, n, lead.Round(time.Second))
	p.judge(c)
	switch {
	case p.demoted:
		out.Demoted = true
		out.Why = fmt.Sprintf("demoted, its error of %.3g is not below the %.3g of reacting; would be %s", c.Error, c.Reactive, out.Why)
	case p.o.ForecastOnly:
		out.Why = "forecast_only; would be " + out.Why
	default:
		out.Desired = n
		if p.o.Increase {
			out.Max = ceil(float64(n) * (1 + p.o.Buffer/100))
		}
	}
	return out
}

// Lead is how long before its need the policy launches, by the boots measured.
func (p *Predict) Lead(boots Sample) time.Duration {
	if p.o.Lead > 0 {
		return p.o.Lead
	}
	_, p90, _ := boots.boot()
	return seconds(p90) + p.o.Margin
}

// each is what one instance takes of the metric, in words too; 0 when that is unknown, with the reason.
func (p *Predict) each(obs *Observation) (float64, string) {
	if p.o.Value > 0 {
		return p.o.Value, fmt.Sprintf("%g each", p.o.Value)
	}
	mean, _, measured := obs.Service.service()
	switch {
	case !measured:
		return 0, "what one instance serves is not known before the first requests; give predict a value"
	case obs.Slots <= 0:
		return 0, "what one instance serves is not known without concurrency; give predict a value"
	}
	each := float64(obs.Slots) / mean * predictUtilization
	return each, fmt.Sprintf("%.4g/s each", each)
}

// judge demotes and promotes by what the forecast's record is now.
func (p *Predict) judge(c *Curve) {
	switch {
	case p.o.Always:
		p.demoted = false
	case c.Tried < predictTried:
	case c.Error > c.Reactive:
		p.demoted = true
	case c.Error <= promoteBelow*c.Reactive:
		p.demoted = false
	}
}

// SaveState implements Stateful.
func (p *Predict) SaveState() ([]byte, error) {
	if !p.demoted {
		return nil, nil
	}
	return json.Marshal(predictState{p.demoted})
}

// RestoreState implements Stateful.
func (p *Predict) RestoreState(b []byte) error {
	s, err := unmarshal[predictState](b)
	if err == nil {
		p.demoted = s.Demoted
	}
	return err
}

type predictState struct {
	Demoted bool `json:"demoted"`
}
