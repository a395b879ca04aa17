//go:build unix

package handover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/weirlb/weir/listen"
)

func TestNothingIsRefused(t *testing.T) {
	o := newOld(t)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	var asked, refused atomic.Int64
	for _, address := range []string{o.tcp, o.unix} {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				asked.Add(1)
				if who, err := ask(address); err != nil || !strings.Contains("old new", who) {
					refused.Add(1)
					t.Errorf("%s: %q, %v", address, who, err)
				}
			}
		})
	}
	o.serve()
	until(t, "the old process is asked", func() bool { return asked.Load() > 100 })
	p, err := o.start(t, "heir", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer end(p)
	o.stop()
	before := asked.Load()
	until(t, "the new process is asked", func() bool { return asked.Load() > before+100 })
	close(stop)
	wg.Wait()
	for _, address := range []string{o.tcp, o.unix} {
		if who, err := ask(address); who != "new" {
			t.Errorf("%s is served by %q, %v", address, who, err)
		}
	}
	if got, err := ask(o.udp); got != "new" {
		t.Errorf("%s is served by %q, %v", o.udp, got, err)
	}
	if o.releases.Load() != 1 || o.reclaims.Load() != 0 {
		t.Errorf("the state was released %d times and reclaimed %d", o.releases.Load(), o.reclaims.Load())
	}
	t.Logf("%d connections, %d refused", asked.Load(), refused.Load())
}

func TestWhatWaitsInTheQueuesIsServedByTheNewProcess(t *testing.T) {
	o := newOld(t) // accepts nothing
	var waiting []net.Conn
	for range 32 { // over both queues of the group
		c, err := net.Dial("tcp", o.tcp)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		waiting = append(waiting, c)
	}
	p, err := o.start(t, "heir", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer end(p)
	o.stop()
	for i, c := range waiting {
		c.SetDeadline(time.Now().Add(10 * time.Second))
		if b, err := io.ReadAll(c); string(b) != "new" {
			t.Errorf("connection %d: %q, %v", i, b, err)
		}
	}
}

func TestTheOldProcessGoesOnWhenTheNewOneFails(t *testing.T) {
	for role, c := range map[string]struct {
		want     string
		timeout  time.Duration
		reclaims int64
	}{
		"crash":             {want: "it has ended: exit status 3; its log says why"},
		"refuse":            {want: "the config has no listener"},
		"hang":              {want: "it was not ready within 300ms", timeout: 300 * time.Millisecond},
		"babble":            {want: "no step of a hand-over"},
		"hurry":             {want: `it says "ready" when that is not its turn`},
		"crash-with-state":  {want: "it has ended: exit status 4", reclaims: 1},
		"hang-with-state":   {want: "it was not ready within 1s", timeout: time.Second, reclaims: 1},
		"refuse-with-state": {want: "the state is of another version", reclaims: 1},
	} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			o := newOld(t)
			o.serve()
			p, err := o.start(t, role, c.timeout)
			if err == nil {
				end(p)
				t.Fatal("it is said to have taken over")
			}
			if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "this one goes on") {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
			if o.reclaims.Load() != c.reclaims || o.releases.Load() != c.reclaims {
				t.Errorf("released %d times, reclaimed %d; want %d", o.releases.Load(), o.reclaims.Load(), c.reclaims)
			}
			for _, address := range []string{o.tcp, o.unix} {
				for range 10 {
					if who, err := ask(address); who != "old" {
						t.Errorf("%s is served by %q, %v", address, who, err)
					}
				}
			}
			if p, err = o.start(t, "heir", 0); err != nil {
				t.Fatal("another try:", err)
			}
			end(p)
			o.stop()
		})
	}
	t.Run("no such program", func(t *testing.T) {
		_, err := Start(t.Context(), Options{Exe: filepath.Join(t.TempDir(), "weir")})
		if err == nil || !strings.Contains(err.Error(), "starting the new process") {
			t.Error(err)
		}
	})
	t.Run("the state is not released", func(t *testing.T) {
		var reclaimed bool
		_, err := Start(t.Context(), Options{
			Args: roleArgs("heir"), Release: func() error { return errors.New("disk is full") },
			Reclaim: func() error { reclaimed = true; return errors.New("so it stays") },
		})
		if err == nil || !strings.Contains(err.Error(), "disk is full") || !strings.Contains(err.Error(), "without its state: so it stays") || !reclaimed {
			t.Error(err)
		}
	})
	t.Run("called off", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := Start(ctx, Options{Args: roleArgs("hang-with-state"), Release: func() error { cancel(); return nil }})
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestTheNewProcessGoesOnWhenTheOldOneDies has a middle process, that dies in the hand-over to a third.
func TestTheNewProcessGoesOnWhenTheOldOneDies(t *testing.T) {
	o := newOld(t)
	p, err := o.start(t, "dying", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer end(p)
	o.stop()
	until(t, "the third process serves", func() bool {
		who, _ := ask(o.tcp)
		return who == "new"
	})
	c, err := net.Dial("udp", o.udp[4:])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "quit") // it is no child of ours
}

func TestSystemd(t *testing.T) {
	ln, err := listen.TCP("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	f, err := duplicate(ln.(*net.TCPListener))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	notify := filepath.Join(t.TempDir(), "notify")
	from, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	// Only a process that exec leads to knows its own id before it starts.
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, os.Args[0])
	cmd.Args = append(cmd.Args, roleArgs("activated")...)
	cmd.Env = append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES=web", notifySocket+"="+notify, "ADDRESS="+ln.Addr().String())
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{f}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	b := make([]byte, 100)
	from.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, err := from.Read(b)
	if err != nil || string(b[:n]) != "READY=1" {
		t.Errorf("%q, %v", b[:n], err)
	}
	if who, err := ask(ln.Addr().String()); who != "new" {
		t.Errorf("%q, %v", who, err)
	}
}

func TestNothingInherited(t *testing.T) {
	t.Setenv(listenFDs, "1")
	t.Setenv(listenPID, "1") // another process's
	i, err := Inherited()
	if err != nil {
		t.Fatal(err)
	}
	if i.Succeeds() || i.Take(":80") != nil || i.TakePackets(":80") != nil || i.Prepare(t.Context()) != nil || i.Ready(t.Context()) != nil {
		t.Error("something was inherited")
	}
	if os.Getenv(listenFDs) != "" {
		t.Error("the environment still says that there is something to take")
	}
	t.Setenv(variable, "x")
	if _, err := Inherited(); err == nil || !strings.Contains(err.Error(), "which is no descriptor") {
		t.Error(err)
	}
	t.Setenv(variable, "1000000")
	if _, err := Inherited(); err == nil || !strings.Contains(err.Error(), "no Weir is at the other end") {
		t.Error(err)
	}
}

func TestSocketsSuitAddresses(t *testing.T) {
	any6 := &net.TCPAddr{IP: net.IPv6unspecified, Port: 80}
	any4 := &net.TCPAddr{IP: net.IPv4zero, Port: 80}
	loopback := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}
	for _, c := range []struct {
		address, name string
		bound         net.Addr
		want          bool
	}{
		{":80", "", any6, true},
		{":80", "", any4, true},
		{":80", "", loopback, false},
		{":81", "", any6, false},
		{"0.0.0.0:80", ":80", any6, false}, // it accepts IPv6, too
		{"0.0.0.0:80", "", any4, true},
		{"[::]:80", "", any6, true},
		{"127.0.0.1:80", "", loopback, true},
		{"127.0.0.1:0", "127.0.0.1:0", loopback, true},
		{"127.0.0.1:0", "", loopback, false},
		{"web", "web", any6, true},
		{"unix:/run/weir.sock", "", &net.UnixAddr{Name: "/run/weir.sock", Net: "unix"}, true},
		{"unix:/run/other.sock", "", &net.UnixAddr{Name: "/run/weir.sock", Net: "unix"}, false},
	} {
		if got := suits(c.address, c.name, c.bound); got != c.want {
			t.Errorf("%s for %v, named %q: %v", c.address, c.bound, c.name, got)
		}
	}
}

// old is the part of an old process that this test plays.
type old struct {
	tcp, unix, udp     string
	sockets            []Socket
	state              string
	db                 *bolt.DB
	releases, reclaims atomic.Int64
	accepting          sync.WaitGroup
}

func newOld(t *testing.T) *old {
	t.Helper()
	o := &old{state: filepath.Join(t.TempDir(), "state.db")}
	group, err := listen.Open("127.0.0.1:0", listen.Options{ReusePort: 2})
	if err != nil {
		t.Fatal(err)
	}
	o.tcp = group[0].Addr().String()
	o.unix = "unix:" + filepath.Join(t.TempDir(), "weir.sock")
	file, err := listen.Open(o.unix, listen.Options{})
	if err != nil {
		t.Fatal(err)
	}
	datagrams, err := listen.UDP("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.udp = "udp:" + datagrams.LocalAddr().String()
	for _, ln := range group {
		o.sockets = append(o.sockets, Socket{o.tcp, ln.(syscall.Conn)})
	}
	o.sockets = append(o.sockets, Socket{o.unix, file[0].(syscall.Conn)}, Socket{o.udp[4:], datagrams.(syscall.Conn)})
	if err := o.open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		o.stop()
		o.db.Close()
	})
	return o
}

func (o *old) open() (err error) {
	o.db, err = bolt.Open(o.state, 0o600, &bolt.Options{Timeout: 5 * time.Second})
	return err
}

// serve says "old" to everyone.
func (o *old) serve() {
	for _, s := range o.sockets {
		if ln, ok := s.Conn.(net.Listener); ok {
			o.accepting.Go(func() { answer(ln, "old") })
		}
	}
}

// stop closes the sockets, and returns when nothing is accepted any more.
func (o *old) stop() {
	for _, s := range o.sockets {
		s.Conn.(io.Closer).Close()
	}
	o.accepting.Wait()
}

func (o *old) start(t *testing.T, role string, timeout time.Duration) (*os.Process, error) {
	t.Helper()
	return Start(t.Context(), Options{
		Args: append(roleArgs(role), o.tcp, o.unix, o.udp[4:], o.state), Sockets: o.sockets, Memo: []byte("remember"), Timeout: timeout,
		Release: func() error { o.releases.Add(1); return o.db.Close() },
		Reclaim: func() error { o.reclaims.Add(1); return o.open() },
	})
}

func end(p *os.Process) { p.Kill() }

// answer says who it is to everyone, until the socket is closed.
func answer(ln net.Listener, who string) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		io.WriteString(c, who)
		c.Close()
	}
}

// ask returns who serves an address.
func ask(address string) (string, error) {
	network := "tcp"
	for _, n := range []string{"unix", "udp"} {
		if rest, ok := strings.CutPrefix(address, n+":"); ok {
			network, address = n, rest
		}
	}
	c, err := net.Dial(network, address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if network == "udp" {
		c.Write([]byte("?"))
		b := make([]byte, 10)
		n, err := c.Read(b)
		return string(b[:n]), err
	}
	b, err := io.ReadAll(c)
	return string(b), err
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not within 20 s:", what)
		}
	}
}

// roleArgs make a process of this test play a part.
func roleArgs(role string) []string { return []string{"-test.run=^$", "role=" + role} }

func TestMain(m *testing.M) {
	for i, a := range os.Args {
		if role, ok := strings.CutPrefix(a, "role="); ok {
			time.AfterFunc(time.Minute, func() { os.Exit(9) }) // nothing outlives the test for long
			if err := play(role, os.Args[i+1:]); err != nil {
				fmt.Fprintln(os.Stderr, "new process:", err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

// play is what the new process does.
func play(role string, args []string) error {
	if role == "crash" {
		os.Exit(3)
	}
	i, err := Inherited()
	if err != nil {
		return err
	}
	ctx := context.Background()
	switch role {
	case "hang":
		select {}
	case "refuse":
		i.Fail(errors.New("the config has no listener"))
		return nil
	case "babble":
		io.WriteString(i.pair.conn, "hello?\n")
		select {}
	case "hurry":
		return i.Ready(ctx)
	case "activated":
		lns := i.Take(os.Getenv("ADDRESS"))
		if len(lns) != 1 || i.Succeeds() {
			return fmt.Errorf("%d sockets from systemd", len(lns))
		}
		if err := Notify("READY=1"); err != nil {
			return err
		}
		answer(lns[0], "new")
		return nil
	}
	if len(args) == 0 { // nothing to serve: only the conversation is tried
		if err := i.Prepare(ctx); err != nil {
			return err
		}
		select {}
	}
	return inherit(ctx, i, role, args)
}

// inherit takes everything over.
func inherit(ctx context.Context, i *Inheritance, role string, args []string) error {
	tcp, file, datagrams := i.Take(args[0]), i.Take(args[1]), i.TakePackets(args[2])
	if len(tcp) != 2 || len(file) != 1 || len(datagrams) != 1 || string(i.Memo()) != "remember" || os.Getenv(variable) != "" {
		return fmt.Errorf("%d, %d and %d sockets, and %q", len(tcp), len(file), len(datagrams), i.Memo())
	}
	if err := i.Prepare(ctx); err != nil {
		return err
	}
	db, err := bolt.Open(args[3], 0o600, &bolt.Options{Timeout: 5 * time.Second})
	if err != nil {
		return err
	}
	switch role {
	case "crash-with-state":
		os.Exit(4)
	case "hang-with-state":
		select {}
	case "refuse-with-state":
		i.Fail(errors.New("the state is of another version"))
		select {}
	case "dying":
		if err := i.Ready(ctx); err != nil {
			return err
		}
		var sockets []Socket
		for _, ln := range tcp {
			sockets = append(sockets, Socket{args[0], ln.(syscall.Conn)})
		}
		sockets = append(sockets, Socket{args[1], file[0].(syscall.Conn)}, Socket{args[2], datagrams[0].(syscall.Conn)})
		_, err := Start(ctx, Options{
			Args: append(roleArgs("heir"), args...), Sockets: sockets, Memo: i.Memo(),
			Release: func() error { os.Exit(5); return nil }, // takes the lock of the state with it
		})
		return err
	}
	defer db.Close()
	for _, ln := range append(tcp, file...) {
		go answer(ln, "new")
	}
	if err := i.Ready(ctx); err != nil {
		return err
	}
	for b := make([]byte, 10); ; {
		n, from, err := datagrams[0].ReadFrom(b)
		if err != nil || string(b[:n]) == "quit" {
			return err
		}
		datagrams[0].WriteTo([]byte("new"), from)
	}
}
