//go:build !linux

package process

// watchEnd returns a function that returns when the process, which need not be a child, has ended.
func watchEnd(pid int) (func(), error) { return poll(pid), nil }
