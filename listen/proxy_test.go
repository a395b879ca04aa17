package listen

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/proxyproto"
)

const v2 = "\r\n\r\n\x00\r\nQUIT\n"

func TestProxyListener(t *testing.T) {
	ln, err := TCP("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	from := func(prefix string, require bool) *ProxyListener {
		return &ProxyListener{ln, Proxies{From: []netip.Prefix{netip.MustParsePrefix(prefix)}, Require: require, Timeout: 10 * time.Second}}
	}
	header := string(proxyproto.Append(nil, 2, netip.MustParseAddrPort("192.0.2.1:5000"), netip.MustParseAddrPort("198.51.100.1:80")))
	for _, c := range []struct {
		name   string
		l      *ProxyListener
		send   []string
		remote string // "" for 127.0.0.1
		read   string
		err    error
	}{
		{"at once", from("127.0.0.0/8", true), []string{header + "hello"}, "192.0.2.1:5000", "hello", nil},
		{"in pieces", from("127.0.0.0/8", false), []string{header[:5], header[5:20], header[20:] + "he", "llo"}, "192.0.2.1:5000", "hello", nil},
		{"local", from("127.0.0.0/8", false), []string{v2 + "\x20\x00\x00\x00hello"}, "", "hello", nil},
		{"long", from("127.0.0.0/8", false), []string{v2 + "\x21\x11\x10\x0c\xc0\x00\x02\x01\xc6\x33\x64\x01\x13\x88\x00\x50" + strings.Repeat("x", 4096) + "hello"}, "192.0.2.1:5000", "hello", nil},
		{"none", from("127.0.0.0/8", false), []string{"GET / HTTP/1.1\r\n"}, "", "", proxyproto.ErrHeader},
		{"half", from("127.0.0.0/8", false), []string{header[:7]}, "", "", os.ErrDeadlineExceeded},
		{"from elsewhere", from("192.0.2.0/24", false), []string{header + "hello"}, "", header + "hello", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			if c.err == os.ErrDeadlineExceeded {
				c.l.Proxies.Timeout = 50 * time.Millisecond
			}
			conn, err := c.l.Accept() // before anything is sent
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(time.Minute))
			go func() {
				for _, s := range c.send {
					io.WriteString(client, s)
				}
				if c.err == nil {
					client.(*net.TCPConn).CloseWrite()
				}
			}()
			remote := conn.RemoteAddr().String()
			if c.remote == "" {
				c.remote = client.LocalAddr().String()
			}
			b, err := io.ReadAll(conn)
			if remote != c.remote || string(b) != c.read || !errors.Is(err, c.err) {
				t.Errorf("%s says %q, %v; want %s, %q, %v", remote, b, err, c.remote, c.read, c.err)
			}
		})
	}

	t.Run("refused", func(t *testing.T) {
		l := from("192.0.2.0/24", true)
		go l.Accept()
		client, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		client.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := client.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) || err == nil {
			t.Errorf("a connection that is no proxy's: %v", err)
		}
	})
}
