package l7

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"time"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/balance"
	"github.com/weirlb/weir/h1"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/route"
	"github.com/weirlb/weir/telemetry"
)

// exchange is one request and its answer, whoever moves the bytes: it reads heads, routes, decides what is forwarded,
// when another target is tried and what the client is told. It does no I/O and never blocks, so that a blocked goroutine, an
// event loop and an HTTP/2 stream can drive the same exchange. A driver calls its methods in this order:
//
//	request -> find -> admit -> [collected] -> body -> forward -> [lease] -> (answer while Interim) -> ... -> outcome -> end
//
// asks failed when something breaks on the way, and end once for every request that find has seen.
type exchange struct {
	req      h1.Request
	resp     h1.Response
	reqBody  h1.Body
	respBody h1.Body
	lease    *pool.Lease // own, or the one of a hedge that won
	own      pool.Lease

	from   *origin
	site   *Site
	to     *Route
	dest   *Destination
	client netip.Addr // who sent the request, as far as proxies that are trusted say
	came   int64      // when the request was read, by the coarse clock

	attempts   int   // targets tried
	resends    int   // times it was sent to the same target once more
	repeatable bool  // sending the request twice is safe, by its method or by the client's word
	forwarded  bool  // the head was forwarded: its bytes are not needed any more
	replay     bool  // the whole request is at hand, so it can be sent again
	begun      bool  // the final answer has begun
	last       bool  // the client's connection ends after this exchange
	sse        bool  // the answer is a stream of events
	debug      bool  // the client may see why, and asked
	entered    bool  // counted by site.Requests
	kept       bool  // req refers to head
	mirrored   bool  // a copy is to go to the route's mirror
	invited    bool  // Weir told the client to send its body
	grpc       bool  // a gRPC call, by HTTP/2 or 3
	hasty      bool  // that it may not wait longer is the route's word, not the request's deadline
	eager      int64 // bodies of up to so many bytes are on their way with the head, and waited for
	sent       int64 // bytes of the answer that went to the client
	received   int64 // bytes of the body that came

	head   []byte // a copy of the request's head, when it is needed to the end
	extra  []byte // scratch for header lines
	target []byte // scratch for a rewritten target
	vars   route.Vars
	access telemetry.Access
	slot   time.Time     // when the request was given its first slot
	tried  time.Time     // when a connection to the target was begun; only loops say
	arm    []byte        // the value of the cookie that keeps the client with its part of a split, when it is new
	first  time.Duration // from the target's slot to the answer's head
	beat   beat
}

// pause is how long the next piece of the request's body may take.
func (x *exchange) pause() time.Duration {
	if x.site.BodyTimeout > 0 {
		return x.site.BodyTimeout
	}
	return x.to.FirstByte
}

// crawls says whether the body comes more slowly than it may.
func (x *exchange) crawls(clock int64) bool {
	s := x.site
	took := time.Duration(clock - x.came)
	return s.BodyRate > 0 && took > s.BodyTimeout && float64(x.received) < took.Seconds()*float64(s.BodyRate)
}

// maxAttempts bounds how many targets one request may be given, unless its route says otherwise.
const maxAttempts = 3

// request reads the request at the start of b; h1.ErrMore asks for more bytes.
func (x *exchange) request(b []byte, l h1.Limits) error {
	if err := x.req.Parse(b, l); err != nil {
		return err
	}
	x.reqBody = h1.RequestBody(&x.req)
	x.repeatable = x.req.Idempotent() || x.req.Get("idempotency-key") != nil
	x.attempts, x.resends, x.sent, x.received, x.first = 0, 0, 0, 0, 0
	x.mirrored, x.invited, x.hasty, x.slot, x.arm = false, false, false, time.Time{}, x.arm[:0]
	x.forwarded, x.begun, x.replay, x.sse, x.debug, x.entered, x.kept = false, false, false, false, false, false, false
	x.last = x.req.Close || x.req.Minor == 0
	x.to, x.dest, x.lease, x.beat = nil, nil, &x.own, beat{}
	return nil
}

// find finds the request's route. Not ok: there is none, or the client may not ask, and r is the answer.
func (x *exchange) find(s *Site, from *origin, now time.Time) (r reply, ok bool) {
	x.site, x.from, x.client = s, from, from.peer.Addr()
	x.access.Reset(now)
	if s.Trusted != nil && s.Trusted.Contains(x.client) {
		x.client = admit.ClientIP(x.client, x.req.All("x-forwarded-for"), s.Trusted)
	}
	if s.Log != nil || s.Tracer != nil {
		x.note()
	}
	if s.Access != nil && !s.Access.Admits(x.client) {
		return denied, false
	}
	if s.Challenge != nil && len(x.req.Path) > len(challengePath) && string(x.req.Path[:len(challengePath)]) == challengePath {
		if body, ok := s.Challenge(string(x.req.Host), string(x.req.Path)); ok {
			return reply{status: 200, lines: textPlain, body: body}, false
		}
	}
	asked := route.Request{Method: x.req.Method, Host: x.req.Host, Path: x.req.Path, Query: x.req.Query(), Header: &x.req}
	i := s.Routes.Match(&asked)
	if i < 0 {
		return x.missed(&asked), false
	}
	x.to = s.To[i]
	return reply{}, true
}

// admit applies the route. ok: the request goes to x.dest. Else r is the answer.
func (x *exchange) admit(now time.Time) (r reply, ok bool) {
	if x.to.Answer != nil {
		x.keep() // for what placeholders stand for
	}
	if r, ok := x.limit(now); !ok {
		return r, false
	}
	switch {
	case x.to.Redirect != nil:
		x.setVars("")
		return reply{status: x.to.Redirect.Status, lines: append(x.to.Redirect.Append([]byte("Location: "), &x.vars), "\r\n"...)}, false
	case x.to.Respond != nil:
		a := x.to.Respond
		return reply{status: a.Status, lines: a.Lines, body: a.Body, framed: true}, false
	}
	x.dest = x.to.Pools[0]
	if x.to.Split != nil {
		key, ok := x.value(x.to.By, nil)
		if !ok && x.to.By.From == ByCookie {
			x.arm = route.AppendKey(x.arm[:0], rand.Uint64())
			key = x.arm
		}
		x.dest = x.to.Pools[x.to.Split.Choose(rand.Uint64(), key)]
	}
	if m := x.to.Mirror; m != nil {
		x.mirrored = m.Percent >= 100 || rand.Float64()*100 < m.Percent
	}
	x.repeatable = x.repeatable || x.to.Repeat
	x.debug = x.asksWhy()
	return reply{}, true
}

// asksWhy says whether the client wants to know what Weir does with its request, and may.
func (x *exchange) asksWhy() bool {
	may := x.to != nil && x.to.Debug || x.site.Debug != nil && x.site.Debug.Contains(x.client)
	return may && x.req.Get("x-weir-debug") != nil
}

const challengePath = "/.well-known/acme-challenge/"

// keep copies the head, so that it can be read to the exchange's end.
func (x *exchange) keep() {
	if !x.kept {
		x.kept = true
		x.head = x.req.Move(x.head)
	}
}

// note takes down what the log and the trace will say of the request.
func (x *exchange) note() {
	x.keep()
	a := &x.access
	a.Client, a.Protocol, a.TLS = x.client, x.from.proto, x.from.tls
	a.Method, a.Host, a.Path, a.Query = x.req.Method, x.req.Host, x.req.Path, x.req.Query()
	a.UserAgent, a.Referer = x.req.Get("user-agent"), x.req.Get("referer")
	x.identify()
	if x.site.Tracer != nil {
		x.site.Tracer.Start(a, x.req.Get("traceparent"), x.req.Get("tracestate"))
	}
}

// identify finds the request's ID, or gives it one.
func (x *exchange) identify() {
	a := &x.access
	if id := x.req.Get("x-request-id"); len(id) > 0 && len(id) <= 128 {
		a.RequestID = a.Keep(id)
		return
	}
	var id [16]byte
	const hex = "0123456789abcdef"
	for i, n := 0, rand.Uint64(); i < len(id); i, n = i+1, n>>4 {
		id[i] = hex[n&15]
	}
	a.RequestID = a.Keep(id[:])
}

// limit applies what bounds single requests and clients.
func (x *exchange) limit(now time.Time) (reply, bool) {
	s := x.site
	if max := x.maxBody(); max > 0 && x.req.Length > max {
		return tooBig, false
	}
	for i := range x.to.Rates {
		l := &x.to.Rates[i]
		if ok, after := l.Limit.Allow(x.limitKey(l.By), now, 1); !ok {
			if l.Refused != nil {
				l.Refused.Add(1)
			}
			return reply{
				status: 429, kind: "rate_limit_exceeded", code: "rate_limits",
				message: "more requests than " + l.Name + "; try again later", retryAfter: max(after, time.Second),
			}, false
		}
	}
	if s.Requests != nil {
		if x.entered = s.Requests.Enter(s.Keys.Network(x.client)); !x.entered {
			return busyClient, false
		}
	}
	return reply{}, true
}

func (x *exchange) maxBody() int64 {
	if x.to.MaxBody > 0 {
		return x.to.MaxBody
	}
	return x.site.MaxBody
}

func (x *exchange) limitKey(k Key) uint64 {
	switch k.From {
	case Everything:
		return 0
	case ByClient, ByNetwork:
		return x.site.Keys.Network(x.client)
	}
	v, _ := x.value(k, nil)
	return x.site.Keys.Value(v)
}

// plain says whether a loop can carry the route's exchanges. What needs more than one connection to targets at a time, or one that is
// not plain HTTP/1.1, is carried by goroutines.
func (r *Route) plain() bool {
	for _, d := range r.Pools {
		if d.TLS != nil || d.H2 || d.Proxy != 0 {
			return false
		}
	}
	return r.Hedge == 0
}

// body counts the n bytes of the request's body that are at hand with the head. Only a request that is
// there as a whole can be sent to a second target.
func (x *exchange) body(b []byte) (int, error) {
	x.received = 0
	n, err := x.more(b)
	x.replay = err == nil && x.reqBody.Done()
	return n, err
}

// more takes bytes of the body.
func (x *exchange) more(b []byte) (int, error) {
	n, err := x.reqBody.Next(b)
	if err == nil {
		x.received += int64(n)
		if max := x.maxBody(); max > 0 && x.received > max {
			err = errBodyTooBig
		}
	}
	return n, err
}

// forward appends what goes to the target first, the head and the body bytes at hand, and says what the request asks of its pool.
func (x *exchange) forward(out, body []byte) ([]byte, error) {
	x.forwarded = true
	x.ask(body)
	x.beats(body)
	f := h1.Forward{ClientIP: x.from.ip, TLS: x.from.tls != "", Forwarded: x.site.Forwarded, Via: x.site.Via}
	if x.site.Trusted != nil {
		f.KeepProto = x.site.Trusted.Contains(x.from.peer.Addr())
		f.KeepCert = f.KeepProto && x.from.certs == nil
	}
	x.extra = append(x.extra[:0], x.from.certs...)
	if x.to.Rewrite != nil {
		var err error
		if x.target, err = x.to.Rewrite.Append(x.target[:0], x.req.Path, x.req.Query()); err != nil {
			return out, err
		}
		f.Target = x.target
	}
	if t := &x.access.Trace; t.Valid() {
		f.Drop = x.drops
		x.extra = telemetry.AppendTraceparent(append(x.extra, "traceparent: "...), t)
		x.extra = append(x.extra, "\r\n"...)
	}
	if e := x.to.Request; e != nil {
		x.setVars("")
		f.Drop = x.drops
		x.extra = e.Append(x.extra, &x.vars)
	}
	if x.invited {
		f.Drop = x.drops
	}
	f.Extra = x.extra
	return append(x.req.Append(out, f), body...), nil
}

// drops says whether a header is not forwarded as it came.
func (x *exchange) drops(name []byte) bool {
	if x.invited && equalFold(name, "expect") || x.to.Request.Drops(name) {
		return true
	}
	t := &x.access.Trace
	return t.Valid() && (equalFold(name, "traceparent") || t.DropState && equalFold(name, "tracestate"))
}

func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

func (x *exchange) setVars(target string) {
	if len(x.access.RequestID) == 0 {
		x.identify()
	}
	x.vars = route.Vars{
		Request:  route.Request{Method: x.req.Method, Host: x.req.Host, Path: x.req.Path, Query: x.req.Query(), Header: &x.req},
		ClientIP: x.client.String(), TLS: x.from.tls != "", RequestID: x.access.RequestID, Target: target,
	}
}

// next is what a driver does after a failure.
type next uint8

const (
	giveUp      next = iota // answer the client with an error, or cut what has begun
	again                   // the same target on a new connection
	otherTarget             // lease.Retry
)

// stage is how far an attempt came.
type stage uint8

const (
	connecting stage = iota // no byte of the request was written
	awaiting                // written, no byte of the answer read
	answering               // bytes of an answer were read
)

// failed decides what follows when an attempt broke. reused says that the connection had served before: then the
// target may merely have closed it while it was idle.
func (x *exchange) failed(at stage, reused bool) next {
	limit := maxAttempts
	if x.to.Attempts > 0 {
		limit = x.to.Attempts
	}
	switch {
	case x.begun || at == answering && x.beat.begun:
		return giveUp
	case at == answering: // half a head, or nonsense: the client has seen nothing of it
		if x.replay && x.repeatable && x.attempts < limit {
			return otherTarget
		}
	case at == connecting && reused:
		x.resends++
		return again
	case at == connecting:
		if x.attempts < limit {
			return otherTarget
		}
	case !x.replay || !x.repeatable:
	case reused:
		x.resends++
		return again
	case x.attempts < limit:
		return otherTarget
	}
	return giveUp
}

// answer reads the head of an answer at the start of b and appends what is forwarded. Interim answers are appended too and
// another head follows; h1.ErrMore asks for more bytes. closing says that Weir wants to be rid of the client's connection.
func (x *exchange) answer(out, b []byte, closing bool, now time.Time) ([]byte, error) {
	if err := x.resp.Parse(b, h1.Limits{}); err != nil {
		return out, err
	}
	if x.resp.Status == 101 && !x.req.Upgrade {
		return out, errUnasked
	}
	if x.resp.Interim() {
		if x.req.Minor == 0 {
			return out, nil // HTTP/1.0 knows no interim answers
		}
		return x.resp.Append(out, h1.Return{Via: x.site.Via}), nil
	}
	x.respBody = h1.ResponseBody(&x.resp, x.req.IsHead)
	x.last = x.last || closing || x.respBody.UntilClose()
	x.first = now.Sub(x.lease.Granted())
	if x.dest.ORCA != "" {
		x.report(now)
	}
	if x.beat.begun {
		return out, x.join()
	}
	x.begun = true
	x.sse = x.resp.EventStream()
	f := h1.Return{Last: x.last, Via: x.site.Via}
	if x.dressed() {
		x.dress(&f, now)
	}
	return x.resp.Append(out, f), nil
}

// dressed says whether answers are changed on their way.
func (x *exchange) dressed() bool {
	return x.to.Answer != nil || x.dest.Sticky != nil || x.debug || len(x.arm) > 0 || x.from.tls != "" && x.site.AltSvc != ""
}

// report takes what the target says of its load.
func (x *exchange) report(now time.Time) {
	v := string(x.resp.Get("endpoint-load-metrics"))
	if v == "" {
		b := x.resp.Get("endpoint-load-metrics-bin")
		if b == nil {
			return
		}
		v = "BIN " + string(b)
	}
	gauge := x.dest.ORCA
	if gauge == AnyGauge {
		gauge = ""
	}
	if r, err := balance.ParseORCA(v, gauge, now); err == nil {
		x.lease.Target().SetReport(r)
	}
}

// dress adds what Weir says in the head of an answer.
func (x *exchange) dress(f *h1.Return, now time.Time) {
	t := x.lease.Target()
	x.extra = x.extra[:0]
	if st := x.dest.Sticky; st != nil {
		x.extra = append(st.Cookie.Append(append(x.extra, "Set-Cookie: "...), st.Ring, x.dest.Name, t.ID, now, x.from.tls != ""), "\r\n"...)
	}
	if len(x.arm) > 0 && !x.sets(x.to.By.Name) {
		x.extra = x.appendArm(x.extra)
	}
	if x.from.tls != "" && x.site.AltSvc != "" {
		x.extra = append(append(append(x.extra, "Alt-Svc: "...), x.site.AltSvc...), "\r\n"...)
	}
	if x.debug {
		x.extra = append(append(append(x.extra, "X-Weir-Pool: "...), x.dest.Name...), "\r\nX-Weir-Target: "...)
		x.extra = append(append(append(x.extra, t.ID...), "\r\nX-Weir-Why: "...), x.lease.Why()...)
		x.extra = append(append(x.extra, "\r\nX-Weir-Queue: "...), x.queued().String()...)
		x.extra = telemetry.AppendServerTiming(append(x.extra, "\r\nServer-Timing: "...), x.queued(), x.access.Connect, x.toFirst())
		x.extra = append(x.extra, "\r\n"...)
	}
	if e := x.to.Answer; e != nil {
		x.setVars(t.Addr)
		f.Drop = e.Drops
		x.extra = e.Append(x.extra, &x.vars)
	}
	f.Extra = x.extra
}

// sets says whether the answer sets that cookie itself.
func (x *exchange) sets(cookie string) bool {
	for name, v := range x.resp.Each {
		if equalFold(name, "set-cookie") && len(v) > len(cookie) && string(v[:len(cookie)]) == cookie && v[len(cookie)] == '=' {
			return true
		}
	}
	return false
}

// appendArm appends the cookie that keeps a client with its part of a split, for a year.
func (x *exchange) appendArm(b []byte) []byte {
	b = append(append(append(b, "Set-Cookie: "...), x.to.By.Name...), '=')
	b = append(append(b, x.arm...), "; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax"...)
	if x.from.tls != "" {
		b = append(b, "; Secure"...)
	}
	return append(b, "\r\n"...)
}

// given notes that the request was given a target's slot.
func (x *exchange) given() {
	if x.attempts++; x.attempts == 1 {
		x.slot = x.lease.Granted()
	}
	x.access.Target, x.access.Connect = x.lease.Target().Addr, 0
}

// queued is how long the request waited for its first slot.
func (x *exchange) queued() time.Duration {
	if x.slot.IsZero() {
		return 0
	}
	return max(x.slot.Sub(x.lease.Arrived()), 0)
}

// toFirst is how long after its first slot the request was answered.
func (x *exchange) toFirst() time.Duration {
	if x.first == 0 {
		return 0
	}
	return x.first + x.lease.Granted().Sub(x.slot)
}

var (
	errBodyTooBig = &h1.Error{Status: tooBig.status, Reason: tooBig.message}
	errCrawls     = &h1.Error{Status: slowBody.status, Reason: slowBody.message}
)

var errUnasked = errors.New("101 Switching Protocols to a request that did not ask for it")

// reusable says whether the target's connection can serve another exchange.
func (x *exchange) reusable() bool {
	return x.respBody.Done() && !x.resp.Close && x.reqBody.Done() && x.req.Minor == 1
}

// cutEvent is the last thing that a stream of events says when its target breaks off: clients tell an end from a failure by it. The
// blank line before it ends what was begun.
const cutEvent = "\nevent: error\ndata: {\"error\":{\"message\":\"the target broke off before the end of the stream\",\"type\":\"bad_gateway\",\"param\":null,\"code\":\"target_cut\"}}\n\n"

// farewell appends what is left to say to a client whose answer has begun and cannot be finished. Only a stream of events has
// words for it; anything else is to look cut. The connection must end after it, without the chunk that would make the body look whole.
func (x *exchange) farewell(out []byte) []byte {
	switch {
	case !x.sse || x.req.IsHead:
		return out
	case x.beat.wrap:
		return appendChunk(out, cutEvent)
	case x.respBody.BetweenChunks():
		return appendChunk(out, cutEvent)
	case x.respBody.UntilClose():
		return append(out, cutEvent...)
	}
	return out
}

// appendChunk appends one chunk of less than a megabyte.
func appendChunk[T string | []byte](out []byte, data T) []byte {
	const hex = "0123456789abcdef"
	n := len(data)
	out = append(out, hex[n>>16&15], hex[n>>12&15], hex[n>>8&15], hex[n>>4&15], hex[n&15], '\r', '\n')
	return append(append(out, data...), "\r\n"...)
}

// outcome sums the exchange up for the pool.
func (x *exchange) outcome(broken, left bool) pool.Outcome {
	o := pool.Outcome{Failed: broken, Cancelled: left && !broken, FirstByte: x.first}
	if x.begun {
		o.Status = x.resp.Status
		o.Failed = o.Failed || x.resp.Status >= 500
	}
	return o
}

// release gives the slot back and notes what the log will say of it.
func (x *exchange) release(broken, left bool, now time.Time) {
	if x.watched() {
		x.access.Queue, x.access.FirstByte = x.queued(), x.toFirst()
		if t := x.lease.Target(); t != nil {
			x.access.Target = t.Addr
		}
	}
	x.lease.Release(x.outcome(broken, left), now)
}

// watched says whether anything is told of the exchange when it has ended.
func (x *exchange) watched() bool {
	return x.site.Log != nil || x.site.Tracer != nil || x.to != nil && x.to.Meter != nil
}

// ending is how an exchange ended.
type ending struct {
	reply reply // Weir's own answer; its zero value: there was none
	err   error // what broke
	left  bool  // the client did
}

// end is called once for every exchange that find has seen.
func (x *exchange) end(e ending, now time.Time) {
	if x.entered {
		x.entered = false
		x.site.Requests.Leave(x.site.Keys.Network(x.client))
	}
	if !x.watched() {
		return
	}
	a := &x.access
	a.Total = now.Sub(a.Start)
	a.BytesIn, a.BytesOut = x.received, x.sent
	a.Attempts, a.Retries = x.attempts, max(x.attempts-1, 0)+x.resends
	a.ClientLeft = e.left
	if x.to != nil {
		a.Route = x.to.Name
	}
	if x.dest != nil {
		a.Pool = x.dest.Name
	}
	switch {
	case e.reply.status != 0:
		a.Status = e.reply.status
		if e.reply.limits() {
			a.Refused = e.reply.code
		} else if e.reply.kind != "" {
			a.Error = e.reply.message
		}
	case x.begun:
		a.Status, a.Cut = x.resp.Status, e.err != nil && !e.left
	}
	if e.err != nil {
		a.Error = e.err.Error()
	}
	if x.to != nil {
		x.to.Meter.Observe(x.from.lane, a)
	}
	x.site.Log.Log(a)
	x.site.Tracer.End(a)
}

// refusal turns the error of an acquire into an answer.
func (x *exchange) refusal(err error) reply {
	if full, ok := errors.AsType[*admit.Refusal](err); ok {
		if x.hasty && full.Status == http.StatusGatewayTimeout {
			full = admit.QueueTimeout(x.dest.Name, x.to.Queue, 0, 0, 0)
		}
		status := full.Status
		if status == 0 {
			status = 503
		}
		return reply{status: status, code: full.Limit, kind: "overloaded", message: full.Message, retryAfter: full.RetryAfter}
	}
	return reply{status: 502, code: "no_target", kind: "bad_gateway", message: "no target could answer: " + err.Error()}
}
