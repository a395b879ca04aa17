package gpu

import (
	"context"
	"encoding/csv"
	"fmt"
	"math"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// command reads by nvidia-smi, which comes with the driver.
type command string

func openCommand() (Reader, error) {
	path, err := exec.LookPath("nvidia-smi")
	if err != nil {
		return nil, ErrNone
	}
	return command(path), nil
}

func (command) Close() error { return nil }

func (c command) Read() ([]GPU, error) {
	gpus, err := c.run("--query-gpu=index,uuid,name,utilization.gpu,memory.used,memory.total,temperature.gpu,power.draw")
	if err != nil {
		return nil, err
	}
	apps, err := c.run("--query-compute-apps=gpu_uuid,pid,used_memory")
	if err != nil {
		return nil, err
	}
	return parse(gpus, apps)
}

func (c command) run(query string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, string(c), query, "--format=csv,noheader,nounits").Output()
	if err != nil {
		return "", fmt.Errorf("running nvidia-smi: %w", err)
	}
	return string(out), nil
}

// parse reads both tables of nvidia-smi; memory is in MiB there.
func parse(gpus, apps string) ([]GPU, error) {
	rows, err := table(gpus, 8)
	if err != nil {
		return nil, err
	}
	var out []GPU
	place := map[string]int{}
	for _, r := range rows {
		i, err := strconv.Atoi(r[0])
		if err != nil {
			return nil, fmt.Errorf("nvidia-smi: %q is not the number of a GPU", r[0])
		}
		place[r[1]] = len(out)
		out = append(out, GPU{
			Index: i, UUID: r[1], Name: r[2], Utilization: number(r[3]), MemoryUsed: number(r[4]) * (1 << 20), MemoryTotal: number(r[5]) * (1 << 20),
			Temperature: number(r[6]), Power: number(r[7]),
		})
	}
	if rows, err = table(apps, 3); err != nil {
		return nil, err
	}
	for _, r := range rows {
		pid, err := strconv.Atoi(r[1])
		g, ok := place[r[0]]
		if err != nil || !ok {
			continue // of a process that has just ended, or a part of a GPU
		}
		out[g].Processes = append(out[g].Processes, Process{PID: pid, Memory: number(r[2]) * (1 << 20)})
	}
	return out, nil
}

func table(text string, columns int) ([][]string, error) {
	r := csv.NewReader(strings.NewReader(text))
	r.TrimLeadingSpace = true
	r.FieldsPerRecord = columns
	rows, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("reading what nvidia-smi says: %w", err)
	}
	return rows, nil
}

// number reads a value; "[N/A]" and the like are not known.
func number(s string) float64 {
	v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || v < 0 || math.IsInf(v, 0) {
		return math.NaN()
	}
	return v
}
