// Package gpu reads what NVIDIA's driver says of the GPUs of this machine and of the processes that use them. Where there is no driver
// nothing is known, which is not the same as 0.
package gpu

import (
	"errors"
	"math"
	"os"
	"strconv"
	"strings"
)

// ErrNone says that there is no NVIDIA driver here.
var ErrNone = errors.New("there is no NVIDIA driver on this machine")

// GPU is one of them. A number that the driver did not tell is not a number.
type GPU struct {
	Index       int
	UUID, Name  string
	Utilization float64 // percent of the time in which it worked
	MemoryUsed  float64 // bytes
	MemoryTotal float64 // bytes
	Temperature float64 // degrees Celsius
	Power       float64 // watts
	Processes   []Process
}

// Process is one that uses a GPU.
type Process struct {
	PID    int
	Memory float64 // bytes of the GPU's
}

// Reader reads all GPUs; see Open.
type Reader interface {
	// Read returns all GPUs in the order of their index.
	Read() ([]GPU, error)
	// Close lets go of the driver.
	Close() error
}

// Use is what one instance uses of GPUs, its processes' children included.
type Use struct {
	Utilization       float64 // percent, the average of its GPUs
	Memory            float64 // bytes, of its own processes on all of them
	MemoryUtilization float64 // percent of the memory of its GPUs that is taken, by whomever
}

// Of finds what a process and its descendants use. known is false when the driver names none of them. parent gives the parent of a
// process, 0 when there is none or it is not known.
func Of(gpus []GPU, pid int, parent func(int) int) (u Use, known bool) {
	var utilization, used, total float64
	n := 0
	for i := range gpus {
		g := &gpus[i]
		mine := false
		for _, p := range g.Processes {
			if descends(p.PID, pid, parent) {
				mine = true
				if !math.IsNaN(p.Memory) {
					u.Memory += p.Memory
				}
			}
		}
		if mine {
			n++
			utilization += g.Utilization
			used += g.MemoryUsed
			total += g.MemoryTotal
		}
	}
	if n == 0 {
		return Use{}, false
	}
	u.Utilization = utilization / float64(n)
	u.MemoryUtilization = 100 * used / total
	return u, true
}

// descends reports whether a process is another one, or came from it.
func descends(pid, from int, parent func(int) int) bool {
	for range 64 { // deeper than any tree of processes that is no circle
		if pid == from {
			return true
		}
		if pid <= 1 {
			return false
		}
		pid = parent(pid)
	}
	return false
}

// Parent reads the parent of a process from /proc; 0 where there is none.
func Parent(pid int) int {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	// The name, in parentheses, may hold anything.
	_, rest, ok := strings.Cut(string(b[max(strings.LastIndexByte(string(b), ')'), 0):]), ") ")
	f := strings.Fields(rest)
	if !ok || len(f) < 2 {
		return 0
	}
	n, err := strconv.Atoi(f[1])
	if err != nil {
		return 0
	}
	return n
}
