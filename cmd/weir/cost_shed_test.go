package main

import (
	"net/http"
	"strings"
	"testing"
)

// While a budget holds the capacity down, what would wait longer than it may is refused at once, and the rest is served.
func TestABudgetShedsWhatWouldWaitTooLong(t *testing.T) {
	w := prepare(t, `  api:
    concurrency: 1
    queue: {limit: 100, timeout: 60s}
    health: {path: /health/ready, interval: 50ms}
    template: {INFER, --model, predict]}
    scale:
      min: 1
      max: 4
      policies: [{queue: {wait_p95: 100ms}}]
      cost:
        types: [{name: small, on_demand: 1}]
        budget: {per_hour: 1, shed_after: 1s}
`)
	w.start()
	w.ready(1)
	statuses := make(chan int, 60)
	for range 60 {
		go func() {
			status := 0
			if r, err := http.Post(w.url+"/predict", "application/json", strings.NewReader(`{"prompt":"a"}`)); err == nil {
				status = r.StatusCode
				r.Body.Close()
			}
			statuses <- status
		}()
	}
	until(t, "the budget binds", func() bool {
		d := w.pool().LastDecision
		return d != nil && d.Bound == "budget"
	})
	count := map[int]int{}
	for range 60 {
		count[<-statuses]++
	}
	t.Log(count)
	if count[200] == 0 || count[503] == 0 || count[200]+count[503] != 60 || w.pool().Scale.Desired != 1 {
		t.Errorf("answers %v, desired %d", count, w.pool().Scale.Desired)
	}
}
