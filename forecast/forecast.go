// Package forecast goes on with a metric's history for the next minutes to days. Everything here is a pure function of the history: no
// clock, no I/O, no chance. Several models are tried on the history's own last days, each time with what was known then,
// and averaged by how well they did there; how far that average was off gives the quantiles.
package forecast

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Options say what to forecast. The zero value forecasts two days in the steps of the series, with days in UTC.
type Options struct {
	Step      time.Duration  // of the forecast, a multiple of the series' own that divides a season; 0 is the series' own
	Horizon   time.Duration  // how far ahead; 0 is 48 hours, at most 7 seasons
	Quantiles []float64      // increasing, each between 0 and 1; nil is 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95
	Location  *time.Location // whose days and weeks the seasons follow, over daylight saving too; nil is UTC
	Season    time.Duration  // the short season; 0 is a day. The long one is seven of them
	Models    []string       // to combine; nil is all of [Models]
	Lead      time.Duration  // how far ahead Forecast.Recent looks; 0 is one step
	Ready     float64        // the quantile whose use Forecast.Recent judges, between 0 and 1; 0 is 0.9
}

// defaultQuantiles are those of a forecast when Options does not say.
var defaultQuantiles = []float64{0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95}

// Forecast is what a metric is expected to be.
type Forecast struct {
	Start     time.Time     // when its first step begins: where the history ends
	Step      time.Duration // of its values
	Quantiles []float64     // increasing
	Values    [][]float64   // Values[q][i] is quantile q of step i; never decreasing with q, never negative when the history is not
	Point     []float64     // the single most useful value of each step, near the median
	Models    []Score       // what it is made of, the heaviest first
	Recent    Accuracy      // of the forecasts that would have been made in the last two seasons, Options.Lead ahead
}

// Accuracy is how forecasts did a certain time ahead.
type Accuracy struct {
	Tried       int     // values that were compared
	WAPE        float64 // sum of absolute errors by sum of values; 0 of none
	Persistence float64 // that of having what was needed Options.Lead before, which is all that reacting can do

	// What being ready for the quantile Options.Ready of the forecasts would have cost, by sum of values: that part of what was missing, and the
	// rest of what was too much. And what reacting would have.
	Loss, Reacting float64
}

// Score is how one model did in the backtest.
type Score struct {
	Model  string
	WAPE   float64 // sum of absolute errors by sum of values, over the backtest; NaN when it could not be tried
	Weight float64 // its mean part in the forecast, 0 to 1
}

// ErrShort is wrapped when a history is too short, or too empty, to forecast from.
var ErrShort = errors.New("the history is too short")

// New forecasts s. The history must span a season and have values in at least half of the last one.
func New(s Series, o Options) (*Forecast, error) {
	p, err := prepare(s, o)
	if err != nil {
		return nil, err
	}
	p.backtest()
	p.weigh()
	return p.forecast()
}

// prepare checks and trims what New was given.
func prepare(s Series, o Options) (*problem, error) {
	if o.Season == 0 {
		o.Season = 24 * time.Hour
	}
	if o.Horizon == 0 {
		o.Horizon = 48 * time.Hour
	}
	if o.Quantiles == nil {
		o.Quantiles = defaultQuantiles
	}
	if o.Ready == 0 {
		o.Ready = 0.9
	}
	if o.Step == 0 {
		o.Step = s.Step
	}
	switch {
	case s.Step <= 0 || o.Step < s.Step || o.Step%s.Step != 0:
		return nil, fmt.Errorf("step %v of the forecast: write a multiple of %v, the step of the history", o.Step, s.Step)
	case o.Season <= 0 || o.Season%o.Step != 0 || o.Season/o.Step < 4:
		return nil, fmt.Errorf("season %v: write a multiple of the step %v, at least four of them", o.Season, o.Step)
	case o.Horizon < o.Step || o.Horizon > daysPerWeek*o.Season:
		return nil, fmt.Errorf("horizon %v: write %v to %v", o.Horizon, o.Step, daysPerWeek*o.Season)
	case !(o.Ready > 0 && o.Ready < 1):
		return nil, fmt.Errorf("ready %v: write a number between 0 and 1", o.Ready)
	case !slices.IsSorted(o.Quantiles) || len(o.Quantiles) == 0 || !(o.Quantiles[0] > 0) || !(o.Quantiles[len(o.Quantiles)-1] < 1):
		return nil, fmt.Errorf("quantiles %v: write increasing numbers between 0 and 1", o.Quantiles)
	}
	s = s.Resample(o.Step)
	s = s.trim()
	perDay := int(o.Season / o.Step)
	known, recent := 0, 0
	for i, v := range s.Values {
		if finite(v) {
			known++
			if i >= len(s.Values)-perDay {
				recent++
			}
		}
	}
	switch {
	case known == 0:
		return nil, fmt.Errorf("%w: it has no values", ErrShort)
	case len(s.Values) < perDay:
		return nil, fmt.Errorf("%w: it spans %v, and a forecast needs %v", ErrShort, time.Duration(len(s.Values))*s.Step, o.Season)
	case 2*recent < perDay:
		return nil, fmt.Errorf("%w: only %d of the last %d values are there, and a forecast needs half", ErrShort, recent, perDay)
	}
	return newProblem(s, o)
}

// trim drops what is missing at the beginning.
func (s Series) trim() Series {
	i := 0
	for i < len(s.Values) && !finite(s.Values[i]) {
		i++
	}
	s.Start, s.Values = s.Start.Add(time.Duration(i)*s.Step), s.Values[i:]
	return s
}

// member is a model among those that are combined, in its scale.
type member struct {
	name  string
	log   bool // works in logarithms when no value is negative
	build func() model
}

var members = []member{
	{"persistence", false, func() model { return persistence{} }},
	{"naive_day", false, func() model { return naive{1} }},
	{"naive_week", false, func() model { return naive{7} }},
	{"profile", true, func() model { return profile{} }},
	{"holt_winters", true, func() model { return &holtWinters{seasons: []int{1, 7}, full: true, evals: 60} }},
	{"recent", true, func() model { return recent{keep: 0.7, level: 0.5} }},
	{"fourier", true, func() model { return &fourier{daily: 12, weekly: 20, halfLife: 14, rows: 3000} }},
	{"lags", true, func() model { return &lags{halfLife: 60, ridge: 0.01, rows: 1000} }},
	{"lags_recent", true, func() model { return &lags{halfLife: 8, ridge: 0.3, rows: 1000} }},
	{"lags_quick", true, func() model { return &lags{halfLife: 4, ridge: 0.05, rows: 1000} }},
}

// Only for comparison: they are in no forecast unless Options.Models names them.
var baselines = []member{
	{"plain_holt_winters_day", false, func() model { return &holtWinters{seasons: []int{1}, evals: 80} }},
	{"plain_holt_winters_week", false, func() model { return &holtWinters{seasons: []int{7}, evals: 80} }},
}

// Models returns the names of the models that a forecast is made of.
func Models() []string {
	var names []string
	for _, m := range members {
		names = append(names, m.name)
	}
	return names
}

// problem is one forecast in the making.
type problem struct {
	s       Series
	o       Options
	horizon int // in steps
	shift   float64
	signed  bool     // some value is negative
	grids   [2]*grid // as it is, in logarithms
	tries   []try
	origins []origin
	edges   []int        // of the stretches of the horizon that are weighed alone
	misses  [][]weighted // by stretch, sorted
}

// try is one model with its record.
type try struct {
	member
	model  model
	grid   *grid
	paths  [][]float64 // by origin, in the series' scale; nil where it could say nothing
	loss   []float64   // mean absolute error by stretch, newer errors counting more; NaN where it said nothing
	weight []float64   // by stretch
	wape   float64
}

// origin is a time in the past to forecast from.
type origin struct{ at, steps int }

func newProblem(s Series, o Options) (*problem, error) {
	p := &problem{s: s, o: o, horizon: int((o.Horizon + o.Step - 1) / o.Step)}
	sum, known := 0.0, 0
	for _, v := range s.Values {
		if finite(v) {
			sum, known = sum+math.Abs(v), known+1
			p.signed = p.signed || v < 0
		}
	}
	p.shift = 0.01*sum/float64(known) + 1e-9
	p.grids[0] = newGrid(s, p.horizon, o.Season, o.Location, transform{})
	p.grids[1] = p.grids[0]
	if !p.signed {
		p.grids[1] = newGrid(s, p.horizon, o.Season, o.Location, transform{log: true, shift: p.shift})
	}
	chosen := o.Models
	if chosen == nil {
		chosen = Models()
	}
	for _, name := range chosen {
		i := slices.IndexFunc(slices.Concat(members, baselines), func(m member) bool { return m.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no model %q; there are %v", name, Models())
		}
		m := slices.Concat(members, baselines)[i]
		t := try{member: m, model: m.build(), grid: p.grids[0]}
		if m.log {
			t.grid = p.grids[1]
		}
		p.tries = append(p.tries, t)
	}
	return p, nil
}
