package fleet

import "syscall"

// tie has a program end when Weir is killed: the next Weir runs it again, and two at a time would be one too many.
func tie(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }
