package l7

import (
	"crypto/tls"
	"sync/atomic"
	"time"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/h1"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/route"
	"github.com/weirlb/weir/session"
	"github.com/weirlb/weir/telemetry"
)

// Site is what a listener serves: immutable, and swapped whole on a reload.
type Site struct {
	Routes *route.Table
	To     []*Route // by the index that Routes.Match returns

	Limits      h1.Limits
	MaxBody     int64         // bytes of a request's body; 0 means no limit
	MaxConns    int64         // connections of the listener; 0 means no limit
	HeadTimeout time.Duration // for a whole request head, from its first byte
	BodyTimeout time.Duration // between two pieces of a request's body; 0 means no limit
	BodyRate    int64         // bytes a second that a request's body must come at, on average, after BodyTimeout; 0: no limit
	KeepAlive   time.Duration // a connection may be idle between requests
	Forwarded   bool          // write RFC 7239 Forwarded
	Via         bool

	Trusted  *admit.Networks // peers whose X-Forwarded-For is believed; nil: none
	Access   *admit.Access   // who may send requests; nil: everybody
	Debug    *admit.Networks // clients that may ask for X-Weir-* headers; nil: none
	Keys     *admit.Keys     // tells clients apart; needed with any of the limits below, and with Rates of routes
	Conns    *admit.Clients  // connections that each client network may have; nil: no limit
	Requests *admit.Clients  // requests that each may have under way; nil: no limit

	Challenge func(host, path string) ([]byte, bool) // answers ACME's HTTP-01; nil: none
	Log       *telemetry.AccessLog                   // nil: none
	Tracer    *telemetry.Tracer                      // nil: none
	AltSvc    string                                 // value of Alt-Svc in answers over TLS, such as `h3=":443"; ma=86400`; "": none
}

// Route is where a route leads: to one of Pools, to a redirect, or to a fixed answer.
type Route struct {
	Name  string
	Pools []*Destination
	Split *route.Split // chooses among several Pools
	By    Key          // what keeps a client with its arm of Split; its zero value: nothing

	Redirect *route.Redirect
	Respond  *route.Answer

	Rewrite *route.Rewriter
	Request *route.Edits // of the request's headers
	Answer  *route.Edits // of the answer's headers
	Mirror  *Mirror

	Connect   time.Duration // to open a connection to a target
	FirstByte time.Duration // from the end of the request to the first byte of the answer
	Idle      time.Duration // between two bytes of an answer, or of a tunnel; there is no limit on the whole
	Queue     time.Duration // a request may wait in the queue, if that is less than the pool's own limit; 0: that alone

	MaxBody   int64 // bytes of a request's body, in place of the site's; 0: as the site
	Rates     []Rate
	Priority  Priority
	Deadline  Deadline
	Tenant    Key           // whose share of the pool a request counts for; its zero value: nobody's
	Heartbeat time.Duration // an event stream that waits gets a comment so often; 0: none
	Hedge     time.Duration // a second target is asked when the first has said nothing for so long; 0: never
	Attempts  int           // targets that one request may be given; 0 means 3
	Repeat    bool          // every request may be sent twice, whatever its method
	Debug     bool          // 404 and 405 say what there is

	Meter *telemetry.RouteMeter // nil: none
}

// Destination is a pool with what it wants to know of a request, and how its targets are spoken to.
type Destination struct {
	*pool.Pool
	Key    Key    // what its algorithm hashes by
	Prefix Prefix // of what the request asks, for prefix_affinity
	Size   Size   // what predicts a request's cost
	Sticky *Sticky
	ORCA   string // the gauge to take from the load that targets report in their answers, or AnyGauge; "": none

	TLS   *tls.Config // to targets; nil: plain
	H2    bool        // HTTP/2 to targets
	Proxy int         // version of the PROXY protocol to targets: 0 (none), 1 or 2
}

// AnyGauge takes whichever gauge of a report balance.ParseORCA takes by itself.
const AnyGauge = "auto"

// Source is where a Key is found.
type Source uint8

// The sources of keys.
const (
	NoKey      Source = iota
	ByClient          // the client's address
	ByNetwork         // the client's network, as admit.Clients cuts it
	ByHeader          // a header, by its name in lower case
	ByCookie          // a cookie
	ByQuery           // a parameter of the query
	ByJSON            // a field of a JSON body, by its path as in "model" or "extra.lora"
	Everything        // one key for all requests
)

// Key is a property of a request that others are told apart by.
type Key struct {
	From Source
	Name string
}

// Prefix says where the prompt is.
type Prefix struct {
	JSON  []string // paths of fields of a JSON body; the first that is there counts
	Block int      // bytes; 0 means balance.PrefixBlock
}

// Size predicts the cost of a request: the product of fields of its JSON body, a header with a number, or the length of its body.
type Size struct {
	JSON   []string
	Header string
	Bytes  bool
}

// Sticky keeps a client on a target by a signed cookie.
type Sticky struct {
	Ring   *session.Ring
	Cookie session.Cookie // that passed its Check
}

// Rate limits the requests of one key.
type Rate struct {
	By    Key
	Limit *admit.Rates
	Name  string // for the refusal: "20/s per client"

	Refused *atomic.Uint64 // counts the requests that it refused; nil: nobody does
}

// Priority is where a request's priority comes from.
type Priority struct {
	Header string // in lower case; "": Default for all
	Default,
	Max int // the header may not say more, nor less than -Max
}

// Deadline is when a request is of no use any more.
type Deadline struct {
	Header string        // in lower case, with milliseconds or a Go duration; "": none
	After  time.Duration // of every request without the header; 0: none
}

// Mirror sends copies of requests to another pool and throws the answers away.
type Mirror struct {
	To      *Destination
	Percent float64 // of the requests
	MaxBody int64   // bytes; requests with larger bodies are not copied

	Sent *atomic.Uint64 // counts the copies; nil: nobody does
}
