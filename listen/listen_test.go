package listen

import (
	"net"
	"strings"
	"testing"
)

func TestErrorsSayWhatToDo(t *testing.T) {
	ln, err := TCP("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for address, want := range map[string]string{
		ln.Addr().String(): "the port is in use by another process",
		"192.0.2.1:0":      "this machine has no such address",
		"127.0.0.1:x":      "listening on 127.0.0.1:x",
	} {
		if ln, err := TCP(address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v %v, want %q", address, ln, err, want)
		}
	}
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}
