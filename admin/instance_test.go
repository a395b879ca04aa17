package admin

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestInstanceVerbs(t *testing.T) {
	for _, c := range []struct {
		path, body string
		status     int
		asked      string
	}{
		{"protect", "", http.StatusOK, "instance chat i-1 {Verb:protect Decrement:false Hook: Token: Result:}"},
		{"standby", `{"decrement": true}`, http.StatusOK, "instance chat i-1 {Verb:standby Decrement:true Hook: Token: Result:}"},
		{"detach", `{}`, http.StatusOK, "instance chat i-1 {Verb:detach Decrement:false Hook: Token: Result:}"},
		{"complete", `{"hook": "a", "token": "t", "result": "abandon"}`, http.StatusOK, "instance chat i-1 {Verb:complete Decrement:false Hook:a Token:t Result:abandon}"},
		{"complete", `{"result": "continue"}`, http.StatusOK, "instance chat i-1 {Verb:complete Decrement:false Hook: Token: Result:continue}"},
		{"complete", "", http.StatusBadRequest, ""},
		{"complete", `{"result": "maybe"}`, http.StatusBadRequest, ""},
		{"complete", `{"result": "continue", "decrement": true}`, http.StatusBadRequest, ""},
		{"heartbeat", "", http.StatusOK, "instance chat i-1 {Verb:heartbeat Decrement:false Hook: Token: Result:}"},
		{"heartbeat", `{"result": "continue"}`, http.StatusBadRequest, ""},
		{"protect", `{"hook": "a"}`, http.StatusBadRequest, ""},
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

func TestInstancesAreShown(t *testing.T) {
	h := &house{}
	h.show(func(time.Time) Status {
		return Status{Pools: []Pool{{Name: "chat", Instances: []Instance{{ID: "i-1"}, {ID: "i-2", Hooks: []HookWait{{Hook: "save"}}}}}}}
	})
	server := New(Options{Source: h})
	for path, want := range map[string]string{
		"chat/instances":        `{"instances":[{"id":"i-1",`,
		"chat/instances/i-2":    `"hooks":[{"hook":"save",`,
		"chat/instances/nobody": `has no instance`,
		"nopool/instances":      `there is no pool`,
	} {
		w := httptest.NewRecorder()
		server.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/v1/pools/"+path, nil))
		if !strings.Contains(strings.ReplaceAll(strings.ReplaceAll(w.Body.String(), "\n", ""), `": `, `":`), want) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestTheGraceIsExplained(t *testing.T) {
	h := &house{}
	h.show(func(time.Time) Status {
		return Status{Pools: []Pool{{
			Name: "chat", Scale: &Scale{Grace: Grace{24, "learned: 3 times the p99 of 8 s of 23 boots"}},
			Instances: []Instance{{ID: "i-1", State: "ready"}, {ID: "i-2", State: "unhealthy", Why: "GET /ready: 503"}},
		}}}
	})
	s := New(Options{Source: h})
	want := "\nInstances that fail their checks, with a grace of 24s (learned: 3 times the p99 of 8 s of 23 boots):\n  i-2  GET /ready: 503\n"
	if got := s.explainSick("chat"); got != want {
		t.Errorf("%q", got)
	}
	if got := s.explainSick("other"); got != "" {
		t.Errorf("%q", got)
	}
}
