package handover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Socket is a listening socket that is passed on, or one for datagrams.
type Socket struct {
	Address string       // as the config has it; the new process asks for it by this
	Conn    syscall.Conn // a *net.TCPListener, *net.UnixListener or *net.UDPConn
}

// Options say what a new process is given.
type Options struct {
	Exe     string   // of the new process; empty: the file that this one was started from, which may have been replaced since
	Args    []string // without the program; nil: those of this process
	Sockets []Socket // of a group that shares an address: all
	Memo    []byte   // anything small that the new process shall know, e.g. the keys of session tickets
	// Release closes what only one process can hold. It is called at most once; traffic goes on meanwhile.
	Release func() error
	// Reclaim opens it again, when Release was called and the new process is gone.
	Reclaim func() error
	Timeout time.Duration // from the start until the new process is ready; 0: 1 min
	// Stdout and Stderr are the new process's; nil: those of this one.
	Stdout, Stderr *os.File
}

// Start starts a new process and hands over to it. When it returns no error, the new process serves, and this one has to stop
// accepting, let what is in flight finish and end. On an error the new process is gone and everything is as before, unless Reclaim fails,
// which the error says then.
func Start(ctx context.Context, o Options) (*os.Process, error) {
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	cmd, p, hello, err := start(o)
	if err != nil {
		return nil, fmt.Errorf("upgrade: starting the new process: %w; this one goes on", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // also after success: it must not stay a zombie
	// A context that ends stops waiting, and nothing else: p stays open until the new process is gone.
	stop := context.AfterFunc(ctx, func() { p.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	defer p.conn.Close()

	released, err := converse(p, hello, o.Release)
	if err == nil {
		for _, s := range o.Sockets {
			if u, ok := s.Conn.(*net.UnixListener); ok {
				u.SetUnlinkOnClose(false) // the file is the new process's
			}
		}
		_ = Notify(fmt.Sprintf("MAINPID=%d", cmd.Process.Pid)) // without systemd there is nobody to tell
		return cmd.Process, nil
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = fmt.Errorf("it was not ready within %v", o.Timeout)
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = ctx.Err()
	}
	cmd.Process.Kill()
	if state := <-ended; errors.Is(err, ErrGone) && state != nil {
		err = fmt.Errorf("it has ended: %w; its log says why", state)
	}
	err = fmt.Errorf("upgrade: the new process did not take over: %w; this one goes on", err)
	if released && o.Reclaim != nil {
		if e := o.Reclaim(); e != nil {
			err = fmt.Errorf("%w, but without its state: %w", err, e)
		}
	}
	return nil, err
}

// start starts the new process with copies of the sockets.
func start(o Options) (_ *exec.Cmd, _ *pair, hello message, err error) {
	if o.Exe == "" {
		if o.Exe, err = os.Executable(); err != nil {
			return nil, nil, hello, err
		}
	}
	if o.Args == nil {
		o.Args = os.Args[1:]
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, nil, hello, err
	}
	cmd := exec.Command(o.Exe, o.Args...)
	cmd.Env = append(clean(os.Environ()), fmt.Sprintf("%s=%d", variable, firstDescriptor))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if o.Stdout != nil {
		cmd.Stdout = o.Stdout
	}
	if o.Stderr != nil {
		cmd.Stderr = o.Stderr
	}
	cmd.ExtraFiles = []*os.File{theirs}
	defer func() { // the copies; the new process has its own
		for _, f := range cmd.ExtraFiles {
			f.Close()
		}
	}()
	hello = message{Step: stepHello, Version: version, Memo: o.Memo}
	for _, s := range o.Sockets {
		f, err := duplicate(s.Conn)
		if err != nil {
			ours.Close()
			return nil, nil, hello, fmt.Errorf("the socket of %s: %w", s.Address, err)
		}
		hello.Sockets = append(hello.Sockets, passed{firstDescriptor + len(cmd.ExtraFiles), s.Address})
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	p, err := newPair(ours)
	if err != nil {
		return nil, nil, hello, err
	}
	if err := cmd.Start(); err != nil {
		p.conn.Close()
		return nil, nil, hello, err
	}
	return cmd, p, hello, nil
}

// converse is the old process's side of the protocol, until the new one has everything.
func converse(p *pair, hello message, release func() error) (released bool, err error) {
	if err := p.send(hello); err != nil {
		return false, err
	}
	for {
		m, err := p.receive()
		if err != nil {
			return released, err
		}
		switch {
		case m.Step == stepPrepared && !released:
			released = true // even when it fails half-way
			if release != nil {
				if err := release(); err != nil {
					return released, fmt.Errorf("releasing the state for it: %w", err)
				}
			}
			if err := p.send(message{Step: stepReleased}); err != nil {
				return released, err
			}
		case m.Step == stepReady && (released || release == nil):
			return released, p.send(message{Step: stepYours})
		case m.Step == stepFailed:
			return released, errors.New(m.Error)
		default:
			return released, fmt.Errorf("it says %q when that is not its turn; upgrade by way of a version between, or restart", m.Step)
		}
	}
}

// clean returns an environment without what described this process's own sockets.
func clean(environ []string) []string {
	var out []string
	for _, e := range environ {
		switch name, _, _ := strings.Cut(e, "="); name {
		case variable, listenFDs, listenPID, listenNames:
		default:
			out = append(out, e)
		}
	}
	return out
}
