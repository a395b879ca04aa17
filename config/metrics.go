package config

// FromPrometheus is who answers the query of a policy that is not for Weir's own history.
const FromPrometheus = "prometheus"

// Metrics is what Weir measures and how long it keeps that.
type Metrics struct {
	// How long measured values are kept.
	Retention Duration `yaml:"retention"`
	// How long every single one is kept; older ones are kept once a minute.
	Detail Duration `yaml:"detail"`
	// Time between two looks at Weir's own numbers.
	Interval Duration `yaml:"interval"`
	// Most disk space; the oldest values go first. 0 sets no limit.
	MaxSize Size `yaml:"max_size"`
	// A Prometheus server that policies may ask, too.
	Prometheus *Prometheus `yaml:"prometheus"`
}

// Prometheus is a server that answers PromQL.
type Prometheus struct {
	// Address of the server, without /api/v1.
	URL string `yaml:"url" jsonschema:"required,minLength=1" example:"http://127.0.0.1:9090"`
	// Bearer token, best written as ${NAME}.
	Token string `yaml:"token"`
	// Name for basic authentication.
	User string `yaml:"user"`
	// Password for basic authentication, best written as ${NAME}.
	Password string `yaml:"password"`
	// Headers of every request, such as X-Scope-OrgID.
	Headers map[string]string `yaml:"headers"`
	// Time after which a query has failed.
	Timeout Duration `yaml:"timeout"`
}

// Scrape is where the targets of a pool tell their metrics.
type Scrape struct {
	// Path of the request.
	Path string `yaml:"path"`
	// Port, on each target's host. Default: the one that takes its traffic.
	Port int `yaml:"port" jsonschema:"minimum=1,maximum=65535"`
	// Time between two requests to a target.
	Interval Duration `yaml:"interval"`
	// Time after which a request has failed.
	Timeout Duration `yaml:"timeout"`
	// Most series that are kept of one target; how many more there were is shown.
	MaxSeries int `yaml:"max_series" jsonschema:"minimum=1"`
	// Names under which policies read series of the target, as in {waiting: "my_queue_length"}. Series of one name are summed up.
	Names map[string]string `yaml:"names"`
}

// DefaultMetrics is `metrics: {}`.
func DefaultMetrics() Metrics {
	return Metrics{Retention: seconds(15 * 86_400), Detail: seconds(86_400), Interval: seconds(5), MaxSize: GiB}
}

// DefaultPrometheus is a Prometheus server whose URL alone is given.
func DefaultPrometheus() Prometheus { return Prometheus{Timeout: seconds(5)} }

// DefaultScrape is the metrics of a pool that say nothing.
func DefaultScrape() Scrape {
	return Scrape{Path: "/metrics", Interval: seconds(5), Timeout: seconds(4), MaxSeries: 1000}
}

func (p *Prometheus) setDefaults() { *p = DefaultPrometheus() }
func (s *Scrape) setDefaults()     { *s = DefaultScrape() }

// presets say where the servers that a pool may name tell about themselves; what their metrics mean is no matter of the file.
var presets = map[string]struct {
	metrics string // path
	port    int    // of the metrics; 0 is that of the traffic
	health  string // path; empty when the server has none
}{
	"vllm":     {"/metrics", 0, "/health"},
	"sglang":   {"/metrics", 0, "/health"},
	"triton":   {"/metrics", 8002, "/v2/health/ready"},
	"tgi":      {"/metrics", 0, "/health"},
	"llamacpp": {"/metrics", 0, "/health"},
	"ollama":   {"/api/ps", 0, "/api/version"},
	"comfyui":  {"/prompt", 0, "/prompt"},
	"cog":      {"/health-check", 0, "/health-check"},
	"dcgm":     {"/metrics", 9400, ""},
}

// completePreset fills in what a pool leaves to its preset.
func completePreset(r *report, path string, p *Pool) {
	preset, ok := presets[p.Preset]
	if !ok {
		return
	}
	if p.Metrics == nil {
		p.Metrics = new(DefaultScrape())
	}
	if !r.has(child(child(path, "metrics"), "path")) {
		p.Metrics.Path = preset.metrics
	}
	if p.Metrics.Port == 0 {
		p.Metrics.Port = preset.port
	}
	switch {
	case preset.health == "":
	case p.Health == nil:
		p.Health = new(DefaultHealth())
		p.Health.Path = preset.health
	case !r.has(child(child(path, "health"), "path")):
		p.Health.Path = preset.health
	}
	if h := p.Health; p.Preset == "cog" && h != nil && !r.has(child(child(path, "health"), "expect")) {
		// It answers 200 while it sets up, and is BUSY instead of READY while it works.
		h.Expect.JSON = map[string]any{"setup.status": "succeeded"}
	}
}
