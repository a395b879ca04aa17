package telemetry

import (
	"maps"
	"runtime"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// States of an instance. Each is always shown, so that a graph falls to 0 and does not end.
var instanceStates = []string{"pending", "starting", "warming", "ready", "unhealthy", "draining", "stopping"}

// Registry returns what GET /metrics shows: each scrape calls snapshot once. Beside Weir's own numbers there are those of the
// Go runtime and of the process.
func Registry(snapshot func() Snapshot) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		&collector{snapshot: snapshot},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return r
}

// collector turns a snapshot into metrics; the numbers live with those that count, not here.
type collector struct {
	snapshot func() Snapshot

	mu     sync.Mutex // of ration: scrapes may meet
	ration ration
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("weir_"+name, help, labels, nil)
}

var (
	buildInfo   = describe("build_info", "Always 1; the labels say which Weir this is.", "version", "goversion")
	connections = describe("connections", "Client connections open now.", "listener")
	accepted    = describe("connections_accepted_total", "Client connections that came in.", "listener")
	handshakes  = describe("tls_handshakes_total", "TLS handshakes with clients; result: ok or failed.", "listener", "result")
	limited     = describe("rate_limited_total", "Requests refused with 429, by the rate limit that refused them.", "limit")
	logLines    = describe("access_log_lines_total", "Lines of the access log; result: written, dropped as the buffer was full, or failed to be written.", "result")
	spans       = describe("trace_spans_total", "Spans of traced requests; result: exported, dropped as the queue was full, or failed to be exported.", "result")

	routeRequests = describe("route_requests_total", "Requests that ended, by class of the answer's status; broken: without a whole answer, cancelled: the client left.", "route", "code_class")
	routeLatency  = describe("route_request_duration_seconds", "Time from arrival to the end of the answer.", "route")
	routeBytesIn  = describe("route_request_bytes_total", "Bytes of the requests' bodies.", "route")
	routeBytesOut = describe("route_response_bytes_total", "Bytes of the answers' bodies.", "route")

	received   = describe("received_requests_total", "Requests that came in.", "pool")
	requests   = describe("requests_total", "Requests that a target was given and that ended, by class of the answer's status; broken: without a whole answer.", "pool", "code")
	refused    = describe("refused_total", "Requests refused with 503, by the limit that refused them.", "pool", "limit")
	cancelled  = describe("cancelled_total", "Requests whose client left before the answer was whole.", "pool")
	retries    = describe("retries_total", "Requests sent a second time because the first connection turned out closed.", "pool")
	hedges     = describe("hedges_total", "Requests sent to a second target because the first took long.", "pool")
	mirrored   = describe("mirrored_total", "Copies of other pools' requests that came in.", "pool")
	latency    = describe("request_duration_seconds", "Time from arrival to the end of the answer.", "pool")
	wait       = describe("queue_wait_seconds", "Time from arrival to a slot.", "pool")
	service    = describe("service_duration_seconds", "Time that a target worked on a request, from the slot to the end of the answer.", "pool")
	depth      = describe("queue_depth", "Requests waiting for a slot.", "pool")
	inFlight   = describe("in_flight_requests", "Requests that targets work on.", "pool")
	slots      = describe("slots", "Requests that the targets in rotation may work on at a time; 0 means without limit.", "pool")
	failedOpen = describe("failed_open", "1 while no target is healthy and so all are tried.", "pool")

	targetUp       = describe("target_up", "1 while the target of the file may be given requests; of other, how many may.", "pool", "target")
	targetInFlight = describe("target_in_flight_requests", "Requests that the target of the file works on.", "pool", "target")
	targetRequests = describe("target_requests_total", "Requests that the target of the file was given.", "pool", "target")
	targetFailures = describe("target_failures_total", "Requests that the target of the file refused, broke or answered with 5xx.", "pool", "target")

	instances   = describe("instances", "Instances by state.", "pool", "state")
	desired     = describe("desired_instances", "Instances that there should be.", "pool")
	spotNotices = describe("spot_notices_total", "Notices that instances are taken back; kind: interruption, or rebalance when they are only at risk.", "pool", "kind")
	spotDrained = describe("spot_drained_total", "Instances that had drained before they were taken back.", "pool")
	spotCut     = describe("spot_cut_requests_total", "Requests in flight on instances as they were taken back.", "pool")
	remedies    = describe("remedies_total", "Remedies begun for instances that failed a check, by the check and the remedy.", "pool", "check", "remedy")
	decisions   = describe("scale_decisions_total", "Decisions that changed how many instances there should be; out: more, in: fewer.", "pool", "direction")
	boot        = describe("instance_boot_seconds", "Time from launch to ready of the latest boots, by percentile.", "pool", "percentile")

	costPerHour   = describe("cost_per_hour", "What the instances that run cost in an hour.", "pool")
	costPerHourOD = describe("cost_on_demand_per_hour", "What the instances that run would cost in an hour if all were on demand.", "pool")
	costMonth     = describe("cost_month", "What instances have cost in this month of UTC.", "pool")
	costMonthOD   = describe("cost_on_demand_month", "What instances would have cost in this month of UTC if all had been on demand.", "pool")

	descs = []*prometheus.Desc{
		buildInfo, connections, accepted, handshakes, limited, logLines, spans,
		routeRequests, routeLatency, routeBytesIn, routeBytesOut,
		received, requests, refused, cancelled, retries, hedges, mirrored, latency, wait, service, depth, inFlight, slots, failedOpen,
		targetUp, targetInFlight, targetRequests, targetFailures,
		instances, desired, decisions, boot,
		costPerHour, costPerHourOD, costMonth, costMonthOD,
	}
)

func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range descs {
		ch <- d
	}
}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := c.snapshot()
	gauge(ch, buildInfo, 1, s.Version, runtime.Version())
	for i := range s.Listeners {
		collectListener(ch, &s.Listeners[i])
	}
	for _, limit := range slices.Sorted(maps.Keys(s.Limited)) {
		count(ch, limited, s.Limited[limit], limit)
	}
	if c := s.AccessLog; c != nil {
		count(ch, logLines, c.Written, "written")
		count(ch, logLines, c.Dropped, "dropped")
		count(ch, logLines, c.Failed, "failed")
	}
	if c := s.Spans; c != nil {
		count(ch, spans, c.Exported, "exported")
		count(ch, spans, c.Dropped, "dropped")
		count(ch, spans, c.Failed, "failed")
	}
	for i := range s.Routes {
		collectRoute(ch, &s.Routes[i])
	}
	c.mu.Lock()
	targets := c.ration.serve(s.Pools, s.TargetSeries)
	c.mu.Unlock()
	for i := range s.Pools {
		collectPool(ch, &s.Pools[i], targets[s.Pools[i].Name])
	}
}

func collectListener(ch chan<- prometheus.Metric, l *Listener) {
	gauge(ch, connections, float64(l.Connections), l.Address)
	count(ch, accepted, l.Accepted, l.Address)
	if l.TLS {
		count(ch, handshakes, l.Handshakes, l.Address, "ok")
		count(ch, handshakes, l.HandshakeErrors, l.Address, "failed")
	}
}

func collectRoute(ch chan<- prometheus.Metric, r *Route) {
	count(ch, routeRequests, r.Answers2, r.Name, "2xx")
	count(ch, routeRequests, r.Answers3, r.Name, "3xx")
	count(ch, routeRequests, r.Answers4, r.Name, "4xx")
	count(ch, routeRequests, r.Answers5, r.Name, "5xx")
	count(ch, routeRequests, r.Broken, r.Name, "broken")
	count(ch, routeRequests, r.Cancelled, r.Name, "cancelled")
	histogram(ch, routeLatency, DurationBounds, r.Duration, r.Name)
	count(ch, routeBytesIn, r.BytesIn, r.Name)
	count(ch, routeBytesOut, r.BytesOut, r.Name)
}

func collectPool(ch chan<- prometheus.Metric, p *Pool, targets []series) {
	count(ch, received, p.Received, p.Name)
	count(ch, requests, p.Answers2, p.Name, "2xx")
	count(ch, requests, p.Answers4, p.Name, "4xx")
	count(ch, requests, p.Answers5, p.Name, "5xx")
	count(ch, requests, p.Broken, p.Name, "broken")
	count(ch, refused, p.Full, p.Name, "queue.limit")
	count(ch, refused, p.TimedOut, p.Name, "queue.timeout")
	count(ch, cancelled, p.Cancelled, p.Name)
	count(ch, retries, p.Retries, p.Name)
	count(ch, hedges, p.Hedges, p.Name)
	count(ch, mirrored, p.Mirrored, p.Name)
	histogram(ch, latency, DurationBounds, p.Latency, p.Name)
	histogram(ch, wait, DurationBounds, p.Wait, p.Name)
	histogram(ch, service, ServiceBounds, p.Service, p.Name)
	gauge(ch, depth, float64(p.Waiting), p.Name)
	gauge(ch, inFlight, float64(p.InFlight), p.Name)
	gauge(ch, slots, float64(p.Slots), p.Name)
	gauge(ch, failedOpen, truth(p.FailedOpen), p.Name)
	for _, t := range targets {
		gauge(ch, targetUp, float64(t.up), p.Name, t.id)
		gauge(ch, targetInFlight, float64(t.inFlight), p.Name, t.id)
		count(ch, targetRequests, t.requests, p.Name, t.id)
		count(ch, targetFailures, t.failures, p.Name, t.id)
	}
	if p.Fleet != nil {
		collectFleet(ch, p.Name, p.Fleet)
	}
}

func collectFleet(ch chan<- prometheus.Metric, pool string, f *Fleet) {
	for _, state := range instanceStates {
		gauge(ch, instances, float64(f.Instances[state]), pool, state)
	}
	for _, state := range slices.Sorted(maps.Keys(f.Instances)) {
		if !slices.Contains(instanceStates, state) {
			gauge(ch, instances, float64(f.Instances[state]), pool, state)
		}
	}
	gauge(ch, desired, float64(f.Desired), pool)
	count(ch, decisions, f.Grown, pool, "out")
	count(ch, decisions, f.Shrunk, pool, "in")
	if s := f.Spot; s != nil {
		count(ch, spotNotices, s.Interruptions, pool, "interruption")
		count(ch, spotNotices, s.Rebalances, pool, "rebalance")
		count(ch, spotDrained, s.Drained, pool)
		count(ch, spotCut, s.Cut, pool)
	}
	for _, r := range f.Remedies {
		count(ch, remedies, r.N, pool, r.Check, r.Remedy)
	}
	if c := f.Cost; c != nil {
		gauge(ch, costPerHour, c.PerHour, pool)
		gauge(ch, costPerHourOD, c.OnDemandPerHour, pool)
		gauge(ch, costMonth, c.Month, pool)
		gauge(ch, costMonthOD, c.MonthOnDemand, pool)
	}
	if f.Boots > 0 {
		gauge(ch, boot, f.BootP50, pool, "50")
		gauge(ch, boot, f.BootP90, pool, "90")
	}
}

func gauge(ch chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	m, err := prometheus.NewConstMetric(d, prometheus.GaugeValue, v, labels...)
	send(ch, d, m, err)
}

func count(ch chan<- prometheus.Metric, d *prometheus.Desc, v uint64, labels ...string) {
	m, err := prometheus.NewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	send(ch, d, m, err)
}

func histogram(ch chan<- prometheus.Metric, d *prometheus.Desc, bounds []float64, h Histogram, labels ...string) {
	buckets := make(map[float64]uint64, len(bounds))
	for i, bound := range bounds {
		if i < len(h.Counts) {
			buckets[bound] = h.Counts[i]
		}
	}
	m, err := prometheus.NewConstHistogram(d, h.Count, h.Sum, buckets, labels...)
	send(ch, d, m, err)
}

// send reports a metric that cannot be made, for instance because a label is not UTF-8, in the scrape instead of panicking in it.
func send(ch chan<- prometheus.Metric, d *prometheus.Desc, m prometheus.Metric, err error) {
	if err != nil {
		m = prometheus.NewInvalidMetric(d, err)
	}
	ch <- m
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
