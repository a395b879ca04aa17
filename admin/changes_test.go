package admin

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestATargetsChangeOfStateIsTold(t *testing.T) {
	for _, c := range []struct{ from, to, reason, want string }{
		{"initial", "healthy", "GET /health: 200", "is healthy: GET /health: 200"},
		{"healthy", "unhealthy", "GET /health: 503, expected 200", "is unhealthy: GET /health: 503, expected 200"},
		{"unhealthy", "healthy", "", "is healthy again"},
		{"healthy", "ejected", "5 failures in a row", "is ejected: 5 failures in a row"},
		{"ejected", "healthy", "", "is healthy again"},
		{"healthy", "healthy", "", ""},
		{"healthy", "draining", "", ""},
		{"", "healthy", "", ""}, // it has only just come
	} {
		at := time.Unix(1e9, 0)
		before := Status{Pools: []Pool{{Name: "other", Targets: []Target{{ID: "a", State: "healthy"}}}, {Name: "p"}}}
		if c.from != "" {
			before.Pools[1].Targets = []Target{{ID: "a", State: c.from}}
		}
		after := Status{Pools: []Pool{{Name: "p", Targets: []Target{{ID: "a", State: c.to, Reason: c.reason, Since: at}}}}}
		es := changes(before, after)
		if c.want == "" {
			if len(es) != 0 {
				t.Errorf("%s to %s told %+v", c.from, c.to, es)
			}
			continue
		}
		if len(es) != 1 || es[0].Text != c.want || es[0].Subject != "a" || es[0].Pool != "p" || !es[0].Time.Equal(at) || es[0].Type != "target" {
			t.Errorf("%s to %s told %+v, want %q", c.from, c.to, es, c.want)
		}
	}
}

func TestRunTellsOfTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		state := "healthy"
		h.show(func(now time.Time) Status {
			return Status{Time: now, Pools: []Pool{{Name: "api", Targets: []Target{{ID: "10.0.0.1:9000", State: state, Since: now}}}}}
		})
		s := New(Options{Source: h})
		sub, _ := s.hub.subscribe("", 0)
		ctx, cancel := context.WithCancel(t.Context())
		go s.Run(ctx)
		synctest.Wait()
		h.mu.Lock()
		state = "unhealthy"
		h.mu.Unlock()
		time.Sleep(3 * time.Second) // of the bubble's time
		synctest.Wait()
		cancel()
		synctest.Wait()
		told := 0
		for m := range sub.c {
			if strings.HasPrefix(string(m.wire), "event: target\n") {
				told++
			}
		}
		if told != 1 {
			t.Errorf("the change was told %d times, want once", told)
		}
	})
}
