package app

import (
	"context"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/weirlb/weir/measure/gpu"
	"github.com/weirlb/weir/measure/history"
	"github.com/weirlb/weir/measure/scrape"
)

// watchGPUs keeps what the GPUs of this machine do, and what of it each instance uses, until ctx ends. Without a driver nothing of that is
// known.
func (a *App) watchGPUs(ctx context.Context, every time.Duration, db *history.DB) {
	r, err := gpu.Open()
	if err != nil {
		if !errors.Is(err, gpu.ErrNone) {
			a.log.Warn("what GPUs do is not known", "error", err)
		}
		return
	}
	defer r.Close()
	w := gpuWatch{app: a, fresh: 3 * every}
	if db != nil {
		w.scope = db.Scope()
	}
	t := time.NewTicker(every)
	defer t.Stop()
	failed := false
	for {
		gpus, err := r.Read()
		switch {
		case err != nil && !failed:
			a.log.Warn("what GPUs do cannot be read; it is unknown until it can", "error", err)
		case err == nil && failed:
			a.log.Info("what GPUs do can be read again")
		}
		failed = err != nil
		if err != nil {
			gpus = nil
		}
		w.round(time.Now(), gpus)
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

type gpuWatch struct {
	app   *App
	scope *history.Scope // nil when there is no history
	fresh time.Duration
}

func (w *gpuWatch) round(now time.Time, gpus []gpu.GPU) {
	if w.scope != nil {
		var batch []history.Sample
		for i := range gpus {
			g := &gpus[i]
			for name, v := range map[string]float64{
				"weir_gpu_utilization": g.Utilization, "weir_gpu_memory_used_bytes": g.MemoryUsed, "weir_gpu_memory_total_bytes": g.MemoryTotal,
				"weir_gpu_temperature_celsius": g.Temperature, "weir_gpu_power_watts": g.Power,
			} {
				if !math.IsNaN(v) {
					l := labels.FromStrings(model.MetricNameLabel, name, "gpu", strconv.Itoa(g.Index), "uuid", g.UUID, "name", g.Name)
					batch = append(batch, history.Sample{Labels: l, Time: now, Value: v})
				}
			}
		}
		if err := w.scope.Append(now, batch); err != nil && !errors.Is(err, history.ErrClosed) {
			w.app.log.Warn("what GPUs do could not be kept", "error", err)
		}
	}
	for _, lp := range w.app.sorted() {
		s := lp.scaled.Load()
		if s == nil {
			continue
		}
		for _, v := range s.fleet.Instances(now) {
			if pid, ok := pidOf(v.Ref); ok {
				w.instance(now, v.ID, pid, gpus)
			}
		}
	}
}

// instance tells policies what an instance uses; what the driver does not tell grows old.
func (w *gpuWatch) instance(now time.Time, id string, pid int, gpus []gpu.GPU) {
	u, known := gpu.Of(gpus, pid, gpu.Parent)
	if !known {
		return
	}
	for name, v := range map[string]float64{
		scrape.GPUUtilization: u.Utilization, scrape.GPUMemory: u.Memory, scrape.GPUMemoryUtilization: u.MemoryUtilization,
	} {
		if !math.IsNaN(v) {
			w.app.samples.SetFor(id, name, v, now, w.fresh)
		}
	}
}

// pidOf reads the number of the process from how its provider refers to an instance.
func pidOf(ref string) (int, bool) {
	head, _, _ := strings.Cut(ref, " ")
	n, err := strconv.Atoi(strings.TrimPrefix(head, "pid="))
	return n, err == nil && n > 1
}
