package l7

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/summerwind/h2spec/config"
	"github.com/summerwind/h2spec/generic"
	"github.com/summerwind/h2spec/hpack"
	"github.com/summerwind/h2spec/http2"
	"github.com/summerwind/h2spec/spec"
)

// TestH2Spec holds HTTP/2 to all cases of h2spec, the strict ones included.
func TestH2Spec(t *testing.T) {
	if testing.Short() {
		t.Skip("h2spec waits a lot")
	}
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Write(make([]byte, 1000))
	})
	onEvery(t, 0, []string{addr}, func(t *testing.T, p *proxy, way way) {
		if way.proto != "HTTP/2.0" {
			t.Skip("HTTP/2 alone")
		}
		u, err := url.Parse(way.url)
		if err != nil {
			t.Fatal(err)
		}
		host, port, _ := net.SplitHostPort(u.Host)
		n, _ := strconv.Atoi(port)
		c := &config.Config{
			Host: host, Port: n, Path: "/", Timeout: 2 * time.Second, MaxHeaderLen: 4000, Strict: true, TLS: way.tls, Insecure: true,
		}
		passed := 0
		for _, g := range []*spec.TestGroup{generic.Spec(), http2.Spec(), hpack.Spec()} {
			passed += runSpecs(t, c, g)
		}
		t.Logf("%d cases passed", passed)
		until(t, "every slot is free again", func() bool { return p.pool.Stats(time.Now()).InFlight == 0 })
	})
}

func runSpecs(t *testing.T, c *config.Config, g *spec.TestGroup) (passed int) {
	for i, tc := range append(g.Tests, g.StrictTests...) {
		conn, err := spec.Dial(c)
		if err != nil {
			t.Fatalf("%s/%d: %v", g.ID(), i+1, err)
		}
		err = tc.Run(c, conn)
		conn.Close()
		te, failed := err.(*spec.TestError)
		switch {
		case failed:
			t.Errorf("%s/%d: %s: it must: %s; expected %v, got %s", g.ID(), i+1, tc.Desc, tc.Requirement, te.Expected, te.Actual)
		case errors.Is(err, spec.ErrSkipped):
			t.Logf("%s/%d: %s: skipped", g.ID(), i+1, tc.Desc)
		case err != nil:
			t.Errorf("%s/%d: %s: %v", g.ID(), i+1, tc.Desc, err)
		default:
			passed++
		}
	}
	for _, sub := range g.Groups {
		passed += runSpecs(t, c, sub)
	}
	return passed
}
