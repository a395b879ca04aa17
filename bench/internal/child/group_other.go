//go:build unix && !linux

package child

import (
	"os/exec"
	"syscall"
)

// Group puts a command that is not started yet into a process group of its own, so that its children end with it.
func Group(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
