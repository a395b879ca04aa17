package probe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/weirlb/weir/health"
)

// Agent is how a small server beside a target is asked for the target's weight and state, as HAProxy's agent-check does: Weir
// connects, reads one line and closes. Nothing is sent.
type Agent struct {
	Port     int           // on the target's host
	Interval time.Duration // from the begin of one question to that of the next; 0 is 2 s
	Timeout  time.Duration // of one question; 0 is the interval, but at most 5 s
}

// maxWord bounds an agent's line, in bytes.
const maxWord = 1 << 10

func (a Agent) interval() time.Duration { return or(a.Interval, 2*time.Second) }

func (a Agent) timeout() time.Duration { return or(a.Timeout, min(a.interval(), 5*time.Second)) }

// Ask asks the agent of a target once. addr is the target's, host:port.
func (a Agent) Ask(ctx context.Context, addr string) (health.Word, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return health.Word{}, fmt.Errorf("asking the agent of %s: %w", addr, err)
	}
	addr = net.JoinHostPort(host, strconv.Itoa(a.Port))
	ctx, cancel := context.WithTimeout(ctx, a.timeout())
	defer cancel()
	line, err := readLine(ctx, addr)
	if err != nil {
		return health.Word{}, fmt.Errorf("asking the agent at %s: %w", addr, unanswered{err, a.timeout()})
	}
	w, err := health.ParseWord(line)
	if err != nil {
		return health.Word{}, fmt.Errorf("asking the agent at %s: %w", addr, err)
	}
	return w, nil
}

// readLine returns the first line that a server sends; the end of the connection ends it too.
func readLine(ctx context.Context, addr string) (string, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	line, err := bufio.NewReaderSize(io.LimitReader(c, maxWord), maxWord).ReadString('\n')
	switch {
	case err == nil:
	case !errors.Is(err, io.EOF):
		return "", err
	case len(line) >= maxWord:
		return "", fmt.Errorf("its line is longer than %d bytes", maxWord)
	case strings.TrimSpace(line) == "":
		return "", io.ErrUnexpectedEOF
	}
	return line, nil
}

// Watch asks the agent until ctx ends, at once and then every interval, and calls report with each word, from its own goroutine.
//
// An agent that does not answer, or not in words that can be read, changes nothing: what it said last stays, as with HAProxy, for
// whether the target works is the health check's to say. silent is told of the first failure in a row, and with nil of the answer that
// ends the row.
func (a Agent) Watch(ctx context.Context, addr string, report func(health.Word), silent func(error)) {
	t := time.NewTimer(0)
	defer t.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		began := time.Now()
		w, err := a.Ask(ctx, addr)
		if ctx.Err() != nil {
			return
		}
		if failed := err != nil; failed != failing {
			failing = failed
			silent(err)
		}
		if err == nil {
			report(w)
		}
		t.Reset(time.Until(began.Add(a.interval())))
	}
}
