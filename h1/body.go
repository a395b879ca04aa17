package h1

// Body tracks where a message's body ends while its bytes are passed on as they are. It checks every chunk head and trailer
// on the way: bytes that Next has counted are fit to be forwarded.
type Body struct {
	mode  bodyMode
	state chunkState
	rem   int64 // of the length, or of the chunk
	n     int   // digits of the chunk size, then bytes of extensions or trailers
	name  [26]byte
	nameN int
}

type bodyMode uint8

const (
	done bodyMode = iota
	byLengthMode
	chunked
	untilClose
)

type chunkState uint8

const (
	sizeDigit chunkState = iota
	extension
	sizeLF
	data
	dataCR
	dataLF
	lineStart // of a trailer, or the end
	endLF
	trailerName
	trailerValue
	trailerLF
)

// Bounds on what may surround the data.
const (
	maxExtension = 1 << 10
	maxTrailers  = 8 << 10
)

// RequestBody returns the body that follows a request's head.
func RequestBody(r *Request) Body {
	switch {
	case r.Chunked:
		return Body{mode: chunked}
	case r.Length > 0:
		return Body{mode: byLengthMode, rem: r.Length}
	}
	return Body{}
}

// ResponseBody returns the body that follows an answer's head. toHead: it answers a HEAD request.
func ResponseBody(r *Response, toHead bool) Body {
	switch {
	case r.bodyless(toHead):
		return Body{}
	case r.Chunked:
		return Body{mode: chunked}
	case r.Length > 0:
		return Body{mode: byLengthMode, rem: r.Length}
	case r.Length < 0:
		return Body{mode: untilClose}
	}
	return Body{}
}

// Done says that the body has ended.
func (b *Body) Done() bool { return b.mode == done }

// UntilClose says that only the end of the connection ends the body.
func (b *Body) UntilClose() bool { return b.mode == untilClose }

// Chunked says that the body is chunked and has not ended.
func (b *Body) Chunked() bool { return b.mode == chunked }

// BetweenChunks says that the body is chunked and the next byte would begin a chunk: one may be put in between.
func (b *Body) BetweenChunks() bool { return b.mode == chunked && b.state == sizeDigit && b.n == 0 }

// Next takes the body's bytes at the start of p and returns how many there are; what follows belongs to the next message. After an
// error, ErrChunk or ErrTrailer, nothing of p may be forwarded.
func (b *Body) Next(p []byte) (int, error) {
	switch b.mode {
	case done:
		return 0, nil
	case untilClose:
		return len(p), nil
	case byLengthMode:
		if int64(len(p)) < b.rem {
			b.rem -= int64(len(p))
			return len(p), nil
		}
		n := int(b.rem)
		*b = Body{}
		return n, nil
	}
	return b.chunks(p)
}

func (b *Body) chunks(p []byte) (int, error) {
	for i := 0; i < len(p); {
		if b.state == data {
			if k := int64(len(p) - i); k < b.rem {
				b.rem -= k
				return len(p), nil
			}
			i += int(b.rem)
			b.rem, b.state = 0, dataCR
			continue
		}
		if err := b.step(p[i]); err != nil {
			return i, err
		}
		i++
		if b.mode == done {
			return i, nil
		}
	}
	return len(p), nil
}

// step takes one byte that is not data.
func (b *Body) step(c byte) error {
	switch b.state {
	case sizeDigit:
		return b.size(c)
	case extension:
		b.n++
		switch {
		case c == '\r':
			b.state = sizeLF
		case class[c]&isValue == 0 || b.n > maxExtension:
			return ErrChunk
		}
	case sizeLF:
		if c != '\n' {
			return ErrChunk
		}
		b.n = 0
		if b.state = data; b.rem == 0 {
			b.state = lineStart
		}
	case dataCR:
		if c != '\r' {
			return ErrChunk
		}
		b.state = dataLF
	case dataLF:
		if c != '\n' {
			return ErrChunk
		}
		b.state = sizeDigit
	default:
		return b.trailer(c)
	}
	return nil
}

func (b *Body) size(c byte) error {
	switch {
	case class[c]&isHex != 0:
		// 15 digits are over a petabyte: nothing real is cut, nothing overflows.
		if b.n++; b.n > 15 {
			return ErrChunk
		}
		b.rem = b.rem<<4 | int64(hexValue(c))
	case b.n == 0:
		return ErrChunk
	case c == ';':
		b.state, b.n = extension, 0
	case c == '\r':
		b.state = sizeLF
	default:
		return ErrChunk
	}
	return nil
}

func hexValue(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c >= 'a':
		return c - 'a' + 10
	}
	return c - 'A' + 10
}

// trailer takes one byte of the trailer section.
func (b *Body) trailer(c byte) error {
	if b.n++; b.n > maxTrailers {
		return ErrTrailer
	}
	switch b.state {
	case lineStart:
		if c == '\r' {
			b.state = endLF
			return nil
		}
		b.nameN = 0
		b.state = trailerName
		return b.nameByte(c)
	case endLF:
		if c != '\n' {
			return ErrTrailer
		}
		*b = Body{}
	case trailerName:
		if c != ':' {
			return b.nameByte(c)
		}
		// What frames or routes a message, or says who sent it, must not arrive after it (RFC 9110 6.5.1).
		if b.nameN < len(b.name) {
			switch kindOf(b.name[:b.nameN]) {
			case kContentLength, kTransferEncoding, kHost, kConnection, kUpgrade, kExpect, kTE, kTrailer,
				kForwardedFor, kForwardedProto, kForwardedHost, kForwarded, kClientCert:
				return ErrTrailer
			}
		}
		b.state = trailerValue
	case trailerValue:
		if c == '\r' {
			b.state = trailerLF
		} else if class[c]&isValue == 0 {
			return ErrTrailer
		}
	case trailerLF:
		if c != '\n' {
			return ErrTrailer
		}
		b.state = lineStart
	}
	return nil
}

func (b *Body) nameByte(c byte) error {
	if class[c]&isToken == 0 {
		return ErrTrailer
	}
	if b.nameN < len(b.name) {
		b.name[b.nameN] = c
		b.nameN++
	}
	return nil
}
