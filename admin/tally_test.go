package admin

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weirlb/weir/scale"
	"github.com/weirlb/weir/telemetry"
)

// growing is a house whose images pool has a fleet, as Prometheus sees it.
type growing struct{ *house }

func (growing) Metrics() telemetry.Snapshot {
	return telemetry.Snapshot{Pools: []telemetry.Pool{{Name: "api"}, {Name: "images", Fleet: &telemetry.Fleet{Desired: 2}}}}
}

func TestPublishedDecisionsAreCounted(t *testing.T) {
	s := New(Options{Source: growing{newHouse()}})
	srv := httptest.NewServer(s)
	defer srv.Close()
	for _, step := range [][2]int{{0, 1}, {1, 5}, {5, 2}} {
		s.Publish(Event{Type: "decision", Pool: "images", Data: scale.Decision{Pool: "images", Previous: step[0], Desired: step[1]}})
	}
	s.Publish(Event{Type: "notice", Pool: "images", Text: "no decision"})
	resp, err := http.Get(srv.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`weir_scale_decisions_total{direction="out",pool="images"} 2`,
		`weir_scale_decisions_total{direction="in",pool="images"} 1`,
	} {
		if !strings.Contains(string(b), want+"\n") {
			t.Errorf("missing: %s", want)
		}
	}
	if strings.Contains(string(b), `weir_scale_decisions_total{direction="in",pool="api"}`) {
		t.Error("a pool that does not scale counts decisions")
	}
}
