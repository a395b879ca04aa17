package probe

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirlb/weir/health"
)

// agent is a real server that says a line to everyone who connects, and the address of the target that it speaks for.
func agent(t *testing.T, says func() string) (a Agent, addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, says())
			c.Close()
		}
	}()
	return Agent{Port: ln.Addr().(*net.TCPAddr).Port, Interval: 10 * time.Millisecond, Timeout: 2 * time.Second}, "127.0.0.1:9"
}

func TestAgentIsAskedForALine(t *testing.T) {
	for _, c := range []struct {
		says, want, err string
	}{
		{"75%\n", "75%", ""},
		{"75% maxconn:30 drain # backup runs\r\nand more\n", "75% maxconn:30 drain # backup runs", ""},
		{"down", "down", ""}, // the end of the connection ends the line
		{"\n", "", ""},       // nothing to say
		{"", "", "closed before the answer was whole"},
		{"well\n", "", "none of"},
		{strings.Repeat(" ", maxWord+1) + "\n", "", "longer than"},
	} {
		a, addr := agent(t, func() string { return c.says })
		got, err := a.Ask(t.Context(), addr)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q: %v, want %q", c.says, err, c.err)
			}
			continue
		}
		want, _ := health.ParseWord(c.want)
		if err != nil || fmt.Sprint(health.Report{}.Next(got)) != fmt.Sprint(health.Report{}.Next(want)) {
			t.Errorf("%q: %+v, %v; want %+v", c.says, got, err, want)
		}
	}
}

func TestAgentThatIsSilentIsToldOfOnce(t *testing.T) {
	var says atomic.Value
	says.Store("nonsense\n")
	a, addr := agent(t, func() string { return says.Load().(string) })
	ctx, cancel := context.WithCancel(t.Context())
	words, silences, done := make(chan health.Word), make(chan error, 100), make(chan struct{})
	var asked atomic.Int64
	go func() {
		defer close(done)
		a.Watch(ctx, addr, func(w health.Word) { asked.Add(1); words <- w }, func(err error) { silences <- err })
	}()
	if err := <-silences; err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("the first silence: %v", err)
	}
	if asked.Load() != 0 {
		t.Error("nonsense was reported")
	}
	says.Store("50%\n")
	if w := <-words; w.Percent == nil || *w.Percent != 50 {
		t.Errorf("%+v", w)
	}
	if err := <-silences; err != nil {
		t.Errorf("the end of the silence: %v", err)
	}
	<-words // and again
	cancel()
	for range 2 {
		select {
		case <-words:
		case <-done:
		}
	}
	<-done
	if len(silences) != 0 {
		t.Errorf("told of %d more", len(silences))
	}
}

func TestAgentThatSaysNothingTimesOut(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	a := Agent{Port: ln.Addr().(*net.TCPAddr).Port, Timeout: 20 * time.Millisecond}
	if _, err := a.Ask(t.Context(), "127.0.0.1:9"); err == nil || !strings.Contains(err.Error(), "no answer within 20ms") {
		t.Errorf("%v", err)
	}
}
