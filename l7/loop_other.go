//go:build !linux

package l7

import (
	"crypto/tls"
	"errors"
	"net"
)

// Loops need epoll: elsewhere goroutines carry every connection.
type (
	loop struct{}
	lane struct{}
	door struct{}
)

func newLoops(*Engine, int) ([]*loop, error) { return nil, nil }

func endLoops([]*loop) {}

func (*loop) hurry() {}

func (*loop) leave() {}

func canLoop(net.Listener) bool { return false }

func openDoor([]*loop, *Listener) (*door, error) { return nil, errors.ErrUnsupported }

func (*door) shut() {}

func layered(c net.Conn) net.Conn { return c }

func inBatches(c net.Conn) net.Conn { return c }

func (*Engine) toLoop(*Listener, *tls.Conn, origin) bool { return false }
