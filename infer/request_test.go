package infer

import (
	"errors"
	"net/url"
	"strings"
	"testing"
)

func drawSeven() uint64 { return 7 }

func TestDecodeImage(t *testing.T) {
	r, err := decodeImage([]byte(`{"prompt":"sea","steps":3,"size":"64x32","seed":-1,"checkpoint":"c","quality":"hd"}`), 20, drawSeven)
	if err != nil || r.Prompt != "sea" || r.Steps != 3 || r.width != 64 || r.height != 32 || r.seed != 1<<64-1 || r.Checkpoint != "c" {
		t.Errorf("got %+v, %v", r, err)
	}
	r, err = decodeImage([]byte(`{"size":128}`), 20, drawSeven)
	if err != nil || r.Steps != 20 || r.width != 128 || r.height != 128 || r.seed != 7 {
		t.Errorf("got %+v, %v", r, err)
	}
	for body, want := range map[string]string{
		``: "JSON", `[]`: "JSON", `{"steps":0}`: "steps", `{"steps":1001}`: "steps", `{"size":"4x4"}`: "size",
		`{"size":"9999"}`: "size", `{"size":"axb"}`: "256x256", `{"n":2}`: "n 2", `{"response_format":"url"}`: "b64_json",
		`{"seed":1.5}`: "whole number",
	} {
		if _, err := decodeImage([]byte(body), 20, drawSeven); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v does not say %q", body, err, want)
		}
	}
}

func TestDecodeChat(t *testing.T) {
	r, err := decodeChat([]byte(`{"messages":[{"role":"system","content":"be short"},{"role":"user","content":[{"type":"text","text":"Hi"}]}],
		"max_tokens":9,"temperature":0,"seed":4,"stop":"x","stream":true}`), true, 1000, drawSeven)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(r.prompt); got != "be short\nQ: Hi\nA: " {
		t.Errorf("prompt %q", got)
	}
	if r.maxTokens != 9 || r.temperature != 0 || r.seed != 4 || len(r.Stop) != 1 || !r.Stream {
		t.Errorf("got %+v", r)
	}
	r, err = decodeChat([]byte(`{"prompt":["The "],"ignore_eos":true}`), false, 1000, drawSeven)
	if err != nil || string(r.prompt) != "The " || r.maxTokens != defaultCompletionTokens || r.minTokens != r.maxTokens {
		t.Errorf("got %+v, %v", r, err)
	}
	for _, tt := range []struct {
		body string
		chat bool
		want string
	}{
		{`{}`, true, "messages"},
		{`{"messages":[{"role":"owl","content":"x"}]}`, true, "owl"},
		{`{"messages":[{"role":"user","content":5}]}`, true, "content"},
		{`{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}`, true, "image_url"},
		{`{"prompt":["a","b"]}`, false, "one a request"},
		{`{"prompt":"a","max_tokens":0}`, false, "max_tokens"},
		{`{"prompt":"a","max_tokens":100}`, false, "1 to 99"},
		{`{"prompt":"` + strings.Repeat("a", 100) + `"}`, false, "100 tokens"},
		{`{"prompt":"a","min_tokens":17}`, false, "min_tokens"},
		{`{"prompt":"a","temperature":3}`, false, "temperature"},
		{`{"prompt":"a","stop":["1","2","3","4","5"]}`, false, "stop"},
		{`{"prompt":"a","stop":""}`, false, "stop"},
		{`{"prompt":"a","n":2}`, false, "n 2"},
	} {
		if _, err := decodeChat([]byte(tt.body), tt.chat, 100, drawSeven); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v does not say %q", tt.body, err, tt.want)
		}
	}
}

func TestStopperHoldsBackWhatMayBecomeAStop(t *testing.T) {
	s := stopper{stops: []string{"\nQ:", "end"}}
	var shown strings.Builder
	stopped := false
	for _, r := range "a bend\nin\n\nQ: more" {
		var text string
		text, stopped = s.push(string(r))
		shown.WriteString(text)
		if stopped {
			break
		}
	}
	if got := shown.String(); got != "a b" || !stopped {
		t.Errorf("showed %q, stopped %v; want to stop before the end in bend", got, stopped)
	}
	s = stopper{stops: []string{"\nQ:"}}
	shown.Reset()
	for _, r := range "one\ntwo\n\nQ" {
		text, _ := s.push(string(r))
		shown.WriteString(text)
	}
	if got := shown.String() + "|" + s.rest(); got != "one\ntwo\n|\nQ" {
		t.Errorf("showed and held %q", got)
	}
}

// Whatever is sent, a decoder answers with a request inside its bounds or with an error for the client.
func FuzzDecodeRequest(f *testing.F) {
	for _, s := range []string{
		`{"prompt":"a","steps":3,"size":"64x32","seed":1}`, `{"messages":[{"role":"user","content":"hi"}],"stream":true}`,
		`{"input":[0.1,0.2]}`, `{"prompt":["a"],"stop":["b"],"max_tokens":5,"min_tokens":2}`, `{"size":1e9}`, `null`, `{"stop":null}`,
	} {
		f.Add([]byte(s))
	}
	check := func(t *testing.T, err error) {
		if _, ok := errors.AsType[*apiError](err); err != nil && !ok {
			t.Errorf("the error %v is not one for the client", err)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := decodeImage(b, 20, drawSeven); err != nil {
			check(t, err)
		} else if r.Steps < 1 || r.Steps > maxSteps || min(r.width, r.height) < minSide || max(r.width, r.height) > maxSide {
			t.Errorf("request out of bounds: %+v", r)
		}
		for _, chat := range []bool{true, false} {
			if r, err := decodeChat(b, chat, 100, drawSeven); err != nil {
				check(t, err)
			} else if r.maxTokens < 1 || len(r.prompt)+r.maxTokens > 100 || r.minTokens > r.maxTokens {
				t.Errorf("request out of bounds: %+v", r)
			}
		}
		in, err := decodePredict(b)
		check(t, err)
		if err == nil && len(in) != mlpInputs {
			t.Errorf("input %v", in)
		}
	})
}

func FuzzDecodeFault(f *testing.F) {
	f.Add([]byte(`{"stall":true,"stall_after_tokens":3,"for":"5s"}`), "die_after_tokens=3&gauges=vllm:num_requests_waiting%3D9")
	f.Add([]byte(`{"unready":["model_loaded"],"gauges":{"vllm:kv_cache_usage_perc":0.5}}`), "refuse=close&fail_rate=0.5")
	f.Fuzz(func(t *testing.T, body []byte, query string) {
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		got, err := decodeFault(fault{}, body, q)
		if err != nil {
			return
		}
		if got.validate() != nil || got.Refuse == refuseClose && got.For <= 0 {
			t.Errorf("fault %+v was let through", got)
		}
	})
}
