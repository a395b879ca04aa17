// Package load drives a proxy from one thread, cheaply enough to share a core
// with the target, and measures what the proxy's processes used meanwhile.
// Linux only.
package load
