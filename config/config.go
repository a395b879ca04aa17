// Package config reads Weir's one YAML file into validated structs.
//
// It is the only package that knows YAML. [Load] and [Parse] apply defaults,
// expand ${NAME} from the environment, refuse what they do not know, and
// report every mistake of a file at once, each with its line and a remedy.
package config

// Config is one whole file.
//
// The doc comments of this struct and of those in it are also the
// descriptions in [Schema], so they speak to the person who writes the YAML.
type Config struct {
	// Addresses that Weir accepts requests on, each with its routes.
	Listen []Listen `yaml:"listen" jsonschema:"required,minItems=1" example:"[{address: \":8080\", routes: [{pool: api}]}]"`
	// Pools by name. A name is 1 to 63 letters, digits, "-" or "_".
	Pools map[string]*Pool `yaml:"pools" jsonschema:"required,minProperties=1" example:"{api: {targets: [\"127.0.0.1:9001\"]}}"`
	// What tells when something is where it should not be.
	Alarms map[string]*Alarm `yaml:"alarms"`
	// Where the API, the metrics and the dashboard are served.
	Admin Admin `yaml:"admin"`
	// Directory for what must survive a restart: instances, decisions, logs of instances, certificates.
	State string `yaml:"state" jsonschema:"minLength=1"`
	// What Weir writes about itself to standard error.
	Log Log `yaml:"log"`
	// One line for each request. Without it, none is written.
	AccessLog *AccessLog `yaml:"access_log"`
	// OpenTelemetry traces. Without it, none are sent, and the trace headers of clients pass through.
	Tracing *Tracing `yaml:"tracing"`
	// What Weir measures and how long it keeps that.
	Metrics Metrics `yaml:"metrics"`
	// What a client may send, on every listener.
	Limits Limits `yaml:"limits"`
	// How long a client may take, on every listener.
	Timeouts Timeouts `yaml:"timeouts"`
	// Load the file again whenever it changes, as "weir reload" does.
	Watch bool `yaml:"watch"`
	// Secrets that sign sticky cookies, each of 16 letters or more: the first one signs, all of them verify.
	// Without them Weir makes its own and keeps them in the state directory.
	SessionKeys []string `yaml:"session_keys" jsonschema:"minItems=1" example:"[\"${SESSION_KEY}\"]"`
	// Networks whose clients may ask for the X-Weir-* headers, which tell how a request was answered; [] is nobody.
	DebugFrom []Network `yaml:"debug_from"`

	// Warnings are findings that do not stop Weir, such as a pool that no
	// route uses. Load and Parse fill them.
	Warnings []Error `yaml:"-"`
}

// Admin is where Weir tells about itself and takes orders.
type Admin struct {
	// Host and port. An address that is not loopback needs a token or tls.client_ca. Port 0 takes any free port.
	Address string `yaml:"address"`
	// Bearer token that every request must carry, best written as ${NAME}. Empty asks for none.
	Token string `yaml:"token"`
	// Serve HTTPS, and ask clients for a certificate.
	TLS AdminTLS `yaml:"tls"`
}

// AdminTLS is the certificate of the API and the dashboard.
type AdminTLS struct {
	// File with the certificate and those between it and its root, in PEM.
	Cert string `yaml:"cert" jsonschema:"required,minLength=1" example:"admin.pem"`
	// File with the private key, in PEM.
	Key string `yaml:"key" jsonschema:"required,minLength=1" example:"admin-key.pem"`
	// File with the authorities, in PEM, of which a client must show a certificate. Empty asks for none.
	ClientCA string `yaml:"client_ca"`
}

// Log is what Weir writes about itself.
type Log struct {
	// Least severe level that is written.
	Level string `yaml:"level" jsonschema:"enum=debug,enum=info,enum=warn,enum=error" noun:"a level"`
	// Form of a line; auto is text on a terminal and json otherwise.
	Format string `yaml:"format" jsonschema:"enum=auto,enum=text,enum=json" noun:"a format"`
}

// AccessLog is one line for each request.
type AccessLog struct {
	// File to write to, or stderr or stdout.
	Path string `yaml:"path" jsonschema:"minLength=1"`
	// Form of a line; combined is that of nginx and Apache.
	Format string `yaml:"format" jsonschema:"enum=json,enum=combined" noun:"a format"`
	// Part of the requests that is written, from 0 to 1.
	Sample float64 `yaml:"sample" jsonschema:"minimum=0,maximum=1"`
	// Write every request that was answered with 500 or above, or not to its end, whatever sample says.
	KeepErrors bool `yaml:"keep_errors"`
	// Write every request that took at least this long, whatever sample says. 0 makes no exception.
	Slow Duration `yaml:"slow"`
	// Write the query too, which may hold secrets.
	Query bool `yaml:"query"`
	// Fields of the json format to leave out.
	Omit StringList `yaml:"omit"`
}

// Tracing sends spans to an OpenTelemetry collector.
type Tracing struct {
	// URL of the collector: http://HOST:4318 for http, http://HOST:4317 for grpc; https for TLS.
	Endpoint string `yaml:"endpoint" jsonschema:"required" example:"http://127.0.0.1:4318"`
	// How spans are sent (OTLP).
	Protocol string `yaml:"protocol" jsonschema:"enum=http,enum=grpc" noun:"a protocol"`
	// Part of the requests that is traced, from 0 to 1, unless the client's traceparent has decided.
	Sample float64 `yaml:"sample" jsonschema:"minimum=0,maximum=1"`
	// What traces call Weir.
	Service string `yaml:"service" jsonschema:"minLength=1"`
}

// Limits bound what a client may send.
type Limits struct {
	// Largest request header block; above it the answer is 431.
	Header Size `yaml:"header"`
	// Longest request target; above it the answer is 414.
	URI Size `yaml:"uri"`
	// Largest request body; above it the answer is 413. 0 sets no limit.
	Body Size `yaml:"body"`
	// Most open client connections of one listener. 0 sets no limit.
	Connections int `yaml:"connections" jsonschema:"minimum=0"`
	// What one client may hold at a time.
	Clients ClientLimits `yaml:"clients"`
}

// ClientLimits bound what one client may hold at a time. All addresses of
// a network count as one client.
type ClientLimits struct {
	// Most open connections; further ones are closed at once. 0 sets no limit.
	Connections int `yaml:"connections" jsonschema:"minimum=0"`
	// Most requests at a time; above it the answer is 429. 0 sets no limit.
	Requests int `yaml:"requests" jsonschema:"minimum=0"`
	// Bits of an IPv4 address that tell clients apart.
	Network4 int `yaml:"network4" jsonschema:"minimum=8,maximum=32"`
	// Bits of an IPv6 address that tell clients apart.
	Network6 int `yaml:"network6" jsonschema:"minimum=16,maximum=128"`
}

// Timeouts bound how long a client may take.
type Timeouts struct {
	// From the first byte of a request to the end of its header.
	Header Duration `yaml:"header"`
	// Longest pause within the body of a request.
	Body Duration `yaml:"body"`
	// Bytes a second that the body of a request must bring on average, as in 1KiB. 0 asks for none.
	BodyRate Size `yaml:"body_rate"`
	// How long an idle client connection is kept.
	KeepAlive Duration `yaml:"keep_alive"`
}
