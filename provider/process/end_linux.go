package process

import (
	"time"

	"golang.org/x/sys/unix"
)

// leads says whether a process leads its group, as every launched one does.
func leads(pid int) bool {
	g, err := unix.Getpgid(pid)
	return err == nil && g == pid && pid != self
}

// watchEnd returns a function that returns when the process, which need not be a child, has ended. A descriptor of the
// process is taken at once, so that its pid cannot come to mean another one.
func watchEnd(pid int) (func(), error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return poll(pid), nil // an old kernel
	}
	return func() {
		defer unix.Close(fd)
		for {
			_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
			if err != unix.EINTR {
				return
			}
		}
	}, nil
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
