package main

import (
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// A rush that repeats, as that of a working day does: every two minutes a load that four instances take comes for ten seconds, and an
// instance needs five to boot. What a schedule says and what predict has learned from three rushes is ready for the fourth; the same pool
// with neither has its users wait for the boots, each time. It takes nine minutes: `make rush` runs it.
func TestScheduleAndPredictAreReadyForARepeatingRush(t *testing.T) {
	if os.Getenv("WEIR_RUSH") == "" {
		t.Skip("takes long; make rush runs it")
	}
	const (
		season = 2 * time.Minute
		rush   = 20 * time.Second // of a season is when it begins
		lasts  = 10 * time.Second
		learn  = 3 // seasons before it is measured
		each   = 40 * time.Millisecond
	)
	pool := `  api:
    concurrency: 4
    health: {path: /health/ready, interval: 100ms}
    template: {INFER, --model, chat, --slots, "4", --token-time, 20ms, --load-time, 5s]}
    scale:
      min: 1
      max: 6
      scale_in_window: 3s
      policies:
        - queue: {wait_p95: 500ms}
`
	policies := map[string]string{
		"alone":    "",
		"schedule": "        - schedule: {name: rush, cron: \"*/2 * * * *\", min: 4}\n        - schedule: {name: calm, cron: \"1-59/2 * * * *\", min: 1}\n",
		"predict":  "        - predict: {season: 2m, step: 2s, history: 1h, lead: 8s, value: 8}\n",
	}
	took := map[string][]time.Duration{} // by the requests of the first seconds of the rush that is measured
	var mu sync.Mutex
	var all sync.WaitGroup
	for name, policy := range policies {
		w := prepare(t, pool+policy+"metrics: {interval: 1s}\n")
		w.start()
		w.ready(1)
		all.Go(func() {
			var load sync.WaitGroup
			began := time.Now().Truncate(season).Add(season) // as the schedule counts
			time.Sleep(time.Until(began))
			tick := time.NewTicker(each)
			defer tick.Stop()
			for n := 0; time.Since(began) < learn*season+rush+lasts; n++ {
				<-tick.C
				at := time.Since(began)
				into := at%season - rush
				if n%25 != 0 && (into < 0 || into >= lasts) {
					continue // one a second
				}
				load.Go(func() {
					sent := time.Now()
					if _, err := stream(t.Context(), w.url, 25, nil); err != nil { // half a second
						t.Error(err)
						return
					}
					if at > learn*season && into >= 0 && into < 5*time.Second {
						mu.Lock()
						took[name] = append(took[name], time.Since(sent))
						mu.Unlock()
					}
				})
			}
			load.Wait()
			t.Log(w.cli("explain", "api"))
			if name == "predict" {
				t.Log(w.cli("forecast", "api", "--horizon", season.String()))
			}
		})
	}
	all.Wait()
	p95 := map[string]time.Duration{}
	for name, took := range took {
		slices.Sort(took)
		p95[name] = took[len(took)*95/100]
		t.Logf("%s: %d requests in the first 5 s of the rush, half took %v, 95 %% at most %v", name, len(took), took[len(took)/2], p95[name])
	}
	for _, name := range []string{"schedule", "predict"} {
		if p95[name] == 0 || p95[name] > p95["alone"]/2 {
			t.Errorf("%s: %v, alone: %v, want at most half", name, p95[name], p95["alone"])
		}
	}
}
