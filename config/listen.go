package config

// Listen is an address with the routes that are served there.
type Listen struct {
	// Host and port, such as ":8080" or "127.0.0.1:8080", or "unix:/path" for a socket file ("unix:@name" has none). Port 0 takes any free port.
	Address string `yaml:"address" jsonschema:"required" example:"\":8080\""`
	// Rules that say what becomes of a request. The most specific host wins, then the most specific path.
	Routes []Route `yaml:"routes" jsonschema:"required,minItems=1" example:"[{pool: api}]"`
	// Protocols that clients may speak. Default: h1 and h2 with tls, h1 and h2c without. h3 needs tls.
	Protocols []string `yaml:"protocols" jsonschema:"minItems=1,enum=h1,enum=h2,enum=h2c,enum=h3" noun:"a protocol" example:"[h1, h2]"`
	// What moves the bytes: loop is one event loop per core, for HTTP/1.1 without TLS on Linux;
	// goroutine is one goroutine per connection; auto takes the fastest that serves the connection.
	Engine string `yaml:"engine" jsonschema:"enum=auto,enum=loop,enum=goroutine" noun:"an engine"`
	// Certificates, for HTTPS. Without it, the listener speaks plain HTTP.
	TLS *TLS `yaml:"tls"`
	// Learn the client's address from the PROXY protocol (version 1 or 2) of the balancer in front.
	ProxyProtocol *ProxyProtocol `yaml:"proxy_protocol"`
	// Networks of proxies in front whose X-Forwarded-For and -Proto are believed; others' are replaced.
	TrustedProxies []Network `yaml:"trusted_proxies"`
	// Networks whose clients are served; all others are refused. Without it, all are served.
	Allow []Network `yaml:"allow" jsonschema:"minItems=1" example:"[10.0.0.0/8]"`
	// Networks whose clients are refused, also where allow has them.
	Deny []Network `yaml:"deny"`
	// Add a Via header to requests and answers.
	Via bool `yaml:"via"`
	// Send the RFC 7239 Forwarded header beside X-Forwarded-For, -Proto and -Host.
	ForwardedHeader bool `yaml:"forwarded"`
}

// TLS is how a listener proves who it is, and asks clients who they are.
//
// It has Certificates, which are files, or ACME, or both.
type TLS struct {
	// Certificates, of which the client's SNI selects one; the first one serves names that none has.
	// Files that change are read again without a drop.
	Certificates []Certificate `yaml:"certificates" jsonschema:"minItems=1" example:"[{cert: site.pem, key: site-key.pem}]"`
	// Obtain and renew certificates from an authority such as Let's Encrypt.
	ACME *ACME `yaml:"acme"`
	// Lowest version of TLS, in quotes.
	MinVersion string `yaml:"min_version" jsonschema:"enum=1.2,enum=1.3" noun:"a version of TLS" example:"\"1.2\""`
	// Cipher suites for TLS 1.2, as IANA or OpenSSL name them. Default: those that Go takes for secure. Those of TLS 1.3 are fixed.
	Ciphers []string `yaml:"ciphers" jsonschema:"minItems=1" example:"[TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]"`
	// Ask clients for a certificate (mTLS).
	ClientAuth *ClientAuth `yaml:"client_auth"`
}

// Certificate is a certificate with its key.
type Certificate struct {
	// File with the certificate and those between it and its root, in PEM.
	Cert string `yaml:"cert" jsonschema:"required,minLength=1" example:"site.pem"`
	// File with the private key, in PEM.
	Key string `yaml:"key" jsonschema:"required,minLength=1" example:"site-key.pem"`
}

// ACME obtains certificates (RFC 8555), proving the names on this listener
// itself (TLS-ALPN-01, RFC 8737), so port 443 of the names must lead to it.
type ACME struct {
	// Names to obtain certificates for.
	Domains StringList `yaml:"domains" jsonschema:"required,minItems=1" example:"[www.example.com]"`
	// Whom the authority may write to.
	Email string `yaml:"email"`
	// URL of the authority's directory. Default: Let's Encrypt.
	Directory string `yaml:"directory"`
	// File with the root, in PEM, that the directory's own certificate is held to. Empty is the system's.
	CA string `yaml:"ca"`
	// Directory that keeps the account and the certificates. Default: acme in the state directory.
	Storage string `yaml:"storage"`
}

// ClientAuth asks clients for a certificate.
type ClientAuth struct {
	// Files with the authorities whose certificates are accepted, in PEM.
	CA StringList `yaml:"ca" jsonschema:"required,minItems=1" example:"[clients.pem]"`
	// Files with the lists of certificates that were revoked, in PEM or DER.
	CRL StringList `yaml:"crl" jsonschema:"minItems=1" example:"[clients.crl]"`
	// require refuses clients without a certificate; request lets them in, and refuses only bad ones.
	Mode string `yaml:"mode" jsonschema:"enum=require,enum=request" noun:"a mode"`
}

// ProxyProtocol learns the client's address from the balancer in front.
type ProxyProtocol struct {
	// Networks whose connections begin with a PROXY header, each of them; those of a socket file always do.
	From []Network `yaml:"from" jsonschema:"required,minItems=1" example:"[10.0.0.0/8]"`
	// Refuse connections from other networks. With false, these are clients themselves.
	Required bool `yaml:"required"`
}
