package process

import "golang.org/x/sys/unix"

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
