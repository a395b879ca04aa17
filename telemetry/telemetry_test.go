package telemetry

import (
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
)

// busy is a Weir with a fixed pool and one that scales, each number different, so that a mix-up shows.
func busy() Snapshot {
	counts := make([]uint64, len(DurationBounds))
	for i := range counts {
		counts[i] = uint64(i + 1)
	}
	return Snapshot{
		Version: "1.2.3",
		Listeners: []Listener{
			{Address: "127.0.0.1:8080", Connections: 37, Accepted: 41},
			{Address: "127.0.0.1:8443", TLS: true, Handshakes: 42, HandshakeErrors: 43},
		},
		Routes: []Route{{
			Name: "chat", Answers2: 51, Answers3: 52, Answers4: 53, Answers5: 54, Broken: 55, Cancelled: 56,
			Duration: Histogram{Counts: counts, Count: 57, Sum: 58.5}, BytesIn: 59, BytesOut: 61,
		}},
		Limited:   map[string]uint64{"per_key": 62, "per_client": 63},
		AccessLog: &AccessCounts{Written: 64, Dropped: 65, Failed: 66},
		Spans:     &SpanCounts{Exported: 67, Dropped: 68, Failed: 69},
		Pools: []Pool{
			{
				Name: "api", Received: 100, Answers2: 60, Answers4: 7, Answers5: 5, Broken: 4, Full: 3, TimedOut: 2, Cancelled: 1, Retries: 6,
				Hedges: 71, Mirrored: 72,
				Latency: Histogram{Counts: counts, Count: 20, Sum: 12.5}, Wait: Histogram{Counts: counts, Count: 19, Sum: .25},
				Waiting: 8, InFlight: 9, Slots: 10, FailedOpen: true,
				Targets: []Target{{"10.0.0.1:9000", true, 4, 73, 74}, {"10.0.0.2:9000", false, 5, 75, 76}},
			},
			{
				Name:  "images",
				Fleet: &Fleet{Instances: map[string]int{"ready": 3, "starting": 2}, Desired: 6, Grown: 11, Shrunk: 5, BootP50: 8.5, BootP90: 9.75, Boots: 12},
			},
		},
	}
}

// gather is what a scrape of s gives, by name.
func gather(t *testing.T, s Snapshot) map[string]*dto.MetricFamily {
	t.Helper()
	families, err := Registry(func() Snapshot { return s }).Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*dto.MetricFamily{}
	for _, f := range families {
		out[f.GetName()] = f
	}
	return out
}

// shown is Weir's own part of a scrape, in the text format.
func shown(t *testing.T, s Snapshot) string {
	t.Helper()
	server := httptest.NewServer(promhttp.HandlerFor(Registry(func() Snapshot { return s }), promhttp.HandlerOpts{}))
	defer server.Close()
	resp, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v: %s", resp.Status, err, b)
	}
	return string(b)
}

func TestEveryNumberIsShownUnderItsName(t *testing.T) {
	text := shown(t, busy())
	for _, line := range []string{
		`weir_connections{listener="127.0.0.1:8080"} 37`,
		`weir_connections_accepted_total{listener="127.0.0.1:8080"} 41`,
		`weir_tls_handshakes_total{listener="127.0.0.1:8443",result="ok"} 42`,
		`weir_tls_handshakes_total{listener="127.0.0.1:8443",result="failed"} 43`,
		`weir_rate_limited_total{limit="per_key"} 62`,
		`weir_rate_limited_total{limit="per_client"} 63`,
		`weir_access_log_lines_total{result="written"} 64`,
		`weir_access_log_lines_total{result="dropped"} 65`,
		`weir_access_log_lines_total{result="failed"} 66`,
		`weir_trace_spans_total{result="exported"} 67`,
		`weir_trace_spans_total{result="dropped"} 68`,
		`weir_trace_spans_total{result="failed"} 69`,
		`weir_route_requests_total{code_class="2xx",route="chat"} 51`,
		`weir_route_requests_total{code_class="3xx",route="chat"} 52`,
		`weir_route_requests_total{code_class="4xx",route="chat"} 53`,
		`weir_route_requests_total{code_class="5xx",route="chat"} 54`,
		`weir_route_requests_total{code_class="broken",route="chat"} 55`,
		`weir_route_requests_total{code_class="cancelled",route="chat"} 56`,
		`weir_route_request_duration_seconds_bucket{route="chat",le="0.001"} 1`,
		`weir_route_request_duration_seconds_sum{route="chat"} 58.5`,
		`weir_route_request_duration_seconds_count{route="chat"} 57`,
		`weir_route_request_bytes_total{route="chat"} 59`,
		`weir_route_response_bytes_total{route="chat"} 61`,
		`weir_received_requests_total{pool="api"} 100`,
		`weir_requests_total{code="2xx",pool="api"} 60`,
		`weir_requests_total{code="4xx",pool="api"} 7`,
		`weir_requests_total{code="5xx",pool="api"} 5`,
		`weir_requests_total{code="broken",pool="api"} 4`,
		`weir_refused_total{limit="queue.limit",pool="api"} 3`,
		`weir_refused_total{limit="queue.timeout",pool="api"} 2`,
		`weir_cancelled_total{pool="api"} 1`,
		`weir_retries_total{pool="api"} 6`,
		`weir_hedges_total{pool="api"} 71`,
		`weir_mirrored_total{pool="api"} 72`,
		`weir_request_duration_seconds_bucket{pool="api",le="0.001"} 1`,
		`weir_request_duration_seconds_bucket{pool="api",le="300"} 17`,
		`weir_request_duration_seconds_bucket{pool="api",le="+Inf"} 20`,
		`weir_request_duration_seconds_sum{pool="api"} 12.5`,
		`weir_request_duration_seconds_count{pool="api"} 20`,
		`weir_queue_wait_seconds_sum{pool="api"} 0.25`,
		`weir_queue_wait_seconds_count{pool="api"} 19`,
		`weir_queue_depth{pool="api"} 8`,
		`weir_in_flight_requests{pool="api"} 9`,
		`weir_slots{pool="api"} 10`,
		`weir_failed_open{pool="api"} 1`,
		`weir_failed_open{pool="images"} 0`,
		`weir_target_up{pool="api",target="10.0.0.1:9000"} 1`,
		`weir_target_up{pool="api",target="10.0.0.2:9000"} 0`,
		`weir_target_in_flight_requests{pool="api",target="10.0.0.2:9000"} 5`,
		`weir_target_requests_total{pool="api",target="10.0.0.2:9000"} 75`,
		`weir_target_failures_total{pool="api",target="10.0.0.1:9000"} 74`,
		`weir_instances{pool="images",state="ready"} 3`,
		`weir_instances{pool="images",state="starting"} 2`,
		`weir_instances{pool="images",state="draining"} 0`,
		`weir_desired_instances{pool="images"} 6`,
		`weir_scale_decisions_total{direction="out",pool="images"} 11`,
		`weir_scale_decisions_total{direction="in",pool="images"} 5`,
		`weir_instance_boot_seconds{percentile="50",pool="images"} 8.5`,
		`weir_instance_boot_seconds{percentile="90",pool="images"} 9.75`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("missing: %s", line)
		}
	}
	for _, never := range []string{`weir_tls_handshakes_total{listener="127.0.0.1:8080"`, `weir_instances{pool="api"`, `weir_desired_instances{pool="api"`, `weir_scale_decisions_total{direction="in",pool="api"`} {
		if strings.Contains(text, never) {
			t.Errorf("a pool of fixed targets shows %s", never)
		}
	}
	for _, own := range []string{"go_goroutines ", "process_cpu_seconds_total "} {
		if !strings.Contains(text, own) {
			t.Errorf("%s of the process is missing", own)
		}
	}
}

// The conventions are those of promtool check metrics: units, suffixes, a help for each.
func TestNamesAndUnitsFollowTheConventions(t *testing.T) {
	problems, err := testutil.GatherAndLint(Registry(busy))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "weir_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func TestWhatIsShownWasDescribed(t *testing.T) {
	r := prometheus.NewPedanticRegistry() // refuses what Describe did not announce
	r.MustRegister(&collector{snapshot: busy})
	if _, err := r.Gather(); err != nil {
		t.Fatal(err)
	}
}

func TestAnUnknownBootIsNotZero(t *testing.T) {
	if _, ok := gather(t, Snapshot{Pools: []Pool{{Name: "p", Fleet: &Fleet{}}}})["weir_instance_boot_seconds"]; ok {
		t.Error("a boot is shown though none was measured")
	}
}

// Instances come and go all day; were each to bring a series, Prometheus would keep them all.
func TestTheNumberOfSeriesDoesNotGrowWithTheFleet(t *testing.T) {
	series := func(instances int) (n int) {
		s := busy()
		s.Pools[1].Fleet.Instances["ready"] = instances
		for name, f := range gather(t, s) {
			if strings.HasPrefix(name, "weir_") {
				n += len(f.GetMetric())
			}
		}
		return n
	}
	if few, many := series(1), series(10000); few != many {
		t.Errorf("%d series with one instance, %d with 10000", few, many)
	}
}

func TestAStateOfTomorrowIsShownToo(t *testing.T) {
	s := busy()
	s.Pools[1].Fleet.Instances["standby"] = 4
	states := map[string]float64{}
	for _, m := range gather(t, s)["weir_instances"].GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == "state" {
				states[l.GetValue()] = m.GetGauge().GetValue()
			}
		}
	}
	if want := append(slices.Clone(instanceStates), "standby"); !slices.Equal(slices.Sorted(maps.Keys(states)), slices.Sorted(slices.Values(want))) {
		t.Errorf("states %v, want %v", states, want)
	}
	if states["standby"] != 4 {
		t.Errorf("standby %v, want 4", states["standby"])
	}
}

func TestAScrapeSurvivesWhatItCannotShow(t *testing.T) {
	s := busy()
	s.Pools = append(s.Pools, Pool{Name: "\xff"})
	families, err := Registry(func() Snapshot { return s }).Gather()
	if err == nil {
		t.Error("a pool whose name is not UTF-8 is no error")
	}
	if !slices.ContainsFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == "weir_slots" }) {
		t.Error("the other pools are lost")
	}
}

func TestBoundsRise(t *testing.T) {
	for name, bounds := range map[string][]float64{"durations": DurationBounds, "service times": ServiceBounds} {
		for i, b := range bounds {
			if b <= 0 || math.IsInf(b, 0) || i > 0 && b <= bounds[i-1] {
				t.Errorf("bound %d of %s is %v", i, name, b)
			}
		}
	}
}
