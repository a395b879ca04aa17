package infer

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// The gauges, about which faults can lie. The first three bear vLLM's names.
const (
	gaugeRunning     = "vllm:num_requests_running"
	gaugeWaiting     = "vllm:num_requests_waiting"
	gaugeKVCache     = "vllm:kv_cache_usage_perc"
	gaugeSlots       = "weir_infer_slots"
	gaugeLoaded      = "weir_infer_model_loaded"
	gaugeLoadSeconds = "weir_infer_model_load_seconds"
	gaugeUtilization = "weir_infer_device_utilization_ratio"
)

var gaugeNames = []string{
	gaugeRunning, gaugeWaiting, gaugeKVCache, gaugeSlots, gaugeLoaded, gaugeLoadSeconds, gaugeUtilization,
}

// metrics is what a server counts. Every series carries the label device.
type metrics struct {
	registry    *prometheus.Registry
	requests    *prometheus.CounterVec // by model and outcome
	cancelled   *prometheus.CounterVec // by model and stage
	steps       prometheus.Counter
	predictions prometheus.Counter
	switches    prometheus.Counter
	read        prometheus.Counter
	written     prometheus.Counter
	firstToken  prometheus.Histogram
	tokenGap    prometheus.Histogram
	duration    *prometheus.HistogramVec // by model
	names       map[string]string        // of the models, as their series are labelled
}

func newMetrics(s *Server) *metrics {
	m := &metrics{registry: prometheus.NewRegistry(), names: map[string]string{}}
	reg := prometheus.WrapRegistererWith(prometheus.Labels{"device": s.o.Device}, m.registry)
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		reg.MustRegister(c)
		return c
	}
	vector := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		reg.MustRegister(c)
		return c
	}
	seconds := func(name, help string, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(0.001, 2, 18),
		}, labels)
		reg.MustRegister(h)
		return h
	}
	m.requests = vector("weir_infer_requests_total", "Inference requests by how they ended.", "model_name", "outcome")
	m.cancelled = vector("weir_infer_cancelled_requests_total",
		"Requests whose client left, by how far they had come.", "model_name", "stage")
	m.steps = counter("weir_infer_steps_total", "Diffusion steps done.")
	m.predictions = counter("weir_infer_predictions_total", "Predictions made.")
	m.switches = counter("weir_infer_checkpoint_switches_total", "Image checkpoints that replaced another in memory.")
	m.read = counter("vllm:prompt_tokens_total", "Tokens of prompts read.")
	m.written = counter("vllm:generation_tokens_total", "Tokens generated.")
	m.firstToken = seconds("vllm:time_to_first_token_seconds", "Time from a chat request to its first token.").
		WithLabelValues().(prometheus.Histogram)
	m.tokenGap = seconds("vllm:inter_token_latency_seconds", "Time between two pieces of a chat answer.").
		WithLabelValues().(prometheus.Histogram)
	m.duration = seconds("vllm:e2e_request_latency_seconds", "Time from a request to the end of its answer.", "model_name")

	for model := range s.lanes {
		name := s.o.modelName(model)
		m.names[model] = name
		for _, o := range outcomes { // so that every series is there from the start
			m.requests.WithLabelValues(name, string(o))
		}
		for _, st := range stages {
			m.cancelled.WithLabelValues(name, string(st))
		}
	}
	reg.MustRegister(&gauges{s: s}, prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "weir_infer_device_busy_seconds_total", Help: "Time the device has worked, steps under way in full.",
	}, func() float64 { return s.dev.busyTime().Seconds() }))
	m.registry.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewGoCollector())
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// addTokens counts what a step of the chat batch did.
func (m *metrics) addTokens(read, written int) {
	m.read.Add(float64(read))
	m.written.Add(float64(written))
}

// finish counts a request that has ended.
func (m *metrics) finish(c *call, o outcome) {
	name := m.names[c.model]
	m.requests.WithLabelValues(name, string(o)).Inc()
	switch o {
	case outcomeCancelled:
		m.cancelled.WithLabelValues(name, string(c.stage)).Inc()
	case outcomeOK:
		m.duration.WithLabelValues(name).Observe(time.Since(c.start).Seconds())
	}
}

// gauges collects the gauges, as they are or as a fault has them.
type gauges struct{ s *Server }

// Describe describes nothing: which gauges there are changes with the faults.
func (g *gauges) Describe(chan<- *prometheus.Desc) {}

// Collect sends every gauge that no fault hides.
func (g *gauges) Collect(out chan<- prometheus.Metric) {
	s := g.s
	f := s.faults.get()
	send := func(name, help string, value float64, labels ...string) {
		value, shown := f.gauge(name, value)
		if !shown {
			return
		}
		var names []string
		if len(labels) > 0 {
			names = []string{"model_name"}
		}
		desc := prometheus.NewDesc(name, help, names, nil)
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	for _, model := range slices.Sorted(maps.Keys(s.lanes)) {
		name := s.o.modelName(model)
		running, waiting := s.lanes[model].counts()
		send(gaugeRunning, "Requests that hold a slot.", float64(running), name)
		send(gaugeWaiting, "Requests that wait for a slot.", float64(waiting), name)
		send(gaugeSlots, "Requests that may run at a time.", float64(s.lanes[model].slots), name)
		if model == ModelChat {
			send(gaugeKVCache, "Share of the context memory in use, 0 to 1.", s.kvCacheUsage(), name)
		}
	}
	s.mu.Lock()
	at, took := s.phase, s.loadTook
	s.mu.Unlock()
	loaded := 0.0
	if at == ready {
		loaded = 1
	}
	send(gaugeLoaded, "1 when the models are loaded.", loaded)
	send(gaugeLoadSeconds, "How long the last load took.", took.Seconds())
	send(gaugeUtilization, "Share of the last second the device worked, 0 to 1.", s.dev.utilization(time.Now()))
}

// kvCacheUsage is the share of the tokens that the running sequences could hold together which they do hold.
func (s *Server) kvCacheUsage() float64 {
	return float64(s.engine.cached.Load()) / float64(s.o.Slots*s.o.ContextLength)
}

// formatLoadReport writes a load report in the format a request asked for: JSON, or else TEXT.
func formatLoadReport(format string, report map[string]float64) string {
	if strings.EqualFold(format, "json") {
		b, err := json.Marshal(map[string]any{"named_metrics": report})
		if err != nil { // a fault can make a gauge infinite, which JSON cannot say
			return `JSON {"named_metrics":{}}`
		}
		return "JSON " + string(b)
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(report)) {
		parts = append(parts, fmt.Sprintf("named_metrics.%s=%g", name, report[name]))
	}
	return "TEXT " + strings.Join(parts, ", ")
}
