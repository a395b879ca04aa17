// Package corpus is a collection of HTTP/1.1 messages for tests: requests and answers that two parsers could read in two ways, or that are
// simply wrong, each with what must come of it, and others that look odd and are in order. The codec is held against it, and so is each way
// to drive an exchange. Much of it is what the field calls request smuggling: CL.TE, TE.CL, TE.TE, CL.0, 0.CL, TE.0, chunks that end in two
// places, and the quirks that differential tests of servers found.
package corpus

import "strings"

// Refusal says why a message is refused. The codec has an error for each, up to Trailer.
type Refusal uint8

// The refusals.
const (
	None Refusal = iota // it is not
	RequestLine
	Foreign // the first line is of another protocol
	Method
	Target
	URITooLong
	Version
	Connect
	HeadTooBig
	LineEnd
	Fold
	Name
	Value
	Host
	Length
	Encoding
	Both
	Connection
	Expect
	Upgrade
	StatusLine
	Chunk
	Trailer
	Unfinished // the head never ends
	Cut        // the body never does
)

// Status is what a client is answered with whose request is refused.
func (r Refusal) Status() int {
	switch r {
	case None:
		return 200
	case URITooLong:
		return 414
	case Version:
		return 505
	case Connect:
		return 501
	case HeadTooBig:
		return 431
	case Expect:
		return 417
	case Unfinished, Cut:
		return 408
	}
	return 400
}

// Late says that a message is refused for what comes after its head: that may be on its way already.
func (r Refusal) Late() bool { return r == Chunk || r == Trailer || r == Cut }

// Request is a request that is refused.
type Request struct {
	In   string // a ~ stands for the rest of a head that is in order, its Host being "a"
	Want Refusal
}

// Bytes is the request as it is sent.
func (r Request) Bytes() []byte { return whole(r.In) }

// Good is a request that is forwarded although it may look odd.
type Good struct {
	Name string
	In   string // the head, with ~ as in Request
	Want string // the head as it is forwarded. F stands for what is always added for Host: a; see Forwarded
	Body string // what follows the head, and is forwarded as it is
}

// Bytes is the head as it is sent.
func (g Good) Bytes() []byte { return whole(g.In) }

// Forwarded is the head as it is forwarded for a client of that address.
func (g Good) Forwarded(ip string) string {
	added := "\r\nX-Forwarded-For: " + ip + "\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\n"
	return strings.ReplaceAll(strings.Replace(g.Want, "\r\nF", added, 1), "CLIENT", ip)
}

func whole(in string) []byte { return []byte(strings.ReplaceAll(in, "~", "Host: a\r\n\r\n")) }

// Answer is what a target sends.
type Answer struct {
	In    string
	Head  bool    // it answers a HEAD request
	Leave bool    // the target closes its connection after it
	Want  Refusal // the client is answered 502, after To, or sees a cut where the answer had begun. None: it gets To
	To    string
}

// Requests are all requests that are refused: for their heads, and for chunks at the beginning of their body or later.
func Requests() []Request {
	all := append([]Request(nil), Heads...)
	for _, c := range Chunks {
		for _, before := range []string{"", "5\r\nhello\r\n"} {
			all = append(all, Request{"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n~" + before + c.In, c.Want})
		}
	}
	return all
}

// Answers are all answers: those that are listed, and those refused for chunks at the beginning of their body or later.
func Answers() []Answer {
	all := append([]Answer(nil), answers...)
	for _, c := range Chunks {
		for _, before := range []string{"", "5\r\nhello\r\n"} {
			all = append(all, Answer{In: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + before + c.In, Want: c.Want})
		}
	}
	return all
}
