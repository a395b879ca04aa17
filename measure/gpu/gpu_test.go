package gpu

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// As nvidia-smi --format=csv,noheader,nounits writes it.
const (
	twoGPUs = "0, GPU-a1, NVIDIA H100 80GB HBM3, 87, 40960, 81920, 61, 512.34\n1, GPU-b2, NVIDIA H100 80GB HBM3, 13, 8192, 81920, [N/A], [Not Supported]\n"
	apps    = "GPU-a1, 4242, 30720\nGPU-a1, 77, 1024\nGPU-b2, 4243, [N/A]\n"
)

func TestWhatNvidiaSMISays(t *testing.T) {
	gpus, err := parse(twoGPUs, apps)
	if err != nil || len(gpus) != 2 {
		t.Fatalf("%+v %v", gpus, err)
	}
	g := gpus[0]
	if g.UUID != "GPU-a1" || g.Utilization != 87 || g.MemoryUsed != 40<<30 || g.MemoryTotal != 80<<30 || g.Temperature != 61 || g.Power != 512.34 || len(g.Processes) != 2 {
		t.Errorf("%+v", g)
	}
	if g := gpus[1]; !math.IsNaN(g.Temperature) || !math.IsNaN(g.Power) || g.Utilization != 13 {
		t.Errorf("what is not told must not be a number: %+v", g)
	}
}

func TestAnInstanceHasWhatItsProcessesUse(t *testing.T) {
	gpus, err := parse(twoGPUs, apps)
	if err != nil {
		t.Fatal(err)
	}
	parents := map[int]int{4242: 4000, 4243: 4242, 4000: 1, 77: 1, 9: 9}
	parent := func(pid int) int { return parents[pid] }
	u, known := Of(gpus, 4000, parent) // a shell that started both
	if want := (Use{50, 30 << 30, 100 * 48.0 / 160}); !known || u != want {
		t.Errorf("%+v %v, want %+v", u, known, want)
	}
	if u, known := Of(gpus, 77, parent); !known || u.Utilization != 87 || u.Memory != 1<<30 {
		t.Errorf("%+v %v", u, known)
	}
	if u, known := Of(gpus, 5, parent); known {
		t.Errorf("%+v of a process without a GPU", u)
	}
	gpus[0].Processes = []Process{{PID: 9}}
	Of(gpus, 5, parent) // a circle ends
}

func TestParent(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("no /proc here")
	}
	if got := Parent(os.Getpid()); got != os.Getppid() {
		t.Errorf("parent %d, want %d", got, os.Getppid())
	}
	if got := Parent(1 << 30); got != 0 {
		t.Errorf("the parent of nobody is %d", got)
	}
}

func TestTheCommand(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\ncase $1 in --query-gpu*) printf '" + "0, GPU-a1, NVIDIA L4, 5, 100, 1000, 40, 20\\n" + "';; *) printf 'GPU-a1, 7, 50\\n';; esac\n"
	if err := os.WriteFile(filepath.Join(dir, "nvidia-smi"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	gpus, err := command(filepath.Join(dir, "nvidia-smi")).Read()
	if err != nil || len(gpus) != 1 || gpus[0].Name != "NVIDIA L4" || len(gpus[0].Processes) != 1 {
		t.Errorf("%+v %v", gpus, err)
	}
}

func TestOpen(t *testing.T) {
	r, err := Open()
	if errors.Is(err, ErrNone) {
		return // as on most machines that run tests
	}
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	gpus, err := r.Read()
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range gpus {
		t.Logf("%+v", g)
		if g.UUID == "" || !(g.MemoryTotal > 0) {
			t.Errorf("%+v", g)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(twoGPUs, apps)
	f.Fuzz(func(t *testing.T, gpus, apps string) {
		out, err := parse(gpus, apps)
		if err != nil {
			return
		}
		for _, g := range out {
			if g.Utilization < 0 || g.MemoryUsed < 0 {
				t.Fatalf("%+v", g)
			}
		}
	})
}
