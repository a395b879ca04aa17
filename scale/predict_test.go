package scale

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var nine = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

// rush is a forecast of 2 until nine, and of 20 from then on.
func rush() *Curve {
	c := &Curve{Metric: RequestsPerSecond, Start: nine.Add(-time.Hour), Step: 5 * time.Minute}
	for i := range 24 {
		c.Values = append(c.Values, 2)
		if i >= 12 {
			c.Values[i] = 20
		}
	}
	return c
}

func ahead(at time.Time, o PredictOptions, desired int, others ...Policy) (*Decider, *Observation) {
	o.Metric, o.Value = RequestsPerSecond, 5
	if o.Lead == 0 {
		o.Lead = 5 * time.Minute
	}
	d := New(Options{Max: 10, Policies: append(others, NewPredict(o))})
	return d, &Observation{Time: at, Desired: desired, Forecast: rush(), Metrics: map[string]float64{InFlight: 1}}
}

func TestPredictRaisesALeadBeforeTheRush(t *testing.T) {
	one := Target{Metric: InFlight, Value: 1}
	for _, c := range []struct {
		before time.Duration
		want   int
	}{{6 * time.Minute, 1}, {5 * time.Minute, 4}, {time.Minute, 4}, {-time.Minute, 4}} {
		d, obs := ahead(nine.Add(-c.before), PredictOptions{}, 1, one)
		if got := d.Decide(obs); got.Desired != c.want {
			t.Errorf("%v before: %d, want %d: %s", c.before, got.Desired, c.want, got.Why)
		}
	}
}

func TestPredictNeverLowers(t *testing.T) {
	for name, other := range map[string]Policy{
		"more": Target{Metric: InFlight, Value: 0.125}, "missing data": Target{Metric: "nothing", Value: 1}, "neutral": Target{Metric: InFlight, Value: 1, DisableScaleIn: true},
	} {
		for _, at := range []time.Time{nine, nine.Add(-time.Hour)} {
			d, obs := ahead(at, PredictOptions{}, 8, other)
			if got := d.Decide(obs); got.Desired != 8 {
				t.Errorf("%s: %d, want 8: %s", name, got.Desired, got.Why)
			}
		}
	}
}

func TestPredictWithoutAForecastHoldsNobody(t *testing.T) {
	d, obs := ahead(nine, PredictOptions{}, 8, Target{Metric: InFlight, Value: 1})
	obs.Forecast = nil
	if got := d.Decide(obs); got.Desired != 1 {
		t.Errorf("%d, want 1: %s", got.Desired, got.Why)
	}
}

func TestForecastOnlySaysWhatItWouldDo(t *testing.T) {
	d, obs := ahead(nine, PredictOptions{ForecastOnly: true}, 1, Target{Metric: InFlight, Value: 1})
	got := d.Decide(obs)
	if got.Desired != 1 || !strings.Contains(got.Proposals[1].Why, "would be ceil(20") {
		t.Errorf("%d, %q", got.Desired, got.Proposals[1].Why)
	}
}

func TestMaxCapacityBreach(t *testing.T) {
	for _, c := range []struct {
		o    PredictOptions
		want int
	}{{PredictOptions{}, 10}, {PredictOptions{Increase: true, Buffer: 10}, 20}} {
		d, obs := ahead(nine, c.o, 10, Target{Metric: InFlight, Value: 1})
		for i := range obs.Forecast.Values {
			obs.Forecast.Values[i] = 100
		}
		if got := d.Decide(obs); got.Desired != c.want {
			t.Errorf("%+v: %d, want %d", c.o, got.Desired, c.want)
		}
	}
}

func TestPredictIsDemotedAndPromoted(t *testing.T) {
	p := NewPredict(PredictOptions{Metric: RequestsPerSecond, Value: 5, Lead: time.Minute})
	for i, c := range []struct {
		tried           int
		error, reactive float64
		want            int
	}{{7, 9, 1, 4}, {8, 0.3, 0.2, 0}, {8, 0.19, 0.2, 0}, {8, 0.18, 0.2, 4}, {8, 0.2, 0.2, 4}} {
		q := NewPredict(p.o) // and its state survives
		if b, err := p.SaveState(); err != nil {
			t.Fatal(err)
		} else if b != nil {
			if err := q.RestoreState(b); err != nil {
				t.Fatal(err)
			}
		}
		p = q
		f := rush()
		f.Tried, f.Error, f.Reactive = c.tried, c.error, c.reactive
		if got := p.Propose(&Observation{Time: nine, Forecast: f}); got.Desired != c.want {
			t.Errorf("step %d: %d, want %d: %s", i, got.Desired, c.want, got.Why)
		}
	}
}

// The same load and the same forecast again and again: the capacity moves in one direction at most.
func TestPredictDoesNotOscillate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		load, expected := rapid.Float64Range(0, 100).Draw(t, "load"), rapid.Float64Range(0, 100).Draw(t, "expected")
		curve := &Curve{Metric: RequestsPerSecond, Start: nine, Step: 5 * time.Minute, Values: slices.Repeat([]float64{expected}, 48)}
		curve.Tried = rapid.IntRange(0, 20).Draw(t, "tried")
		curve.Error, curve.Reactive = rapid.Float64Range(0, 2).Draw(t, "error"), rapid.Float64Range(0, 2).Draw(t, "reactive")
		d := New(Options{Min: 1, Max: 30, ScaleInWindow: time.Minute, Policies: []Policy{
			Target{Metric: RequestsPerSecond, Value: 5}, NewPredict(PredictOptions{Metric: RequestsPerSecond, Value: 5, Lead: 6 * time.Minute}),
		}})
		desired, last := rapid.IntRange(1, 30).Draw(t, "desired"), 0
		for s := range 1800 {
			got := d.Decide(&Observation{
				Time: nine.Add(time.Duration(s) * time.Second), Desired: desired, Forecast: curve, Metrics: map[string]float64{RequestsPerSecond: load, InFlight: 1},
			})
			if by := got.Desired - desired; by != 0 {
				if by*last < 0 {
					t.Fatalf("turned at %d s: %s", s, got.Why)
				}
				last = by
			}
			desired = got.Desired
		}
	})
}
