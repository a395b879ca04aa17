package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/weirlb/weir/load"
	"github.com/weirlb/weir/trace"
)

// replayed is a trace that is sent.
type replayed struct {
	requests []trace.Request
	kind     trace.Kind
	flags    *loadCmd
}

// recorded reads the trace, and says what it had to assume.
func (l *loadCmd) recorded(w io.Writer) (*replayed, error) {
	switch {
	case !(l.Speed > 0) || math.IsInf(l.Speed, 0):
		return nil, fmt.Errorf("--speed %g: give a number above 0, such as 10 for a tenth of the time", l.Speed)
	case !(l.Tokens > 0) || math.IsInf(l.Tokens, 0):
		return nil, fmt.Errorf("--tokens %g: give a number above 0, such as 0.1 for a tenth of the tokens", l.Tokens)
	case !(l.TokenChars > 0 && l.TokenChars <= 100):
		return nil, fmt.Errorf("--token-chars %g: give a number above 0, such as 4", l.TokenChars)
	case l.StepTime <= 0:
		return nil, fmt.Errorf("--step-time %v: give a time above 0", l.StepTime)
	}
	o, err := l.options(l.To, l.Seed, l.Even)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(l.Trace)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t, err := trace.Open(l.Trace, f, o)
	if err != nil {
		return nil, err
	}
	r := &replayed{kind: t.Kind(), flags: l}
	if r.requests, err = t.ReadAll(); err != nil {
		return nil, err
	}
	printWarnings(w, l.Trace, t.Warnings())
	for i := range r.requests {
		q := &r.requests[i]
		q.At = time.Duration(float64(q.At) / l.Speed)
		q.In, q.Out = scaledTokens(q.In, l.Tokens), scaledTokens(q.Out, l.Tokens)
	}
	return r, nil
}

// scaledTokens keeps a token at least where there was one.
func scaledTokens(n int32, by float64) int32 {
	if n == 0 {
		return 0
	}
	return int32(min(max(math.Round(float64(n)*by), 1), math.MaxInt32))
}

func (r *replayed) length() time.Duration { return r.requests[len(r.requests)-1].At }

func (r *replayed) arrivals(yield func(load.Arrival) bool) {
	for i := range r.requests {
		q := &r.requests[i]
		if !yield(load.Arrival{At: q.At, Input: int(q.In), Output: int(q.Out)}) {
			return
		}
	}
}

// preset is what is sent where the command line leaves it open: what asks for the work that was recorded.
type preset struct {
	path string // where the URL has none
	body string
}

var presets = map[trace.Kind]preset{
	trace.Chat: {"/v1/chat/completions",
		`{"model":{{json .Model "chat"}},"stream":{{.Stream}},"max_tokens":{{.Output}},"min_tokens":{{.Output}},"ignore_eos":true,"seed":{{.I}},"messages":[{"role":"user","content":{{json .Prompt}}}]}`},
	trace.Image: {"/generate", `{"prompt":"a river at sunset","steps":{{.Steps}},"seed":{{.I}}{{if .Model}},"checkpoint":{{json .Model}}{{end}}}`},
}

// fill settles what the command line leaves open, and says how.
func (r *replayed) fill(kind *load.Kind, w io.Writer) error {
	l := r.flags
	u, err := url.Parse(l.URL)
	if err != nil {
		return err
	}
	bare := u.Path == "" || u.Path == "/"
	p, known := presets[r.kind]
	switch {
	case known && l.Body == "" && l.Method == "":
		if bare {
			kind.URL = u.JoinPath(p.path).String()
		}
		l.Body = p.body
		fmt.Fprintf(w, "%s: note: sent as %s requests, POST %s; to send others, give --body\n", l.Trace, r.kind, kind.URL)
	case bare && l.Body == "":
		return r.own(kind, w)
	}
	return nil
}

// own sends each request to its own path by its own method, as far as that changes nothing.
func (r *replayed) own(kind *load.Kind, w io.Writer) error {
	recorded, changing := 0, map[string]int{}
	for i := range r.requests {
		q := &r.requests[i]
		if strings.HasPrefix(q.Path, "/") {
			recorded++
		}
		if q.Method != "" && !slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodOptions}, q.Method) {
			changing[q.Method]++
		}
	}
	if recorded == 0 {
		return nil
	}
	if len(changing) > 0 && kind.Method == "" {
		return fmt.Errorf("%s has requests that may change what the server holds (%s), and not their bodies; say how to send them: --method GET sends all as GET, --body TEXT sends all as POST",
			r.flags.Trace, counted(changing))
	}
	method := kind.Method
	kind.Change = func(req *http.Request, i int, _ load.Arrival) {
		q := &r.requests[i]
		if method == "" {
			req.Method = cmp.Or(q.Method, http.MethodGet)
		}
		if u, err := url.ParseRequestURI(q.Path); err == nil && strings.HasPrefix(q.Path, "/") {
			req.URL.Path, req.URL.RawPath, req.URL.RawQuery = u.Path, u.RawPath, u.RawQuery
		}
	}
	fmt.Fprintf(w, "%s: note: each request goes to its own path under %s; to send all to one, write its path\n", r.flags.Trace, kind.URL)
	return nil
}

// counted lists names with their numbers, most first.
func counted(m map[string]int) string {
	var parts []string
	for name := range m {
		parts = append(parts, name)
	}
	slices.SortFunc(parts, func(a, b string) int { return cmp.Or(cmp.Compare(m[b], m[a]), cmp.Compare(a, b)) })
	for i, name := range parts {
		parts[i] = fmt.Sprintf("%d %s", m[name], name)
	}
	return strings.Join(parts, ", ")
}

// facts are what a body or header may name of a request.
type facts struct {
	I             int // its number, from 0
	Input, Output int // tokens

	Model, Tenant, Method, Path string

	Images  int
	Seconds float64 // that it was worked on, divided by --speed
	Stream  bool

	steps int
	flags *loadCmd
	at    trace.Request
}

// Steps are as many as take Seconds, where --step-time is the time of one; where the trace does not have Seconds, they are its own.
func (f facts) Steps() int {
	if f.Seconds > 0 {
		return max(1, int(math.Round(f.Seconds/f.flags.StepTime.Seconds())))
	}
	return max(1, f.steps)
}

// Prompt is a text of Input tokens of --token-chars characters each. Where the trace has hashes of its blocks, blocks with the same
// hash have the same text, so that what shares a prefix in the trace shares one here.
func (f facts) Prompt() string {
	n := max(1, int(math.Round(float64(f.Input)*f.flags.TokenChars)))
	block := n
	if len(f.at.Prefix) > 0 {
		block = max(1, int(math.Round(blockTokens*f.flags.Tokens*f.flags.TokenChars)))
	}
	b := make([]byte, 0, n+16)
	for i := 0; len(b) < n; i++ {
		seed := 1<<63 | uint64(f.I)<<20 | uint64(i) // shared with none, as far as the trace says
		if i < len(f.at.Prefix) {
			seed = f.at.Prefix[i]
		}
		b = prose(b, min(n, (i+1)*block), seed)
	}
	return string(b)
}

// blockTokens is how many tokens a block of the hashed prompts in the wild has.
const blockTokens = 512

var proseWords = strings.Fields(`a weir is low wall across the river it holds water back until there room for below and lets over in
an even sheet as stream grows after rain so mill can run all year while boats wait by lock fish find ladder beside`)

// prose appends words up to a length, the same for the same seed.
func prose(b []byte, length int, seed uint64) []byte {
	x := seed*0x9e3779b97f4a7c15 + 1
	for len(b) < length {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b = append(append(b, proseWords[x>>8%uint64(len(proseWords))]...), ' ')
	}
	return b[:length]
}

// parseFacts reads a template of facts and tries it.
func parseFacts(flag, text string) (*template.Template, error) {
	t, err := template.New(flag).Option("missingkey=error").Funcs(template.FuncMap{"json": jsonText}).Parse(text)
	if err == nil {
		err = t.Execute(io.Discard, facts{flags: &loadCmd{TokenChars: 1, Tokens: 1, StepTime: time.Second}})
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return t, nil
}

// jsonText quotes the first text that is not empty.
func jsonText(texts ...string) (string, error) {
	b, err := json.Marshal(cmp.Or(texts...))
	return string(b), err
}

// facts are those of the i-th request, which r has when it is of a trace.
func (l *loadCmd) facts(r *replayed, i int, a load.Arrival) facts {
	f := facts{I: i, Input: a.Input, Output: a.Output, Stream: l.Stream, flags: l}
	if r != nil {
		q := r.requests[i]
		f.at, f.steps, f.Images, f.Seconds = q, int(q.Steps), int(q.Images), q.Service.Seconds()/l.Speed
		f.Model, f.Tenant, f.Method, f.Path = q.Model, q.Tenant, q.Method, q.Path
	}
	return f
}

// body returns what makes each request's body, nil when there is none.
func (l *loadCmd) body(r *replayed) (func(int, load.Arrival) []byte, error) {
	text := l.Body
	if name, ok := strings.CutPrefix(text, "@"); ok {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("--body: %w", err)
		}
		text = string(b)
	}
	if text == "" {
		return nil, nil
	}
	t, err := parseFacts("--body", text)
	if err != nil {
		return nil, err
	}
	return func(i int, a load.Arrival) []byte {
		var b bytes.Buffer
		_ = t.Execute(&b, l.facts(r, i, a)) // it was tried
		return b.Bytes()
	}, nil
}

// headers sets those of a kind: plain ones for all requests, templates for each.
func (l *loadCmd) headers(kind *load.Kind, r *replayed) error {
	kind.Headers = map[string]string{}
	each := map[string]*template.Template{}
	for _, h := range l.Header {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return fmt.Errorf("--header %q: write 'Name: value'", h)
		}
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !strings.Contains(value, "{{") {
			kind.Headers[name] = value
			continue
		}
		t, err := parseFacts("--header "+name, value)
		if err != nil {
			return err
		}
		if strings.EqualFold(name, "Host") {
			return errors.New("--header Host: one host for all; a template does not work there")
		}
		each[name] = t
	}
	if len(each) == 0 {
		return nil
	}
	before := kind.Change
	kind.Change = func(req *http.Request, i int, a load.Arrival) {
		if before != nil {
			before(req, i, a)
		}
		for name, t := range each {
			var b strings.Builder
			_ = t.Execute(&b, l.facts(r, i, a)) // it was tried
			if value := strings.Map(printable, b.String()); value != "" {
				req.Header.Set(name, value)
			}
		}
	}
	return nil
}

// printable drops what a header cannot hold.
func printable(r rune) rune {
	if r < 0x20 || r == 0x7f {
		return -1
	}
	return r
}
