package child

import (
	"os/exec"
	"syscall"
)

// Group puts a command that is not started yet into a process group of its own, so that its children end with it, and has the system tell it
// to end if this program is killed and can no longer do it.
func Group(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
