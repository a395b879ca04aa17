//go:build !linux

package l7

import (
	"sync"
	"time"
)

// watcher learns that a client has closed its side by looking at every watched connection a few times a second.
type watcher struct {
	mu    sync.Mutex
	next  uint64
	conns map[uint64]*conn
	stop  chan struct{}
}

func (w *watcher) open() error {
	w.conns, w.stop = map[uint64]*conn{}, make(chan struct{})
	return nil
}

func (w *watcher) add(c *conn) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next++
	w.conns[w.next] = c
	return w.next
}

func (w *watcher) forget(c *conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, c.watched.Load())
}

func (w *watcher) run() {
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-t.C:
			w.mu.Lock()
			for _, c := range w.conns {
				if !alive(c.Conn) {
					c.left()
				}
			}
			w.mu.Unlock()
		}
	}
}

func (w *watcher) close() { close(w.stop) }
