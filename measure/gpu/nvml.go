//go:build linux && cgo

package gpu

import (
	"errors"
	"fmt"
	"math"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// library reads by NVIDIA's library, which is opened while Weir runs: it need not be there when Weir is built.
type library struct{ nvml.Interface }

// Open finds NVIDIA's driver, or returns ErrNone.
func Open() (Reader, error) {
	l := nvml.New()
	switch r := l.Init(); r {
	case nvml.SUCCESS:
		return library{l}, nil
	case nvml.ERROR_LIBRARY_NOT_FOUND, nvml.ERROR_DRIVER_NOT_LOADED, nvml.ERROR_NO_PERMISSION:
		return openCommand()
	default:
		if c, err := openCommand(); err == nil {
			return c, nil
		}
		return nil, fmt.Errorf("opening NVIDIA's library: %s", l.ErrorString(r))
	}
}

func (l library) Close() error {
	if r := l.Shutdown(); r != nvml.SUCCESS {
		return errors.New(l.ErrorString(r))
	}
	return nil
}

func (l library) Read() ([]GPU, error) {
	n, r := l.DeviceGetCount()
	if r != nvml.SUCCESS {
		return nil, fmt.Errorf("counting GPUs: %s", l.ErrorString(r))
	}
	out := make([]GPU, 0, n)
	for i := range n {
		d, r := l.DeviceGetHandleByIndex(i)
		if r != nvml.SUCCESS {
			return nil, fmt.Errorf("opening GPU %d: %s", i, l.ErrorString(r))
		}
		out = append(out, look(i, d))
	}
	return out, nil
}

// look asks one GPU all there is; what it does not tell stays not a number.
func look(i int, d nvml.Device) GPU {
	nan := math.NaN()
	g := GPU{Index: i, Utilization: nan, MemoryUsed: nan, MemoryTotal: nan, Temperature: nan, Power: nan}
	if v, r := d.GetUUID(); r == nvml.SUCCESS {
		g.UUID = v
	}
	if v, r := d.GetName(); r == nvml.SUCCESS {
		g.Name = v
	}
	if v, r := d.GetUtilizationRates(); r == nvml.SUCCESS {
		g.Utilization = float64(v.Gpu)
	}
	if v, r := d.GetMemoryInfo(); r == nvml.SUCCESS {
		g.MemoryUsed, g.MemoryTotal = float64(v.Used), float64(v.Total)
	}
	if v, r := d.GetTemperature(nvml.TEMPERATURE_GPU); r == nvml.SUCCESS {
		g.Temperature = float64(v)
	}
	if v, r := d.GetPowerUsage(); r == nvml.SUCCESS {
		g.Power = float64(v) / 1000
	}
	if ps, r := d.GetComputeRunningProcesses(); r == nvml.SUCCESS {
		for _, p := range ps {
			memory := float64(p.UsedGpuMemory)
			if p.UsedGpuMemory == math.MaxUint64 { // "not available", as under MIG and in containers
				memory = nan
			}
			g.Processes = append(g.Processes, Process{PID: int(p.Pid), Memory: memory})
		}
	}
	return g
}
