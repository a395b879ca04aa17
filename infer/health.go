package infer

import (
	"math"
	"net/http"
	runtimemetrics "runtime/metrics"
	"slices"
	"strconv"
	"time"
)

// The readiness checks.
const (
	checkModel     = "model_loaded"
	checkGPU       = "gpu_available"
	checkMemory    = "memory_ok"
	checkInference = "inference_test"
)

var checkNames = []string{checkModel, checkGPU, checkMemory, checkInference}

// handleHealth says that the process is alive, and nothing else: a stalled engine answers it as well.
func (s *Server) handleHealth(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"status": "ok", "device": s.o.Device})
}

// readiness is the answer of /health/ready.
type readiness struct {
	Status        string   `json:"status"` // ready, loading, unloaded, failed, draining or unready
	Device        string   `json:"device"`
	Models        []string `json:"models"`
	ModelLoaded   bool     `json:"model_loaded"`
	GPUAvailable  bool     `json:"gpu_available"` // an emulated one counts; the cpu device needs none
	MemoryOK      bool     `json:"memory_ok"`
	InferenceTest bool     `json:"inference_test"`       // of the last load
	LoadLeft      float64  `json:"load_seconds_left"`    // estimate while loading
	Failing       []string `json:"failing"`              // checks that keep the server from being ready
	Checkpoint    string   `json:"checkpoint,omitempty"` // the image checkpoint in memory
}

// handleReady says whether a request would be answered, check by check.
func (s *Server) handleReady(w http.ResponseWriter, _ *http.Request) {
	r := s.readiness()
	status := http.StatusOK
	if r.Status != ready.String() {
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", strconv.Itoa(int(max(1, math.Ceil(r.LoadLeft)))))
	}
	writeJSON(w, status, r)
}

func (s *Server) readiness() readiness {
	s.mu.Lock()
	at, draining, ends := s.phase, s.draining, s.loadEnds
	s.mu.Unlock()
	lie := s.faults.get().Unready
	check := func(name string, truth bool) bool { return truth && !slices.Contains(lie, name) }

	r := readiness{
		Device: s.o.Device, Models: s.modelNames(),
		ModelLoaded:   check(checkModel, at == ready || at == failed),
		GPUAvailable:  check(checkGPU, s.dev.emulated),
		MemoryOK:      check(checkMemory, s.o.MemoryLimit == 0 || memoryInUse() <= s.o.MemoryLimit),
		InferenceTest: check(checkInference, at == ready),
		Failing:       []string{},
	}
	if at == loading {
		r.LoadLeft = max(0, math.Round(time.Until(ends).Seconds()*1000)/1000)
	}
	if name := s.checkpoint.Load(); name != nil {
		r.Checkpoint = *name
	}
	for name, ok := range map[string]bool{
		checkModel: r.ModelLoaded, checkMemory: r.MemoryOK, checkInference: r.InferenceTest,
		// The cpu device needs no GPU, unless a fault says it misses one.
		checkGPU: r.GPUAvailable || !s.dev.emulated && !slices.Contains(lie, checkGPU),
	} {
		if !ok {
			r.Failing = append(r.Failing, name)
		}
	}
	slices.Sort(r.Failing)
	switch {
	case draining:
		r.Status = "draining"
	case at != ready:
		r.Status = at.String()
	case len(r.Failing) > 0:
		r.Status = "unready"
	default:
		r.Status = ready.String()
	}
	return r
}

// memoryInUse is what the Go runtime has taken from the system and not given back, in bytes.
func memoryInUse() int64 {
	samples := []runtimemetrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	runtimemetrics.Read(samples)
	return int64(samples[0].Value.Uint64() - samples[1].Value.Uint64())
}
