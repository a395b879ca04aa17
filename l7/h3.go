package l7

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// quicServer is the side of a listener that speaks HTTP/3.
type quicServer struct {
	http3.Server
	l     *Listener
	ended sync.Once
	done  chan struct{} // closed when the last connection has ended
}

// ServeQUIC has the listener serve the same also by HTTP/3 on pc, which it closes when it has ended: Close asks the clients to begin nothing
// more, and lets them finish. config has the certificates; a copy is changed as HTTP/3 needs it. It returns at once.
func (l *Listener) ServeQUIC(pc net.PacketConn, config *tls.Config) {
	s := l.site.Load()
	q := &quicServer{l: l, done: make(chan struct{})}
	q.Server = http3.Server{
		Handler:        http.HandlerFunc(serveQUIC),
		TLSConfig:      http3.ConfigureTLSConfig(config),
		MaxHeaderBytes: headLimit(s),
		IdleTimeout:    s.KeepAlive,
		QUICConfig: &quic.Config{
			MaxIncomingStreams: maxStreams, HandshakeIdleTimeout: s.HeadTimeout, MaxIdleTimeout: s.KeepAlive,
			InitialStreamReceiveWindow: streamWindow, MaxStreamReceiveWindow: 8 * streamWindow,
			InitialConnectionReceiveWindow: connWindow, MaxConnectionReceiveWindow: 8 * connWindow,
		},
		ConnContext: q.welcome,
		Logger:      slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	l.e.mu.Lock()
	l.quic = append(l.quic, q)
	l.e.mu.Unlock()
	l.e.ended.Go(func() {
		q.Serve(pc)
		q.end()
		<-q.done
		pc.Close()
	})
}

// end accepts no new connections and asks the clients to begin nothing more.
func (q *quicServer) end() {
	q.ended.Do(func() {
		go func() {
			defer close(q.done)
			q.Shutdown(q.l.e.ctx)
		}()
	})
}

type muxKey struct{}

// welcome begins to look after a connection.
func (q *quicServer) welcome(ctx context.Context, c *quic.Conn) context.Context {
	e, l := q.l.e, q.l
	m := e.newMux(l, origin{})
	m.soon = true
	m.end = q.end
	m.cut = func() { go c.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "") }
	s := l.site.Load()
	if !e.enter(l) {
		m.cut()
		return ctx
	}
	if s.MaxConns > 0 && l.conns.Load() > s.MaxConns {
		m.cut()
	}
	seat, ok := l.sit(peerAddr(c.RemoteAddr()).Addr())
	if !ok {
		m.cut()
	}
	e.carry(nil, m)
	context.AfterFunc(c.Context(), func() {
		m.finish()
		if ok {
			seat.rise()
		}
		e.leave(l)
	})
	m.from = newOrigin(peerAddr(c.RemoteAddr()))
	m.from.proto = "HTTP/3.0"
	m.from.local = peerAddr(c.LocalAddr())
	return context.WithValue(ctx, muxKey{}, m)
}

// serveQUIC carries one request.
func serveQUIC(w http.ResponseWriter, r *http.Request) {
	m, ok := r.Context().Value(muxKey{}).(*mux)
	if !ok {
		panic(http.ErrAbortHandler) // it came while the engine went down
	}
	m.known.Do(func() { m.l.secure(&m.from, r.TLS) }) // the handshake was not over when the connection was welcomed
	m.ServeHTTP(w, r)
}
