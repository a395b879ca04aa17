package probe

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestWarmUp(t *testing.T) {
	var got string
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = r.Method + " " + r.Header.Get("Content-Type") + " " + r.Header.Get("X-Key") + " " + string(b)
		if r.URL.Path == "/bad" {
			http.Error(w, "no model", 500)
		}
	})
	w := WarmUp{Path: "/predict", Body: `{"prompt":"warm up"}`, Headers: map[string]string{"X-Key": "k"}, Timeout: time.Second}
	if err := w.Run(t.Context(), addr); err != nil || got != `POST application/json k {"prompt":"warm up"}` {
		t.Errorf("%v %s", err, got)
	}
	w.Path = "/bad"
	if err := w.Run(t.Context(), addr); err == nil || !strings.Contains(err.Error(), "POST /bad: 500, expected 200 to 299: no model") {
		t.Errorf("%v", err)
	}
	slow := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	if err := (WarmUp{Path: "/", Timeout: 20 * time.Millisecond}).Run(t.Context(), slow); err == nil || !strings.Contains(err.Error(), "within 20ms") {
		t.Errorf("%v", err)
	}
}

func TestWarmUpReadsTheWholeAnswer(t *testing.T) {
	whole := make(chan error, 1)
	addr := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		var err error
		for range 2000 { // 2 MB, more than sockets hold
			if _, err = io.WriteString(w, strings.Repeat("x", 1000)); err != nil {
				break
			}
		}
		whole <- err
	})
	if err := (WarmUp{Path: "/"}).Run(t.Context(), addr); err != nil {
		t.Error(err)
	}
	if err := <-whole; err != nil {
		t.Errorf("the warm-up left before the end: %v", err)
	}
}

func TestWarmUpThatBreaksOff(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "data: a\n\n")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	err := WarmUp{Path: "/stream", Method: "POST"}.Run(t.Context(), addr)
	if want := "POST /stream: 200, but after 9 bytes of the answer: the connection was closed before the answer was whole"; err == nil || err.Error() != want {
		t.Errorf("%v, want %q", err, want)
	}
}

func TestWarmUpEndsWithItsContext(t *testing.T) {
	asked := make(chan struct{})
	addr := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	if err := (WarmUp{Path: "/"}).Run(ctx, addr); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
}
