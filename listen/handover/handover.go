// Package handover passes the listening sockets of a running Weir to a new process of it, of another version maybe, so that no
// connection is refused meanwhile. It also passes on what only one process can hold: the state directory.
//
// The old process starts the new one. Both talk over a pair of sockets, one line of JSON for each step:
//
//	old process                            new process
//	serving                                starting
//	        ── hello: sockets, memo ──▶
//	                                       takes the sockets, reads its config, checks all that needs no state
//	        ◀── prepared ──
//	releasing: stops scaling, closes       waiting for the state
//	its state; goes on serving
//	        ── released ──▶
//	                                       opens the state, adopts the instances, serves beside the old process
//	        ◀── ready ──
//	leaving                                waiting for the last word
//	        ── yours ──▶
//	stops accepting, lets what is in       serving
//	flight finish, ends
//
// Until yours, the old process may go back: when the new one says failed, ends, or takes longer than the timeout, it is killed, and
// only when it is gone the old one opens its state again and goes on as before. From yours on the new process is on its own.
//
// When the old process ends without yours, nobody can take anything back: the new one goes on by itself. An old process that lives
// keeps its end of the pair open until the new one is gone, so the end of the pair says that it is dead.
//
// The queue of a listening socket lives as long as any process has it open. Of a group that shares an address (SO_REUSEPORT) each socket
// has its own queue, so all of them have to be passed on, and the new process has to accept on all that it is given. An event loop of the
// old process must remove a socket from its epoll set before it closes it: closing alone does not, while the new process has it open.
//
// QUIC connections cannot be passed on, nor can they stay: datagrams of both processes' connections arrive at one socket. The old process
// has to close its QUIC connections before the new one reads; clients connect again.
//
// In a container, where the first process is the container, a new process cannot outlive the old: replace the container instead.
package handover

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
)

// variable tells the new process which descriptor its end of the pair is.
const variable = "WEIR_HANDOVER"

// version is that of the steps below. It changes when an old process could not understand a new one any more.
const version = 1

// step is a word of the protocol.
type step string

const (
	stepHello    step = "hello"
	stepPrepared step = "prepared"
	stepReleased step = "released"
	stepReady    step = "ready"
	stepYours    step = "yours"
	stepFailed   step = "failed"
)

// message is one line. Fields beside Step belong to the step that is named.
type message struct {
	Step    step     `json:"step"`
	Version int      `json:"version,omitempty"` // hello
	Sockets []passed `json:"sockets,omitempty"` // hello
	Memo    []byte   `json:"memo,omitempty"`    // hello
	Error   string   `json:"error,omitempty"`   // failed
}

// passed is a socket of the old process as the new one finds it.
type passed struct {
	Descriptor int    `json:"fd"`
	Address    string `json:"address"` // as the old config had it
}

// ErrGone says that the process at the other end has ended.
var ErrGone = errors.New("the other process has ended")

// pair is one end of the conversation.
type pair struct {
	conn net.Conn
	in   *bufio.Reader
}

func newPair(f *os.File) (*pair, error) {
	defer f.Close() // FileConn has made a copy
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return &pair{c, bufio.NewReader(c)}, nil
}

func (p *pair) send(m message) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if _, err = p.conn.Write(append(b, '\n')); err != nil {
		return gone(err)
	}
	return nil
}

func (p *pair) receive() (message, error) {
	line, err := p.in.ReadBytes('\n')
	if err != nil {
		return message{}, gone(err)
	}
	var m message
	if err := json.Unmarshal(line, &m); err != nil {
		return message{}, fmt.Errorf("the other process says %.80q, which is no step of a hand-over: %w", line, err)
	}
	return m, nil
}

// gone makes ErrGone of everything but a deadline.
func gone(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	if errors.Is(err, io.EOF) {
		return ErrGone
	}
	return fmt.Errorf("%w (%w)", ErrGone, err)
}
