package load

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"sync"
	"time"
)

// secure loads a proxy over TLS with a goroutine per connection. The client offers what makes all candidates choose the same: TLS 1.3, X25519
// and no session to resume.
func (r *run) secure() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	var mu sync.Mutex
	for range r.Conns {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := r.session(ctx, &mu); err != nil && ctx.Err() == nil {
					mu.Lock()
					r.fail(err)
					tooMany := r.result.Errors+r.result.NotOK > maxErrors
					mu.Unlock()
					if tooMany {
						return
					}
				}
			}
		})
	}
	time.Sleep(r.WarmUp)
	mu.Lock()
	r.result.Units = 0
	r.latency.Reset()
	before, err := r.sample()
	mu.Unlock()
	if err != nil {
		return err
	}
	time.Sleep(r.For)
	mu.Lock()
	defer mu.Unlock()
	after, err := r.sample()
	if err != nil {
		return err
	}
	r.settle(before, after)
	r.ended = true // what is answered from here on does not count
	return nil
}

// session opens a connection and sends requests on it: one for Handshake, else as many as the run lasts.
func (r *run) session(ctx context.Context, mu *sync.Mutex) error {
	began := time.Now()
	plain, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", r.Port))
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { plain.Close() })()
	c := tls.Client(plain, &tls.Config{
		ServerName: "localhost", InsecureSkipVerify: true, // the certificate was made for this run
		MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519},
	})
	defer c.Close()
	if err := c.Handshake(); err != nil {
		return err
	}
	if s := c.ConnectionState(); s.CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
		return fmt.Errorf("the proxy chose %s, not TLS_AES_128_GCM_SHA256", tls.CipherSuiteName(s.CipherSuite))
	}
	b := bufio.NewReader(c)
	for ctx.Err() == nil {
		if r.Mode == TLS {
			began = time.Now()
		}
		if _, err := c.Write(r.request); err != nil {
			return err
		}
		answer, err := http.ReadResponse(b, nil)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			return err
		}
		mu.Lock()
		if !r.ended {
			if answer.StatusCode/100 != 2 {
				r.result.NotOK++
			}
			r.count(time.Since(began))
		}
		mu.Unlock()
		if r.Mode == Handshake {
			return nil
		}
	}
	return nil
}

// doneLine is what h2load prints of the requests.
var doneLine = regexp.MustCompile(`requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored`)

// multiplexed loads a proxy with HTTP/2 by h2load, over TLS. All of its requests count, those of the warm-up too, and so does all the time.
func (r *run) multiplexed() error {
	path, err := exec.LookPath("h2load")
	if err != nil {
		return errors.New("h2load not found: apt-get install nghttp2-client")
	}
	before, err := r.sample()
	if err != nil {
		return err
	}
	seconds := max(1, int((r.WarmUp + r.For).Seconds()))
	out, err := exec.Command(path, "-c", strconv.Itoa(r.Conns), "-m", "10", "-t", "1", "-D", strconv.Itoa(seconds),
		fmt.Sprintf("https://127.0.0.1:%d%s", r.Port, r.Path)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("h2load: %w: %s", err, out)
	}
	after, err := r.sample()
	if err != nil {
		return err
	}
	m := doneLine.FindSubmatch(out)
	if m == nil {
		return fmt.Errorf("h2load printed: %s", out)
	}
	number := func(i int) int64 { n, _ := strconv.ParseInt(string(m[i]), 10, 64); return n }
	r.result.Units = number(3)
	r.result.NotOK = number(4) - number(5)
	r.result.Errors = number(5)
	r.settle(before, after)
	r.result.LoadForeign = 0 // h2load is a process of its own
	return nil
}
