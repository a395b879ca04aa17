package scrape

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirlb/weir/measure"
	"github.com/weirlb/weir/measure/history"
)

// rig is a server, whose answer can change, and who reads it.
type rig struct {
	t       *testing.T
	samples measure.Store
	db      *history.DB
	log     bytes.Buffer

	mu     sync.Mutex
	status int
	body   string
	ctype  string
	asked  chan struct{}
}

func newRig(t *testing.T, o Options) *rig {
	t.Helper()
	r := &rig{t: t, status: 200, ctype: "text/plain; version=0.0.4", asked: make(chan struct{}, 1000)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		w.Header().Set("Content-Type", r.ctype)
		w.WriteHeader(r.status)
		fmt.Fprint(w, r.body)
	}))
	var err error
	r.db, err = history.Open(history.Options{Dir: t.TempDir(), Retention: 24 * time.Hour, Detail: 24 * time.Hour, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	o.Path, o.Interval, o.Timeout = "/metrics", 10*time.Millisecond, 5*time.Second
	if o.MaxSeries == 0 {
		o.MaxSeries = 1000
	}
	ctx, cancel := context.WithCancel(t.Context())
	s := &Scraper{Samples: &r.samples, History: func() *history.DB { return r.db }, Log: slog.New(slog.NewTextHandler(&r.log, nil))}
	var run sync.WaitGroup
	run.Go(func() {
		s.Watch(ctx, Target{
			Pool: "api", ID: "api-1", Addr: strings.TrimPrefix(server.URL, "http://"), Label: "instance",
			Told: func(map[string]float64) { r.asked <- struct{}{} },
		}, o)
	})
	t.Cleanup(func() {
		cancel()
		run.Wait()
		server.Close()
		if m := r.samples.Of("api-1", time.Now(), nil); len(m) > 0 {
			t.Errorf("after the end: %v, want nothing", m)
		}
		r.db.Close()
	})
	return r
}

// says changes the answer and waits until it was read.
func (r *rig) says(status int, ctype, body string) {
	r.t.Helper()
	r.mu.Lock()
	r.status, r.ctype, r.body = status, ctype, body
	r.mu.Unlock()
	for len(r.asked) > 0 {
		<-r.asked
	}
	for range 2 { // the first may have been under way
		select {
		case <-r.asked:
		case <-time.After(10 * time.Second):
			r.t.Fatal("nobody asks")
		}
	}
}

func (r *rig) text(body string) { r.t.Helper(); r.says(200, "text/plain; version=0.0.4", body) }

// metrics are checked against what a policy sees.
func (r *rig) metrics(want map[string]float64) {
	r.t.Helper()
	if got := r.samples.Of("api-1", time.Now(), nil); !maps.Equal(got, want) {
		r.t.Errorf("metrics are %v, want %v", got, want)
	}
}

func (r *rig) query(q string) (float64, bool) {
	r.t.Helper()
	v, known, err := r.db.Query(r.t.Context(), q, time.Now())
	if err != nil {
		r.t.Fatal(err)
	}
	return v, known
}

const vllm = `# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="m"} 3.0
vllm:num_requests_waiting{engine="1",model_name="m"} 4.0
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 8.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.75
`

func TestVLLM(t *testing.T) {
	r := newRig(t, Options{Preset: "vllm"})
	r.text(vllm)
	r.metrics(map[string]float64{"waiting": 7, "running": 8, "kv_cache_utilization": 50})
	if v, known := r.query(`sum(vllm:num_requests_waiting{pool="api",instance="api-1"})`); !known || v != 7 {
		t.Errorf("the history says %v %v, want 7", v, known)
	}

	// Older releases have another name for the cache.
	r.text(strings.ReplaceAll(vllm, "kv_cache_usage_perc", "gpu_cache_usage_perc"))
	r.metrics(map[string]float64{"waiting": 7, "running": 8, "kv_cache_utilization": 50})

	// A gauge with a new name, and one that is not a number, are unknown, never 0.
	r.text(strings.NewReplacer("num_requests_waiting", "waiting_requests", "vllm:num_requests_running{engine=\"0\",model_name=\"m\"} 8.0", "vllm:num_requests_running NaN").Replace(vllm))
	r.metrics(map[string]float64{"kv_cache_utilization": 50})
	if v, known := r.query(`sum(vllm:num_requests_waiting)`); known {
		t.Errorf("the history says %v of a series that is gone", v)
	}

	// A server that fails is unknown, and said to be so, once.
	r.says(500, "text/plain", "no")
	r.says(500, "text/plain", "no")
	r.metrics(nil)
	if v, known := r.query(`sum(vllm:kv_cache_usage_perc)`); known {
		t.Errorf("the history says %v of a server that fails", v)
	}
	if v, known := r.query(`up{pool="api",instance="api-1"}`); !known || v != 0 {
		t.Errorf("up is %v %v, want 0", v, known)
	}
	r.text(vllm)
	r.metrics(map[string]float64{"waiting": 7, "running": 8, "kv_cache_utilization": 50})
}

func TestPresets(t *testing.T) {
	for _, x := range []struct {
		preset, body string
		want         map[string]float64
	}{
		{"sglang", "sglang:num_queue_reqs{model_name=\"m\"} 2\nsglang:num_running_reqs 5\nsglang:token_usage 0.25\n",
			map[string]float64{"waiting": 2, "running": 5, "kv_cache_utilization": 25}},
		{"tgi", "tgi_queue_size 3\ntgi_batch_current_size 4\n", map[string]float64{"waiting": 3, "running": 4}},
		{"llamacpp", "llamacpp:requests_deferred 1\nllamacpp:requests_processing 2\n", map[string]float64{"waiting": 1, "running": 2}},
		{"triton", "nv_inference_pending_request_count{model=\"a\"} 2\nnv_inference_pending_request_count{model=\"b\"} 3\n" +
			"nv_gpu_utilization{gpu_uuid=\"x\"} 0.5\nnv_gpu_memory_used_bytes{gpu_uuid=\"x\"} 25\nnv_gpu_memory_total_bytes{gpu_uuid=\"x\"} 100\n",
			map[string]float64{"waiting": 5, "gpu_utilization": 50, "gpu_memory_bytes": 25, "gpu_memory_utilization": 25}},
		{"triton", "nv_trt_llm_request_metrics{request_type=\"waiting\"} 6\nnv_trt_llm_request_metrics{request_type=\"scheduled\"} 2\nnv_trt_llm_request_metrics{request_type=\"max\"} 512\n",
			map[string]float64{"waiting": 6, "running": 2}},
		{"dcgm", "DCGM_FI_DEV_GPU_UTIL{gpu=\"0\"} 90\nDCGM_FI_DEV_GPU_UTIL{gpu=\"1\"} 70\nDCGM_FI_DEV_FB_USED{gpu=\"0\"} 30\nDCGM_FI_DEV_FB_USED{gpu=\"1\"} 10\nDCGM_FI_DEV_FB_FREE{gpu=\"0\"} 10\nDCGM_FI_DEV_FB_FREE{gpu=\"1\"} 30\nDCGM_FI_DEV_XID_ERRORS{gpu=\"0\"} 0\n",
			map[string]float64{"gpu_utilization": 80, "gpu_memory_bytes": 40 << 20, "gpu_memory_utilization": 50, "gpu_xid_errors": 0}},
		{"comfyui", `{"exec_info": {"queue_remaining": 4}}`, map[string]float64{"waiting": 3, "running": 1}},
		{"comfyui", `{"exec_info": {"queue_remaining": 0}}`, map[string]float64{"waiting": 0, "running": 0}},
		{"comfyui", `{"exec_info": {}}`, nil},
		{"cog", `{"status": "BUSY"}`, map[string]float64{"running": 1}},
		{"cog", `{"status": "READY", "setup": {"status": "succeeded"}}`, map[string]float64{"running": 0}},
		{"cog", `{"status": "STARTING"}`, nil},
		{"ollama", `{"models": [{"name": "a", "size_vram": 100}, {"name": "b", "size_vram": 50}]}`, map[string]float64{"models_loaded": 2, "gpu_memory_bytes": 150}},
		{"ollama", `{"error": "x"}`, nil},
	} {
		t.Run(x.preset, func(t *testing.T) {
			r := newRig(t, Options{Preset: x.preset})
			r.text(x.body)
			r.metrics(x.want)
		})
	}
}

func TestNamesOfTheUser(t *testing.T) {
	r := newRig(t, Options{Preset: "vllm", Names: map[string]string{"waiting": "mine", "depth": "app_depth"}})
	r.text(vllm + "mine 1\napp_depth{q=\"a\"} 2\napp_depth{q=\"b\"} 3\n")
	r.metrics(map[string]float64{"waiting": 1, "depth": 5, "running": 8, "kv_cache_utilization": 50})
}

func TestOpenMetrics(t *testing.T) {
	r := newRig(t, Options{})
	r.says(200, "application/openmetrics-text; version=1.0.0; charset=utf-8", "# TYPE jobs counter\njobs_total{instance=\"theirs\"} 5\njobs_created 1.5e9\n# EOF\n")
	if v, known := r.query(`jobs_total{instance="api-1",exported_instance="theirs"}`); !known || v != 5 {
		t.Errorf("%v %v, want 5", v, known)
	}
	if _, known := r.query(`jobs_created`); known {
		t.Error("a time of creation is no measured value")
	}
}

func TestTooManySeriesAreCounted(t *testing.T) {
	r := newRig(t, Options{MaxSeries: 2})
	r.text("a 1\nb 2\nc 3\nd 4\ne 5\n")
	if v, known := r.query(`scrape_series_dropped`); !known || v != 3 {
		t.Errorf("%v %v left out, want 3", v, known)
	}
	if v, known := r.query(`sum({__name__=~"a|b|c|d|e"})`); !known || v != 3 {
		t.Errorf("%v %v, want a and b", v, known)
	}
}

func TestHalfAnAnswerIsNone(t *testing.T) {
	r := newRig(t, Options{Preset: "vllm"})
	r.text(vllm + "this is {not a metric\n")
	r.metrics(nil)
	if v, known := r.query(`sum(vllm:num_requests_running)`); known {
		t.Errorf("%v, want unknown", v)
	}
	r.says(200, "text/plain", strings.Repeat("#", mostBytes+1))
	r.metrics(nil)
}
