package h1

import "bytes"

// Data takes a body apart: it finds the data in the bytes that carry it, and the trailers after it. What a Body passes on as it is, Data
// hands to whoever frames bodies in another way, such as HTTP/2.
type Data struct {
	Body
	trailer []byte // the section as it came, up to its empty line
}

// Next looks at the bytes at the start of p: piece is the next data among them, which is a part of p, and n how many bytes were used to
// get to its end. With no data all of the body that p holds was used. After an error nothing of p may be used.
func (d *Data) Next(p []byte) (piece []byte, n int, err error) {
	b := &d.Body
	if b.mode != chunked {
		n, err = b.Next(p)
		return p[:n], n, err
	}
	for n < len(p) && b.mode == chunked {
		if b.state == data {
			k := int(min(b.rem, int64(len(p)-n)))
			piece = p[n : n+k]
			_, err = b.Next(piece)
			return piece, n + k, err
		}
		section := b.state >= lineStart
		if err := b.step(p[n]); err != nil {
			return nil, n, err
		}
		if section {
			d.trailer = append(d.trailer, p[n])
		}
		n++
	}
	return nil, n, nil
}

// Trailers yields the trailers, once the body is done.
func (d *Data) Trailers(yield func(name, value []byte) bool) {
	for line := range bytes.SplitSeq(d.trailer, []byte("\r\n")) {
		if name, value, ok := bytes.Cut(line, []byte{':'}); ok && !yield(name, trim(value)) {
			return
		}
	}
}

// Reset makes d take another body apart. It keeps its memory.
func (d *Data) Reset(b Body) { d.Body, d.trailer = b, d.trailer[:0] }

// Each yields the header lines in their order. Names are as they came.
func (h *Head) Each(yield func(name, value []byte) bool) {
	for i := range h.fields {
		f := &h.fields[i]
		if !yield(h.buf[f.start:f.nameEnd], h.buf[f.valueStart:f.valEnd]) {
			return
		}
	}
}
