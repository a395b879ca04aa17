package tunnel_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/weirlb/weir/bench/internal/tunnel"
)

// echo returns the port of a server that sends back what it gets.
func echo(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

func TestTunnel(t *testing.T) {
	server, err := tunnel.Listen(0, []int{echo(t), echo(t)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx) }()

	message := bytes.Repeat([]byte("x"), 100)
	for range 4 { // more connections than targets
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", server.Port()))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		got := make([]byte, len(message))
		for range 3 {
			if _, err := c.Write(message); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, message) {
				t.Fatalf("got %q, %v", got, err)
			}
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", server.Port())); err == nil {
		c.Close()
		t.Error("it still listens after its context ended")
	}
}

func TestWithoutTargets(t *testing.T) {
	if _, err := tunnel.Listen(0, nil); err == nil {
		t.Error("a tunnel to nowhere opened")
	}
}
