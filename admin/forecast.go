package admin

import (
	"errors"
	"net/http"
	"time"
)

// Forecast is what GET /v1/pools/{pool}/forecast answers.
type Forecast struct {
	Pool        string          `json:"pool"`
	Metric      string          `json:"metric"`
	Made        time.Time       `json:"made,omitzero"`
	Why         string          `json:"why,omitempty"` // there is no forecast, or none that is newer
	LeadSeconds float64         `json:"lead_s"`
	Season      float64         `json:"season_s,omitempty"` // after which the load repeats
	StepSeconds float64         `json:"step_s,omitempty"`
	Quantiles   []float64       `json:"quantiles,omitempty"`
	Actual      []ForecastPoint `json:"actual,omitempty"` // the newest season that was measured, up to now
	Steps       []ForecastStep  `json:"steps,omitempty"`
	Said        []ForecastStep  `json:"said,omitempty"` // what was expected of the newest season, and a lead beyond, each step a lead before it
	Accuracy    *Accuracy       `json:"accuracy,omitempty"`
	Models      []ForecastModel `json:"models,omitempty"` // the heaviest first
	Policy      *ForecastPolicy `json:"policy,omitempty"` // what follows from it; nil before the first decision
}

// ForecastPolicy is what the predict policy makes of the forecast, by the newest decision.
type ForecastPolicy struct {
	Mode    string `json:"mode"` // forecast_and_scale, or forecast_only: it acts on nothing
	Desired int    `json:"desired"`
	Demoted bool   `json:"demoted"` // it acts on nothing, because reacting does better
	Why     string `json:"why"`     // the arithmetic, or why there is none
}

// ForecastPoint is a value that was measured.
type ForecastPoint struct {
	Time  time.Time `json:"time"`
	Value float64   `json:"value"`
}

// ForecastStep is what is expected from Time on for a step.
type ForecastStep struct {
	Time   time.Time `json:"time"`
	Point  float64   `json:"point"`
	Values []float64 `json:"values"` // by quantile
}

// Accuracy is how forecasts of the last two seasons would have done at the distance of the lead, and reacting beside them. WAPE is how far the
// expected value was off; the loss is what being ready for the policy's quantile cost: that part of what was missing, and the rest of
// what was too much. All by sum of values.
type Accuracy struct {
	Tried        int     `json:"tried"`
	WAPE         float64 `json:"wape"`
	Reactive     float64 `json:"reactive_wape"`
	Loss         float64 `json:"loss"`
	ReactiveLoss float64 `json:"reactive_loss"`
	LiveTried    int     `json:"live_tried"` // steps of Said that have come
	LiveWAPE     float64 `json:"live_wape"`  // of them; 0 of none
}

// ForecastModel is a model with its part in the forecast, 0 to 1.
type ForecastModel struct {
	Name   string  `json:"name"`
	Weight float64 `json:"weight"`
}

func (s *Server) getForecast(w http.ResponseWriter, r *http.Request) {
	if s.o.Forecast == nil {
		refuse(w, http.StatusNotFound, "not_found", "this Weir makes no forecasts")
		return
	}
	var horizon time.Duration
	if text := r.FormValue("horizon"); text != "" {
		var err error
		if horizon, err = time.ParseDuration(text); err != nil || horizon <= 0 {
			refuse(w, http.StatusBadRequest, "horizon", "horizon "+quoted(text)+" is not a duration above 0; write one such as 24h")
			return
		}
	}
	f, err := s.o.Forecast(r.PathValue("pool"), horizon)
	switch {
	case errors.Is(err, ErrNotFound):
		refuse(w, http.StatusNotFound, "not_found", err.Error())
	case err != nil:
		s.fail(w, err)
	default:
		answer(w, f)
	}
}
