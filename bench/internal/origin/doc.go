// Package origin is the target behind the measured proxies: one thread that
// answers HTTP/1.1 on several ports of 127.0.0.1, cheap enough to share a core
// with the load. Linux only.
//
//	GET  /predict        200 B of JSON
//	POST anything        2 KB of JSON, after the body (Content-Length only)
//	GET  /sse?n=&ms=     n events of 80 B, ms apart, each with its time of sending
//	GET  /hold?ms=       200 B of JSON after ms
package origin
