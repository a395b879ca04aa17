package load

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// follow feeds text in pieces of the given size and returns the statuses of
// its answers and their bodies, one after another.
func follow(text string, piece int) (statuses []int, body string, err error) {
	var a answer
	var b strings.Builder
	for p := range slices.Chunk([]byte(text), piece) {
		for len(p) > 0 {
			used, done, err := a.feed(p, func(p []byte) error { b.Write(p); return nil })
			if err != nil {
				return statuses, b.String(), err
			}
			if done {
				statuses = append(statuses, a.status)
			}
			p = p[used:]
		}
	}
	return statuses, b.String(), nil
}

func TestAnswers(t *testing.T) {
	for _, test := range []struct {
		name, text string
		statuses   []int
		body       string
	}{
		{"length", "HTTP/1.1 200 OK\r\nserver: x\r\ncontent-length: 5\r\n\r\nhello", []int{200}, "hello"},
		{"two in a row", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 503 No\r\nContent-Length: 1\r\n\r\nb", []int{200, 503}, "ab"},
		{"empty", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", []int{200}, ""},
		{"no content", "HTTP/1.1 204 No Content\r\n\r\n", []int{204}, ""},
		{"interim", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", []int{200}, "ok"},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=1\r\n0123456789\r\n0\r\nT: 1\r\n\r\n", []int{200}, "abc0123456789"},
		{"unfinished", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", nil, "abc"},
	} {
		for piece := 1; piece <= len(test.text); piece++ {
			statuses, body, err := follow(test.text, piece)
			if err != nil || !slices.Equal(statuses, test.statuses) || body != test.body {
				t.Errorf("%s in pieces of %d: got %v %q, %v; want %v %q", test.name, piece, statuses, body, err, test.statuses, test.body)
			}
		}
	}
}

func TestBadAnswers(t *testing.T) {
	for _, text := range []string{
		"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\n",
		"HTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
		strings.Repeat("x", maxPartial+1),
	} {
		if statuses, _, err := follow(text, 1000); err == nil {
			t.Errorf("%.60q was taken as %v", text, statuses)
		}
	}
}

// However an answer is cut, it reads the same, and as net/http reads it.
func FuzzAnswer(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 3)
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 1)
	f.Fuzz(func(t *testing.T, text string, piece int) {
		if piece < 1 || len(text) > maxPartial {
			t.Skip()
		}
		statuses, body, err := follow(text, piece)
		wholeStatuses, wholeBody, wholeErr := follow(text, max(1, len(text)))
		if (err == nil) != (wholeErr == nil) || err == nil && (body != wholeBody || !slices.Equal(statuses, wholeStatuses)) {
			t.Fatalf("in pieces of %d: %v %q %v; whole: %v %q %v", piece, statuses, body, err, wholeStatuses, wholeBody, wholeErr)
		}
		std, stdErr := http.ReadResponse(bufio.NewReader(strings.NewReader(text)), nil)
		if stdErr != nil || len(statuses) != 1 || std.StatusCode != statuses[0] {
			return
		}
		if stdBody, err := io.ReadAll(std.Body); err == nil && body != string(stdBody) {
			t.Fatalf("body %q, net/http reads %q", body, stdBody)
		}
	})
}

func TestEvents(t *testing.T) {
	text := []byte("data: {\"t\":11,\"token\":\"x\"}\n\ndata: {\"t\":22,\"token\":\"y\"}\n\ndata: {\"t\":3")
	for piece := 1; piece <= len(text); piece++ {
		var e events
		var got []int64
		for p := range slices.Chunk(text, piece) {
			if err := e.feed(p, func(sent int64) { got = append(got, sent) }); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(got, []int64{11, 22}) {
			t.Errorf("in pieces of %d: %v", piece, got)
		}
	}
	for _, bad := range []string{"data: hello\n\n", "data: {\"t\":x,\n\n", "data: {\"t\":5\n\n", strings.Repeat("x", maxPartial+1)} {
		if err := new(events).feed([]byte(bad), func(int64) {}); err == nil {
			t.Errorf("%.40q was taken", bad)
		}
	}
}

func FuzzEvents(f *testing.F) {
	f.Add([]byte("data: {\"t\":11,\"token\":\"x\"}\n\ndata: {\"t\":2,"), 4)
	f.Fuzz(func(t *testing.T, text []byte, cut int) {
		if cut < 0 || cut > len(text) {
			t.Skip()
		}
		var e events
		n := 0
		for _, p := range [][]byte{text[:cut], text[cut:]} {
			if e.feed(p, func(int64) { n++ }) != nil {
				return
			}
		}
		if whole := bytes.Count(text, []byte("\n\n")); n > whole {
			t.Fatalf("%d events in a text with %d ends", n, whole)
		}
	})
}
