package tunnel

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/weirlb/weir/bench/internal/poll"
)

// none marks a socket that has no peer: file descriptor 0 is never one.
const none = 0

// Server tunnels from its port to the targets, in turn. One goroutine serves it.
type Server struct {
	poller   *poll.Poller
	listener int
	port     int
	targets  []int
	next     int
	peers    []int // by file descriptor; what comes in on one goes out on the other
	buffer   []byte
}

// Listen opens a port of 127.0.0.1, a free one for 0, towards the targets' ports.
func Listen(port int, targets []int) (*Server, error) {
	if len(targets) == 0 {
		return nil, fmt.Errorf("a tunnel needs at least one target's port")
	}
	poller, err := poll.New()
	if err != nil {
		return nil, err
	}
	listener, port, err := poll.Listen(port)
	if err != nil {
		poller.Close()
		return nil, err
	}
	if err := poller.Add(listener); err != nil {
		poll.Close(listener)
		poller.Close()
		return nil, err
	}
	return &Server{
		poller: poller, listener: listener, port: port,
		targets: targets, buffer: make([]byte, 64<<10),
	}, nil
}

// Port returns the port it listens on.
func (s *Server) Port() int { return s.port }

// Serve tunnels until the context ends, then closes all sockets.
func (s *Server) Serve(ctx context.Context) error {
	defer s.close()
	for ctx.Err() == nil {
		ready, err := s.poller.Wait(100 * time.Millisecond) // so that a cancelled context is seen
		if err != nil {
			return err
		}
		for _, event := range ready {
			if fd := int(event.Fd); fd == s.listener {
				s.accept()
			} else if !s.copy(fd, poll.Ending(event)) {
				s.drop(fd)
			}
		}
	}
	return nil
}

func (s *Server) close() {
	for fd, peer := range s.peers {
		if peer != none {
			poll.Close(fd)
		}
	}
	poll.Close(s.listener)
	s.poller.Close()
}

func (s *Server) accept() {
	for {
		client, ok := poll.Accept(s.listener)
		if !ok {
			return
		}
		port := s.targets[s.next%len(s.targets)]
		s.next++
		target, err := poll.Dial(port)
		if err != nil {
			poll.Close(client)
			continue
		}
		s.join(client, target)
	}
}

func (s *Server) join(a, b int) {
	for len(s.peers) <= max(a, b) {
		s.peers = append(s.peers, none)
	}
	s.peers[a], s.peers[b] = b, a
	// Edges, so that one read per message is enough and none ends in EAGAIN.
	if s.poller.AddEdge(a) != nil || s.poller.AddEdge(b) != nil {
		s.drop(a)
	}
}

// copy moves what arrived on fd, up to its end when that has arrived too, and
// reports whether the connection goes on.
func (s *Server) copy(fd int, ending bool) bool {
	for s.peers[fd] != none { // it may have closed earlier in this batch
		n, errno := poll.Read(fd, s.buffer)
		if errno == syscall.EAGAIN || errno == syscall.EINTR {
			return true
		}
		if errno != 0 || n == 0 || !poll.Write(s.peers[fd], s.buffer[:n]) {
			return false
		}
		// An edge is told once: a full buffer may have left something behind.
		if n < len(s.buffer) && !ending {
			return true
		}
	}
	return true
}

func (s *Server) drop(fd int) {
	peer := s.peers[fd]
	s.peers[fd], s.peers[peer] = none, none
	poll.Close(fd)
	poll.Close(peer)
}
