package scale

import (
	"strings"
	"testing"
	"time"
)

// One of a slot works, three more requests wait, and each takes 20 s. A boot takes a minute: by then the one here has begun all of them, so nothing that is
// launched would be of use. An instance of the warm pool would.
func TestQueueAsksTheWarmPool(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	sure := func(s float64) Sample { return Sample{Count: 10, Mean: s, P50: s, P90: s, P99: s} }
	for _, c := range []struct {
		name     string
		prepared int
		wake     float64
		coming   []Instance
		want     int
		says     string
	}{
		{"no warm pool", 0, 0, nil, 1, "3 wait, none would in 60 s"},
		{"one is prepared", 1, 0.2, nil, 2, "1 of the warm pool could be ready in 0.2 s: 2"},
		{"all that are needed", 3, 0.2, nil, 4, "3 of the warm pool could be ready in 0.2 s: 4"},
		{"more than are needed", 30, 0.2, nil, 4, "30 of the warm pool could be ready in 0.2 s: 4"},
		{"they take as long as a boot", 3, 60, nil, 1, ""},
		{"two were woken a moment ago", 1, 2, []Instance{{State: "starting", Started: at.Add(-time.Second), Woken: true}, {State: "starting", Started: at.Add(-time.Second), Woken: true}}, 4, "1 of the warm pool could be ready in 2 s: 4"},
		{"three were woken a moment ago", 3, 2, []Instance{{State: "starting", Started: at.Add(-time.Second), Woken: true}, {State: "starting", Started: at.Add(-time.Second), Woken: true}, {State: "starting", Started: at.Add(-time.Second), Woken: true}}, 4, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			obs := &Observation{
				Time: at, Desired: 1 + len(c.coming), Slots: 1, Service: sure(20), Boot: sure(60), Prepared: c.prepared,
				Instances: append([]Instance{{State: "ready", Started: at.Add(-time.Hour)}}, c.coming...),
				Metrics:   map[string]float64{QueueDepth: 3, InFlight: 1, RequestsPerSecond: 0},
			}
			if c.prepared > 0 {
				obs.Wake = sure(c.wake)
			}
			p := Queue{WaitP95: time.Second}.Propose(obs)
			if p.Desired != c.want || !strings.Contains(p.Why, c.says) {
				t.Errorf("%d: %s; want %d and %q", p.Desired, p.Why, c.want, c.says)
			}
		})
	}
}
