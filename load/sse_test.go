package load

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestStreams(t *testing.T) {
	t.Parallel()
	const role = `data: {"choices":[{"delta":{"role":"assistant","content":""}}]}` + "\n\n"
	const token = `data: {"choices":[{"delta":{"content":"hi"}}]}` + "\n\n"
	for _, c := range []struct {
		name, body, contentType string
		abort                   bool
		class                   string // "" means done
		events, ttft, gaps      int64
	}{
		{"whole", role + token + ": ping\n\n" + token + token + "data: [DONE]\n\n", "text/event-stream", false, "", 4, 1, 2},
		{"no DONE", role + token, "text/event-stream; charset=utf-8", false, "cut", 2, 1, 0},
		{"cut", token + token, "text/event-stream", true, "cut", 2, 1, 1},
		{"cut inside an event", token + "data: {", "text/event-stream", true, "cut", 1, 1, 0},
		{"an error within", token + `data: {"error": {"message": "out of memory"}}` + "\n\ndata: [DONE]\n\n", "text/event-stream", false, "error event", 1, 1, 0},
		{"not a stream", `{"choices":[]}`, "application/json", false, "not a stream", 0, 0, 0},
	} {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", c.contentType)
			fmt.Fprint(w, c.body)
			_ = http.NewResponseController(w).Flush()
			if c.abort {
				panic(http.ErrAbortHandler)
			}
		})
		k := one(t, 1, Kind{Name: "chat", URL: url, Stream: true}).Total
		if c.class == "" && k.Done != 1 || c.class != "" && k.Errors[c.class] != 1 {
			t.Errorf("%s: %+v, errors %v %v", c.name, k.Counts, k.Errors, k.Examples)
		}
		if k.Events != c.events || k.TTFT.Count != c.ttft || k.Gap.Count != c.gaps {
			t.Errorf("%s: %d events, %d first tokens, %d gaps; want %d, %d, %d", c.name, k.Events, k.TTFT.Count, k.Gap.Count, c.events, c.ttft, c.gaps)
		}
	}
}

// The first event only names the role; the time to the first token runs on until one has text, and the answer's until its [DONE], even
// when the server leaves the connection open behind it.
func TestStreamTimes(t *testing.T) {
	t.Parallel()
	const pause = 100 * time.Millisecond
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		flush := http.NewResponseController(w).Flush
		for _, s := range []string{`{"choices":[{"delta":{"role":"assistant"}}]}`, `{"choices":[{"delta":{"content":"a"}}]}`, `{"choices":[{"delta":{"content":"b"}}]}`, "[DONE]"} {
			fmt.Fprintf(w, "data: %s\n\n", s)
			_ = flush()
			<-time.After(pause) // the model at work
		}
		<-r.Context().Done()
	})
	k := one(t, 1, Kind{URL: url, Stream: true, Timeout: 2 * time.Second}).Total
	if k.Done != 1 || k.TTFT.Min < pause-time.Millisecond || k.Gap.Min < pause/2 || k.Latency.Max > 1500*time.Millisecond {
		t.Errorf("%+v: first token after %v, gap %v, whole after %v", k.Counts, k.TTFT.Min, k.Gap.Min, k.Latency.Max)
	}
}

func TestEventReader(t *testing.T) {
	long := strings.Repeat("x", 20_000)
	text := "event: a\r\ndata: one\r\ndata:two\r\n\r\n:c\n\ndata\n\ndatum: no\ndata:  " + long + "\nid: 1\n\ndata: lost"
	for _, r := range []*bufio.Reader{
		bufio.NewReaderSize(strings.NewReader(text), 16),
		bufio.NewReader(iotest.OneByteReader(strings.NewReader(text))),
	} {
		e := eventReader{r: r}
		for _, want := range []string{"one\ntwo", "", " " + long} {
			if got, err := e.next(); err != nil || string(got) != want {
				t.Errorf("got %.20q, %v; want %.20q", got, err, want)
			}
		}
		if got, err := e.next(); err == nil {
			t.Errorf("an event that the stream ended in was taken: %q", got)
		}
	}
	e := eventReader{r: bufio.NewReader(strings.NewReader("data: " + strings.Repeat("y", maxEvent+1) + "\n\n"))}
	if _, err := e.next(); err == nil {
		t.Error("an event without bound was taken")
	}
}

func FuzzEventReader(f *testing.F) {
	f.Add("data: a\n\ndata: [DONE]\n\n")
	f.Add("data\r\n\r\n:\n")
	f.Fuzz(func(t *testing.T, text string) {
		e := eventReader{r: bufio.NewReaderSize(strings.NewReader(text), 16)}
		for {
			data, err := e.next()
			if err != nil {
				return
			}
			isToken(data)
			isError(data)
		}
	})
}
