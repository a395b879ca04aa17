package app

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/quic-go/quic-go/http3"
)

func TestHTTP3IsServedBesideTheRest(t *testing.T) {
	api := says(t, "hello")
	src := `listen: [{address: "127.0.0.1:0", protocols: [h1, h2, h3], routes: [{pool: api}], tls: {certificates: [{cert: AT/site.pem, key: AT/site-key.pem}]}}]
pools: {api: {targets: ["` + api + `"]}}`
	dir := t.TempDir()
	_, roots := certificate(t, dir, "site")
	src = strings.ReplaceAll(src, "AT", dir)
	r := start(t, src)
	ask := func() (string, error) {
		client := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
		defer client.Close()
		return body((&http.Client{Transport: client}).Get("https://" + r.at("127.0.0.1:0")))
	}
	if got, err := ask(); err != nil || got != "HTTP/3.0 hello 127.0.0.1 https" {
		t.Errorf("%q, %v", got, err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}}).Get("https://" + r.at("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	if got := resp.Header.Get("Alt-Svc"); !strings.HasPrefix(got, `h3=":`) || strings.Contains(got, ":0") {
		t.Errorf("Alt-Svc: %q", got)
	}
	if got, err := body(resp, nil); err != nil || got != "HTTP/2.0 hello 127.0.0.1 https" {
		t.Errorf("%q, %v", got, err)
	}
	r.load(strings.Replace(src, "[h1, h2, h3]", "[h1, h3]", 1)) // others serve on the same sockets
	until(t, "HTTP/3 is served again", func() bool {
		got, err := ask()
		return err == nil && got == "HTTP/3.0 hello 127.0.0.1 https"
	})
}

func body(resp *http.Response, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.Proto + " " + string(b), err
}
