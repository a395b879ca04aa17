package scale

import (
	"strings"
	"testing"
	"time"
)

// A budget bounds what policies, min and people ask for, and the decision says so.
func TestBudget(t *testing.T) {
	for _, c := range []struct {
		name      string
		min, most int
		waiting   float64
		want      int
		bound     string
	}{
		{"enough money", 1, 9, 40, 8, ""},
		{"less than is asked for", 1, 3, 40, 3, BoundBudget},
		{"less than min", 4, 2, 0, 2, BoundBudget},
		{"none", 1, 0, 40, 0, BoundBudget},
	} {
		d := New(Options{
			Pool: "api", Min: c.min, Max: 20, Policies: []Policy{Target{Metric: QueueDepth, Value: 5, Total: true}},
			Budget: &Budget{PerHour: 1.5, Most: c.most},
		})
		got := d.Decide(&Observation{
			Time: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC), Desired: 1, Slots: 1,
			Instances: []Instance{{ID: "i-1", State: "ready"}}, Metrics: map[string]float64{QueueDepth: c.waiting},
		})
		if got.Desired != c.want || got.Bound != c.bound {
			t.Errorf("%s: %d bound by %q, want %d by %q (%s)", c.name, got.Desired, got.Bound, c.want, c.bound, got.Why)
		}
		if c.bound != "" && !strings.Contains(got.Why, "by a budget of 1.5 an hour") {
			t.Errorf("%s: %s", c.name, got.Why)
		}
	}
}
