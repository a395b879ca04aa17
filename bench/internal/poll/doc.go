// Package poll is the event loop of the benchmark's own programs: epoll and
// non-blocking sockets by raw system calls, for one thread. Load and target
// share a core, so they must cost no more than the proxies they measure; the
// standard library's sockets would cost several times as much. Linux only.
package poll
