package origin

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// EventTime is the text before an event's time of sending, in nanoseconds of
// Unix time.
const EventTime = `data: {"t":`

const (
	eventBytes = 80
	eventRest  = `,"token":"`
	eventEnd   = "\"}\n\n"
	lastChunk  = "0\r\n\r\n"
	sseHead    = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
)

// document returns a whole answer whose JSON body has the given size.
func document(status string, size int) []byte {
	const before, after = `{"label":"`, `"}`
	body := before + strings.Repeat("a", max(0, size-len(before)-len(after))) + after
	return fmt.Appendf(nil, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nServer: origin\r\nX-Model: m1\r\n\r\n%s",
		status, len(body), body)
}

// appendEvent appends one chunk that holds one event of eventBytes bytes.
func appendEvent(b []byte, now time.Time) []byte {
	b = strconv.AppendInt(b, eventBytes, 16)
	b = append(b, "\r\n"...)
	start := len(b)
	b = append(b, EventTime...)
	b = strconv.AppendInt(b, now.UnixNano(), 10)
	b = append(b, eventRest...)
	for len(b)-start < eventBytes-len(eventEnd) {
		b = append(b, 'x')
	}
	b = append(b, eventEnd...)
	return append(b, "\r\n"...)
}
