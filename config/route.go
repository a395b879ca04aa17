package config

// Route says what becomes of the requests that it matches: exactly one of
// Pool, Split, Redirect and Respond is set.
type Route struct {
	// Name in metrics and logs. Default: the host, or else the address, and the path.
	Name string `yaml:"name" jsonschema:"minLength=1"`
	// Host to match: exact, "*.example.com" for every name below it, or "*" or "" for any.
	Host string `yaml:"host"`
	// Path to match: exact "/a", everything below "/v1/*", a pattern with more *, or "*" or "" for any.
	Path string `yaml:"path"`
	// Methods to match; GET is also HEAD. Without it, any.
	Methods StringList `yaml:"methods" jsonschema:"minItems=1" example:"[GET, POST]"`
	// Headers that the request must have, by name.
	Headers map[string]Match `yaml:"headers" jsonschema:"minProperties=1" example:"{X-Model: large}"`
	// Parameters that the query must have, by name.
	Query map[string]Match `yaml:"query" jsonschema:"minProperties=1" example:"{version: \"2\"}"`
	// Cookies that the request must have, by name.
	Cookies map[string]Match `yaml:"cookies" jsonschema:"minProperties=1" example:"{beta: \"1\"}"`

	// Name of the pool that answers.
	Pool string `yaml:"pool" example:"api"`
	// Pools that share the requests by weight.
	Split []Arm `yaml:"split" jsonschema:"minItems=1" example:"[{pool: stable, weight: 95}, {pool: canary, weight: 5}]"`
	// What keeps a client on its part of a split: client, header:NAME, cookie:NAME or query:NAME. Without it, each request is drawn anew.
	SplitBy Key `yaml:"split_by" keys:"client header cookie query"`
	// Send the client elsewhere.
	Redirect *Redirect `yaml:"redirect"`
	// Answer without a pool.
	Respond *Respond `yaml:"respond"`

	// Change the path that the target sees.
	Rewrite *Rewrite `yaml:"rewrite"`
	// Change the headers that the target sees.
	RequestHeaders HeaderEdits `yaml:"request_headers"`
	// Change the headers that the client sees.
	ResponseHeaders HeaderEdits `yaml:"response_headers"`
	// Send a copy of requests to another pool, whose answers nobody sees and which never slows the original.
	Mirror *Mirror `yaml:"mirror"`

	// How long a target may take, where that differs from the pool.
	Timeouts RouteTimeouts `yaml:"timeouts"`
	// What a client may send, where that differs from the whole file.
	Limits RouteLimits `yaml:"limits"`
	// Token buckets; a request needs a token of each, or the answer is 429.
	RateLimits []RateLimit `yaml:"rate_limits" jsonschema:"minItems=1" example:"[{by: client, rate: 10/s}]"`

	// Importance in the queue: the higher is served first and refused last; 0 is the usual. A number, or {header, max, default}.
	Priority Priority `yaml:"priority"`
	// When an answer is of no use any more: a duration from the request's arrival, or {header, after}.
	Deadline Deadline `yaml:"deadline"`
	// Whom a request counts for where the queue shares its slots fairly: client, network, header:NAME, cookie:NAME or query:NAME.
	Tenant Key `yaml:"tenant" keys:"client network header cookie query"`
	// Send comments to clients of event streams this often while they wait for the first byte. 0 sends none.
	Heartbeat Duration `yaml:"heartbeat"`
	// Ask a second target when the first one is slow, and take the answer that comes first. A duration, or {after}.
	Hedge *Hedge `yaml:"hedge"`
	// Whether a request is tried again on another target.
	Retry Retry `yaml:"retry"`
	// Tell every client that asks how a request was answered, and let 404 and 405 say what exists.
	Debug bool `yaml:"debug"`
}

// Match is what a header, a parameter or a cookie must be. The file may
// give its exact text alone.
type Match struct {
	// The whole value.
	Exact *string `yaml:"exact"`
	// What the value begins with.
	Prefix string `yaml:"prefix" jsonschema:"minLength=1"`
	// Regular expression (RE2) that is found in the value; ^ and $ tie it to the ends.
	Regexp string `yaml:"regexp" jsonschema:"minLength=1"`
	// true: it is there, with any value. false: it is not there.
	Present *bool `yaml:"present"`
}

// Arm is one part of a split.
type Arm struct {
	// Name of the pool that answers.
	Pool string `yaml:"pool" jsonschema:"required" example:"api"`
	// Share of the requests relative to the other parts. 0 sends none.
	Weight int `yaml:"weight" jsonschema:"minimum=0,maximum=1000000"`
}

// Redirect sends the client elsewhere. The file may give its target alone.
type Redirect struct {
	// URL or path to go to. {scheme}, {host}, {path}, {query}, {uri} (path and query) and {header.NAME} are those of the request.
	To string `yaml:"to" jsonschema:"required,minLength=1" example:"\"https://{host}{uri}\""`
	// Status of the answer.
	Status int `yaml:"status"`
}

// Respond is an answer without a pool. The file may give its status alone.
type Respond struct {
	// Status of the answer, from 200 to 599.
	Status int `yaml:"status" jsonschema:"minimum=200,maximum=599"`
	// Body of the answer.
	Body string `yaml:"body"`
	// Headers of the answer.
	Headers map[string]string `yaml:"headers"`
}

// Rewrite changes the path that the target sees; the query stays.
type Rewrite struct {
	// What to take from the front of the path.
	StripPrefix string `yaml:"strip_prefix"`
	// What to put in front of the path, after strip_prefix.
	AddPrefix string `yaml:"add_prefix"`
	// The whole path, in place of the client's.
	Path string `yaml:"path"`
	// Replace what a regular expression finds.
	Regexp *RewriteRegexp `yaml:"regexp"`
}

// RewriteRegexp replaces every part of the path that a regular expression
// finds.
type RewriteRegexp struct {
	// Regular expression (RE2).
	Match string `yaml:"match" jsonschema:"required,minLength=1" example:"^/user/([0-9]+)"`
	// Text to put in its place; $1 is what the first parentheses found.
	To string `yaml:"to" jsonschema:"required" example:"/u/$1"`
}

// HeaderEdits change headers: first Remove, then Set, then Add. Values may
// use {client_ip}, {host}, {method}, {path}, {query}, {uri}, {scheme},
// {request_id}, {target} and {header.NAME}; "{{" is a plain brace.
type HeaderEdits struct {
	// Headers to have with exactly this value.
	Set map[string]string `yaml:"set" jsonschema:"minProperties=1" example:"{X-Env: production}"`
	// Headers to add, beside those of the same name.
	Add map[string]string `yaml:"add" jsonschema:"minProperties=1" example:"{X-Via: weir}"`
	// Names of headers to remove; "X-Internal-*" is all that begin so.
	Remove StringList `yaml:"remove" jsonschema:"minItems=1" example:"[X-Debug]"`
}

// Mirror copies requests to another pool. The file may give its pool alone.
type Mirror struct {
	// Name of the pool that gets the copies.
	Pool string `yaml:"pool" jsonschema:"required" example:"shadow"`
	// Part of the requests that is copied, in percent.
	Percent float64 `yaml:"percent" jsonschema:"exclusiveMinimum=0,maximum=100"`
	// Requests with a larger body are not copied.
	MaxBody Size `yaml:"max_body"`
}

// RouteTimeouts override those of the pool.
type RouteTimeouts struct {
	// To open a connection.
	Connect Duration `yaml:"connect"`
	// Longest wait in the queue.
	Queue Duration `yaml:"queue"`
	// From the end of the request to the first byte of the answer.
	FirstByte Duration `yaml:"first_byte"`
	// Between two chunks of an answer.
	Idle Duration `yaml:"idle"`
}

// RouteLimits override those of the whole file.
type RouteLimits struct {
	// Largest request body; above it the answer is 413. 0 sets no limit.
	Body *Size `yaml:"body"`
}

// RateLimit is a token bucket for each value of a key.
type RateLimit struct {
	// What has a bucket of its own: client, network, header:NAME, cookie:NAME, query:NAME, or all for one bucket of the whole route.
	By Key `yaml:"by" jsonschema:"required" keys:"client network header cookie query all" example:"client"`
	// Tokens that flow in, such as 10/s, 600/m or 5/h.
	Rate Rate `yaml:"rate" jsonschema:"required" example:"10/s"`
	// Most tokens that a bucket holds. Default: one second's worth, at least one.
	Burst int `yaml:"burst" jsonschema:"minimum=1"`
}

// Priority is how important requests are; 0 is the usual. The file may give
// a number alone.
type Priority struct {
	// Header that says it, as a number; beyond max, or below minus max, it counts as these.
	Header string `yaml:"header" jsonschema:"minLength=1"`
	// The highest that the header may ask for.
	Max int `yaml:"max" jsonschema:"minimum=1,maximum=100"`
	// That of requests whose header does not say it.
	Default int `yaml:"default" jsonschema:"minimum=-100,maximum=100"`
}

// Deadline is when an answer is of no use any more. The file may give a
// duration alone.
type Deadline struct {
	// Header that says it from the request's arrival, in milliseconds or as a duration with a unit.
	Header string `yaml:"header" jsonschema:"minLength=1"`
	// That of requests whose header does not say it. 0 sets none.
	After Duration `yaml:"after"`
}

// Hedge asks a second target when the first one is slow. The file may give
// its duration alone.
type Hedge struct {
	// How long the first target may take to its first byte before a second one is asked too.
	After Duration `yaml:"after" jsonschema:"required" example:"500ms"`
}

// Retry says whether a request is tried again on another target. That is
// only done before the first byte of the answer.
type Retry struct {
	// Targets that a request is given to, with the first one. 1 never tries again.
	Attempts int `yaml:"attempts" jsonschema:"minimum=1,maximum=10"`
	// Doing a request twice does no harm, POST and PATCH included.
	Idempotent bool `yaml:"idempotent"`
}
