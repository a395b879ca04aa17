//go:build !unix

package l7

import "net"

func alive(net.Conn) bool { return true }

func peek(net.Conn) (open, silent bool) { return true, true }

func isTemporary(error) bool { return false }
