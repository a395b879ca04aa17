package load

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/weirlb/weir/bench/internal/origin"
)

// events finds the events in the pieces of a stream's body.
type events struct {
	partial []byte
}

// feed calls each with an event's time of sending, in nanoseconds of Unix time.
func (e *events) feed(p []byte, each func(sent int64)) error {
	if len(e.partial) > 0 {
		e.partial = append(e.partial, p...)
		p = e.partial
	}
	for {
		event, rest, whole := bytes.Cut(p, []byte("\n\n"))
		if !whole {
			break
		}
		p = rest
		digits, found := bytes.CutPrefix(event, []byte(origin.EventTime))
		end := bytes.IndexByte(digits, ',')
		if !found || end < 0 {
			return fmt.Errorf("event %q has no time of sending", event)
		}
		sent, err := strconv.ParseInt(string(digits[:end]), 10, 64)
		if err != nil {
			return fmt.Errorf("event %q: time of sending: %w", event, err)
		}
		each(sent)
	}
	if len(p) > maxPartial {
		return fmt.Errorf("no end of an event within %d bytes", maxPartial)
	}
	e.partial = append(e.partial[:0], p...)
	return nil
}
