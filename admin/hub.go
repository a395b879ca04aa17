package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	subscriberBuffer = 64  // messages that a reader may lag behind before it is dropped
	backlogKept      = 256 // events that one who comes later can still have
)

// hub hands each event to every subscriber. It never waits for one: who does not keep up is dropped and, if it is a
// browser, comes back by itself and has what it missed from the backlog.
type hub struct {
	run  string          // names this process in event ids, so that an id from before a restart is not taken for one of ours
	done context.Context // ends when the hub is closed
	end  context.CancelFunc

	mu      sync.Mutex
	subs    map[*subscriber]struct{}
	backlog []message // the oldest first
	seq     uint64
}

// message is one event as it goes over the wire.
type message struct {
	seq  uint64 // 0: a tick, which nobody wants later
	wire []byte
}

// subscriber is one reader. Its channel is closed when it was dropped or the hub was closed.
type subscriber struct{ c chan message }

func newHub() *hub {
	h := &hub{run: strconv.FormatInt(time.Now().UnixMicro(), 36), subs: map[*subscriber]struct{}{}}
	h.done, h.end = context.WithCancel(context.Background())
	return h
}

// publish sends an event and keeps it. It returns the event as it was sent, with its id.
func (h *hub) publish(e Event) Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seq++
	e.ID = fmt.Sprintf("%s-%d", h.run, h.seq)
	data, err := json.Marshal(e)
	if err != nil { // the data cannot be told; the event still can
		e.Data = nil
		data, _ = json.Marshal(e)
	}
	m := message{seq: h.seq, wire: fmt.Appendf(nil, "event: %s\nid: %s\ndata: %s\n\n", eventName(e.Type), e.ID, data)}
	if len(h.backlog) == backlogKept {
		copy(h.backlog, h.backlog[1:])
		h.backlog = h.backlog[:backlogKept-1]
	}
	h.backlog = append(h.backlog, m)
	h.send(m)
	return e
}

// eventName keeps a type on its line.
func eventName(t string) string {
	if t == "" || strings.ContainsAny(t, "\r\n") {
		return "notice"
	}
	return t
}

// tick sends the status. It costs nothing while nobody listens.
func (h *hub) tick(st Status) {
	h.mu.Lock()
	nobody := len(h.subs) == 0
	h.mu.Unlock()
	if nobody {
		return
	}
	m, err := tickMessage(st)
	if err != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.send(m)
}

func tickMessage(st Status) (message, error) {
	data, err := json.Marshal(st)
	if err != nil {
		return message{}, err
	}
	return message{wire: fmt.Appendf(nil, "event: status\ndata: %s\n\n", data)}, nil
}

// send needs the lock.
func (h *hub) send(m message) {
	for s := range h.subs {
		select {
		case s.c <- m:
		default:
			h.drop(s)
		}
	}
}

// subscribe returns a reader that first gets up to backlog events from before, and all it has missed when lastID names the
// last one it had. The hub being closed, the reader is at its end at once.
func (h *hub) subscribe(lastID string, backlog int) (s *subscriber, before []message) {
	s = &subscriber{c: make(chan message, subscriberBuffer)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.done.Err() != nil {
		close(s.c)
		return s, nil
	}
	h.subs[s] = struct{}{}
	from := max(len(h.backlog)-backlog, 0)
	if run, seq, ok := strings.Cut(lastID, "-"); ok && run == h.run {
		if n, err := strconv.ParseUint(seq, 10, 64); err == nil {
			for from = 0; from < len(h.backlog) && h.backlog[from].seq <= n; from++ {
			}
		}
	}
	return s, append([]message(nil), h.backlog[from:]...)
}

func (h *hub) unsubscribe(s *subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop(s)
}

// drop needs the lock. It may be called twice.
func (h *hub) drop(s *subscriber) {
	if _, ok := h.subs[s]; ok {
		delete(h.subs, s)
		close(s.c)
	}
}

// close ends every reader; what is published later is only kept.
func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.end()
	for s := range h.subs {
		h.drop(s)
	}
}
