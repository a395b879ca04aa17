package handover

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// The variables of systemd's socket activation, sd_listen_fds(3), and of its notifications, sd_notify(3).
const (
	listenPID    = "LISTEN_PID"
	listenFDs    = "LISTEN_FDS"
	listenNames  = "LISTEN_FDNAMES"
	notifySocket = "NOTIFY_SOCKET"
)

// fromSystemd takes the sockets of socket activation. They are found by their address, or by FileDescriptorName=.
func (i *Inheritance) fromSystemd() error {
	pid, fds, names := os.Getenv(listenPID), os.Getenv(listenFDs), os.Getenv(listenNames)
	for _, v := range []string{listenPID, listenFDs, listenNames} {
		os.Unsetenv(v)
	}
	if fds == "" || pid != strconv.Itoa(os.Getpid()) {
		return nil // they are another process's
	}
	n, err := strconv.Atoi(fds)
	if err != nil || n < 0 {
		return fmt.Errorf("%s is %q, which is no number of sockets", listenFDs, fds)
	}
	name := strings.Split(names, ":")
	for k := range n {
		var of string
		if k < len(name) {
			of = name[k]
		}
		if err := i.add(firstDescriptor+k, of); err != nil {
			return fmt.Errorf("socket %d (%s): %w; use ListenStream= or ListenDatagram=", k, of, err)
		}
	}
	return nil
}

// Notify tells systemd something, e.g. "READY=1", if it runs this process and wants to know.
func Notify(states ...string) error {
	path := os.Getenv(notifySocket)
	if path == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("telling systemd: %w", err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(strings.Join(states, "\n"))); err != nil {
		return fmt.Errorf("telling systemd: %w", err)
	}
	return nil
}
