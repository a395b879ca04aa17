//go:build !linux

package fleet

import "syscall"

// tie does nothing: only Linux ends a program with the one that began it.
func tie(*syscall.SysProcAttr) {}
