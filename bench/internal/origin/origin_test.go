package origin

import (
	"bufio"
	"bytes"
	"net/http"
	"testing"
	"time"
)

func TestParseHead(t *testing.T) {
	got, err := parseHead([]byte("POST /predict?a=1 HTTP/1.1\r\nHost: x\r\ncontent-length: 4096\r\n\r\n"))
	want := request{method: "POST", path: "/predict", query: "a=1", length: 4096}
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for _, bad := range []string{
		"\r\n\r\n",
		"GET / HTTP/1.0\r\n\r\n",
		"GET /\r\n\r\n",
		"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
		"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
		"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		if got, err := parseHead([]byte(bad)); err == nil {
			t.Errorf("%q was taken as %+v", bad, got)
		}
	}
}

// What the strict parser here takes, the standard library must read the same way.
func FuzzParseHead(f *testing.F) {
	f.Add([]byte("GET /sse?n=1&ms=2 HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"))
	f.Add([]byte("POST / HTTP/1.1\r\nHost: x\r\n\r\n"))
	f.Fuzz(func(t *testing.T, head []byte) {
		r, err := parseHead(head)
		if err != nil {
			return
		}
		if r.length < 0 {
			t.Fatalf("length %d", r.length)
		}
		if n, err := r.number("n", 7); err == nil && (n < 1 || n > 1_000_000) {
			t.Fatalf("n=%d", n)
		}
		std, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
		if err == nil && std.Method != r.method {
			t.Fatalf("method %q, net/http reads %q", r.method, std.Method)
		}
	})
}

func TestEventHasItsSize(t *testing.T) {
	now := time.Unix(1_700_000_000, 123)
	chunk := appendEvent(nil, now)
	if want := "50\r\ndata: {\"t\":1700000000000000123,"; !bytes.HasPrefix(chunk, []byte(want)) {
		t.Errorf("chunk %q, want it to begin with %q", chunk, want)
	}
	if want := len("50\r\n") + 80 + len("\r\n"); len(chunk) != want || !bytes.HasSuffix(chunk, []byte("\"}\n\n\r\n")) {
		t.Errorf("chunk %q of %d bytes, want %d", chunk, len(chunk), want)
	}
}
