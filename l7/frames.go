package l7

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"slices"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// frames is a client's HTTP/2 connection as the library is to see it. net/http answers two things in another way than RFC 9113 asks, and has
// no option for them, so they are put right where frames are read:
//
//   - a head with fields that only HTTP/1.1 knows, or with TE for more than trailers, is malformed (8.2.2), and its stream is reset. net/http
//     answers 400. Such a head is given a field that it resets streams for;
//   - SETTINGS may say one thing twice, and the last word counts (6.5.3). net/http hangs up. It gets the last words alone.
//
// Bodies are not looked at, and most frames come out of one read, where the library alone would make two for each.
type frames struct {
	net.Conn
	in    []byte // what was read and not passed on yet
	clear int    // so many bytes may be passed on: those at the front of in, and then what follows it

	head *hpack.Decoder // nil before the first head
	bad  bool           // the head that is being read is malformed
	lost bool           // no head can be read any more
	room [frameRoom]byte
}

const (
	frameHead = 9        // bytes before what a frame carries (RFC 9113 4.1)
	frameMax  = 16 << 10 // what one carries at most: the library is not told to take more
	frameRoom = 2 << 10  // where frames are read to, but for large heads
)

// newFrames begins with what was read of c already.
func newFrames(c net.Conn, early []byte) *frames {
	f := &frames{Conn: c, clear: len(http2.ClientPreface)}
	f.in = append(f.room[:0], early...)
	return f
}

// NetConn is the connection itself.
func (f *frames) NetConn() net.Conn { return f.Conn }

// Read reads what is clear.
func (f *frames) Read(p []byte) (int, error) {
	if f.clear == 0 {
		if err := f.next(); f.clear == 0 {
			return 0, err
		}
	}
	p = p[:min(len(p), f.clear)]
	if len(f.in) == 0 {
		n, err := f.Conn.Read(p)
		f.clear -= n
		return n, err
	}
	n := copy(p, f.in)
	f.in = f.in[n:]
	f.clear -= n
	return n, nil
}

// next looks at what comes next and clears it.
func (f *frames) next() error {
	if f.lost {
		return io.EOF
	}
	if err := f.fill(frameHead); err != nil {
		f.clear = len(f.in) // a part of a frame is for the library to judge
		return err
	}
	size := int(f.in[0])<<16 | int(f.in[1])<<8 | int(f.in[2])
	f.clear = frameHead + size
	kind := http2.FrameType(f.in[3])
	switch kind {
	case http2.FrameHeaders, http2.FrameContinuation, http2.FrameSettings:
	default:
		return nil
	}
	if size > frameMax {
		return nil // it ends the connection
	}
	if err := f.fill(f.clear); err != nil {
		f.clear = len(f.in)
		return err
	}
	if kind == http2.FrameSettings {
		f.settings()
	} else {
		f.fields(kind)
	}
	return nil
}

// fill reads until n bytes are there.
func (f *frames) fill(n int) error {
	if len(f.in) < n && cap(f.in) < max(n, frameRoom/2) {
		f.in = append(slices.Grow(f.room[:0], n), f.in...) // append moves what lies further back in room to its front
	}
	for len(f.in) < n {
		k, err := f.Conn.Read(f.in[len(f.in):cap(f.in)])
		f.in = f.in[:len(f.in)+k]
		if err != nil && len(f.in) < n {
			return err
		}
	}
	return nil
}

// settings leaves of every setting the last word. Words that are not allowed are left for the library to refuse.
func (f *frames) settings() {
	const each = 6
	b := f.in[frameHead:f.clear]
	if len(b)%each != 0 {
		return
	}
	last := b[:0]
	for i := 0; i < len(b); i += each {
		id, value := binary.BigEndian.Uint16(b[i:]), binary.BigEndian.Uint32(b[i+2:])
		if (http2.Setting{ID: http2.SettingID(id), Val: value}).Valid() != nil {
			return
		}
	}
	for i := 0; i < len(b); i += each {
		if !saidAgain(b[i:i+2], b[i+each:], each) {
			last = append(last, b[i:i+each]...)
		}
	}
	if len(last) == len(b) {
		return
	}
	f.in = slices.Delete(f.in, frameHead+len(last), f.clear)
	f.in[0], f.in[1], f.in[2] = 0, byte(len(last)>>8), byte(len(last))
	f.clear = frameHead + len(last)
}

// saidAgain says whether one of the settings in rest has the id.
func saidAgain(id, rest []byte, each int) bool {
	for ; len(rest) >= each; rest = rest[each:] {
		if bytes.Equal(id, rest[:2]) {
			return true
		}
	}
	return false
}

// fields looks at the fields of a head, or of a part of one.
func (f *frames) fields(kind http2.FrameType) {
	flags := http2.Flags(f.in[4])
	b := f.in[frameHead:f.clear]
	if kind == http2.FrameHeaders {
		if b = fragment(b, flags); b == nil {
			return // there is no head in it: it ends the connection
		}
		f.bad = false
	}
	if f.head == nil {
		f.head = hpack.NewDecoder(4<<10, f.field) // the size that clients assume, and the library's
	}
	if _, err := f.head.Write(b); err != nil {
		f.lost = true // the library cannot read it either, and ends the connection
	}
	if !flags.Has(http2.FlagHeadersEndHeaders) { // the bit is the same in both kinds
		return
	}
	if err := f.head.Close(); err == nil && f.bad {
		f.spoil()
	}
}

// fragment is what a HEADERS frame has of the fields: without padding and priority. nil: nothing.
func fragment(b []byte, flags http2.Flags) []byte {
	pad := 0
	if flags.Has(http2.FlagHeadersPadded) {
		if len(b) == 0 {
			return nil
		}
		pad, b = int(b[0]), b[1:]
	}
	if flags.Has(http2.FlagHeadersPriority) {
		if len(b) < 5 {
			return nil
		}
		b = b[5:]
	}
	if pad > len(b) {
		return nil
	}
	return b[:len(b)-pad]
}

func (f *frames) field(h hpack.HeaderField) {
	switch h.Name {
	case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
		f.bad = true
	case "te":
		f.bad = f.bad || h.Value != "trailers"
	}
}

// spoil has the head go on in another frame, with a field whose name no field may have.
func (f *frames) spoil() {
	more := append([]byte{0, 0, 4, byte(http2.FrameContinuation), byte(http2.FlagContinuationEndHeaders)}, f.in[5:frameHead]...)
	more = append(more, 0, 1, 'A', 0) // a literal that nobody remembers, its name "A", its value empty
	f.in[4] &^= byte(http2.FlagHeadersEndHeaders)
	f.in = slices.Insert(f.in, f.clear, more...)
	f.clear += len(more)
}
