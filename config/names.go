package config

// Names that a file may use, as values of the fields above.
const (
	RoundRobin         = "round_robin"
	WeightedRoundRobin = "weighted_round_robin"
	LeastConnections   = "least_connections"
	RandomTwoChoices   = "random_two_choices"
	Hash               = "hash"
	IPHash             = "ip_hash"
	LeastResponseTime  = "least_response_time"
	Prequal            = "prequal"
	LeastUtilization   = "least_utilization"
	PrefixAffinity     = "prefix_affinity"
	AffinityBalance    = "affinity"

	OrderFIFO          = "fifo"
	OrderDeadline      = "deadline"
	OrderShortestFirst = "shortest_first"

	ProtocolH1  = "h1"
	ProtocolH2  = "h2"
	ProtocolH2C = "h2c"
	ProtocolH3  = "h3"

	EngineAuto      = "auto"
	EngineLoop      = "loop"
	EngineGoroutine = "goroutine"

	LoadReportORCA = "orca"

	MetricQueueDepth        = "queue_depth"
	MetricInFlight          = "in_flight"
	MetricRequestsPerSecond = "requests_per_second"
	MetricCPUUtilization    = "cpu_utilization"

	StyleFast = "fast"
	StyleAWS  = "aws"

	ProviderProcess = "process"
)

// AccessFields are the fields of a line of the access log in JSON.
func AccessFields() []string {
	return []string{
		"time", "status", "duration_ms", "queue_ms", "connect_ms", "first_byte_ms", "client", "method", "host", "path", "query",
		"protocol", "tls", "route", "pool", "target", "bytes_in", "bytes_out", "attempts", "retries", "user_agent", "referer",
		"request_id", "trace_id", "tenant", "refused", "error", "cut_after", "client_left",
	}
}
