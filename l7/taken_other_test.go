//go:build !linux

package l7

import (
	"net"
	"testing"
)

// wire is a connection whose other end is in this process.
type wire struct{ net.Conn }

// taken is the wait for the other end to have read everything. Only Linux tells: elsewhere pieces may be read together.
func (*wire) taken(testing.TB, func() bool) {}

// hangUp has nothing to do: only Linux has loops.
func (*Engine) hangUp() {}

// passOn has nothing to wait for: goroutines write before they read on.
func (*Engine) passOn(testing.TB) {}
