package origin

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// request is what the server needs of a request's head.
type request struct {
	method string
	path   string
	query  string
	length int // bytes of body
}

var errChunked = errors.New("a request with Transfer-Encoding: only Content-Length is spoken here")

// parseHead reads a request's head, the empty line included.
func parseHead(head []byte) (request, error) {
	line, fields, _ := bytes.Cut(head, []byte("\r\n"))
	method, rest, _ := strings.Cut(string(line), " ")
	target, version, _ := strings.Cut(rest, " ")
	if method == "" || target == "" || version != "HTTP/1.1" {
		return request{}, fmt.Errorf("request line %q", line)
	}
	r := request{method: method}
	r.path, r.query, _ = strings.Cut(target, "?")
	for field := range bytes.SplitSeq(fields, []byte("\r\n")) {
		name, value, _ := bytes.Cut(field, []byte(":"))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			n, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 10, 31)
			if err != nil {
				return request{}, fmt.Errorf("Content-Length: %w", err)
			}
			r.length = int(n)
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			return request{}, errChunked
		}
	}
	return r, nil
}

// number returns a value of the query between 1 and a million.
func (r request) number(name string, otherwise int) (int, error) {
	values, err := url.ParseQuery(r.query)
	if err != nil {
		return 0, err
	}
	if !values.Has(name) {
		return otherwise, nil
	}
	n, err := strconv.Atoi(values.Get(name))
	if err != nil || n < 1 || n > 1_000_000 {
		return 0, fmt.Errorf("%s=%q: want 1 to 1000000", name, values.Get(name))
	}
	return n, nil
}
