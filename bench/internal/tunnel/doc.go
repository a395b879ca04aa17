// Package tunnel is the floor of the benchmark: it copies bytes between each
// client and a connection of its own to a target, two reads and two writes a
// request, and understands nothing. What it costs is what the loopback sockets
// cost; a proxy cannot do with much less. Linux only.
package tunnel
