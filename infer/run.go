package infer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// Run makes a server and serves it until ctx ends or the process gets SIGTERM or SIGINT. It then ends at once, or,
// with Options.Drain, refuses what is new, answers what was accepted, and ends. A second signal exits the process at
// once through Options.Exit, with 128 plus the signal's number. Run returns nil after a clean end.
func Run(ctx context.Context, o Options) error {
	o = o.withDefaults()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)
	return run(ctx, o, signals)
}

// run is Run with the signals as an argument.
func run(ctx context.Context, o Options, signals <-chan os.Signal) error {
	if err := o.Validate(); err != nil {
		return err
	}
	ln := o.Listener
	if ln == nil {
		addr := net.JoinHostPort(o.Host, strconv.Itoa(o.Port))
		var err error
		if ln, err = net.Listen("tcp", addr); err != nil {
			return fmt.Errorf("opening %s: %w; choose another --port, or 0 for a free one", addr, err)
		}
	}
	s, err := New(o)
	if err != nil {
		_ = ln.Close()
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan struct{})
	defer close(done)
	go watchSignals(s, signals, stop, done)
	return s.Serve(ctx, ln)
}

// watchSignals calls stop on the first signal and exits the process on the second.
func watchSignals(s *Server, signals <-chan os.Signal, stop func(), done <-chan struct{}) {
	for n := 1; ; n++ {
		select {
		case sig := <-signals:
			s.log.Info("signal", "signal", sig.String(), "number", n)
			if n == 1 {
				stop()
				continue
			}
			number, _ := sig.(syscall.Signal)
			s.o.Exit(128 + int(number))
		case <-done:
			return
		}
	}
}

// Serve answers on ln until ctx ends, then stops or, with Options.Drain, drains, and closes ln and the server.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	port := newGate(ln)
	s.port.Store(port)
	hs := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       3 * time.Minute, // longer than who sits in front keeps idle connections
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- hs.Serve(port) }()
	s.log.Info("listening", "addr", ln.Addr().String(), "pid", os.Getpid())

	var err error
	select {
	case err = <-served:
		err = fmt.Errorf("serving on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
		err = s.shutDown(hs)
	}
	_ = port.Close()
	_ = hs.Close()
	_ = s.Close()
	s.log.Info("stopped")
	return err
}

// shutDown ends what is served: at once, or when it is drained.
func (s *Server) shutDown(hs *http.Server) error {
	if s.o.Drain {
		ctx, cancel := context.Background(), context.CancelFunc(func() {})
		if s.o.DrainTimeout > 0 {
			ctx, cancel = context.WithTimeout(ctx, s.o.DrainTimeout)
		}
		defer cancel()
		if err := s.Drain(ctx); err != nil {
			s.log.Warn("drain cut short", "error", err)
		}
	}
	// What is still running is told to end; what has ended gets a moment to leave the socket.
	s.cancel(errStopped)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := hs.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("closing the server: %w", err)
	}
	return nil
}
