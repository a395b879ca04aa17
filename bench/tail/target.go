package main

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Headers of requests and answers.
const (
	serviceHeader = "X-Service" // how long the target works on the request, or has: a duration
	stepsHeader   = "X-Steps"   // what its sender knows of that
)

// target is a server with one slot: it works on one request at a time, in the order in which they reach it, as an inference server with
// one GPU does. Work is the passing of time. The slot is free again at the exact end of the work, so that late timers do not add up; work that was begun is finished, also for a client that left.
type target struct {
	speed  float64
	port   int
	server *http.Server

	mu     sync.Mutex
	free   time.Time // when the slot is, by the requests that are here
	served int
}

// listen starts a target on a port of its own.
func listen(speed float64) (*target, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("opening a target: %w", err)
	}
	t := &target{speed: speed, port: l.Addr().(*net.TCPAddr).Port}
	t.server = &http.Server{Handler: t}
	go t.server.Serve(l) // until close
	return t, nil
}

func (t *target) close() { t.server.Close() }

func (t *target) address() string { return fmt.Sprintf("127.0.0.1:%d", t.port) }

func (t *target) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/health" {
		return
	}
	service, err := time.ParseDuration(r.Header.Get(serviceHeader))
	if err != nil || service < 0 {
		http.Error(w, "how long? send "+serviceHeader+": 50ms", http.StatusBadRequest)
		return
	}
	service = time.Duration(float64(service) / t.speed)
	time.Sleep(time.Until(t.take(service, time.Now())))
	w.Header().Set(serviceHeader, service.String())
	w.Header().Set("Content-Length", strconv.Itoa(len("done\n")))
	w.Write([]byte("done\n"))
}

// take queues work that came now and returns when it ends.
func (t *target) take(service time.Duration, now time.Time) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.free.Before(now) {
		t.free = now
	}
	t.free = t.free.Add(service)
	t.served++
	return t.free
}
