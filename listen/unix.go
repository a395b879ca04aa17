package listen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
)

const unixPrefix = "unix:"

// openUnix opens a unix socket. The file of a socket that nobody listens on any more is removed; any other file is left alone.
func openUnix(path string, mode os.FileMode) (net.Listener, error) {
	if path == "" || path == "@" {
		return nil, fmt.Errorf("listening on unix:%s: write the path of the socket, e.g. unix:/run/weir.sock", path)
	}
	abstract := strings.HasPrefix(path, "@")
	if !abstract {
		if err := removeStale(path); err != nil {
			return nil, err
		}
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(context.Background(), "unix", path)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listening on unix:%s: another process uses it; stop that process (`ss -lxp` names it) or write another path", path)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("listening on unix:%s: there is no such directory; create it", path)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("listening on unix:%s: no permission to create the socket there; choose a directory that Weir may write to", path)
	case errors.Is(err, syscall.EINVAL):
		return nil, fmt.Errorf("listening on unix:%s: the path is too long (107 bytes at most); write a shorter one", path)
	case err != nil:
		return nil, fmt.Errorf("listening on unix:%s: %w", path, err)
	}
	if abstract {
		return ln, nil
	}
	if mode == 0 {
		mode = 0o660
	}
	if err := os.Chmod(path, mode); err != nil {
		ln.Close()
		return nil, fmt.Errorf("listening on unix:%s: setting its mode: %w", path, err)
	}
	return ln, nil
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return nil // nothing is in the way, or opening says better what is
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("listening on unix:%s: there is a file that is no socket; remove it or write another path", path)
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		c.Close()
		return nil // it lives; opening says so
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("listening on unix:%s: removing the socket of a process that has ended: %w; remove it yourself", path, err)
	}
	return nil
}
