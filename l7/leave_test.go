package l7

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// ask sends a request on a connection and reads the answer.
func ask(c net.Conn, r *bufio.Reader) (*http.Response, error) {
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp, err
}

func TestAListenerThatClosesTakesInWhoWaits(t *testing.T) {
	onBoth(t, testAListenerThatClosesTakesInWhoWaits)
}

func testAListenerThatClosesTakesInWhoWaits(t *testing.T) {
	p := front(t, 0, serve(t, func(w http.ResponseWriter, r *http.Request) {}))
	const n = 200
	var conns []net.Conn
	for range n {
		c, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	p.e.Forget(p.l)
	for i, c := range conns {
		if _, err := ask(c, bufio.NewReader(c)); err != nil {
			t.Fatalf("connection %d of %d: %v", i, n, err)
		}
	}
	if p.l.Accepted() != n {
		t.Errorf("%d of %d were taken in", p.l.Accepted(), n)
	}
	if c, err := net.Dial("tcp", p.addr); err == nil {
		c.Close()
		t.Error("the address still takes connections")
	}
}

func TestLeaveEndsConnectionsWithTheirNextAnswer(t *testing.T) {
	onBoth(t, testLeaveEndsConnectionsWithTheirNextAnswer)
}

func testLeaveEndsConnectionsWithTheirNextAnswer(t *testing.T) {
	p := front(t, 0, serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello") }))
	dial := func() (net.Conn, *bufio.Reader) {
		c, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c, bufio.NewReader(c)
	}
	used, ur := dial()
	if resp, err := ask(used, ur); err != nil || resp.Close {
		t.Fatalf("before: %v", err)
	}
	fresh, fr := dial()
	idle, ir := dial()
	if _, err := ask(idle, ir); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan struct{})
	go func() {
		defer close(left)
		p.e.Leave(ctx)
	}()
	deadline := time.Now().Add(10 * time.Second)
	for { // until it takes in nobody
		c, err := net.Dial("tcp", p.addr)
		if err != nil {
			break
		}
		c.Close()
		if time.Now().After(deadline) {
			t.Fatal("it still takes connections")
		}
	}
	for name, c := range map[string]struct {
		net.Conn
		r *bufio.Reader
	}{"used": {used, ur}, "fresh": {fresh, fr}} {
		resp, err := ask(c.Conn, c.r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := c.r.ReadByte(); err != io.EOF {
			t.Errorf("%s: it is not closed after the answer: %v (Close: %v)", name, err, resp.Close)
		}
	}
	select {
	case <-left:
		t.Error("Leave did not wait for the idle connection")
	default:
	}
	cancel()
	<-left
	if err := p.e.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := ir.ReadByte(); err != io.EOF {
		t.Errorf("the idle connection after Shutdown: %v", err)
	}
}
