package main

import (
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/weirlb/weir/bench/internal/child"
)

// command returns args as a program pinned to a core.
func (e *env) command(core int, args ...string) *exec.Cmd {
	cmd := exec.Command(e.self, append([]string{"pin", strconv.Itoa(core)}, args...)...)
	child.Group(cmd)
	return cmd
}

// start runs a program pinned to a core until it is stopped. Its output goes
// to a log, but for standard output when that is given.
func (e *env) start(name string, core int, stdout io.Writer, args ...string) (*child.Process, error) {
	e.started++
	log := filepath.Join(e.dir, fmt.Sprintf("%s-%d.log", name, e.started))
	return child.Start(name, e.command(core, args...), log, stdout)
}
