package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/weirlb/weir/bench/internal/load"
)

// connections is how many a request scenario uses.
const connections = 64

// manyConnections is how many are open at once to see whether that costs anything; both sides of them must fit into a process's 20,000 files.
const manyConnections = 8000

// requestRate is the low rate that is measured, in requests per second. At
// 2,000 sharp every tick of the kernel, which counts how busy a core is, would
// find the proxy at the same point of a request.
const requestRate = 1999

// manyTargets is how many targets the pool has that is reloaded.
const manyTargets = 10_000

// Ways to measure of their own.
const (
	onTwoCores     = "on two cores"
	whileReloading = "while reloading"
)

// manyStreams is how many slow streams are read at once, beside those of -streams.
const manyStreams = 5000

// sizes are what the command line says about the load.
type sizes struct {
	warmUp, count time.Duration
	streams, held int
}

// scenario is one way to load a candidate, and what is read off it.
type scenario struct {
	name    string
	metrics []metric
	options func(sizes) load.Options
	// of are the candidates that can do it; nil: those of plain HTTP/1.1.
	of  []string
	tls bool // through the candidate's TLS port
	// apart names how that is measured which does not follow from loading a candidate once; empty for all others.
	apart string
	// units is how many there should be per second; 0 when that is what the
	// candidate decides.
	units func(sizes) float64
}

// metric is one row of the report.
type metric struct {
	Key   string                    `json:"key"`
	Title func(sizes) string        `json:"-"`
	Value func(load.Result) float64 `json:"-"`
}

// cpuPerUnit is a row of µs per request or event.
func cpuPerUnit(key string, title func(sizes) string) []metric {
	return []metric{{Key: key, Title: title, Value: load.Result.PerUnit}}
}

// extra is a row that a measurement of its own fills in.
func extra(key, title string) metric {
	return metric{Key: key, Title: fixed(title), Value: func(r load.Result) float64 { return r.Extra[key] }}
}

// streaming is a scenario of SSE streams with an event each so often.
func streaming(name string, streams func(sizes) int, every time.Duration) scenario {
	return scenario{
		name: name,
		metrics: cpuPerUnit(name+"_us", func(s sizes) string {
			return fmt.Sprintf("SSE event, %s streams × %d/s, µs", thousands(streams(s)), time.Second/every)
		}),
		options: func(s sizes) load.Options {
			// Streams outlast the run, so that only events are counted.
			lasts := 2*(s.warmUp+s.count) + time.Minute
			path := fmt.Sprintf("/sse?n=%d&ms=%d", lasts/every, every.Milliseconds())
			return load.Options{Mode: load.SSE, Path: path, Conns: streams(s)}
		},
		units: func(s sizes) float64 { return float64(streams(s)) * float64(time.Second/every) },
	}
}

// open is a scenario of the low rate over so many open connections, of which each takes its turn.
func open(name string, conns int) scenario {
	return scenario{
		name:    name,
		metrics: cpuPerUnit(name+"_us", fixed("GET at 2,000/s over "+thousands(conns)+" open connections, µs")),
		options: func(sizes) load.Options {
			return load.Options{Mode: load.Rate, Path: "/predict", Conns: conns, Rate: requestRate}
		},
		units: func(sizes) float64 { return requestRate },
	}
}

func fixed(title string) func(sizes) string { return func(sizes) string { return title } }

// thousands writes 12345 as 12,345; nothing here reaches a million.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}

func anyRate(sizes) float64 { return 0 }

var scenarios = []scenario{
	{
		name:    "get",
		metrics: cpuPerUnit("get_us", fixed("GET 200 B, saturated, µs")),
		options: func(s sizes) load.Options {
			return load.Options{Mode: load.Saturated, Path: "/predict", Conns: connections}
		},
		units: anyRate,
	},
	{
		name:    "post",
		metrics: cpuPerUnit("post_us", fixed("POST 4 KB, answer 2 KB, saturated, µs")),
		options: func(s sizes) load.Options {
			return load.Options{Mode: load.Saturated, Path: "/predict", Conns: connections, Body: 4096}
		},
		units: anyRate,
	},
	{
		name:    "rate",
		metrics: cpuPerUnit("rate_us", fixed("GET 200 B at 2,000/s, µs")),
		options: func(s sizes) load.Options {
			return load.Options{Mode: load.Rate, Path: "/predict", Conns: connections, Rate: requestRate}
		},
		units: func(sizes) float64 { return requestRate },
	},
	streaming("sse", func(s sizes) int { return s.streams }, 50*time.Millisecond),
	streaming("sse5000", func(sizes) int { return manyStreams }, 250*time.Millisecond),
	open("conns10", 10),
	open("conns1000", 1000),
	open("conns8000", manyConnections),
	{
		name:    "tls",
		of:      []string{"nginx", "haproxy", "weir"},
		tls:     true,
		metrics: cpuPerUnit("tls_us", fixed("GET over TLS 1.3, kept alive, µs")),
		options: func(s sizes) load.Options {
			return load.Options{Mode: load.TLS, Path: "/predict", Conns: connections}
		},
		units: anyRate,
	},
	{
		name:    "handshake",
		of:      []string{"nginx", "haproxy", "weir"},
		tls:     true,
		metrics: cpuPerUnit("handshake_us", fixed("TLS 1.3 handshake and GET, µs")),
		options: func(s sizes) load.Options {
			return load.Options{Mode: load.Handshake, Path: "/predict", Conns: connections / 4}
		},
		units: anyRate,
	},
	{
		name:    "h2",
		of:      []string{"nginx", "haproxy", "caddy", "weir"},
		tls:     true,
		metrics: cpuPerUnit("h2_us", fixed("GET over HTTP/2 and TLS (h2load), µs")),
		options: func(s sizes) load.Options {
			return load.Options{Mode: load.HTTP2, Path: "/predict", Conns: connections / 4}
		},
		units: anyRate,
	},
	{
		name:  "cores",
		of:    []string{"weir"},
		apart: onTwoCores,
		metrics: []metric{
			extra("one_core_us", "GET 200 B, saturated, on one core, µs"),
			extra("two_cores_us", "the same on two cores, µs"),
			extra("two_over_one", "two cores can do × what one can, by CPU time"),
			extra("rate_ratio", "requests per second on two cores / on one, load and target on the second"),
		},
		options: func(s sizes) load.Options {
			return load.Options{Mode: load.Saturated, Path: "/predict", Conns: connections}
		},
		units: anyRate,
	},
	{
		name:  "reload",
		of:    []string{"weir"},
		apart: whileReloading,
		metrics: []metric{
			extra("reload_same_ms", "weir reload with "+thousands(manyTargets)+" targets, none changed, ms"),
			extra("reload_some_ms", "the same, one in a hundred replaced, ms"),
			extra("reload_all_ms", "the same, all replaced, ms"),
		},
		options: func(s sizes) load.Options {
			return load.Options{Mode: load.Rate, Path: "/predict", Conns: connections, Rate: requestRate}
		},
		units: anyRate,
	},
	{
		name: "hold",
		metrics: []metric{
			{
				Key:   "held_rss_kb",
				Title: func(s sizes) string { return fmt.Sprintf("KB per held request (RSS, %s held)", thousands(s.held)) },
				Value: func(r load.Result) float64 { return float64(r.After.RSS-r.Before.RSS) / float64(r.Units) },
			},
			{
				Key:   "held_pss_kb",
				Title: fixed("the same (PSS)"),
				Value: func(r load.Result) float64 { return float64(r.After.PSS-r.Before.PSS) / float64(r.Units) },
			},
		},
		options: func(s sizes) load.Options {
			// The target holds them while they are opened and memory settles.
			opening := time.Duration(s.held) * time.Millisecond
			holds := s.warmUp + opening + time.Second
			return load.Options{
				Mode: load.Hold, Path: fmt.Sprintf("/hold?ms=%d", holds.Milliseconds()),
				Conns: s.held,
			}
		},
		units: anyRate,
	},
}

// plain are the candidates of scenarios that need no more than HTTP/1.1.
var plain = []string{"floor", "nginx", "haproxy", "weir"}

// can says whether a candidate can do the scenario.
func (s scenario) can(candidate string) bool {
	if s.of == nil {
		return slices.Contains(plain, candidate)
	}
	return slices.Contains(s.of, candidate)
}

func scenarioNames() []string {
	names := make([]string, len(scenarios))
	for i, s := range scenarios {
		names[i] = s.name
	}
	return names
}
