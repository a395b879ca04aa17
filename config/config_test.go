package config

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the expected output under testdata")

// environment is what the files under testdata see.
func environment(name string) (string, bool) {
	value, ok := map[string]string{
		"SECRET": "hunter2",
		"EMPTY":  "",
		"SLOTS":  "4",
		"VIA":    "true",
	}[name]
	return value, ok
}

func parse(t testing.TB, src string) (*Config, error) {
	t.Helper()
	return Parse("weir.yaml", []byte(src), environment)
}

// files gives the YAML files of a folder of testdata.
func files(t testing.TB, folder string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", folder, "*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files in testdata/%s: %v", folder, err)
	}
	return paths
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// golden compares got with the .txt file beside the YAML file at path.
func golden(t *testing.T, path, got string) {
	t.Helper()
	expected := strings.TrimSuffix(path, ".yaml") + ".txt"
	if *update {
		if err := os.WriteFile(expected, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := string(read(t, expected)); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestBad(t *testing.T) {
	for _, path := range files(t, "bad") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			src := read(t, path)
			cfg, err := Parse(filepath.Base(path), src, environment)
			if cfg != nil || err == nil {
				t.Fatal("a bad file was accepted")
			}
			errs, ok := err.(Errors)
			if !ok {
				t.Fatalf("the error is a %T, want Errors", err)
			}
			for _, e := range errs {
				pointsAtPath(t, src, e)
			}
			golden(t, path, err.Error()+"\n")
		})
	}
}

// pointsAtPath checks without any help of the parser that an error's place
// shows what its path names: the key itself, or one that holds it.
func pointsAtPath(t *testing.T, src []byte, e Error) {
	t.Helper()
	lines := strings.Split(string(src), "\n")
	if e.Line < 1 || e.Line > len(lines) {
		t.Fatalf("line %d of %d: %v", e.Line, len(lines), e)
	}
	line := []rune(strings.TrimPrefix(lines[e.Line-1], "\ufeff"))
	if e.Column < 1 || e.Column > len(line)+1 {
		t.Fatalf("column %d of %d: %v", e.Column, len(line), e)
	}
	if e.Path == "" {
		return
	}
	there := string(line[e.Column-1:])
	if strings.HasSuffix(e.Path, "]") && there != "" && !strings.ContainsAny(there[:1], " -,") {
		return // an item of a list, which may be anything
	}
	there = strings.TrimPrefix(there, `"`)
	for _, key := range regexp.MustCompile(`[^.\[\]"]+`).FindAllString(e.Path, -1) {
		if strings.HasPrefix(there, key) {
			return
		}
	}
	if strings.HasPrefix(there, "<<:") || strings.HasPrefix(there, "?") {
		return
	}
	t.Errorf("the place shows %q: %v", there, e)
}

func TestGood(t *testing.T) {
	for _, path := range files(t, "good") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			cfg, err := Parse(path, read(t, path), environment)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range cfg.Warnings {
				t.Errorf("warning: %v", w)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	for _, path := range files(t, "warn") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			cfg, err := Parse(filepath.Base(path), read(t, path), environment)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, path, Errors(cfg.Warnings).Error()+"\n")
		})
	}
}

func TestEveryKeyIsRead(t *testing.T) {
	cfg, err := Parse("full.yaml", read(t, "testdata/good/full.yaml"), environment)
	if err != nil {
		t.Fatal(err)
	}
	fixed := DefaultPool()
	fixed.Balance = "hash"
	fixed.HashBy = Key{"json", "user"}
	fixed.ProxyProtocol = "v2"
	fixed.Targets = []Target{{"127.0.0.1:9001", 3, 8}, {"127.0.0.1:9002", 1, 0}}
	fixed.Ejection.Off = true
	prefixes, loras, bytes := DefaultPool(), DefaultPool(), DefaultPool()
	for i, p := range []*Pool{&prefixes, &loras, &bytes} {
		p.Concurrency = 1
		p.Targets = []Target{{fmt.Sprintf("127.0.0.1:%d", 9003+i), 1, 0}}
		p.Queue.Order, p.Queue.MaxWait = "shortest_first", of(30*time.Second)
	}
	prefixes.Balance, prefixes.Prefix, prefixes.Queue.Order = "prefix_affinity", &Prefix{StringList{"input"}, 512}, "deadline"
	loras.Balance, loras.Affinity, loras.TLS = "affinity", &Affinity{Key{"json", "options.lora"}, of(12 * time.Second), 8}, &TargetTLS{}
	loras.Queue.Size, bytes.Queue.Size = &RequestSize{Header: "X-Tokens"}, &RequestSize{Bytes: true}
	plain := DefaultRoute()
	plain.Pool = "fixed"
	with := func(change func(*Route)) Route {
		r := DefaultRoute()
		change(&r)
		return r
	}
	named := func(r Route, name string) Route {
		r.Name = name
		return r
	}
	prefixes.Queue.MaxWait = of(time.Minute)
	want := &Config{
		Alarms: map[string]*Alarm{
			"waits": {
				Pool: "inference", Metric: "oldest_wait", Threshold: new(2.0), Comparison: "at_least", Statistic: "maximum", Period: of(10 * time.Second), Points: 3, Breach: 2, Missing: "not_breaching",
				Actions: []AlarmAction{
					{On: []string{"alarm", "ok"}, Webhook: &Webhook{"https://example.com/alarm", map[string]string{"Authorization": "Bearer x"}}, Timeout: of(5 * time.Second), Retries: new(1)},
					{On: []string{"alarm"}, Exec: []string{"./page", "now"}, Timeout: of(10 * time.Second), Retries: new(3)},
				},
			},
			"trouble": {Rule: "ALARM(waits) AND NOT FALSE", Comparison: "above", Statistic: "average", Period: of(time.Minute), Points: 1, Breach: 1, Missing: "missing"},
		},
		Listen: []Listen{{
			Address:   "127.0.0.1:8080",
			Protocols: []string{"h1", "h2", "h3"},
			Engine:    "goroutine",
			TLS: &TLS{
				Certificates: []Certificate{{"site.pem", "site-key.pem"}},
				ACME:         &ACME{StringList{"www.example.com", "example.com"}, "ops@example.com", "https://127.0.0.1:14000/dir", "pebble.pem", "/var/lib/acme"},
				MinVersion:   "1.3",
				ClientAuth:   &ClientAuth{StringList{"clients.pem"}, StringList{"a.crl", "b.crl"}, "request"},
			},
			ProxyProtocol:  &ProxyProtocol{networks("10.0.0.0/8", "::1/128"), false},
			TrustedProxies: networks("192.0.2.7/32"),
			Allow:          networks("10.0.0.0/8", "2001:db8::/32"),
			Deny:           networks("10.1.0.0/16"),
			Routes: []Route{
				{
					Name: "images", Host: "api.example.com", Path: "/v1/images/*", Methods: StringList{"POST", "PUT"},
					Headers: map[string]Match{"X-Model": {Prefix: "sd-"}, "Authorization": {Present: new(true)}},
					Query:   map[string]Match{"version": {Exact: new("2")}, "debug": {Present: new(false)}},
					Cookies: map[string]Match{"beta": {Regexp: "^[0-9]+$"}},
					Pool:    "inference",
					Rewrite: &Rewrite{StripPrefix: "/v1", AddPrefix: "/api", Regexp: &RewriteRegexp{"^/user/([0-9]+)", "/u/$1"}},
					RequestHeaders: HeaderEdits{
						Set: map[string]string{"X-Env": "production"}, Add: map[string]string{"X-Tag": "a"}, Remove: StringList{"X-Debug"},
					},
					ResponseHeaders: HeaderEdits{Remove: StringList{"Server", "X-Powered-By"}},
					Mirror:          &Mirror{"fixed", 12.5, MiB},
					Timeouts:        RouteTimeouts{of(time.Second), of(20 * time.Second), of(2 * time.Minute), of(time.Minute)},
					Limits:          RouteLimits{new(Size(0))},
					RateLimits:      []RateLimit{{Key{"header", "X-Api-Key"}, 10, 20}, {Key{"all", ""}, 2.5, 3}},
					Priority:        Priority{"X-Priority", 5, 2},
					Deadline:        Deadline{"X-Deadline", of(30 * time.Second)},
					Tenant:          Key{"header", "Authorization"},
					Heartbeat:       of(15 * time.Second),
					Hedge:           &Hedge{of(500 * time.Millisecond)},
					Retry:           Retry{2, true},
					Debug:           true,
				},
				with(func(r *Route) {
					r.Name, r.Path, r.Methods = "127.0.0.1:8080/split", "/split", StringList{"GET"}
					r.Split, r.SplitBy = []Arm{{"fixed", 95}, {"inference", 0}}, Key{"cookie", "session"}
				}),
				with(func(r *Route) {
					r.Name, r.Host, r.Redirect = "old.example.com/*", "old.example.com", &Redirect{"https://www.example.com{uri}", 301}
				}),
				with(func(r *Route) {
					r.Name, r.Path = "127.0.0.1:8080/", "/"
					r.Respond = &Respond{404, "nothing", map[string]string{"Content-Type": "text/plain"}}
				}),
				with(func(r *Route) {
					r.Name, r.Path, r.Pool, r.Rewrite = "127.0.0.1:8080/rewritten", "/rewritten", "fixed", &Rewrite{Path: "/index"}
					r.Priority.Default, r.Deadline.After = 3, of(5*time.Second)
					r.Hedge, r.Mirror = &Hedge{of(time.Second)}, &Mirror{"inference", 100, 64 * KiB}
				}),
				with(func(r *Route) {
					r.Name, r.Path, r.Pool, r.Deadline = "127.0.0.1:8080/prefixes", "/prefixes", "prefixes", Deadline{Header: "X-Deadline"}
				}),
				with(func(r *Route) {
					r.Name, r.Path, r.Split = "127.0.0.1:8080/loras", "/loras", []Arm{{"loras", 1}, {"bytes", 1}}
				}),
				named(plain, "127.0.0.1:8080/*"),
			},
			Via:             true,
			ForwardedHeader: true,
		}, {
			Address: "unix:/run/weir.sock", Engine: "loop", Protocols: []string{"h1", "h2c"},
			Routes: []Route{named(plain, "unix:/run/weir.sock/*")},
		}, {
			Address: "127.0.0.1:8443", Engine: "auto", Protocols: []string{"h1", "h2"},
			TLS: &TLS{
				Certificates: []Certificate{{"b.pem", "b-key.pem"}}, MinVersion: "1.2",
				Ciphers: []string{"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"},
			},
			Routes: []Route{named(plain, "127.0.0.1:8443/*")},
		}},
		Admin:     Admin{"127.0.0.1:9901", "hunter2", AdminTLS{"admin.pem", "admin-key.pem", "admins.pem"}},
		State:     "/var/lib/weir",
		Log:       Log{"debug", "json"},
		AccessLog: &AccessLog{"/var/log/weir/access.log", "json", 0.25, false, of(time.Second), true, StringList{"user_agent", "referer"}},
		Tracing:   &Tracing{"http://127.0.0.1:4317", "grpc", 1, "edge"},
		Limits:    Limits{65536, 16384, 10_000_000, 5000, ClientLimits{100, 50, 24, 56}},
		Timeouts:  Timeouts{of(5 * time.Second), of(20 * time.Second), KiB, of(90 * time.Second)},
		Metrics: Metrics{
			of(30 * 24 * time.Hour), of(48 * time.Hour), of(10 * time.Second), 4 * GiB,
			&Prometheus{URL: "http://127.0.0.1:9090/prom", User: "weir", Password: "hunter2", Headers: map[string]string{"X-Scope-OrgID": "weir"}, Timeout: of(3 * time.Second)},
		},
		Watch:       true,
		SessionKeys: []string{"hunter2-and-enough-of-it", "another-one-of-26-letters!"},
		DebugFrom:   networks("10.0.0.0/8"),
		Pools: map[string]*Pool{"fixed": &fixed, "prefixes": &prefixes, "loras": &loras, "bytes": &bytes, "inference": {
			Balance:     "least_utilization",
			Utilization: &Utilization{"kv_cache", of(5 * time.Second)},
			LoadReport:  "orca",
			SlowStart:   of(2 * time.Minute),
			Sticky:      &Sticky{"weir", of(time.Hour), "none", of(5 * time.Second)},
			Retries:     Retries{10, 1},
			Protocol:    "h2",
			TLS:         &TargetTLS{CA: StringList{"targets.pem"}, ServerName: "targets.internal", Cert: "weir.pem", Key: "weir-key.pem"},
			Agent:       &Agent{9101, of(10 * time.Second)},
			Preset:      "vllm",
			Metrics:     &Scrape{"/stats", 9102, of(10 * time.Second), of(2 * time.Second), 50, map[string]string{"depth": "my_depth"}},
			Concurrency: 2,
			Queue:       Queue{500, of(2 * time.Minute), "shortest_first", &RequestSize{JSON: StringList{"steps", "n"}}, of(45 * time.Second), true},
			Timeouts:    PoolTimeouts{of(250 * time.Millisecond), of(24 * time.Hour), of(90 * time.Minute), of(30 * time.Second)},
			Health: &Health{
				Path: "/health/ready", Method: "POST", Interval: of(10 * time.Second), Timeout: of(2 * time.Second), Healthy: 1, Unhealthy: 3,
				RemediesPerHour: 20,
				OnFailure: map[string]Remedy{
					"model_loaded": {Do: "reload", Path: "/load", Method: "PUT", Timeout: of(90 * time.Second)}, "memory_ok": {Do: "scale_up", Method: "POST", Timeout: of(time.Minute)},
					"gpu_available": {Do: "reload", Method: "POST", Exec: []string{"./reload"}, Timeout: of(time.Minute)}, "timeout": {Do: "restart", Method: "POST", Timeout: of(time.Minute)},
				},
				Expect: Expect{
					Status: StatusList{200, 204},
					JSON:   map[string]any{"model_loaded": true, "checks.gpus": 2.0, "name": "sd", "error": nil, "tags": []any{"a", map[string]any{"b": 1.5}}},
					Body:   "ok",
				},
			},
			Liveness: &Check{
				Path: "/health/live", Method: "HEAD", Interval: of(20 * time.Second), Timeout: of(3 * time.Second), Unhealthy: 4,
				Expect: Expect{Status: StatusList{204}},
			},
			Ejection: Ejection{3, of(10 * time.Second), of(time.Minute), 50, false},
			FailOpen: 2,
			Drain:    of(10 * time.Minute),
			Template: &Template{
				Provider:     "process",
				Command:      []string{"./infer", "--port", "{{.Port}}"},
				Env:          map[string]string{"CUDA_VISIBLE_DEVICES": "0"},
				Dir:          "/srv/infer",
				Limits:       InstanceLimits{8 << 30, of(2 * time.Hour), 1024, 5},
				WarmUp:       &WarmUp{"/predict", "PUT", `{"prompt":"warm up"}`, map[string]string{"Content-Type": "application/json"}, of(30 * time.Second)},
				StartTimeout: of(5 * time.Minute),
				StopTimeout:  of(10 * time.Second),
				Backoff:      Backoff{of(2 * time.Second), of(30 * time.Second)},
				Log:          InstanceLog{1 << 20, 5},
			},
			Refresh: Refresh{
				MinHealthyPercent: 80, MaxHealthyPercent: 120, Checkpoints: []int{20, 50}, CheckpointDelay: seconds(600), BakeTime: seconds(300),
				Timeout: seconds(900), Failures: 3, Gate: Gate{ErrorPercent: 2.5, LatencyFactor: 1.5, Requests: 50},
			},
			WarmPool: &WarmPool{State: "hibernated", Min: 2, MaxPrepared: new(5), Reuse: true},
			Lifecycle: Lifecycle{
				MaxLifetime: of(7 * 24 * time.Hour), HealthGrace: new(of(5 * time.Minute)), HealthGraceFactor: 2.5,
				Hooks: []Hook{
					{Name: "register", On: "launch", Exec: []string{"./register", "--now"}, Timeout: seconds(300), DefaultResult: "continue", Metadata: "eu-1"},
					{Name: "save", On: "terminate", Webhook: &Webhook{"http://127.0.0.1:9000/save", map[string]string{"Authorization": "Bearer x"}}, Timeout: seconds(3600), DefaultResult: "abandon"},
				},
			},
			Scale: &Scale{
				Min: 0, Max: 15, Desired: new(3),
				Policies: []Policy{
					{Target: &TargetPolicy{Metric: "in_flight", Value: 1.5, Style: StyleFast, LowRatio: 0.9}},
					{Queue: &QueuePolicy{WaitP95: of(500 * time.Millisecond), Spare: 2}},
					{Target: &TargetPolicy{Query: "sum(waiting)", Value: 5, Total: true, Style: StyleAWS, LowRatio: 0.7, InstanceWarmup: of(time.Minute), DisableScaleIn: true}},
					{Step: &StepPolicy{
						Name: "cpu", Metric: "cpu_utilization", Threshold: new(50.0), Statistic: "maximum", Period: of(30 * time.Second), Points: 3, Breach: 2, Missing: "ignore",
						Steps:          []Step{{Lower: new(0.0), Upper: new(20.0), Adjustment: 10}, {Lower: new(20.0), Adjustment: 30}},
						AdjustmentType: "percent_change_in_capacity", MinAdjustmentMagnitude: 2, InstanceWarmup: of(90 * time.Second),
					}},
					{Simple: &SimplePolicy{
						Alarm: "waits", Metric: "oldest_wait", Threshold: new(2.0), Comparison: "at_least", Statistic: "maximum", Period: of(10 * time.Second), Points: 3, Breach: 2, Missing: "not_breaching",
						Adjustment: 1, AdjustmentType: "change_in_capacity", Cooldown: of(5 * time.Minute),
					}},
					{Simple: &SimplePolicy{
						Query: "up", Threshold: new(1.0), Comparison: "below", Statistic: "average", Period: of(time.Minute), Points: 1, Breach: 1, Missing: "missing",
						Adjustment: -1, AdjustmentType: "change_in_capacity", Cooldown: of(2 * time.Minute),
					}},
					{Schedule: &SchedulePolicy{
						Name: "weekdays", Cron: "0 9 * * 1-5", Timezone: "Asia/Kolkata", Start: "2026-01-01T00:00", End: "2026-12-31 00:00:00",
						Min: new(10), Max: new(20), Desired: new(12),
					}},
					{Schedule: &SchedulePolicy{At: "2026-12-24T08:00:00Z", Timezone: "UTC", Max: new(3)}},
					{HPA: &HPAPolicy{
						MinReplicas: new(1), MaxReplicas: 9,
						Metrics: []HPAMetric{
							{Type: "Resource", Resource: &HPASource{Name: "memory", Request: 4 << 30, Target: HPATarget{Type: "Utilization", AverageUtilization: 60}}},
							{Type: "ContainerResource", ContainerResource: &HPASource{Name: "cpu", Container: "main", Target: HPATarget{Type: "AverageValue", AverageValue: 0.5}}},
							{Type: "Pods", Pods: &HPASource{Metric: &HPAName{Name: "waiting"}, Target: HPATarget{Type: "AverageValue", AverageValue: 2}}},
							{Type: "Object", Object: &HPASource{Metric: &HPAName{Query: "sum(waiting)"}, Target: HPATarget{Type: "Value", Value: 10}}},
							{Type: "External", External: &HPASource{Metric: &HPAName{Name: "queue_depth"}, Target: HPATarget{Type: "AverageValue", AverageValue: 2000}}},
						},
						Behavior: &HPABehavior{
							ScaleUp: &HPARules{
								StabilizationWindowSeconds: new(Seconds(30 * time.Second)), SelectPolicy: "Min", Tolerance: new(0.05),
								Policies: []HPAScalingPolicy{{Type: "Percent", Value: 50, PeriodSeconds: Seconds(time.Minute)}},
							},
							ScaleDown: &HPARules{SelectPolicy: "Max"},
						},
						Tolerance: new(0.2), SyncPeriod: Seconds(10 * time.Second), DownscaleStabilization: new(Seconds(time.Minute)),
						CPUInitializationPeriod: new(Seconds(20 * time.Second)), InitialReadinessDelay: new(Seconds(5 * time.Second)),
					}},
					{KEDA: &KEDAPolicy{
						PollingInterval: Seconds(10 * time.Second), CooldownPeriod: new(Seconds(time.Minute)), InitialCooldownPeriod: Seconds(5 * time.Second),
						IdleReplicaCount: new(0), MinReplicaCount: new(2), MaxReplicaCount: 8,
						Triggers: []KEDATrigger{
							{Type: "prometheus", Metadata: KEDAMetadata{Query: "sum(waiting)", Threshold: 5, ActivationThreshold: 1}, MetricType: "Value"},
							{Type: "cron", Metadata: KEDAMetadata{Start: "0 8 * * *", End: "0 9 * * *", Timezone: "Europe/Berlin", DesiredReplicas: 4}},
							{Type: "metric", Metadata: KEDAMetadata{Metric: "waiting", Threshold: 3}},
							{Type: "memory", Metadata: KEDAMetadata{Value: 60, Request: 4 << 30}},
						},
						Fallback: &KEDAFallback{FailureThreshold: 3, Replicas: 6, Behavior: "currentReplicas"},
						Advanced: &KEDAAdvanced{KEDAHPAConfig{&HPABehavior{ScaleUp: &HPARules{SelectPolicy: "Disabled"}}}},
						Paused:   true, PausedReplicas: new(3), PausedScaleIn: true, PausedScaleOut: true, ForceActivation: true,
					}},
					{Predict: &PredictPolicy{
						Metric: "requests_per_second", Value: 5, Mode: "forecast_only", Lead: 5 * Duration(time.Minute), Margin: seconds(30), Quantile: 0.95,
						History: 336 * Duration(time.Hour), Step: seconds(300), Season: 24 * Duration(time.Hour), Timezone: "Europe/Berlin",
						MaxCapacityBreach: "increase", MaxCapacityBuffer: 10,
					}},
					{Knative: &KnativePolicy{
						Metric: "rps", Target: 50, TargetUtilization: 0.8, StableWindow: of(30 * time.Second), PanicWindowPercentage: 20, PanicThresholdPercentage: 150,
						MaxScaleUpRate: 10, MaxScaleDownRate: 3, ScaleDownDelay: of(time.Minute), ActivationScale: 2,
						ScaleToZeroGracePeriod: of(20 * time.Second), ScaleToZeroPodRetentionPeriod: of(40 * time.Second),
					}},
				},
				Combine: "max", MaxOutPerMinute: 8, MaxInPerMinute: 2, Suspend: []string{"replace_unhealthy"}, Termination: []string{"OldestLaunchTemplate", "NewestInstance"}, Protect: true,
				Cost: &Cost{
					OnDemandBase: 2, OnDemandPercent: 20, Allocation: "price_capacity_optimized", SpotPools: 2, Fallback: true, ReturnToSpot: true, Zones: []string{"a", "b"},
					Types:  []CostType{{Name: "g4dn.xlarge", OnDemand: 0.526, Spot: 0.158, Zones: []string{"a"}}, {Name: "g5.xlarge", OnDemand: 1.006, Spot: 0.302}},
					Budget: CostBudget{PerHour: 20, PerMonth: 8000, ShedAfter: Duration(10 * time.Second)}, Market: "market.json",
				},
				ScaleInWindow: of(2 * time.Minute), ZeroAfter: of(10 * time.Minute), MaxLaunching: 4,
			},
		}},
	}
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("got  %+v\nwant %+v", cfg, want)
		for i := range want.Listen {
			t.Errorf("got  %+v\nwant %+v", cfg.Listen[i], want.Listen[i])
		}
		for name := range want.Pools {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, cfg.Pools[name], want.Pools[name])
		}
	}
}

// TestFullHasEveryKey keeps full.yaml, and with it TestEveryKeyIsRead, from
// falling behind the types.
func TestFullHasEveryKey(t *testing.T) {
	full := string(read(t, "testdata/good/full.yaml"))
	for _, key := range allKeys(reflect.TypeFor[Config]()) {
		if !regexp.MustCompile(`(?m)(^|[ {])(` + key + `|` + camel(key) + `):`).MatchString(full) {
			t.Errorf("full.yaml does not use the key %q", key)
		}
	}
}

// allKeys gives the keys of t and of every struct in it.
func allKeys(t reflect.Type) []string {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return allKeys(t.Elem())
	case reflect.Struct:
		if t == reflect.TypeFor[Key]() || t == reflect.TypeFor[Network]() {
			return nil
		}
		var all []string
		for _, f := range fields(t) {
			all = append(all, f.name)
			all = append(all, allKeys(t.Field(f.index).Type)...)
		}
		return all
	}
	return nil
}

func TestDefaults(t *testing.T) {
	cfg, err := parse(t, `
listen: [{address: ":8080", routes: [{pool: fixed}, {path: /b, pool: launched}]}]
pools:
  fixed: {targets: ["127.0.0.1:9001"], health: {}}
  launched:
    health: {}
    liveness: {}
    template: {command: [a, "{{.Port}}"], warm_up: {path: /, body: x}}
`)
	if err != nil {
		t.Fatal(err)
	}
	fixed, launched := cfg.Pools["fixed"], cfg.Pools["launched"]
	// The numbers are those of the semantics Weir promises.
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"limits", cfg.Limits, Limits{Header: 32 << 10, URI: 8 << 10, Clients: ClientLimits{0, 0, 32, 64}}},
		{"timeouts", cfg.Timeouts, Timeouts{of(10 * time.Second), of(30 * time.Second), 0, of(75 * time.Second)}},
		{"debug_from", cfg.DebugFrom, networks("127.0.0.0/8", "::1/128")},
		{"protocols", cfg.Listen[0].Protocols, []string{"h1", "h2c"}},
		{"engine", cfg.Listen[0].Engine, "auto"},
		{"route", cfg.Listen[0].Routes[0], Route{Name: ":8080/*", Pool: "fixed", Priority: Priority{Max: 10}, Retry: Retry{Attempts: 3}}},
		{"admin", cfg.Admin, Admin{Address: "127.0.0.1:9900"}},
		{"state", cfg.State, "weir-state"},
		{"log", cfg.Log, Log{"info", "auto"}},
		{"balance", fixed.Balance, "least_connections"},
		{"concurrency", fixed.Concurrency, 0},
		{"weight", fixed.Targets[0].Weight, 1},
		{"queue", fixed.Queue, Queue{Limit: 1000, Timeout: of(time.Minute), Order: "fifo"}},
		{"retries", fixed.Retries, Retries{20, 3}},
		{"protocol", fixed.Protocol, "h1"},
		{"load_report", fixed.LoadReport, "off"},
		{"pool timeouts", fixed.Timeouts, PoolTimeouts{of(5 * time.Second), of(time.Minute), of(5 * time.Minute), of(time.Minute)}},
		{"ejection", fixed.Ejection, Ejection{5, of(30 * time.Second), of(5 * time.Minute), 10, false}},
		{"fail_open", fixed.FailOpen, 1},
		{"drain", fixed.Drain, of(5 * time.Minute)},
		{"health of targets", *fixed.Health, Health{"/health", "GET", of(15 * time.Second), of(5 * time.Second), 2, 2, Expect{Status: StatusList{200}}, nil, 0}},
		{"interval of instances", launched.Health.Interval, of(time.Second)},
		{"liveness", *launched.Liveness, Check{"/health", "GET", of(15 * time.Second), of(5 * time.Second), 2, Expect{Status: StatusList{200}}}},
		{"warm-up", *launched.Template.WarmUp, WarmUp{Path: "/", Method: "POST", Body: "x", Timeout: of(time.Minute)}},
		{"start_timeout", launched.Template.StartTimeout, of(10 * time.Minute)},
		{"stop_timeout", launched.Template.StopTimeout, of(30 * time.Second)},
		{"backoff", launched.Template.Backoff, Backoff{of(time.Second), of(time.Minute)}},
		{"log of instances", launched.Template.Log, InstanceLog{10 << 20, 3}},
		{"scale", *launched.Scale, Scale{Min: 1, Max: 1, Policies: []Policy{{Queue: &QueuePolicy{WaitP95: of(2 * time.Second)}}}, Combine: "aws", ScaleInWindow: of(time.Minute), ZeroAfter: of(5 * time.Minute)}},
		{"scale of targets", fixed.Scale, (*Scale)(nil)},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: got %+v, want %+v", c.what, c.got, c.want)
		}
	}
}

func TestDefaultsAreNotShared(t *testing.T) {
	src := `
listen: [{address: ":8080", routes: [{pool: a}, {path: /b, pool: b}]}]
pools:
  a: {concurrency: 1, template: {command: [a, "{{.Port}}"]}, scale: {max: 2, policies: [{queue: {wait_p95: 9s}}]}, health: {expect: {status: 204}}}
  b: {concurrency: 1, template: {command: [b, "{{.Port}}"]}, scale: {max: 2}, health: {}}
`
	cfg, err := parse(t, src)
	if err != nil {
		t.Fatal(err)
	}
	if got := cfg.Pools["b"].Scale.Policies[0].Queue.WaitP95; got != of(2*time.Second) {
		t.Errorf("the second pool has the first one's policy: %v", got)
	}
	if got := cfg.Pools["b"].Health.Expect.Status; got[0] != 200 {
		t.Errorf("the second pool has the first one's status: %v", got)
	}
}

func TestLoad(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "none.yaml")); err == nil || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("a missing file: %v", err)
	}
	if cfg, err := Load("testdata/good/short.yaml"); err != nil || len(cfg.Pools) != 1 {
		t.Errorf("got %+v, %v", cfg, err)
	}
	_, err := Load("testdata/bad/balance.yaml")
	want := `testdata/bad/balance.yaml:5:5: pools.api.balance: "leastconn" is not an algorithm; did you mean "least_connections"?`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestErrorString(t *testing.T) {
	for want, e := range map[string]Error{
		"weir.yaml:12:5: pools.api: wrong": {"weir.yaml", 12, 5, "pools.api", "wrong"},
		"weir.yaml:1:1: wrong":             {"weir.yaml", 1, 1, "", "wrong"},
		"weir.yaml: pools.api: wrong":      {File: "weir.yaml", Path: "pools.api", Message: "wrong"},
		"pools.api: wrong":                 {Path: "pools.api", Message: "wrong"},
	} {
		if got := e.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestFileTooLarge(t *testing.T) {
	_, err := parse(t, strings.Repeat("#", maxFile+1))
	if err == nil || !strings.Contains(err.Error(), "is this the right file?") {
		t.Errorf("got %v", err)
	}
}

// FuzzParse holds that no file makes Parse panic, that its errors are Errors
// with places inside the file, and that what it accepts is whole.
func FuzzParse(f *testing.F) {
	for _, folder := range []string{"bad", "good", "warn"} {
		for _, path := range files(f, folder) {
			f.Add(read(f, path))
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		cfg, err := Parse("f", src, environment)
		if err == nil {
			if len(cfg.Listen) == 0 || len(cfg.Pools) == 0 {
				t.Fatalf("accepted without listeners or pools: %+v", cfg)
			}
			for name, p := range cfg.Pools {
				if (len(p.Targets) > 0) == (p.Template != nil) || (p.Scale != nil) != (p.Template != nil) {
					t.Fatalf("pool %s is not whole: %+v", name, p)
				}
			}
			return
		}
		errs, ok := err.(Errors)
		if !ok || len(errs) == 0 || cfg != nil {
			t.Fatalf("got %v, %T %v", cfg, err, err)
		}
		lines := strings.Split(string(src), "\n")
		for _, e := range errs {
			if e.Line < 1 || e.Line > len(lines) || e.Column < 1 || e.Column > len([]rune(lines[e.Line-1]))+1 {
				t.Fatalf("place outside the file of %d lines: %v", len(lines), e)
			}
		}
	})
}

func networks(all ...string) []Network {
	var ns []Network
	for _, n := range all {
		ns = append(ns, Network{netip.MustParsePrefix(n)})
	}
	return ns
}

func of(d time.Duration) Duration { return Duration(d) }
