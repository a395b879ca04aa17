package procstat_test

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/weirlb/weir/bench/internal/procstat"
)

// A child is read, not this process, because another process's clock is what
// the benchmark reads.
func TestReadAnotherProcess(t *testing.T) {
	cmd := exec.Command("sh", "-c", "while :; do :; done")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	child := []int{cmd.Process.Pid}

	tree, err := procstat.Tree(os.Getpid())
	if err != nil || tree[0] != os.Getpid() || !slices.Contains(tree, child[0]) {
		t.Errorf("tree of this process: %v, %v; want its child %d in it", tree, err, child[0])
	}
	memory, err := procstat.ReadMemory(child)
	if err != nil || memory.RSS <= 0 || memory.PSS > memory.RSS {
		t.Errorf("memory of the child: %+v, %v", memory, err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		used, err := procstat.CPUTime(child)
		if err != nil {
			t.Fatal(err)
		}
		if used > 20*time.Millisecond {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a busy child used only %v of CPU in ten seconds", used)
		}
	}
	if _, err := procstat.ReadCores(0); err != nil {
		t.Error(err)
	}
}

func TestEndedProcess(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if tree, err := procstat.Tree(cmd.Process.Pid); err == nil {
		t.Errorf("an ended process has the tree %v", tree)
	}
	if _, err := procstat.CPUTime([]int{cmd.Process.Pid}); err == nil {
		t.Error("an ended process has a CPU clock")
	}
}
