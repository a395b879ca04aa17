package sim

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/control"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/scale"
)

// season is how often the rush comes, and rush when in it. It lasts half an hour.
const (
	season = 4 * time.Hour
	rush   = 90 * time.Minute
)

// rushes are so many seasons of little load, each with its rush.
func rushes(seasons int) (rs []Request) {
	rng := rand.New(rand.NewPCG(3, 4))
	for at := time.Duration(0); ; {
		rate := 0.02
		if into := at%season - rush; into >= 0 && into < 30*time.Minute {
			rate = 1
		}
		if at += secs(rng.ExpFloat64() / rate); at >= time.Duration(seasons)*season {
			return rs
		}
		rs = append(rs, Request{At: at, Service: 10 * time.Second})
	}
}

// rushed is a pool whose instances take five minutes to boot; predict says whether it looks ahead.
func rushed(predict bool) Options {
	queue := scale.Queue{WaitP95: 2 * time.Second}
	o := Options{
		Name: "rushed", Desired: 1, Slots: 1, Promise: 2 * time.Second, Price: 1,
		Boot:  func(*rand.Rand) time.Duration { return 5 * time.Minute },
		Pool:  pool.Options{Balance: "least_connections", Limits: admit.Limits{Queue: 1 << 30}},
		Scale: scale.Options{Min: 1, Max: 30, Policies: []scale.Policy{queue}},
	}
	if predict {
		p := scale.NewPredict(scale.PredictOptions{Metric: scale.RequestsPerSecond, Margin: time.Minute})
		o.Scale.Policies = append(o.Scale.Policies, p)
		o.Forecast = &Forecast{
			ForecastOptions: control.ForecastOptions{
				Metric: scale.RequestsPerSecond, History: 20 * season, Step: 5 * time.Minute, Season: season, Location: time.UTC, Quantile: 0.9,
			},
			LeadOf: p.Lead,
		}
	}
	return o
}

// The fourth rush finds its instances ready when it was forecast from those before it, and waits for them else.
func TestPredictInARun(t *testing.T) {
	requests := rushes(4)
	longest := map[bool]time.Duration{} // wait in the last rush's first ten minutes
	for _, predict := range []bool{false, true} {
		r, err := Run(t.Context(), rushed(predict), slices.Values(requests))
		if err != nil {
			t.Fatal(err)
		}
		began := 3*season + rush
		for _, p := range r.Curve {
			if p.At > began && p.At <= began+10*time.Minute {
				longest[predict] = max(longest[predict], p.WaitMax)
			}
		}
		if !predict {
			if r.Fits != 0 {
				t.Errorf("%d forecasts that nobody asked for", r.Fits)
			}
			continue
		}
		// Four in a season from the end of the first on, an hour apart, to that of the trace: after 4, 5, ... 15 hours.
		if r.Fits != 12 || r.Forecast.Tried == 0 || r.Forecast.WAPE > 0.9*r.Forecast.Persistence {
			t.Errorf("%d forecasts, %+v", r.Fits, r.Forecast)
		}
		again, err := Run(t.Context(), rushed(true), slices.Values(requests))
		if err != nil || !reflect.DeepEqual(again.Curve, r.Curve) || !reflect.DeepEqual(again.Decisions, r.Decisions) {
			t.Errorf("the same run is another one: %v", err)
		}
	}
	if longest[false] < 4*time.Minute || longest[true] > longest[false]/4 {
		t.Errorf("longest waits: without %v, with %v", longest[false], longest[true])
	}
	t.Logf("longest waits: without %v, with %v", longest[false], longest[true])
}
