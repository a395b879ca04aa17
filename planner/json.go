package planner

import (
	"encoding/json"
	"time"
)

// MarshalJSON writes the times in seconds.
func (t Type) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Name     string  `json:"name"`
		OnDemand float64 `json:"on_demand"`
		Spot     float64 `json:"spot,omitempty"`
		Slots    int     `json:"slots"`
		Boot     float64 `json:"boot_s"`
		Wake     float64 `json:"wake_s,omitempty"`
	}{t.Name, t.OnDemand, t.Spot, t.Slots, t.Boot.Seconds(), t.Wake.Seconds()})
}

// MarshalJSON writes the times in seconds, and of recorded traffic what it was.
func (q Question) MarshalJSON() ([]byte, error) {
	about := ""
	if q.Traffic != nil {
		about = q.Traffic.About
	}
	return json.Marshal(struct {
		Traffic    string  `json:"traffic,omitempty"`
		Users      float64 `json:"users"`
		Low        float64 `json:"shortest_s"`
		High       float64 `json:"longest_s"`
		Spike      float64 `json:"spike"`
		Budget     float64 `json:"budget_per_month"`
		Wait       float64 `json:"wait_p95_s"`
		Patience   float64 `json:"patience_s"`
		SpikeHours float64 `json:"spike_hours_per_month"`
		Seed       uint64  `json:"seed"`
		Types      []Type  `json:"types"`
	}{about, q.Users, q.Low.Seconds(), q.High.Seconds(), q.Spike, q.Budget, q.Wait.Seconds(), q.Patience.Seconds(), q.SpikeHours, q.Seed, q.Types})
}

// MarshalJSON writes the times in seconds.
func (f Facts) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Type      Type    `json:"type"`
		Mean      float64 `json:"service_mean_s"`
		SCV       float64 `json:"service_scv"`
		Base      float64 `json:"usual_requests"`
		Rate      float64 `json:"usual_requests_per_second"`
		NightRate float64 `json:"night_requests_per_second"`
		Usual     int     `json:"usual_instances"`
		Night     int     `json:"night_instances"`
		Peak      int     `json:"peak_instances"`
		Busy      int     `json:"busy_hours_instances,omitempty"`
		PerHour   float64 `json:"budget_per_hour"`
	}{f.Type, f.Mean.Seconds(), f.SCV, f.Base, f.Rate, f.NightRate, f.Usual, f.Night, f.Peak, f.Busy, f.PerHour})
}

// outcomeJSON is an outcome with its times in seconds.
type outcomeJSON struct {
	Requests        int     `json:"requests"`
	Kept            float64 `json:"kept"`
	Served          float64 `json:"served"`
	WaitP95         float64 `json:"wait_p95_s"`
	Peak            int     `json:"peak_instances"`
	InstanceSeconds float64 `json:"instance_s"`
}

// MarshalJSON writes the times in seconds.
func (o Outcome) MarshalJSON() ([]byte, error) {
	return json.Marshal(outcomeJSON{o.Requests, o.Kept, o.Served, o.WaitP95.Seconds(), o.Peak, o.InstanceSeconds})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (o *Outcome) UnmarshalJSON(b []byte) error {
	var j outcomeJSON
	err := json.Unmarshal(b, &j)
	*o = Outcome{j.Requests, j.Kept, j.Served, time.Duration(j.WaitP95 * float64(time.Second)), j.Peak, j.InstanceSeconds}
	return err
}
