package scrape

import (
	"maps"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/tidwall/gjson"
)

// rule is how one of Weir's metrics follows from what a server tells.
type rule struct {
	name string // Weir's
	from []string
	// where is a label that the series must have, with its value.
	where [2]string
	how   how
	times float64 // the factor between the server's unit and Weir's; 0 is 1
	// over, when there is any, is what the sum of from is divided by: the sum of these.
	over []string
}

// how series of one name become one number.
type how uint8

const (
	sum how = iota
	mean
)

// Names of metrics, which policies use. Those in _utilization are in percent, those in _bytes in bytes.
const (
	Waiting              = "waiting" // requests in the server's own queue
	Running              = "running" // requests it works on
	KVCacheUtilization   = "kv_cache_utilization"
	GPUUtilization       = "gpu_utilization"
	GPUMemory            = "gpu_memory_bytes"
	GPUMemoryUtilization = "gpu_memory_utilization"
	ModelsLoaded         = "models_loaded"
	GPUErrors            = "gpu_xid_errors" // the last error's number, 0 for none
)

// presets are what the names of each server mean. Of several names in from the first that is there counts: servers rename their
// gauges. Sources: the servers' own code and documentation, as of 2025 and 2026.
var presets = map[string][]rule{
	"vllm": {
		{name: Waiting, from: []string{"vllm:num_requests_waiting"}},
		{name: Running, from: []string{"vllm:num_requests_running"}},
		// A fraction in spite of its name; gpu_cache_usage_perc until v0.9.
		{name: KVCacheUtilization, from: []string{"vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"}, how: mean, times: 100},
	},
	"sglang": {
		{name: Waiting, from: []string{"sglang:num_queue_reqs"}},
		{name: Running, from: []string{"sglang:num_running_reqs"}},
		{name: KVCacheUtilization, from: []string{"sglang:token_usage"}, how: mean, times: 100},
	},
	"triton": {
		{name: Waiting, from: []string{"nv_trt_llm_request_metrics"}, where: [2]string{"request_type", "waiting"}},
		{name: Waiting, from: []string{"nv_inference_pending_request_count"}},
		{name: Running, from: []string{"nv_trt_llm_request_metrics"}, where: [2]string{"request_type", "scheduled"}},
		{name: GPUUtilization, from: []string{"nv_gpu_utilization"}, how: mean, times: 100},
		{name: GPUMemory, from: []string{"nv_gpu_memory_used_bytes"}},
		{name: GPUMemoryUtilization, from: []string{"nv_gpu_memory_used_bytes"}, over: []string{"nv_gpu_memory_total_bytes"}, times: 100},
	},
	"tgi": {
		{name: Waiting, from: []string{"tgi_queue_size"}},
		{name: Running, from: []string{"tgi_batch_current_size"}},
	},
	"llamacpp": {
		{name: Waiting, from: []string{"llamacpp:requests_deferred"}},
		{name: Running, from: []string{"llamacpp:requests_processing"}},
		{name: KVCacheUtilization, from: []string{"llamacpp:kv_cache_usage_ratio"}, how: mean, times: 100},
	},
	"dcgm": {
		{name: GPUUtilization, from: []string{"DCGM_FI_DEV_GPU_UTIL"}, how: mean},
		{name: GPUMemory, from: []string{"DCGM_FI_DEV_FB_USED"}, times: 1 << 20},
		{name: GPUMemoryUtilization, from: []string{"DCGM_FI_DEV_FB_USED"}, over: []string{"DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_FREE"}, times: 100},
		{name: GPUErrors, from: []string{"DCGM_FI_DEV_XID_ERRORS"}},
	},
}

// documents are the servers that tell about themselves in JSON instead.
var documents = map[string]func(body []byte) map[string]float64{
	"comfyui": comfyUI,
	"cog":     cog,
	"ollama":  ollama,
}

// Presets are the names of all presets.
func Presets() []string {
	all := slices.AppendSeq(slices.Collect(maps.Keys(presets)), maps.Keys(documents))
	slices.Sort(all)
	return all
}

// comfyUI reads GET /prompt. ComfyUI works on one prompt at a time, and counts it among the remaining ones.
func comfyUI(body []byte) map[string]float64 {
	v := gjson.GetBytes(body, "exec_info.queue_remaining")
	if v.Type != gjson.Number || v.Num < 0 {
		return nil
	}
	running := min(v.Num, 1)
	return map[string]float64{Waiting: v.Num - running, Running: running}
}

// cog reads GET /health-check. A server that sets up, or could not, tells nothing about load.
func cog(body []byte) map[string]float64 {
	switch gjson.GetBytes(body, "status").String() {
	case "READY":
		return map[string]float64{Running: 0}
	case "BUSY":
		return map[string]float64{Running: 1}
	}
	return nil
}

// ollama reads GET /api/ps: the models in memory. It tells nothing about requests.
func ollama(body []byte) map[string]float64 {
	models := gjson.GetBytes(body, "models")
	if !models.IsArray() {
		return nil
	}
	out := map[string]float64{ModelsLoaded: 0, GPUMemory: 0}
	for _, m := range models.Array() {
		out[ModelsLoaded]++
		out[GPUMemory] += m.Get("size_vram").Num
	}
	return out
}

// tally sums up the series that the rules of a preset ask for, during one round.
type tally struct {
	rules []rule
	wants map[string]bool
	sums  map[tallied]total
}

type tallied struct {
	name  string
	where [2]string
}

type total struct {
	sum float64
	n   int
}

// newTally is for a preset, and the names that the user gave to series.
func newTally(preset string, names map[string]string) *tally {
	t := &tally{rules: slices.Clone(presets[preset]), wants: map[string]bool{}, sums: map[tallied]total{}}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		t.rules = slices.DeleteFunc(t.rules, func(r rule) bool { return r.name == name })
		t.rules = append(t.rules, rule{name: name, from: []string{names[name]}})
	}
	for _, r := range t.rules {
		for _, n := range slices.Concat(r.from, r.over) {
			t.wants[n] = true
		}
	}
	return t
}

func (t *tally) reset() { clear(t.sums) }

// add takes one series. What is not a number counts as not there.
func (t *tally) add(name string, l labels.Labels, v float64) {
	if !t.wants[name] || math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	put := func(k tallied) {
		x := t.sums[k]
		x.sum += v
		x.n++
		t.sums[k] = x
	}
	put(tallied{name: name})
	seen := map[[2]string]bool{}
	for i := range t.rules {
		if w := t.rules[i].where; w[0] != "" && !seen[w] && l.Get(w[0]) == w[1] {
			seen[w] = true
			put(tallied{name, w})
		}
	}
}

// values are Weir's metrics. What the server did not tell is not among them.
func (t *tally) values() map[string]float64 {
	out := map[string]float64{}
	for i := range t.rules {
		r := &t.rules[i]
		if _, there := out[r.name]; there {
			continue
		}
		if v, ok := t.value(r); ok {
			out[r.name] = v
		}
	}
	return out
}

func (t *tally) value(r *rule) (float64, bool) {
	for _, name := range r.from {
		x, ok := t.sums[tallied{name, r.where}]
		if !ok {
			continue
		}
		v := x.sum
		if r.how == mean {
			v /= float64(x.n)
		}
		if r.times != 0 {
			v *= r.times
		}
		if len(r.over) == 0 {
			return v, true
		}
		var all float64
		for _, o := range r.over {
			part, ok := t.sums[tallied{name: o}]
			if !ok {
				return 0, false
			}
			all += part.sum
		}
		return v / all, all > 0
	}
	return 0, false
}
