package l7

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/net/http2"
)

// echo is a target that sends back what it gets by WebSocket, message by message, and closes with the code that it is told.
func echo(t *testing.T) string {
	up := websocket.Upgrader{ReadBufferSize: 1 << 10, WriteBufferSize: 1 << 10, Subprotocols: []string{"echo"}} // small, to fragment
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/none" {
			http.Error(w, "no WebSocket here", http.StatusForbidden)
			return
		}
		c, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		for {
			kind, from, err := c.NextReader()
			if err != nil {
				return
			}
			to, err := c.NextWriter(kind)
			if err != nil {
				return
			}
			if _, err := io.Copy(to, from); err != nil {
				return
			}
			to.Close()
		}
	})
}

// overH2 is a connection on which a client of WebSockets finds the handshake of HTTP/1.1, while it is the stream of an extended CONNECT.
type overH2 struct {
	net.Conn // for its addresses and deadlines
	request  *bytes.Buffer
	tr       http.RoundTripper
	url      string
	up       *io.PipeWriter
	down     io.Reader
	body     io.Closer
}

func (o *overH2) Write(p []byte) (int, error) {
	if o.up != nil {
		return o.up.Write(p)
	}
	o.request.Write(p)
	if !bytes.HasSuffix(o.request.Bytes(), []byte("\r\n\r\n")) {
		return len(p), nil
	}
	asked, err := http.ReadRequest(bufio.NewReader(o.request))
	if err != nil {
		return 0, err
	}
	pr, pw := io.Pipe()
	req, _ := http.NewRequest("CONNECT", o.url+asked.RequestURI, pr)
	req.Header = http.Header{":protocol": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Protocol": asked.Header["Sec-Websocket-Protocol"]}
	r, err := o.tr.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	o.up, o.body, o.down = pw, r.Body, r.Body
	if r.StatusCode != 200 {
		o.down = strings.NewReader(fmt.Sprintf("HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n", r.StatusCode))
		return len(p), nil
	}
	head := "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " + acceptOf(asked.Header.Get("Sec-WebSocket-Key")) + "\r\n"
	if v := r.Header.Get("Sec-WebSocket-Protocol"); v != "" {
		head += "Sec-WebSocket-Protocol: " + v + "\r\n"
	}
	o.down = io.MultiReader(strings.NewReader(head+"\r\n"), r.Body)
	return len(p), nil
}

func (o *overH2) Read(p []byte) (int, error) { return o.down.Read(p) }

func (o *overH2) Close() error {
	if o.up != nil {
		o.up.Close()
		o.body.Close()
	}
	return o.Conn.Close()
}

// connecter is a client of HTTP/2 that takes the header of an extended CONNECT.
func connecter(t *testing.T, w way) http.RoundTripper {
	c, err := net.Dial("tcp", w.url[strings.LastIndexByte(w.url, '/')+1:])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if w.tls {
		config := w.client.Transport.(*http.Transport).TLSClientConfig.Clone()
		config.NextProtos, config.ServerName = []string{"h2"}, "127.0.0.1"
		c = tls.Client(c, config)
	}
	//lint:ignore SA1019 net/http's own client refuses the header
	k, err := (&http2.Transport{AllowHTTP: true}).NewClientConn(c)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// onSockets runs a test on all ways that WebSockets come.
func onSockets(t *testing.T, addr string, test func(*testing.T, *proxy, func(path string) (*websocket.Conn, *http.Response, error))) {
	onBoth(t, func(t *testing.T) {
		p := front(t, 0, addr)
		test(t, p, func(path string) (*websocket.Conn, *http.Response, error) {
			d := websocket.Dialer{Subprotocols: []string{"echo"}, WriteBufferSize: 1 << 10, HandshakeTimeout: 10 * time.Second}
			return d.Dial("ws://"+p.addr+path, nil)
		})
	})
	for _, driver := range []string{"tls", "tls/loop"} {
		t.Run(driver, func(t *testing.T) {
			p := front(t, 0, addr)
			a := newAuthority(t)
			_, addr := p.door(t, ServeOptions{TLS: handshaker{a.server(t, "http/1.1")}})
			test(t, p, func(path string) (*websocket.Conn, *http.Response, error) {
				d := websocket.Dialer{TLSClientConfig: &tls.Config{RootCAs: a.pool}, Subprotocols: []string{"echo"}, WriteBufferSize: 1 << 10}
				return d.Dial("wss://"+addr+path, nil)
			})
		})
	}
	onEvery(t, 0, []string{addr}, func(t *testing.T, p *proxy, way way) {
		if way.proto != "HTTP/2.0" {
			t.Skip("HTTP/2 alone")
		}
		test(t, p, func(path string) (*websocket.Conn, *http.Response, error) {
			u, err := url.Parse("ws://app.test" + path)
			if err != nil {
				t.Fatal(err)
			}
			d := websocket.Dialer{
				Subprotocols: []string{"echo"}, WriteBufferSize: 1 << 10,
				NetDialContext: func(context.Context, string, string) (net.Conn, error) {
					one, other := net.Pipe()
					t.Cleanup(func() { other.Close() })
					return &overH2{Conn: one, request: &bytes.Buffer{}, tr: connecter(t, way), url: way.url}, nil
				},
			}
			return d.Dial(u.String(), nil)
		})
	})
}

func TestWebSockets(t *testing.T) {
	onSockets(t, echo(t), func(t *testing.T, p *proxy, dial func(string) (*websocket.Conn, *http.Response, error)) {
		c, _, err := dial("/")
		if err != nil {
			t.Fatal(err)
		}
		if c.Subprotocol() != "echo" {
			t.Errorf("subprotocol %q", c.Subprotocol())
		}
		for _, size := range []int{0, 1, 125, 126, 1000, 65535, 65536, 8 << 20} {
			m := make([]byte, size)
			rand.Read(m)
			sent := make(chan error, 1)
			go func() {
				w, err := c.NextWriter(websocket.BinaryMessage)
				if err == nil {
					_, err = w.Write(m) // in frames of the buffer's size
				}
				if err == nil {
					err = w.Close()
				}
				sent <- err
			}()
			kind, got, err := c.ReadMessage()
			if err != nil || kind != websocket.BinaryMessage || !bytes.Equal(got, m) {
				t.Fatalf("%d bytes: %d back, %v", size, len(got), err)
			}
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
		}
		pong := make(chan string, 1)
		c.SetPongHandler(func(s string) error { pong <- s; return nil })
		c.WriteControl(websocket.PingMessage, []byte("here?"), time.Now().Add(5*time.Second))
		c.WriteMessage(websocket.TextMessage, []byte("on"))
		if _, got, err := c.ReadMessage(); err != nil || string(got) != "on" || <-pong != "here?" {
			t.Fatalf("%q, %v", got, err)
		}
		for _, code := range []int{websocket.CloseNormalClosure, websocket.CloseGoingAway, 4321} {
			c, _, err := dial("/")
			if err != nil {
				t.Fatal(err)
			}
			if err := c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, "bye"), time.Now().Add(5*time.Second)); err != nil {
				t.Fatal(err)
			}
			_, _, err = c.ReadMessage()
			var closed *websocket.CloseError
			if !errors.As(err, &closed) || closed.Code != code {
				t.Errorf("closed by %v, want %d", err, code)
			}
			c.Close()
		}
		if _, r, err := dial("/none"); err == nil || r == nil || r.StatusCode != http.StatusForbidden {
			t.Errorf("a target that takes no WebSockets: %v, %v", r, err)
		}
		c.Close()
		until(t, "every slot is free again", func() bool { return p.pool.Stats(time.Now()).InFlight == 0 })
	})
}

func TestTheEnvironmentIsAsItWas(t *testing.T) {
	if v := os.Getenv("GODEBUG"); strings.Contains(v, "http2xconnect") {
		t.Errorf("GODEBUG is %q", v)
	}
}
