package l7

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/balance"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/route"
	"github.com/weirlb/weir/session"
	"github.com/weirlb/weir/target"
)

// leadTo has the first route lead to one pool.
func (p *proxy) leadTo(d *Destination) {
	p.site(func(s *Site) { s.To[0].Pools = []*Destination{d} })
}

// names starts n targets that answer with their number.
func names(t *testing.T, n int) []string {
	var out []string
	for i := range n {
		out = append(out, named(t, fmt.Sprint(i)))
	}
	return out
}

// closed is an address that nobody listens at.
func closed(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	return ln.Addr().String()
}

func TestSplitsGiveACookie(t *testing.T) { onBoth(t, testSplitsGiveACookie) }

func testSplitsGiveACookie(t *testing.T) {
	own := atomic.Bool{}
	arm := func(name string) string {
		return serve(t, func(w http.ResponseWriter, r *http.Request) {
			if own.Load() {
				w.Header().Add("Set-Cookie", "arm=theirs")
			}
			io.WriteString(w, name)
		})
	}
	p := front(t, 0, arm("one"))
	split, err := route.NewSplit([]route.Arm{{Name: "api", Weight: 50}, {Name: "other", Weight: 50}})
	if err != nil {
		t.Fatal(err)
	}
	other := &Destination{Pool: poolOf(t, pool.Options{}, 0, arm("two"))}
	p.site(func(s *Site) {
		r := s.To[0]
		r.Pools, r.Split, r.By = []*Destination{r.Pools[0], other}, split, Key{From: ByCookie, Name: "arm"}
	})
	seen := map[string]int{}
	for range 40 {
		resp, first := do(t, "GET", p.url+"/")
		cs := resp.Cookies()
		if len(cs) != 1 || cs[0].Name != "arm" || cs[0].Value == "" || cs[0].Path != "/" || !cs[0].HttpOnly || cs[0].Secure || cs[0].MaxAge != 31536000 {
			t.Fatalf("%v", resp.Header["Set-Cookie"])
		}
		resp, again := do(t, "GET", p.url+"/", "Cookie", "arm="+cs[0].Value)
		if again != first || len(resp.Cookies()) != 0 {
			t.Errorf("%s, then %s with %v", first, again, resp.Cookies())
		}
		seen[first]++
	}
	if seen["one"] < 8 || seen["two"] < 8 { // 40 fair coins: under 8 once in 100,000
		t.Errorf("%v", seen)
	}
	own.Store(true)
	if resp, _ := do(t, "GET", p.url+"/"); len(resp.Cookies()) != 1 || resp.Cookies()[0].Value != "theirs" {
		t.Errorf("beside the target's own: %v", resp.Cookies())
	}
}

func TestSessionsFollowTheirTarget(t *testing.T) { onBoth(t, testSessionsFollowTheirTarget) }

func testSessionsFollowTheirTarget(t *testing.T) {
	p := front(t, 0, names(t, 3)...)
	ring, err := session.NewRing(bytes.Repeat([]byte("k"), 32))
	if err != nil {
		t.Fatal(err)
	}
	st := &Sticky{Ring: ring, Cookie: session.Cookie{Name: "weir", Duration: time.Hour}}
	if err := st.Cookie.Check(); err != nil {
		t.Fatal(err)
	}
	p.leadTo(&Destination{Pool: p.pool, Sticky: st})
	visit := func(cookie string) (string, string) {
		t.Helper()
		resp, body := do(t, "GET", p.url+"/", "Cookie", "weir="+cookie)
		if cs := resp.Cookies(); len(cs) != 1 || cs[0].MaxAge != 3600 {
			t.Fatalf("not renewed: %v", cs)
		}
		return body, resp.Cookies()[0].Value
	}
	home, cookie := visit("")
	var here *target.Target
	for _, s := range p.pool.Stats(time.Now()).Targets {
		if got, _, err := ring.Open([]byte(cookie), "api", time.Now()); err == nil && got == s.Target.ID {
			here = s.Target
		}
	}
	if here == nil {
		t.Fatal("the cookie names no target")
	}
	for range 9 {
		if got, _ := visit(cookie); got != home {
			t.Fatalf("%s, then %s", home, got)
		}
	}
	// What is expired, or was made for another pool, binds nobody.
	for name, value := range map[string][]byte{
		"expired":      ring.Seal(nil, "api", here.ID, time.Now().Add(-2*time.Hour), time.Hour),
		"another pool": ring.Seal(nil, "web", here.ID, time.Now(), time.Hour),
	} {
		seen := map[string]bool{}
		for range 9 {
			got, _ := visit(string(value))
			seen[got] = true
		}
		if len(seen) < 2 {
			t.Errorf("a cookie that is %s binds", name)
		}
	}
	moved := func(why string) {
		t.Helper()
		there, second := visit(cookie)
		if there == home {
			t.Fatalf("%s: the target got a new request", why)
		}
		for range 5 {
			if got, _ := visit(second); got != there {
				t.Fatalf("%s: %s, then %s", why, there, got)
			}
		}
	}
	p.pool.Drain(here, true, time.Now())
	moved("drains")
	p.pool.Drain(here, false, time.Now())
	p.pool.Remove(here, time.Now())
	moved("is gone")
}

func TestKeysOfHashing(t *testing.T) { onBoth(t, testKeysOfHashing) }

func testKeysOfHashing(t *testing.T) {
	p := front(t, 0)
	hashing := poolOf(t, pool.Options{Balance: "hash", Balancing: balance.Options{BoundedLoad: 100}}, 0, names(t, 4)...)
	for _, c := range []struct {
		key Key
		as  func(user int) (query, header, value string)
	}{
		{Key{ByHeader, "x-user"}, func(u int) (string, string, string) { return "", "X-User", fmt.Sprint(u) }},
		{Key{ByCookie, "user"}, func(u int) (string, string, string) { return "", "Cookie", fmt.Sprintf("a=b; user=%d", u) }},
		{Key{ByQuery, "user"}, func(u int) (string, string, string) { return fmt.Sprintf("?a=b&user=%d", u), "X-Y", "z" }},
	} {
		p.leadTo(&Destination{Pool: hashing, Key: c.key})
		seen := map[string]bool{}
		for user := range 12 {
			query, header, value := c.as(user)
			_, first := do(t, "GET", p.url+"/"+query, header, value)
			for range 3 {
				if _, got := do(t, "GET", p.url+"/"+query, header, value); got != first {
					t.Errorf("%v, user %d: %s, then %s", c.key, user, first, got)
				}
			}
			seen[first] = true
		}
		if len(seen) < 2 { // 12 users all to one of four: once in four million
			t.Errorf("%v: all to the same", c.key)
		}
		seen = map[string]bool{}
		for range 8 {
			_, got := do(t, "GET", p.url+"/")
			seen[got] = true
		}
		if len(seen) != 4 { // least connections, in turn
			t.Errorf("%v, requests without it: %v", c.key, seen)
		}
	}
	p.leadTo(&Destination{Pool: hashing, Key: Key{From: ByClient}})
	_, first := do(t, "GET", p.url+"/")
	for range 8 {
		if _, got := do(t, "GET", p.url+"/"); got != first {
			t.Errorf("by client: %s, then %s", first, got)
		}
	}
}

// A client that holds its body back until it is told to go on is told so by Weir, when what the body says chooses the target.
func TestAKeyInABodyThatIsHeldBack(t *testing.T) { onBoth(t, testAKeyInABodyThatIsHeldBack) }

func testAKeyInABodyThatIsHeldBack(t *testing.T) {
	expects := make(chan string, 100)
	var addrs []string
	for i := range 4 {
		addrs = append(addrs, serve(t, func(w http.ResponseWriter, r *http.Request) {
			expects <- r.Header.Get("Expect")
			b, _ := io.ReadAll(r.Body)
			fmt.Fprint(w, i, len(b))
		}))
	}
	p := front(t, 0)
	hashing := poolOf(t, pool.Options{Balance: "hash", Balancing: balance.Options{BoundedLoad: 100}}, 0, addrs...)
	p.leadTo(&Destination{Pool: hashing, Key: Key{From: ByJSON, Name: "model"}})
	for _, model := range []string{"sdxl", "flux", "llama", "qwen"} {
		body := fmt.Sprintf(`{"model":%q}`, model)
		resp, err := http.Post(p.url, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		want, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		<-expects
		for range 3 {
			c, r := dial(t, p.addr)
			send(t, c, fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", len(body)))
			if head, err := readHead(r); err != nil || head != goOn {
				t.Fatalf("%q, %v", head, err)
			}
			send(t, c, body)
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || string(got) != string(want) {
				t.Errorf("%s: %d %s, want %s", model, resp.StatusCode, got, want)
			}
			if e := <-expects; e != "" {
				t.Errorf("the target was told to expect %s", e)
			}
			c.Close()
		}
	}
}

func TestConversationsStayWhereTheirPromptsAre(t *testing.T) {
	onBoth(t, testConversationsStayWhereTheirPromptsAre)
}

func testConversationsStayWhereTheirPromptsAre(t *testing.T) {
	p := front(t, 0)
	p.leadTo(&Destination{Pool: poolOf(t, pool.Options{Balance: "prefix_affinity"}, 0, names(t, 4)...), Prefix: Prefix{JSON: []string{"messages", "prompt"}}})
	where, seen := map[int]string{}, map[string]bool{}
	for turn := range 4 {
		for talk := range 8 {
			var messages []string
			for i := range turn + 1 {
				messages = append(messages, fmt.Sprintf(`{"role":"user","content":"%s"}`, strings.Repeat(fmt.Sprintf("talk %d message %d ", talk, i), 40)))
			}
			resp, err := http.Post(p.url, "application/json", strings.NewReader(`{"model":"m","messages":[`+strings.Join(messages, ",")+`]}`))
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if turn > 0 && string(b) != where[talk] {
				t.Errorf("turn %d of talk %d: %s, before %s", turn, talk, b, where[talk])
			}
			where[talk] = string(b)
			seen[string(b)] = true
		}
	}
	if len(seen) != 4 {
		t.Errorf("%d talks went to %d targets, want all 4", len(where), len(seen))
	}
}

// breaking starts a target that reads the head of a request, counts, and breaks off.
func breaking(t *testing.T, asked *atomic.Int32) string {
	return raw(t, func(c net.Conn, r *bufio.Reader) {
		if _, err := readHead(r); err == nil {
			asked.Add(1)
		}
	})
}

func TestRetries(t *testing.T) { onBoth(t, testRetries) }

func testRetries(t *testing.T) {
	var asked [4]atomic.Int32
	var addrs []string
	for i := range asked {
		addrs = append(addrs, breaking(t, &asked[i]))
	}
	tried := func() (sum, most int) {
		for i := range asked {
			n := int(asked[i].Swap(0))
			sum, most = sum+n, max(most, n)
		}
		return sum, most
	}
	p := front(t, 0, addrs...)
	for _, c := range []struct {
		method, key string
		change      func(*Route)
		want        int
	}{
		{"GET", "", func(*Route) {}, 3},
		{"GET", "", func(r *Route) { r.Attempts = 2 }, 2},
		{"GET", "", func(r *Route) { r.Attempts = 1 }, 1},
		{"GET", "", func(r *Route) { r.Attempts = 9 }, 4}, // there are no more
		{"DELETE", "", func(*Route) {}, 3},
		{"POST", "", func(*Route) {}, 1},
		{"PATCH", "", func(*Route) {}, 1},
		{"POST", "k1", func(*Route) {}, 3},
		{"POST", "", func(r *Route) { r.Repeat = true }, 3},
	} {
		p.site(func(s *Site) {
			s.To[0].Attempts, s.To[0].Repeat = 0, false
			c.change(s.To[0])
		})
		header := []string{"X-A", "b"}
		if c.key != "" {
			header = []string{"Idempotency-Key", c.key}
		}
		resp, body := do(t, c.method, p.url+"/", header...)
		if resp.StatusCode != 502 || !strings.Contains(body, "target_failed") {
			t.Errorf("%+v: %d %s", c, resp.StatusCode, body)
		}
		if sum, most := tried(); sum != c.want || most != 1 {
			t.Errorf("%s %s: %d targets were asked, one of them %d times; want %d once", c.method, c.key, sum, most, c.want)
		}
	}

	// Without a budget nothing that a target has seen is sent again.
	o := pool.Options{Balance: "least_connections", Limits: admit.Limits{Queue: 100}, Retries: admit.Budget{Percent: 1, Min: -1}}
	if err := p.pool.Configure(o, time.Now()); err != nil {
		t.Fatal(err)
	}
	p.site(func(s *Site) { s.To[0].Attempts, s.To[0].Repeat = 0, false })
	if resp, _ := do(t, "GET", p.url+"/"); resp.StatusCode != 502 {
		t.Errorf("%d", resp.StatusCode)
	}
	if sum, _ := tried(); sum != 1 {
		t.Errorf("%d targets were asked beyond the budget, want 1", sum)
	}
	if s := p.pool.Stats(time.Now()); s.RetriesNoBudget != 1 {
		t.Errorf("%d retries refused by the budget, want 1", s.RetriesNoBudget)
	}
}

// Who refuses a connection has seen nothing, so everything may go to another target: also a POST whose body is still coming.
func TestRefusedConnectionsGoElsewhere(t *testing.T) { onBoth(t, testRefusedConnectionsGoElsewhere) }

func testRefusedConnectionsGoElsewhere(t *testing.T) {
	p := front(t, 0, closed(t), closed(t), named(t, "one"))
	for i := range 6 {
		c, r := dial(t, p.addr)
		send(t, c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello")
		until(t, "the target has it", func() bool { return p.pool.Stats(time.Now()).InFlight == 1 })
		send(t, c, "world")
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || string(b) != "one" || resp.Header.Get("X-Body") != "10" {
			t.Errorf("%d: %d %s, %s bytes", i, resp.StatusCode, b, resp.Header.Get("X-Body"))
		}
		c.Close()
		until(t, "the slot is free", func() bool { return p.pool.Stats(time.Now()).InFlight == 0 })
	}
}
