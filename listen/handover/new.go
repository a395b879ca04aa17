package handover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// firstDescriptor is the first one after standard input, output and error.
const firstDescriptor = 3

// Inheritance is what a process was given when it was started: by an old Weir, by systemd, or nothing at all, in which case its
// methods do nothing and return at once.
type Inheritance struct {
	pair *pair // to the old process; nil without one
	memo []byte

	mu      sync.Mutex // guards what follows
	sockets []*inherited
	taken   []*net.UnixListener // whose files are ours once the old process has let go
}

// inherited is a socket that nobody has taken yet; one of listener and packets is set.
type inherited struct {
	name     string // the address in the old process's config, or systemd's name
	listener net.Listener
	packets  net.PacketConn
}

// Inherited returns what this process was given. It takes it out of the environment, so that no other process believes it was
// given the same; call it once, before any process is started.
func Inherited() (*Inheritance, error) {
	i := &Inheritance{}
	if value, ok := os.LookupEnv(variable); ok {
		os.Unsetenv(variable)
		if err := i.fromOld(value); err != nil {
			i.Fail(err)
			i.Close()
			return nil, fmt.Errorf("taking over from the running Weir: %w", err)
		}
		return i, nil
	}
	if err := i.fromSystemd(); err != nil {
		i.Close()
		return nil, fmt.Errorf("taking the sockets of systemd: %w", err)
	}
	return i, nil
}

// patience is how long the old process's first words may take, which are written when this process starts.
const patience = 10 * time.Second

func (i *Inheritance) fromOld(value string) error {
	fd, err := strconv.Atoi(value)
	if err != nil || fd < firstDescriptor {
		return fmt.Errorf("%s is %q, which is no descriptor; it is set by Weir alone, unset it", variable, value)
	}
	closeOnExec(fd)
	f := os.NewFile(uintptr(fd), "handover")
	if i.pair, err = newPair(f); err != nil {
		return fmt.Errorf("%s is %q, where no Weir is at the other end; it is set by Weir alone, unset it: %w", variable, value, err)
	}
	i.pair.conn.SetReadDeadline(time.Now().Add(patience))
	hello, err := i.pair.receive()
	if err != nil {
		return err
	}
	i.pair.conn.SetReadDeadline(time.Time{})
	if hello.Step != stepHello || hello.Version != version {
		return fmt.Errorf("it begins with %q of version %d, this is version %d; restart Weir instead of upgrading it", hello.Step, hello.Version, version)
	}
	i.memo = hello.Memo
	for _, s := range hello.Sockets {
		if err := i.add(s.Descriptor, s.Address); err != nil {
			return fmt.Errorf("the socket of %s: %w", s.Address, err)
		}
	}
	return nil
}

// add takes a descriptor, whatever kind of socket it is.
func (i *Inheritance) add(fd int, name string) error {
	closeOnExec(fd)
	f := os.NewFile(uintptr(fd), name)
	if f == nil {
		return fmt.Errorf("descriptor %d is not open", fd)
	}
	defer f.Close() // net makes copies
	ln, err := net.FileListener(f)
	if err == nil {
		i.sockets = append(i.sockets, &inherited{name: name, listener: ln})
		return nil
	}
	pc, e := net.FilePacketConn(f)
	if e != nil {
		return fmt.Errorf("descriptor %d: %w", fd, errors.Join(err, e))
	}
	i.sockets = append(i.sockets, &inherited{name: name, packets: pc})
	return nil
}

// Succeeds says whether there is an old process to take over from.
func (i *Inheritance) Succeeds() bool { return i.pair != nil }

// Memo is what the old process left.
func (i *Inheritance) Memo() []byte { return i.memo }

// Take returns the listening sockets of an address, as the config has it: all of its group, or none. The caller owns them.
func (i *Inheritance) Take(address string) []net.Listener {
	var out []net.Listener
	i.take(func(s *inherited) bool {
		if s.listener == nil || !suits(address, s.name, s.listener.Addr()) {
			return false
		}
		out = append(out, s.listener)
		if u, ok := s.listener.(*net.UnixListener); ok {
			i.taken = append(i.taken, u)
		}
		return true
	})
	return out
}

// TakePackets returns the sockets for datagrams of an address. The caller owns them.
func (i *Inheritance) TakePackets(address string) []net.PacketConn {
	var out []net.PacketConn
	i.take(func(s *inherited) bool {
		if s.packets == nil || !suits(address, s.name, s.packets.LocalAddr()) {
			return false
		}
		out = append(out, s.packets)
		return true
	})
	return out
}

func (i *Inheritance) take(wanted func(*inherited) bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.sockets = slices.DeleteFunc(i.sockets, wanted)
}

// suits says whether a socket is the one of an address: by its name, or because it is bound to just that.
func suits(address, name string, bound net.Addr) bool {
	if name == address {
		return true
	}
	if bound.Network() == "unix" {
		return address == "unix:"+bound.String()
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || port == "0" {
		return false
	}
	b, err := netip.ParseAddrPort(bound.String())
	if err != nil || port != strconv.Itoa(int(b.Port())) {
		return false
	}
	if host == "" {
		return b.Addr().IsUnspecified()
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap() == b.Addr().Unmap()
}

// Prepare tells the old process that all is well so far, and returns when it has released the state: open it now. Without
// an old process it returns at once.
func (i *Inheritance) Prepare(ctx context.Context) error {
	if err := i.ask(ctx, stepPrepared, stepReleased); err != nil {
		return fmt.Errorf("waiting for the running Weir to release its state: %w", err)
	}
	return nil
}

// Ready tells the old process that this one serves, and returns when that leaves. On an error this process has to end, and
// must not have changed anything. Sockets that nobody took are closed. Without an old process it only does that.
func (i *Inheritance) Ready(ctx context.Context) error {
	defer i.Close()
	if err := i.ask(ctx, stepReady, stepYours); err != nil {
		return fmt.Errorf("waiting for the running Weir to leave: %w", err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.pair != nil {
		for _, u := range i.taken {
			u.SetUnlinkOnClose(!strings.HasPrefix(u.Addr().String(), "@"))
		}
	}
	return nil
}

// ask says a step and waits for the answer. When the old process is dead, everything is ours.
func (i *Inheritance) ask(ctx context.Context, say, want step) error {
	if i.pair == nil {
		return nil
	}
	stop := context.AfterFunc(ctx, func() { i.pair.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	err := i.pair.send(message{Step: say})
	var m message
	if err == nil {
		m, err = i.pair.receive()
	}
	switch {
	case errors.Is(err, ErrGone):
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ctx.Err()
	case err != nil:
		return err
	case m.Step != want:
		return fmt.Errorf("it says %q instead of %q", m.Step, want)
	}
	return nil
}

// Fail tells the old process why this one cannot take over. This process has to end then.
func (i *Inheritance) Fail(err error) {
	if i.pair != nil {
		_ = i.pair.send(message{Step: stepFailed, Error: err.Error()}) // it sees that this process ends, if nothing else
	}
}

// Close closes the sockets that nobody took, and ends the conversation with the old process. After Ready it does nothing.
func (i *Inheritance) Close() {
	i.take(func(s *inherited) bool {
		if s.listener != nil {
			s.listener.Close()
		} else {
			s.packets.Close()
		}
		return true
	})
	if i.pair != nil {
		i.pair.conn.Close()
	}
}
