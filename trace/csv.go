package trace

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unsafe"

	"github.com/tidwall/gjson"
)

// csvSource reads rows of CSV as RFC 4180 has them, with any of , ; and tab between fields.
type csvSource struct {
	*lines
	*layout
	comma  byte
	fields [][]byte
	quoted []byte // the row, when quotes had to be removed
	count  int64  // of the row, for a trace of counts
}

func (s *csvSource) next(it *item) error {
	line, err := s.row()
	if err != nil {
		return err
	}
	*it = item{Request: Request{Line: int32(s.n)}, hash: sum(line)}
	if err := s.split(line); err != nil {
		return err
	}
	if len(s.fields) != len(s.columns) {
		return s.lines.errorf(s.n, "%d fields, where the header has %d; mend or remove the row", len(s.fields), len(s.columns))
	}
	s.begin()
	for i, f := range s.fields {
		c := &s.columns[i]
		if c.role == roleCount {
			if s.count, err = s.counted(c, trim(f)); err != nil {
				return s.lines.errorf(s.n, "%w", err)
			}
		}
		if err := s.set(it, c, f); err != nil {
			return s.lines.errorf(s.n, "%w", err)
		}
	}
	if err := s.finish(it); err != nil {
		return s.lines.errorf(s.n, "%w", err)
	}
	return nil
}

func (s *csvSource) counted(c *column, v []byte) (int64, error) {
	if len(v) == 0 {
		return 0, fmt.Errorf("%s is empty; write how many requests came, 0 for none", c.name)
	}
	return whole[int64](c, v, 1e12)
}

// row is the next line that is not empty.
func (s *csvSource) row() ([]byte, error) {
	for {
		line, err := s.lines.next()
		if err != nil || len(line) > 0 {
			return line, err
		}
	}
}

// split cuts a line into fields. A quoted field may go on over further lines.
func (s *csvSource) split(line []byte) error {
	s.fields = s.fields[:0]
	if bytes.IndexByte(line, '"') < 0 {
		for {
			i := bytes.IndexByte(line, s.comma)
			if i < 0 {
				s.fields = append(s.fields, line)
				return nil
			}
			s.fields = append(s.fields, line[:i])
			line = line[i+1:]
		}
	}
	begin := s.n
	s.quoted = s.quoted[:0]
	var ends []int
	rest := bytes.Clone(line)
	for {
		if len(rest) == 0 || rest[0] != '"' {
			i := bytes.IndexByte(rest, s.comma)
			field := rest
			if i >= 0 {
				field = rest[:i]
			}
			if bytes.IndexByte(field, '"') >= 0 {
				return s.lines.errorf(begin, "a quote within the field %q, which is not in quotes itself; write \"…\" around it and \"\" for each in it", clip(field))
			}
			s.quoted = append(s.quoted, field...)
			ends = append(ends, len(s.quoted))
			if i < 0 {
				break
			}
			rest = rest[i+1:]
			continue
		}
		rest = rest[1:]
		for {
			i := bytes.IndexByte(rest, '"')
			if i < 0 {
				s.quoted = append(append(s.quoted, rest...), '\n')
				more, err := s.lines.next()
				if errors.Is(err, io.EOF) {
					return s.lines.errorf(begin, "a quote opens in this row and does not close; close it, or remove the row")
				}
				if err != nil {
					return err
				}
				if len(s.quoted) > maxLine {
					return s.lines.errorf(begin, "a quote opens in this row and does not close within %d MiB; close it, or remove the row", maxLine>>20)
				}
				rest = bytes.Clone(more)
				continue
			}
			s.quoted = append(s.quoted, rest[:i]...)
			rest = rest[i+1:]
			if len(rest) > 0 && rest[0] == '"' {
				s.quoted = append(s.quoted, '"')
				rest = rest[1:]
				continue
			}
			break
		}
		ends = append(ends, len(s.quoted))
		if len(rest) == 0 {
			break
		}
		if rest[0] != s.comma {
			return s.lines.errorf(begin, "%q follows a closing quote; write %q between fields", clip(rest), s.comma)
		}
		rest = rest[1:]
	}
	from := 0
	for _, to := range ends {
		s.fields = append(s.fields, s.quoted[from:to])
		from = to
	}
	return nil
}

// jsonSource reads one JSON object a line.
type jsonSource struct {
	*lines
	*layout
	columns map[string]*column
	ahead   []byte // the first line, which was read to recognise it
	scratch []byte
}

func (s *jsonSource) next(it *item) error {
	for {
		if other, err := s.read(it); !other || err != nil {
			return err
		}
	}
}

// read reads a row; other says that it is of another pool than is wanted.
func (s *jsonSource) read(it *item) (other bool, err error) {
	line := s.ahead
	s.ahead = nil
	for len(line) == 0 {
		if line, err = s.lines.next(); err != nil {
			return false, err
		}
		line = trim(line)
	}
	if line[0] != '{' || !gjson.ValidBytes(line) {
		return false, s.lines.errorf(s.n, "not one JSON object on a line: %q; mend or remove the line", clip(line))
	}
	if s.weir && s.t.o.Pool != "" && gjson.GetBytes(line, "pool").Str != s.t.o.Pool {
		return true, nil
	}
	*it = item{Request: Request{Line: int32(s.n)}, hash: sum(line)}
	s.begin()
	// The text lives as long as the line, which is enough: what is kept of it is copied.
	gjson.Parse(unsafe.String(unsafe.SliceData(line), len(line))).ForEach(func(key, value gjson.Result) bool {
		c, ok := s.columns[key.Str]
		if !ok {
			name := strings.Clone(key.Str)
			made := columnOf(name, s.t.o.Columns)
			c = &made
			if len(s.columns) < maxStrings {
				s.columns[name] = c
			}
		}
		if c.role == noRole || value.Type == gjson.Null {
			return true
		}
		if s.has&(1<<c.role) != 0 {
			err = fmt.Errorf("%q is a second field for the %s of the request; name the one to take: --column %s=NAME", clip(c.name), roleNames[c.role], roleNames[c.role])
			return false
		}
		if value.IsObject() || value.IsArray() && c.role != rolePrefix {
			err = fmt.Errorf("%s is %s, where it needs one value; name another field for it, or write it flat, as `jq -c` can", c.name, clip(value.Raw))
			return false
		}
		err = s.set(it, c, s.text(value))
		return err == nil
	})
	if err == nil {
		err = s.finish(it)
	}
	if err != nil {
		return false, s.lines.errorf(s.n, "%w", err)
	}
	return false, nil
}

// text is a value as CSV would have it.
func (s *jsonSource) text(v gjson.Result) []byte {
	text := v.Raw
	if v.Type == gjson.String {
		text = v.Str
	}
	s.scratch = append(s.scratch[:0], text...)
	return s.scratch
}
