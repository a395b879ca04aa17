package admin

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

const (
	writeTimeout = 10 * time.Second // a reader of a stream that takes nothing for so long is gone
	linesDefault = 100
	linesMost    = 100_000
)

// streamEvents sends the status at once and each second, and every event, as server-sent events. ?backlog=n sends the last n
// events first.
func (s *Server) streamEvents(w http.ResponseWriter, r *http.Request) {
	backlog, err := strconv.Atoi(cmp.Or(r.FormValue("backlog"), "0"))
	if err != nil || backlog < 0 {
		refuse(w, http.StatusBadRequest, "backlog", fmt.Sprintf("backlog=%s is not a number of events", quoted(r.FormValue("backlog"))))
		return
	}
	sub, before := s.hub.subscribe(r.Header.Get("Last-Event-ID"), backlog)
	defer s.hub.unsubscribe(sub)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	out := stream{w: w, c: http.NewResponseController(w)}
	io.WriteString(out, "retry: 1000\n\n")
	if m, err := tickMessage(s.o.Source.Status()); err == nil {
		before = append(before, m)
	}
	for _, m := range before {
		if _, err := out.Write(m.wire); err != nil {
			return
		}
	}
	for {
		select {
		case <-r.Context().Done():
			return
		case m, ok := <-sub.c:
			if !ok {
				return
			}
			if _, err := out.Write(m.wire); err != nil {
				return
			}
		}
	}
}

// streamLogs sends the last lines of an instance's output, and with ?follow=true what comes after.
func (s *Server) streamLogs(w http.ResponseWriter, r *http.Request) {
	lines, err := strconv.Atoi(cmp.Or(r.FormValue("lines"), strconv.Itoa(linesDefault)))
	if err != nil || lines < 0 || lines > linesMost {
		refuse(w, http.StatusBadRequest, "lines", fmt.Sprintf("lines=%s is not a number from 0 to %d", quoted(r.FormValue("lines")), linesMost))
		return
	}
	follow, err := strconv.ParseBool(cmp.Or(r.FormValue("follow"), "false"))
	if err != nil {
		refuse(w, http.StatusBadRequest, "follow", fmt.Sprintf("follow=%s is neither true nor false", quoted(r.FormValue("follow"))))
		return
	}
	if s.o.Logs == nil {
		refuse(w, http.StatusNotImplemented, "no_logs", "this Weir keeps no logs of instances")
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.hub.done, cancel)()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	out := &begun{stream: stream{w: w, c: http.NewResponseController(w)}}
	if err := s.o.Logs(ctx, r.PathValue("pool"), r.PathValue("id"), lines, follow, out); err != nil && ctx.Err() == nil {
		if !out.yes {
			s.fail(w, err)
			return
		}
		panic(http.ErrAbortHandler) // the reader must not take half a log for a whole one
	}
}

// stream writes through at once, and gives up on a reader that takes nothing.
type stream struct {
	w http.ResponseWriter
	c *http.ResponseController
}

func (s stream) Write(b []byte) (int, error) {
	// A server under test may not know deadlines; then there is none.
	_ = s.c.SetWriteDeadline(time.Now().Add(writeTimeout))
	n, err := s.w.Write(b)
	if err == nil {
		err = s.c.Flush()
	}
	return n, err
}

// begun is a stream that knows whether anything was written.
type begun struct {
	stream
	yes bool
}

func (b *begun) Write(p []byte) (int, error) {
	b.yes = true
	return b.stream.Write(p)
}
