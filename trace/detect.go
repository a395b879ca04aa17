package trace

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"
	"github.com/tidwall/gjson"
)

// sum hashes what has to be told apart.
func sum(v []byte) uint64 { return xxhash.Sum64(v) }

// maxLine bounds one line; Mooncake's rows with all their hashes stay far below.
const maxLine = 16 << 20

// lines reads a file line by line, uncompressed.
type lines struct {
	name string
	r    *bufio.Reader
	n    int // of the last line
	long []byte
}

// next is the next line, without its end. It is valid until the next call.
func (l *lines) next() ([]byte, error) {
	v, err := l.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		l.long = append(l.long[:0], v...)
		for errors.Is(err, bufio.ErrBufferFull) {
			v, err = l.r.ReadSlice('\n')
			if l.long = append(l.long, v...); len(l.long) > maxLine {
				return nil, l.errorf(l.n+1, "the line is longer than %d MiB; is this a trace, with one request a line?", maxLine>>20)
			}
		}
		v = l.long
	}
	if err != nil && (!errors.Is(err, io.EOF) || len(v) == 0) {
		if errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		return nil, l.broken(err)
	}
	l.n++
	v = bytes.TrimSuffix(v, []byte{'\n'})
	return bytes.TrimSuffix(v, []byte{'\r'}), nil
}

func (l *lines) errorf(line int, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", l.name, line, fmt.Errorf(format, args...))
}

// broken wraps what a reader said.
func (l *lines) broken(err error) error {
	corrupt := new(bzip2.StructuralError)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return l.errorf(l.n+1, "the compressed data ends in the middle; the file was not written or copied whole, so fetch it again")
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader), errors.As(err, corrupt), strings.HasPrefix(err.Error(), "flate:"),
		errors.Is(err, zstd.ErrCRCMismatch), errors.Is(err, zstd.ErrMagicMismatch):
		return l.errorf(l.n+1, "the compressed data is damaged (%w); fetch the file again", err)
	}
	return l.errorf(l.n+1, "reading it: %w", err)
}

// open sees through compression and refuses what is not text.
func open(name string, r io.Reader) (*lines, error) {
	l := &lines{name: name, r: bufio.NewReaderSize(r, 1<<18)}
	for range 2 { // some servers compress what is compressed
		inner, err := inflate(l)
		if err != nil {
			return nil, err
		}
		if inner == nil {
			break
		}
		l.r = bufio.NewReaderSize(inner, 1<<18)
	}
	if bom, _ := l.r.Peek(3); string(bom) == "\ufeff" {
		l.r.Discard(3)
	}
	start, err := l.r.Peek(512)
	if len(start) == 0 && err != nil && !errors.Is(err, io.EOF) {
		return nil, l.broken(err)
	}
	switch what := foreign(start); {
	case len(bytes.TrimSpace(start)) == 0 && len(start) < 512:
		return nil, fmt.Errorf("%s: the file is empty; give a trace: CSV with a header, one JSON object a line, or an access log", name)
	case what != "":
		return nil, l.errorf(1, "%s; give a trace as text: CSV with a header, one JSON object a line, or an access log", what)
	}
	return l, nil
}

// inflate is a reader of what l holds compressed, nil when it is not.
func inflate(l *lines) (io.Reader, error) {
	magic, _ := l.r.Peek(4)
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(l.r)
		if err != nil {
			return nil, l.broken(err)
		}
		return z, nil
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(l.r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<28))
		if err != nil {
			return nil, l.broken(err)
		}
		return z, nil
	case bytes.HasPrefix(magic, []byte("BZh")):
		return bzip2.NewReader(l.r), nil
	}
	return nil, nil
}

// foreign names what a file is that is no text.
func foreign(start []byte) string {
	for magic, what := range map[string]string{
		"PK\x03\x04": "this is a zip archive: unpack it", "PAR1": "this is Parquet: write it as CSV, as `duckdb -c \"copy 'FILE' to 'trace.csv'\"` does",
		"\xfd7zXZ": "this is compressed with xz: unpack it with `xz -d`", "ORC": "this is ORC: write it as CSV", "SQLite format 3": "this is a database of SQLite: write a table of it as CSV",
		"\xff\xfe": "this is text in UTF-16: convert it with `iconv -f UTF-16 -t UTF-8`", "\xfe\xff": "this is text in UTF-16: convert it with `iconv -f UTF-16 -t UTF-8`",
	} {
		if bytes.HasPrefix(start, []byte(magic)) {
			return what
		}
	}
	if len(start) > 262 && string(start[257:262]) == "ustar" {
		return "this is a tar archive: unpack it"
	}
	for _, b := range start {
		if b == 0 || b < 0x20 && b != '\t' && b != '\n' && b != '\r' && b != 0x1b {
			return "this is binary data"
		}
	}
	if bad := bytes.Count(bytes.ToValidUTF8(start[:max(0, len(start)-utf8.UTFMax)], []byte{0}), []byte{0}); bad > len(start)/10 {
		return "this is binary data"
	}
	return ""
}

// detect recognises the format and sets up the source.
func (t *Reader) detect(r io.Reader) error {
	in, err := open(t.name, r)
	if err != nil {
		return err
	}
	lay := &layout{t: t, strings: map[string]string{}}
	var first []byte
	for len(bytes.TrimSpace(first)) == 0 {
		if first, err = in.next(); errors.Is(err, io.EOF) {
			return fmt.Errorf("%s: the file is empty; give a trace: CSV with a header, one JSON object a line, or an access log", t.name)
		} else if err != nil {
			return err
		}
	}
	switch first = bytes.TrimSpace(first); {
	case first[0] == '[':
		return t.errorf(in.n, "a JSON array; write one JSON object a line, as `jq -c '.[]'` does")
	case first[0] == '{':
		return t.detectJSON(in, lay, bytes.Clone(first))
	case isCombined(first):
		return t.detectCombined(in, lay, bytes.Clone(first))
	}
	return t.detectCSV(in, lay, first)
}

func (t *Reader) detectJSON(in *lines, lay *layout, first []byte) error {
	if !gjson.ValidBytes(first) {
		return t.errorf(in.n, "not one JSON object on a line; write each request as one object on a line of its own, as `jq -c .` does")
	}
	row := gjson.ParseBytes(first)
	if row.Get("metadata.gap_seconds").Exists() {
		return t.errorf(in.n, "this records how many spot instances there were, not requests; give it as --spot")
	}
	src := &jsonSource{lines: in, layout: lay, columns: map[string]*column{}, ahead: first}
	row.ForEach(func(key, _ gjson.Result) bool {
		lay.columns = append(lay.columns, columnOf(key.String(), t.o.Columns))
		return true
	})
	t.format = "JSON lines"
	if row.Get("time").Exists() && row.Get("status").Exists() && row.Get("duration_ms").Exists() && len(t.o.Columns) == 0 {
		t.format, lay.weir = "Weir's access log", true
		t.sorted.window = int64(logDisorder)
	}
	if err := lay.settle(in.n, "field"); err != nil {
		return err
	}
	t.ends(lay)
	t.src = src
	return nil
}

// ends prepares for rows that are written when requests end.
func (t *Reader) ends(lay *layout) {
	at, known := false, false
	for _, c := range lay.columns {
		at = at || c.role == roleEnd
		known = known || c.role == roleTotal || c.role == roleService
	}
	if !at {
		return
	}
	t.sorted.window = int64(logDisorder)
	if !known {
		t.warn(0, "it has the end of each request and not how long it took, so the end is taken as the begin")
	}
}

func (t *Reader) detectCSV(in *lines, lay *layout, first []byte) error {
	src := &csvSource{lines: in, layout: lay, comma: ','}
	for _, c := range []byte{';', '\t'} {
		if bytes.Count(first, []byte{c}) > bytes.Count(first, []byte{src.comma}) {
			src.comma = c
		}
	}
	if err := src.split(first); err != nil {
		return err
	}
	numbers := 0
	for _, f := range src.fields {
		name := string(trim(f))
		lay.columns = append(lay.columns, columnOf(name, t.o.Columns))
		if name != "" && name[0] >= '0' && name[0] <= '9' {
			numbers++
		}
	}
	t.format = "CSV"
	if numbers > 0 && numbers >= len(src.fields)/2 {
		return t.errorf(in.n, "the first line looks like data, %s; put a header above it that names the columns, such as timestamp,input_tokens,output_tokens",
			quoted(names(lay.columns)))
	}
	counted := false
	for i := range lay.columns {
		c := &lay.columns[i]
		if strings.EqualFold(c.name, "timestamp_anon") && len(lay.columns) == 3 {
			return t.errorf(in.n, "this records how long instances took to boot, not requests; give it as --boot")
		}
		if strings.EqualFold(c.name, "value") && len(lay.columns) == 2 && c.role == noRole && t.o.Columns["count"] == "" {
			c.role = roleCount
			t.warn(in.n, "column %q is taken as the number of requests in each row's period", c.name)
		}
		counted = counted || c.role == roleCount
	}
	if err := lay.settle(in.n, "column"); err != nil {
		return err
	}
	t.src = src
	if counted {
		for _, c := range lay.columns {
			if c.role != noRole && c.role != roleTime && c.role != roleCount {
				return t.errorf(in.n, "%s: one column counts the requests of a row, and %q tells of one request; remove one of the two", quoted(names(lay.columns)), clip(c.name))
			}
		}
		t.format = "CSV of counts"
		t.counts = &counts{src: src}
		return nil
	}
	t.ends(lay)
	return nil
}

func names(columns []column) []string {
	var n []string
	for _, c := range columns {
		n = append(n, c.name)
	}
	return n
}
