package prom

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// serve answers every request with a body, as Prometheus's documentation of its API has them, and remembers the last request.
func serve(t *testing.T, status int, body string) (*Server, *http.Request) {
	t.Helper()
	var last http.Request
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		last = *r
		w.WriteHeader(status)
		io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return New(Options{URL: s.URL + "/prom/", User: "weir", Password: "secret", Headers: map[string]string{"X-Scope-OrgID": "a"}, Timeout: 5 * time.Second}), &last
}

func TestQuery(t *testing.T) {
	for _, x := range []struct {
		status int
		body   string
		value  float64
		known  bool
		err    string
	}{
		{200, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1435781451.781,"1.5"]}]}}`, 1.5, true, ""},
		{200, `{"status":"success","data":{"resultType":"scalar","result":[1435781451.781,"0"]}}`, 0, true, ""},
		{200, `{"status":"success","data":{"resultType":"vector","result":[]}}`, 0, false, ""},
		{200, `{"status":"success","data":{"resultType":"scalar","result":[1,"NaN"]}}`, 0, false, ""},
		{200, `{"status":"success","data":{"resultType":"vector","result":[{"value":[1,"1"]},{"value":[1,"2"]}]}}`, 0, false, "2 series"},
		{200, `{"status":"success","data":{"resultType":"vector","result":[{"histogram":[1,{}]}]}}`, 0, false, "histogram"},
		{200, `{"status":"success","data":{"resultType":"matrix","result":[]}}`, 0, false, "matrix"},
		{400, `{"status":"error","errorType":"bad_data","error":"parse error: unexpected end"}`, 0, false, "unexpected end"},
		{503, `no healthy upstream`, 0, false, "503"},
		{200, `<html>`, 0, false, "no Prometheus"},
		{200, `{"status":"success","data":{"resultType":"vector","result":[{"value":[1]}]}}`, 0, false, "pair"},
	} {
		s, last := serve(t, x.status, x.body)
		v, known, err := s.Query(t.Context(), "up", time.Unix(1435781451, 0))
		if x.err == "" && (err != nil || known != x.known || known && v != x.value) {
			t.Errorf("%s: %v %v %v", x.body, v, known, err)
		}
		if x.err != "" && (err == nil || known || !strings.Contains(err.Error(), x.err)) {
			t.Errorf("%s: %v %v, want %q", x.body, known, err, x.err)
		}
		user, password, _ := last.BasicAuth()
		if last.URL.Path != "/prom/api/v1/query" || last.Form.Get("query") != "up" || last.Form.Get("time") != "1435781451.000" ||
			user != "weir" || password != "secret" || last.Header.Get("X-Scope-OrgID") != "a" {
			t.Errorf("asked %v %v %v", last.URL, last.Form, last.Header)
		}
	}
}

func TestNobodyThere(t *testing.T) {
	s, _ := serve(t, 200, "")
	s.base = "http://127.0.0.1:1/api/v1/"
	if _, known, err := s.Query(t.Context(), "up", time.Now()); known || err == nil || !strings.Contains(err.Error(), "cannot be reached") {
		t.Errorf("%v %v", known, err)
	}
}

func TestRange(t *testing.T) {
	s, last := serve(t, 200, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[10,"1"],[25,"NaN"],[40,"3"]]}]}}`)
	got, err := s.Range(t.Context(), "up", time.Unix(10, 0), time.Unix(40, 0), 15*time.Second)
	if err != nil || len(got) != 2 || got[1].Value != 3 || !got[1].Time.Equal(time.Unix(40, 0)) || last.Form.Get("step") != "15" {
		t.Errorf("%v %v %v", got, err, last.Form)
	}
}
