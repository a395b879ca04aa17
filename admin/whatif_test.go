package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// muse answers what if.
type muse struct {
	entered chan struct{}
	left    chan error
}

func (m *muse) Recorded(_ context.Context, pool string, from, to time.Time) (*Recorded, error) {
	if pool != "api" {
		return nil, ErrNotFound
	}
	r := &Recorded{Pool: pool}
	r.From, r.To = from, to
	return r, nil
}

func (m *muse) Policy(pool string) (*WhatIfNow, error) {
	return &WhatIfNow{Pool: pool, Policy: "max: 4\n"}, nil
}

func (m *muse) WhatIf(ctx context.Context, q Question, progress func(float64)) (*WhatIf, error) {
	switch q.Policy {
	case "wrong":
		return nil, Mistake{errors.New("policy:1:1: that is none")}
	case "late":
		progress(0.5)
		return nil, errors.New("it takes too long")
	case "slow":
		progress(0.5)
		close(m.entered)
		<-ctx.Done()
		m.left <- ctx.Err()
		return nil, ctx.Err()
	}
	return &WhatIf{Pool: q.Pool, Runs: json.RawMessage("[]")}, nil
}

func TestWhatIfOverHTTP(t *testing.T) {
	m := &muse{entered: make(chan struct{}), left: make(chan error, 1)}
	srv := httptest.NewServer(New(Options{Source: &house{}, WhatIf: m}))
	t.Cleanup(srv.Close)
	ask := func(method, path, body, accept string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, srv.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", accept)
		r, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(b)
	}
	for _, c := range []struct {
		method, path, body, accept string
		status                     int
		want                       string
	}{
		{"GET", "/v1/whatif?pool=api", "", "", 200, `"policy":"max: 4\n"`},
		{"GET", "/v1/pools/api/recorded?from=1700000000&to=1700003600", "", "", 200, `"periods"`},
		{"GET", "/v1/pools/none/recorded", "", "", 404, "not found"},
		{"GET", "/v1/pools/api/recorded?from=soon", "", "", 400, "soon"},
		{"POST", "/v1/whatif", `{"pool":"api","policy":"max: 5"}`, "", 200, `"runs":[]`},
		{"POST", "/v1/whatif", `{"pool":"api","policy":"max: 5"}`, whatIfLines, 200, `{"result":{`},
		{"POST", "/v1/whatif", `{"pool":"api","policy":"wrong"}`, "", 400, "policy:1:1"},
		{"POST", "/v1/whatif", `{"pool":"api","policy":"wrong"}`, whatIfLines, 400, "policy:1:1"},
		{"POST", "/v1/whatif", `{"pool":"api","policy":"late"}`, whatIfLines, 200, `{"error":"it takes too long"}`},
		{"POST", "/v1/whatif", `{"pool":"api","policy":"late"}`, "", 409, "it takes too long"},
		{"POST", "/v1/whatif", `{"pool":"api","since":"1h"}`, "", 400, "since"},
		{"POST", "/v1/whatif", strings.Repeat(" ", 100<<10), "", 400, "the body is not"},
	} {
		if status, text := ask(c.method, c.path, c.body, c.accept); status != c.status || !strings.Contains(text, c.want) {
			t.Errorf("%s %s %.60s: %d %s; want %d, %q", c.method, c.path, c.body, status, text, c.status, c.want)
		}
	}

	// Who leaves is not answered for.
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "POST", srv.URL+"/v1/whatif", strings.NewReader(`{"pool":"api","policy":"slow"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", whatIfLines)
	go func() {
		<-m.entered
		cancel()
	}()
	if r, err := http.DefaultClient.Do(req); err == nil {
		io.Copy(io.Discard, r.Body)
		r.Body.Close()
	}
	select {
	case err := <-m.left:
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the client left, and its question is still being answered")
	}
	// From a page of another site it is refused, as every change is.
	req, err = http.NewRequestWithContext(t.Context(), "POST", srv.URL+"/v1/whatif", strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusForbidden {
		t.Errorf("from another site: %d", r.StatusCode)
	}
}
