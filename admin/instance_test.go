package admin

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

func TestInstanceVerbs(t *testing.T) {
	for _, c := range []struct {
		path, body string
		status     int
		asked      string
	}{
		{"protect", "", http.StatusOK, "instance chat i-1 protect false"},
		{"standby", `{"decrement": true}`, http.StatusOK, "instance chat i-1 standby true"},
		{"detach", `{}`, http.StatusOK, "instance chat i-1 detach false"},
		{"resume", `{"decrement": true}`, http.StatusBadRequest, ""},
		{"explode", "", http.StatusBadRequest, ""},
		{"terminate", `{"decrement": "yes"}`, http.StatusBadRequest, ""},
		{"terminate", `{"decrease": true}`, http.StatusBadRequest, ""},
	} {
		h := &house{}
		r := httptest.NewRequest("POST", "http://localhost/v1/pools/chat/instances/i-1/"+c.path, strings.NewReader(c.body))
		w := httptest.NewRecorder()
		New(Options{Source: h, Operator: h}).ServeHTTP(w, r)
		asked := slices.DeleteFunc([]string{c.asked}, func(s string) bool { return s == "" })
		if w.Code != c.status || !slices.Equal(h.asked, asked) {
			t.Errorf("%s %s: %d %s, asked %q", c.path, c.body, w.Code, w.Body, h.asked)
		}
	}
}
