package main

import (
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/weirlb/weir/bench/internal/child"
)

// command returns args as a program pinned to cores.
func (e *env) command(cores []int, args ...string) *exec.Cmd {
	list := make([]string, len(cores))
	for i, core := range cores {
		list[i] = strconv.Itoa(core)
	}
	cmd := exec.Command(e.self, append([]string{"pin", strings.Join(list, ",")}, args...)...)
	child.Group(cmd)
	return cmd
}

// start runs a program pinned to cores until it is stopped. Its output goes
// to a log, but for standard output when that is given.
func (e *env) start(name string, cores []int, stdout io.Writer, args ...string) (*child.Process, error) {
	e.started++
	log := filepath.Join(e.dir, fmt.Sprintf("%s-%d.log", name, e.started))
	return child.Start(name, e.command(cores, args...), log, stdout)
}
