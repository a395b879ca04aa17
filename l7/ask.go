package l7

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/balance"
	"github.com/weirlb/weir/h1"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/route"
	"github.com/weirlb/weir/telemetry"
)

// maxCollect bounds the bodies that are read to the end before a target is chosen, for what their fields say.
const maxCollect = 1 << 20

// reads says whether the choice of a target depends on the body.
func (d *Destination) reads() bool {
	return d.Key.From == ByJSON || len(d.Prefix.JSON) > 0 || len(d.Size.JSON) > 0
}

// collected says whether enough of the body, which begins with b, is there to choose a target: all of it, when its fields count and it is
// not too large, or it is on its way anyway. A client that waits for 100 Continue is not kept waiting: its target says that.
func (x *exchange) collected(b []byte) bool {
	if !x.req.HasBody() || x.req.Expect && !x.invited {
		return true
	}
	most := int64(0)
	switch {
	case x.dest.reads():
		most = maxCollect
	case x.mirrored:
		most = x.to.Mirror.most()
	case !x.req.Chunked:
		most = x.eager
	}
	if max := x.maxBody(); max > 0 && int64(len(b)) > max {
		return true // to be refused
	}
	if x.req.Length > most || int64(len(b)) >= most {
		return true
	}
	body := h1.RequestBody(&x.req)
	_, err := body.Next(b)
	return err != nil || body.Done()
}

// invites says whether Weir has to tell the client to send its body, as it counts for the choice of a target. b is what came of it
// anyway. Else the target tells, or does not: it may refuse the request by its head.
func (x *exchange) invites(b []byte) bool {
	x.invited = x.req.Expect && x.req.Minor > 0 && x.dest.reads() && x.req.HasBody() && x.req.Length <= maxCollect
	return x.invited && len(b) == 0
}

const goOn = "HTTP/1.1 100 Continue\r\n\r\n"

// ask says what the request asks of its pool. body is what is at hand of it.
func (x *exchange) ask(body []byte) {
	a := &x.lease.Ask
	prefix := a.Prefix[:0]
	*a = pool.Ask{Prefix: prefix, Priority: x.to.Priority.Default, Explain: x.debug}
	d := x.dest
	if d.reads() {
		body = x.document(body)
	}
	if d.Key.From != NoKey {
		if v, ok := x.value(d.Key, body); ok {
			a.Key = balance.Hash(v)
		}
	}
	if len(d.Prefix.JSON) > 0 {
		if p := prompt(body, d.Prefix.JSON); len(p) > 0 {
			a.Prefix = balance.PrefixHashes(prefix, p, d.Prefix.Block)
		}
	}
	a.Size = x.size(d.Size, body)
	if d.Sticky != nil {
		if v := route.Cookie(x.req.Get("cookie"), d.Sticky.Cookie.Name); v != nil {
			a.Sticky, _, _ = d.Sticky.Ring.Open(v, d.Name, x.access.Start)
		}
	}
	if h := x.to.Priority.Header; h != "" {
		if n, err := strconv.Atoi(string(x.req.Get(h))); err == nil {
			a.Priority = min(max(n, -x.to.Priority.Max), x.to.Priority.Max)
		}
	}
	if t := x.to.Tenant; t.From != NoKey {
		if v, ok := x.value(t, body); ok {
			a.Tenant = balance.Hash(v)
			x.tell(t, v)
		}
	}
	if d := x.deadline(); d > 0 {
		a.Deadline = x.access.Start.Add(d)
	}
}

// document is the request's body when it is there as a whole, without chunk heads; else nil.
func (x *exchange) document(body []byte) []byte {
	switch {
	case !x.replay:
		return nil
	case !x.req.Chunked:
		return body
	}
	return unchunk(body)
}

// unchunk joins the data of a chunked body that was found to be well-formed.
func unchunk(b []byte) []byte {
	var out []byte
	for {
		n, i := 0, 0
		for ; i < len(b); i++ {
			c := b[i]
			switch {
			case c >= '0' && c <= '9':
				n = n<<4 | int(c-'0')
			case c|0x20 >= 'a' && c|0x20 <= 'f':
				n = n<<4 | int(c|0x20-'a'+10)
			default:
				goto data
			}
		}
	data:
		for i < len(b) && b[i] != '\n' {
			i++
		}
		i++
		if n == 0 || n > len(b)-i {
			return out
		}
		out = append(out, b[i:i+n]...)
		b = b[min(i+n+2, len(b)):]
	}
}

func (x *exchange) deadline() time.Duration {
	d := x.to.Deadline.After
	if h := x.to.Deadline.Header; h != "" {
		if v := string(x.req.Get(h)); v != "" {
			if ms, err := strconv.ParseInt(v, 10, 32); err == nil && ms > 0 {
				d = time.Duration(ms) * time.Millisecond
			} else if t, err := time.ParseDuration(v); err == nil && t > 0 {
				d = t
			}
		}
	}
	if q := x.to.Queue; q > 0 && (d == 0 || q < d) {
		d, x.hasty = q, true
	}
	return d
}

// tell notes whom the request counts for, for the log and the trace. Nothing that opens doors is written there.
func (x *exchange) tell(k Key, v []byte) {
	if x.site.Log == nil && x.site.Tracer == nil {
		return
	}
	a := &x.access
	var id [16]byte
	switch {
	case k.From == ByClient || k.From == ByNetwork:
		a.Tenant = a.KeepString(x.client.String())
	case k.Name == "authorization":
		a.Tenant = a.Keep(telemetry.AppendKeyID(id[:0], admit.APIKey(v)))
	case k.secret():
		a.Tenant = a.Keep(telemetry.AppendKeyID(id[:0], v))
	default:
		a.Tenant = a.Keep(v)
	}
}

// secret says whether the key looks like one that is not to be shown.
func (k Key) secret() bool {
	if k.From == ByCookie {
		return true
	}
	return slices.ContainsFunc([]string{"auth", "key", "token", "secret"}, func(word string) bool {
		return strings.Contains(strings.ToLower(k.Name), word)
	})
}

// value finds what a key says of the request. False: nothing.
func (x *exchange) value(k Key, body []byte) ([]byte, bool) {
	var v []byte
	switch k.From {
	case ByClient, ByNetwork:
		a := x.client.As16()
		v = append(x.extra[:0], a[:]...)
		x.extra = v
	case ByHeader:
		v = x.req.Get(k.Name)
	case ByCookie:
		v = route.Cookie(x.req.Get("cookie"), k.Name)
	case ByQuery:
		v = route.Param(x.req.Query(), k.Name)
	case ByJSON:
		if r := gjson.GetBytes(body, k.Name); r.Exists() {
			v = []byte(r.String())
		}
	case Everything:
		return nil, true
	}
	return v, len(v) > 0
}

// prompt is the text of the first field that is there. What is not text counts as it is written, such as the messages of a chat.
func prompt(body []byte, paths []string) []byte {
	for _, p := range paths {
		switch r := gjson.GetBytes(body, p); {
		case !r.Exists():
		case r.Type == gjson.String:
			return []byte(r.Str)
		default:
			return []byte(r.Raw)
		}
	}
	return nil
}

// size is what predicts the request's cost; 0 when it says nothing.
func (x *exchange) size(s Size, body []byte) float64 {
	switch {
	case len(s.JSON) > 0:
		n, any := 1.0, false
		for _, p := range s.JSON {
			switch r := gjson.GetBytes(body, p); {
			case r.Type == gjson.Number && r.Num > 0:
				n, any = n*r.Num, true
			case r.Type == gjson.String && len(r.Str) > 0:
				n, any = n*float64(len(r.Str)), true
			}
		}
		if any {
			return n
		}
	case s.Header != "":
		if n, err := strconv.ParseFloat(string(x.req.Get(s.Header)), 64); err == nil && n > 0 && n < 1e15 {
			return n
		}
	case s.Bytes:
		return float64(max(x.req.Length, 0))
	}
	return 0
}
