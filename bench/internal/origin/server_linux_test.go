package origin

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func serve(t *testing.T) (port int) {
	t.Helper()
	server, err := Listen(2)
	if err != nil {
		t.Fatal(err)
	}
	if len(server.Ports()) != 2 || server.Ports()[0] == server.Ports()[1] {
		t.Fatalf("ports %v", server.Ports())
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return server.Ports()[1]
}

func TestAnswers(t *testing.T) {
	base := fmt.Sprintf("http://127.0.0.1:%d", serve(t))
	for _, test := range []struct {
		method, path string
		status, size int
	}{
		{"GET", "/predict", 200, 200},
		{"POST", "/predict", 200, 2048},
		{"GET", "/hold?ms=30", 200, 200},
		{"GET", "/hold?ms=x", 400, 200},
		{"GET", "/sse?n=3&ms=5", 200, 240},
		{"GET", "/nowhere", 404, 200},
	} {
		var body io.Reader
		if test.method == "POST" {
			body = strings.NewReader(strings.Repeat("p", 100_000))
		}
		r, err := http.NewRequestWithContext(t.Context(), test.method, base+test.path, body)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != test.status || len(got) != test.size {
			t.Errorf("%s %s: status %d, %d bytes, %v; want %d, %d bytes", test.method, test.path,
				answer.StatusCode, len(got), err, test.status, test.size)
		}
		if test.path == "/hold?ms=30" && time.Since(start) < 30*time.Millisecond {
			t.Errorf("held for %v only", time.Since(start))
		}
	}
}

// A request that arrives while another is held is answered after it, in order.
func TestPipelinedBehindHeld(t *testing.T) {
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", serve(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET /hold?ms=20 HTTP/1.1\r\nHost: x\r\n\r\nPOST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /predict HTTP/1.1\r\nHost: x\r\n\r\n")
	in := bufio.NewReader(c)
	for _, want := range []int64{200, 2048, 200} {
		answer, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, answer.Body); err != nil || n != want {
			t.Errorf("body of %d bytes, %v; want %d", n, err, want)
		}
	}
}
