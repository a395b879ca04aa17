// Package xconnect has net/http take WebSockets over HTTP/2 (extended CONNECT, RFC 8441). It does so only where GODEBUG said
// http2xconnect=1 when net/http was initialized, because handlers at large do not expect them; Weir's do.
//
// Packages are initialized in the order of their import paths as far as their imports allow (Go specification, "Program
// initialization"). This one imports os alone and its path comes before net/http's, so it is in time in every program that imports it.
package xconnect

import "os"

const name, setting = "GODEBUG", "http2xconnect=1"

var before, was = set()

func set() (before string, was bool) {
	before, was = os.LookupEnv(name)
	if before == "" {
		os.Setenv(name, setting)
	} else {
		os.Setenv(name, before+","+setting)
	}
	return before, was
}

// Done gives the environment back as it was, so that no child process inherits the change. It is for a package that imports net/http, which
// has read it by then.
func Done() bool {
	if was {
		return os.Setenv(name, before) == nil
	}
	return os.Unsetenv(name) == nil
}
