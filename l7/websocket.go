package l7

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"net/http"

	"github.com/weirlb/weir/l7/xconnect"
)

// WebSockets over HTTP/2 and 3 begin with an extended CONNECT (RFC 8441, RFC 9220) and go on without the handshake of HTTP/1.1, which
// targets want. Weir makes it in the client's place.

// net/http has read the environment.
var _ = xconnect.Done()

var errNoWebSocket = errors.New("the target switched protocols, but not to the WebSocket that it was asked for")

// asksWebSocket says whether a request is for a WebSocket.
func asksWebSocket(r *http.Request) bool {
	if r.Method != http.MethodConnect {
		return false
	}
	if r.ProtoMajor == 2 {
		p := r.Header[":protocol"]
		return len(p) == 1 && p[0] == "websocket"
	}
	return r.Proto == "websocket" // so says quic-go
}

// newKey is a key for the handshake (RFC 6455 4.1).
func newKey() string {
	var b [16]byte
	rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}

// acceptOf is what the target answers to a key, if it means it (RFC 6455 4.2.2).
func acceptOf(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
