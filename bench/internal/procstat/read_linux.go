package procstat

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Tree returns root and every process descended from it, root first.
func Tree(root int) ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := make(map[int][]int)
	alive := false
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it ended since the listing
		}
		p, err := ParseProcess(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if p.State == 'Z' {
			continue
		}
		children[p.Parent] = append(children[p.Parent], p.PID)
		alive = alive || p.PID == root
	}
	if !alive {
		return nil, fmt.Errorf("process %d is not running", root)
	}
	tree := []int{root}
	for i := 0; i < len(tree); i++ {
		tree = append(tree, children[tree[i]]...)
	}
	return tree, nil
}

// CPUTime returns the user and system time of all threads of the processes,
// those that ended included, to the nanosecond. /proc/PID/stat has the same
// sum in steps of 10 ms, too coarse for a run of seconds at a low rate.
func CPUTime(pids []int) (time.Duration, error) {
	var sum time.Duration
	for _, pid := range pids {
		// The clock of another process, as clock_getcpuclockid(3) makes it:
		// the inverted process id above three bits, of which 2 is the scheduler's.
		var t unix.Timespec
		if err := unix.ClockGettime(int32(^pid<<3|2), &t); err != nil {
			return 0, fmt.Errorf("reading the CPU clock of process %d: %w", pid, err)
		}
		sum += time.Duration(t.Nano())
	}
	return sum, nil
}

// ReadMemory sums the memory of the processes.
func ReadMemory(pids []int) (Memory, error) {
	var sum Memory
	for _, pid := range pids {
		rss, err := readKB(pid, "status", "VmRSS")
		if err != nil {
			return Memory{}, err
		}
		pss, err := readKB(pid, "smaps_rollup", "Pss")
		if err != nil {
			return Memory{}, err
		}
		sum.RSS += rss
		sum.PSS += pss
	}
	return sum, nil
}

func readKB(pid int, file, name string) (int64, error) {
	path := filepath.Join("/proc", strconv.Itoa(pid), file)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrPermission) {
		return 0, fmt.Errorf("%w (run the benchmark as the user that owns the process)", err)
	}
	if err != nil {
		return 0, err
	}
	kb, err := ParseKB(text, name)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return kb, nil
}

// ReadCores returns the times of the given cores, in their order.
func ReadCores(cores ...int) ([]CoreTime, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return nil, err
	}
	times := make([]CoreTime, len(cores))
	for i, core := range cores {
		if times[i], err = ParseCore(text, core); err != nil {
			return nil, err
		}
	}
	return times, nil
}

// InterruptsApart reports whether the kernel takes the time of interrupts,
// which carry a process's loopback packets, out of the process's CPU time. A
// kernel that does not publish its configuration is taken not to.
var InterruptsApart = sync.OnceValue(func() bool {
	if file, err := os.Open("/proc/config.gz"); err == nil {
		defer file.Close()
		if config, err := gzip.NewReader(file); err == nil {
			return interruptsApart(config)
		}
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return false
	}
	file, err := os.Open("/boot/config-" + unix.ByteSliceToString(name.Release[:]))
	if err != nil {
		return false
	}
	defer file.Close()
	return interruptsApart(file)
})

func interruptsApart(config io.Reader) bool {
	for lines := bufio.NewScanner(config); lines.Scan(); {
		switch lines.Text() {
		case "CONFIG_IRQ_TIME_ACCOUNTING=y", "CONFIG_VIRT_CPU_ACCOUNTING_NATIVE=y":
			return true
		}
	}
	return false
}
