package load

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// maxPartial bounds what is kept of a head or line that has not ended.
const maxPartial = 16 << 10

type state int

const (
	inHead state = iota
	inBody
	inChunkSize
	inChunk
	inChunkEnd
	inTrailers
)

// answer follows one HTTP/1.1 answer across reads. The zero value awaits one.
type answer struct {
	status  int // of the final head, once the state is past inHead
	state   state
	left    int64  // bytes of the body or chunk still to come
	partial []byte // a head or line that has not ended
}

// feed takes bytes of the connection and hands those of the body on; body may
// be nil. It returns how many it used; once done, the rest belongs to the next
// answer and the answer awaits one again, its status kept.
func (a *answer) feed(p []byte, body func([]byte) error) (used int, done bool, err error) {
	for used < len(p) {
		var n int
		switch a.state {
		case inHead:
			n, done, err = a.takeHead(p[used:])
		case inBody, inChunk:
			n, done, err = a.takeBody(p[used:], body)
		default:
			n, done, err = a.takeLine(p[used:])
		}
		used += n
		if done || err != nil {
			return used, done, err
		}
	}
	return used, false, nil
}

func (a *answer) takeHead(p []byte) (used int, done bool, err error) {
	head, used, err := a.upTo(p, "\r\n\r\n")
	if head == nil || err != nil {
		return used, false, err
	}
	chunked, err := a.parseHead(head)
	switch {
	case err != nil:
	case a.status < 200: // an interim answer; the final one follows
	case chunked:
		a.state = inChunkSize
	case a.left == 0:
		done = true
	default:
		a.state = inBody
	}
	return used, done, err
}

func (a *answer) parseHead(head []byte) (chunked bool, err error) {
	line, fields, _ := bytes.Cut(head, []byte("\r\n"))
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return false, fmt.Errorf("status line %q", line)
	}
	a.status, err = strconv.Atoi(string(line[9:12]))
	if err != nil || a.status < 100 || a.status > 599 {
		return false, fmt.Errorf("status line %q", line)
	}
	length := int64(-1)
	for len(fields) > 0 {
		line, fields, _ = bytes.Cut(fields, []byte("\r\n"))
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			length, err = strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
			if err != nil || length < 0 {
				return false, fmt.Errorf("Content-Length %q", value)
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = bytes.EqualFold(bytes.TrimSpace(value), []byte("chunked"))
		}
	}
	if a.status < 200 || a.status == 204 || a.status == 304 {
		length, chunked = 0, false
	}
	if length < 0 && !chunked {
		return false, errors.New("an answer with neither Content-Length nor chunks: it would end the connection")
	}
	a.left = max(0, length)
	return chunked, nil
}

func (a *answer) takeBody(p []byte, body func([]byte) error) (used int, done bool, err error) {
	used = int(min(a.left, int64(len(p))))
	a.left -= int64(used)
	if body != nil {
		err = body(p[:used])
	}
	if a.left > 0 {
		return used, false, err
	}
	if a.state == inBody {
		a.state = inHead
		return used, true, err
	}
	a.state = inChunkEnd
	return used, false, err
}

// takeLine reads what stands between chunks, and the trailers after the last.
func (a *answer) takeLine(p []byte) (used int, done bool, err error) {
	line, used, err := a.upTo(p, "\r\n")
	if line == nil || err != nil {
		return used, false, err
	}
	line = line[:len(line)-2]
	switch a.state {
	case inChunkSize:
		size, _, _ := bytes.Cut(line, []byte(";"))
		a.left, err = strconv.ParseInt(string(bytes.TrimSpace(size)), 16, 64)
		switch {
		case err != nil || a.left < 0:
			err = fmt.Errorf("chunk size %q", line)
		case a.left == 0:
			a.state = inTrailers
		default:
			a.state = inChunk
		}
	case inChunkEnd:
		if len(line) > 0 {
			return used, false, fmt.Errorf("%q after a chunk", line)
		}
		a.state = inChunkSize
	case inTrailers:
		if len(line) == 0 {
			a.state = inHead
			return used, true, nil
		}
	}
	return used, false, err
}

// upTo returns everything up to and including end, which may have begun in
// earlier reads, or nil when end has not arrived. It is valid until the next call.
func (a *answer) upTo(p []byte, end string) (text []byte, used int, err error) {
	before := len(a.partial)
	if before > 0 {
		a.partial = append(a.partial, p...)
		p = a.partial
	}
	from := max(0, before-len(end)+1) // end may lie across two reads
	i := bytes.Index(p[from:], []byte(end))
	if i >= 0 {
		text = p[:from+i+len(end)]
		a.partial = a.partial[:0]
		return text, len(text) - before, nil
	}
	if len(p) > maxPartial {
		return nil, 0, fmt.Errorf("no end of a head or line within %d bytes", maxPartial)
	}
	if before == 0 {
		a.partial = append(a.partial, p...)
	}
	return nil, len(p) - before, nil
}
