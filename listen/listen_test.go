package listen

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestErrorsSayWhatToDo(t *testing.T) {
	ln, err := TCP("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]string{
		ln.Addr().String():                     "the port is in use by another process",
		"192.0.2.1:0":                          "this machine has no such address",
		"127.0.0.1:x":                          "listening on 127.0.0.1:x",
		"unix:":                                "write the path of the socket",
		"unix:" + plain:                        "there is a file that is no socket",
		"unix:" + plain + "x/y":                "there is no such directory",
		"unix:/" + strings.Repeat("long", 100): "the path is too long",
	} {
		for _, o := range []Options{{}, {ReusePort: 2}} {
			if lns, err := Open(address, o); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v %v, want %q", address, lns, err, want)
			}
		}
	}
	if _, err := os.Stat(plain); err != nil {
		t.Error("a file that is no socket was touched:", err)
	}
	greet(t, ln)
}

func TestOneAddressForManyLoops(t *testing.T) {
	if !canReusePort {
		t.Skip("SO_REUSEPORT spreads connections on Linux only")
	}
	lns, err := Open("127.0.0.1:0", Options{ReusePort: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(lns)
	address := lns[0].Addr().String()
	if len(lns) != 3 || lns[1].Addr().String() != address || lns[2].Addr().String() != address {
		t.Fatalf("%d sockets, want 3 on %s", len(lns), address)
	}
	// Another Weir of the same user may not join unnoticed.
	if lns, err := Open(address, Options{ReusePort: 3}); err == nil {
		closeAll(lns)
		t.Error("the address of another was shared")
	}
	got := make(chan int)
	for i, ln := range lns {
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				c.Close()
				got <- i
			}
		}()
	}
	seen := map[int]bool{}
	for range 1000 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		seen[<-got] = true
		c.Close()
		if len(seen) == 3 {
			break
		}
	}
	if len(seen) != 3 {
		t.Errorf("only the sockets %v were given connections", seen)
	}
}

func TestInheritedSocketsAreKeptAndFilledUp(t *testing.T) {
	if !canReusePort {
		t.Skip("SO_REUSEPORT spreads connections on Linux only")
	}
	lns, err := Open("127.0.0.1:0", Options{ReusePort: 2})
	if err != nil {
		t.Fatal(err)
	}
	address := lns[0].Addr().String()
	for want, o := range map[int]Options{2: {ReusePort: 1}, 4: {ReusePort: 4}} {
		o.Inherited = lns
		all, err := Open(address, o)
		if err != nil || len(all) != want || all[0] != lns[0] || all[1] != lns[1] {
			t.Errorf("%d sockets, %v; want %d that begin with the inherited ones", len(all), err, want)
		}
		closeAll(all[2:])
	}
	closeAll(lns)
	alone, err := TCP(address)
	if err != nil {
		t.Fatal(err)
	}
	defer alone.Close()
	if all, err := Open(address, Options{ReusePort: 4, Inherited: []net.Listener{alone}}); err != nil || len(all) != 1 {
		t.Errorf("beside a socket that shares with none: %d, %v", len(all), err)
	}
}

func TestUnixSockets(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes are unix's")
	}
	path := filepath.Join(t.TempDir(), "weir.sock")
	lns, err := Open("unix:"+path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 || info.Mode()&fs.ModeSocket == 0 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	greet(t, lns[0])
	if _, err := Open("unix:"+path, Options{}); err == nil || !strings.Contains(err.Error(), "another process uses it") {
		t.Errorf("a socket that is listened on: %v", err)
	}
	greet(t, lns[0])
	lns[0].(*net.UnixListener).SetUnlinkOnClose(false) // as after a crash
	lns[0].Close()
	if lns, err = Open("unix:"+path, Options{Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	greet(t, lns[0])
	lns[0].Close()
	if _, err := os.Stat(path); err == nil {
		t.Error("the file of a closed socket is left")
	}
}

func TestUDP(t *testing.T) {
	c, err := UDP("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := UDP(c.LocalAddr().String()); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Error(err)
	}
}

// greet makes a connection.
func greet(t *testing.T, ln net.Listener) {
	t.Helper()
	c, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
	if err != nil {
		t.Error(err)
		return
	}
	c.Close()
}

func closeAll(lns []net.Listener) {
	for _, ln := range lns {
		ln.Close()
	}
}
