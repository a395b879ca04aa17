package process

import (
	"syscall"
	"time"
)

// leads says whether a process leads its group, as every launched one does.
func leads(pid int) bool {
	g, err := syscall.Getpgid(pid)
	return err == nil && g == pid && pid != self
}

// poll looks ten times a second whether a process is still the same.
func poll(pid int) func() {
	start, err := startTime(pid)
	return func() {
		for err == nil {
			time.Sleep(100 * time.Millisecond)
			if now, e := startTime(pid); e != nil || now != start {
				return
			}
		}
	}
}
