package h1

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/weirlb/weir/h1/corpus"
)

func chunkedBody() Body {
	return RequestBody(&Request{Head: Head{flags: flags{Chunked: true}, Length: -1}})
}

func TestBadChunksAreRefused(t *testing.T) {
	for _, c := range corpus.Chunks {
		for _, before := range []string{"", "5\r\nhello\r\n"} {
			b := chunkedBody()
			if _, err := b.Next([]byte(before + c.In)); err != refusals[c.Want] {
				t.Errorf("%.60q: %v, want %v", before+c.In, err, refusals[c.Want])
			}
		}
	}
}

// TestAnySplitCountsTheSameBytes encodes random chunks and trailers, appends the beginning of a next message and
// feeds it all in random pieces.
func TestAnySplitCountsTheSameBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var in bytes.Buffer
		for _, data := range rapid.SliceOf(rapid.SliceOfN(rapid.Byte(), 1, 300)).Draw(t, "chunks") {
			fmt.Fprintf(&in, rapid.SampledFrom([]string{"%x", "%X", "00%x"}).Draw(t, "digits"), len(data))
			in.WriteString(rapid.SampledFrom([]string{"", ";a", ";a=b", "; a=\"b c\""}).Draw(t, "extension") + "\r\n")
			in.Write(data)
			in.WriteString("\r\n")
		}
		in.WriteString("0\r\n")
		for range rapid.IntRange(0, 3).Draw(t, "trailers") {
			in.WriteString("X-Sum: 1\r\n")
		}
		in.WriteString("\r\n")
		want := in.Len()
		in.WriteString("GET / HTTP/1.1\r\n")
		b, p, got := chunkedBody(), in.Bytes(), 0
		for !b.Done() {
			piece := p[got:min(got+rapid.IntRange(1, 50).Draw(t, "piece"), len(p))]
			n, err := b.Next(piece)
			if err != nil || n == 0 || n < len(piece) && !b.Done() {
				t.Fatalf("%d of %d bytes, %v", n, len(piece), err)
			}
			got += n
		}
		if got != want {
			t.Fatalf("%d bytes, want %d", got, want)
		}
	})
}

func TestBodiesOfAGivenLength(t *testing.T) {
	b := RequestBody(&Request{Head: Head{Length: 10}})
	if n, err := b.Next(make([]byte, 4)); n != 4 || err != nil || b.Done() {
		t.Fatal(n, err)
	}
	if n, err := b.Next(make([]byte, 9)); n != 6 || err != nil || !b.Done() {
		t.Fatal(n, err)
	}
	if n, err := b.Next(make([]byte, 9)); n != 0 || err != nil {
		t.Fatal(n, err)
	}
}
