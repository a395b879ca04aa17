package infer

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// gate is a listener that can really close its port for a while: connections are then refused by the kernel, as when
// the process is gone. Connections that were accepted live on.
type gate struct {
	addr net.Addr
	ctx  context.Context // ends when the gate is closed for good

	mu      sync.Mutex
	ln      net.Listener       // guarded by mu; nil while the port is closed
	changed chan struct{}      // guarded by mu; closed when the port opens or closes
	end     context.CancelFunc // ends ctx
}

func newGate(ln net.Listener) *gate {
	g := &gate{addr: ln.Addr(), ln: ln, changed: make(chan struct{})}
	g.ctx, g.end = context.WithCancel(context.Background())
	return g
}

// set closes the port, or opens it again.
func (g *gate) set(closed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if closed == (g.ln == nil) || g.ctx.Err() != nil {
		return
	}
	if closed {
		_ = g.ln.Close() // nothing is lost with it
		g.ln = nil
		g.announce()
		return
	}
	go g.reopen()
}

func (g *gate) announce() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// reopen listens on the port again, trying until it is free.
func (g *gate) reopen() {
	for {
		ln, err := net.Listen(g.addr.Network(), g.addr.String())
		if err == nil {
			g.mu.Lock()
			defer g.mu.Unlock()
			if g.ln != nil || g.ctx.Err() != nil {
				_ = ln.Close()
				return
			}
			g.ln = ln
			g.announce()
			return
		}
		if sleepUntil(g.ctx, time.Now().Add(20*time.Millisecond)) != nil {
			return
		}
	}
}

// Accept waits for a connection, and through the times when the port is closed.
func (g *gate) Accept() (net.Conn, error) {
	for {
		g.mu.Lock()
		ln, changed := g.ln, g.changed
		g.mu.Unlock()
		if ln != nil {
			conn, err := ln.Accept()
			if err == nil {
				return conn, nil
			}
			g.mu.Lock()
			mine := g.ln == ln // else the port was closed under it, and that is no error
			g.mu.Unlock()
			if mine || g.ctx.Err() != nil {
				return nil, fmt.Errorf("accepting a connection: %w", err)
			}
			continue
		}
		select {
		case <-changed:
		case <-g.ctx.Done():
			return nil, net.ErrClosed
		}
	}
}

// Close closes the port for good.
func (g *gate) Close() error {
	g.end()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ln == nil {
		return nil
	}
	err := g.ln.Close()
	g.ln = nil
	return err
}

// Addr is the port's address, open or not.
func (g *gate) Addr() net.Addr { return g.addr }
