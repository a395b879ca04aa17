package scale

import (
	"strings"
	"testing"
	"time"
)

// Spare is on top of what the load needs, while there is any.
func TestQueueKeepsSomeToSpare(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	sure := func(s float64) Sample { return Sample{Count: 10, Mean: s, P50: s, P90: s, P99: s} }
	for _, load := range []struct{ waiting, running, rate float64 }{{0, 0, 0}, {0, 1, 0.05}, {0, 12, 0.6}, {30, 4, 2}} {
		for _, slots := range []int{1, 4} {
			ask := func(spare int) Proposal {
				obs := &Observation{
					Time: at, Desired: 0, Slots: slots, Service: sure(20), Boot: sure(20),
					Metrics: map[string]float64{QueueDepth: load.waiting, InFlight: load.running, RequestsPerSecond: load.rate, RateWindow: 30},
				}
				return Queue{WaitP95: 10 * time.Second, Spare: spare}.Propose(obs)
			}
			none, two := ask(0), ask(2)
			want := none.Desired
			if load.running > 0 && load.waiting == 0 { // what waits is asked for by itself
				want += 2
			}
			if two.Desired < want || two.Desired > none.Desired+2 {
				t.Errorf("%+v of %d slots: %d with 2 to spare, %d without\n%s\n%s", load, slots, two.Desired, none.Desired, two.Why, none.Why)
			}
			if said := strings.Contains(two.Why, "with 2 to spare"); said != (load.running > 0) {
				t.Errorf("%+v: %s", load, two.Why)
			}
		}
	}
}
