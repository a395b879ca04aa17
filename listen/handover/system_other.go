//go:build !unix

package handover

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
)

var errUnsupported = fmt.Errorf("sockets cannot be handed over on %s (%w); restart Weir instead", runtime.GOOS, errors.ErrUnsupported)

func socketPair() (ours, theirs *os.File, err error) { return nil, nil, errUnsupported }

func duplicate(syscall.Conn) (*os.File, error) { return nil, errUnsupported }

func closeOnExec(int) {}
