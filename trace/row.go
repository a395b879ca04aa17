package trace

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// layout is how the rows of a trace become requests.
type layout struct {
	t       *Reader
	columns []column
	weir    bool // Weir's own access log
	clock   clock

	strings map[string]string // seen before
	arena   []uint64          // for prefixes

	rows    int
	filled  [nRoles]int
	missing [nRoles]int32 // the first row without
	failed  int           // requests that did not succeed

	fine   bool  // a time has a fraction of a second
	second int64 // of the row before
	shared int   // rows of the same time as the row before

	// Of the row being read.
	has                  uint32 // a bit for each role
	begins, ends         int64
	service, total, wait time.Duration
	attempts             int64
	query                string

	warnedService, warnedStatus bool
}

// settle checks the columns of a trace.
func (l *layout) settle(line int, what string) error {
	var first [nRoles]string
	var names []string
	for _, c := range l.columns {
		names = append(names, c.name)
		if c.role == noRole {
			continue
		}
		if other := first[c.role]; other != "" {
			return l.t.errorf(line, "%s %q and %q could both be the %s of a request; name the one to take: --column %s=%s",
				what, clip(other), clip(c.name), roleNames[c.role], roleNames[c.role], clip(c.name))
		}
		first[c.role] = c.name
	}
	for r, n := range l.t.o.Columns {
		if !slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(strings.TrimSpace(name), strings.TrimSpace(n)) }) {
			return l.t.errorf(line, "there is no %s %q to take as %s, only %s", what, clip(n), r, quoted(names))
		}
	}
	if first[roleTime] == "" && first[roleEnd] == "" {
		return l.t.errorf(line, "no %s says when a request came. It has %s; it needs one such as timestamp, time or gmt_create, or name it: --column time=NAME",
			what, quoted(names))
	}
	for r := roleTime; r < nRoles; r++ {
		if first[r] != "" {
			l.t.used = append(l.t.used, roleNames[r]+"="+first[r])
		}
	}
	l.t.kind = Plain
	switch {
	case first[roleOut] != "":
		l.t.kind = Chat
	case first[roleSteps] != "" || first[roleImages] != "":
		l.t.kind = Image
	}
	l.clock.mooncake = first[roleIn] != "" && first[roleOut] != "" && first[rolePrefix] != ""
	return nil
}

// quoted lists names for a message, and not more than a line holds.
func quoted(names []string) string {
	const most = 12
	q := make([]string, 0, most+1)
	for i, n := range names {
		if i == most {
			q = append(q, "…")
			break
		}
		q = append(q, strconv.Quote(clip(n)))
	}
	return strings.Join(q, ", ")
}

// begin starts a row.
func (l *layout) begin() {
	l.has, l.service, l.total, l.wait, l.attempts, l.query = 0, 0, 0, 0, 0, ""
}

// maxTokens is more than any model reads or writes, and maxService longer than any request works: larger numbers are another column.
const (
	maxTokens  = 1e9
	maxService = 7 * 24 * time.Hour
	maxBytes   = 1 << 50
)

// set takes a value of the row.
func (l *layout) set(it *item, c *column, v []byte) (err error) {
	if c.role == noRole {
		return nil
	}
	v = trim(v)
	if len(v) == 0 || string(v) == "null" || string(v) == "-" && c.role != rolePath {
		if c.role == roleTime || c.role == roleEnd {
			return fmt.Errorf("%s is empty; remove the row or fill it in", c.name)
		}
		return nil
	}
	l.has |= 1 << c.role
	line := int(it.Line)
	switch c.role {
	case roleTime:
		l.begins, err = l.clock.read(v, l.t, c, line)
	case roleEnd:
		l.ends, err = l.clock.read(v, l.t, c, line)
	case roleService:
		l.service, err = l.span(v, c, line)
	case roleTotal:
		l.total, err = l.span(v, c, line)
	case roleWait:
		l.wait, err = l.span(v, c, line)
	case roleIn:
		it.In, err = whole[int32](c, v, maxTokens)
	case roleOut:
		it.Out, err = whole[int32](c, v, maxTokens)
	case roleSteps:
		it.Steps, err = whole[int16](c, v, math.MaxInt16)
	case roleImages:
		it.Images, err = whole[int16](c, v, math.MaxInt16)
	case roleLoras:
		it.Loras, err = whole[int16](c, v, math.MaxInt16)
	case roleBytes:
		it.Bytes, err = whole[int64](c, v, maxBytes)
	case roleAttempts:
		l.attempts, err = whole[int64](c, v, maxBytes)
	case roleModel:
		it.Model = l.intern(v)
	case roleTenant:
		it.Tenant = l.intern(v)
	case roleMethod:
		it.Method = l.intern(v)
	case rolePath:
		it.Path = l.intern(v)
	case roleQuery:
		l.query = string(v)
	case roleStatus:
		err = l.status(it, c, v)
	case rolePrefix:
		it.Prefix, err = l.prefix(c, v)
	}
	return err
}

// whole reads a count, which some tools write as "63.0".
func whole[T int16 | int32 | int64](c *column, v []byte, most float64) (T, error) {
	if len(v) < 10 {
		n := int64(0)
		digits := true
		for _, b := range v {
			if digits = b >= '0' && b <= '9'; !digits {
				break
			}
			n = n*10 + int64(b-'0')
		}
		if digits && float64(n) <= most {
			return T(n), nil
		}
	}
	f, ok := decimal(v)
	var err error
	if !ok {
		f, err = strconv.ParseFloat(string(v), 64)
	}
	if err != nil || !(f >= 0 && f <= most) || f != float64(int64(f)) {
		return 0, fmt.Errorf("%s is %q, which it cannot be; write a whole number from 0 to %d", c.name, clip(v), int64(most))
	}
	return T(f), nil
}

// span reads a length of time: a number, or one with a unit such as 350ms. nginx writes several when it tried several servers.
func (l *layout) span(v []byte, c *column, line int) (time.Duration, error) {
	bad := func(why string) error {
		return fmt.Errorf("%s is %q, %s", c.name, clip(v), why)
	}
	if last := v[len(v)-1]; last >= 'a' && last <= 'z' {
		d, err := time.ParseDuration(string(v))
		if err != nil || d < 0 || d > maxService {
			return 0, bad("which is no length of time from 0 to seven days; write 1.5s or 350ms, or a number")
		}
		return d, nil
	}
	unit := c.unit
	if unit == 0 {
		if unit = l.t.o.ServiceUnit; unit == 0 {
			unit = time.Second
			if !l.warnedService {
				l.warnedService = true
				l.t.warn(line, "%s has no unit in its name and is taken as seconds; if that is wrong, set --service-unit ms", c.name)
			}
		}
	}
	if f, ok := decimal(v); ok && f*float64(unit) <= float64(maxService) {
		return time.Duration(f * float64(unit)), nil
	}
	var d time.Duration
	for part := range strings.FieldsFuncSeq(string(v), func(r rune) bool { return r == ',' || r == ':' || r == ' ' }) {
		if part == "-" {
			continue
		}
		f, err := strconv.ParseFloat(part, 64)
		switch x := f * float64(unit); {
		case err != nil || f != f:
			return 0, bad("which is no number")
		case f < 0:
			return 0, bad("and nothing takes less than no time; mend or remove the row")
		case x > float64(maxService):
			return 0, bad("which would be longer than seven days; is its unit right? Set --service-unit")
		default:
			d += time.Duration(x)
		}
	}
	return min(d, maxService), nil
}

// decimal reads plain digits with a point perhaps, which is what nearly all numbers are.
func decimal(v []byte) (float64, bool) {
	n, scale := uint64(0), uint64(0)
	for _, b := range v {
		switch {
		case b >= '0' && b <= '9':
			n = n*10 + uint64(b-'0')
			scale *= 10
		case b == '.' && scale == 0:
			scale = 1
		default:
			return 0, false
		}
	}
	return float64(n) / float64(max(scale, 1)), len(v) > 0 && len(v) < 16 && v[0] != '.'
}

func (l *layout) status(it *item, c *column, v []byte) error {
	if v[0] >= '0' && v[0] <= '9' {
		n, err := whole[int16](c, v, 599)
		if err != nil || n != 0 && n < 100 {
			return fmt.Errorf("%s is %q, which is no status of HTTP; write a number from 100 to 599", c.name, clip(v))
		}
		it.Status = n
		return nil
	}
	if string(v) == "SUCCEED" {
		it.Status = 200
		return nil
	}
	switch ok, known := succeeded(clip(v)); {
	case ok:
		it.Status = 200
	case known:
		it.Status = 500
	default:
		if !l.warnedStatus {
			l.warnedStatus = true
			l.t.warn(int(it.Line), "%s %q is neither success nor failure, and taken as unknown", c.name, clip(v))
		}
	}
	return nil
}

// succeeded reports whether a word says that something succeeded, and whether it is known what it says.
func succeeded(word string) (ok, known bool) {
	switch strings.ToLower(word) {
	case "succeed", "succeeded", "success", "successful", "ok", "done", "completed", "finished", "true":
		return true, true
	case "failed", "fail", "failure", "error", "false", "aborted", "timeout", "cancelled", "canceled":
		return false, true
	}
	return false, false
}

// maxStrings bounds how many different strings are remembered to share their memory, and maxString the length of those kept whole.
const (
	maxStrings = 1 << 16
	maxString  = 2 << 10
)

func (l *layout) intern(v []byte) string {
	if s, ok := l.strings[string(v)]; ok {
		return s
	}
	if len(v) > maxString {
		v = v[:maxString]
	}
	s := strings.ToValidUTF8(string(v), "�")
	if len(l.strings) < maxStrings {
		l.strings[s] = s
	}
	return s
}

// prefix reads hashes: [1, 2, 3], "1 2 3", ["ab", "cd"].
func (l *layout) prefix(c *column, v []byte) ([]uint64, error) {
	const block = 1 << 13
	start := len(l.arena)
	for i := 0; i < len(v); {
		if b := v[i]; b == ' ' || b == ',' || b == ';' || b == '|' || b == '[' || b == ']' || b == '"' || b == '\t' {
			i++
			continue
		}
		j := i
		n, digits := uint64(0), true
		for ; j < len(v) && !strings.ContainsRune(" ,;|[]\"\t", rune(v[j])); j++ {
			digits = digits && v[j] >= '0' && v[j] <= '9' && j-i < 19
			n = n*10 + uint64(v[j]-'0')
		}
		if v[i] == '{' || v[i] == '-' {
			return nil, fmt.Errorf("%s is %q; write a list of hashes, such as [17, 42]", c.name, clip(v))
		}
		if !digits {
			n = sum(v[i:j])
		}
		if len(l.arena) == cap(l.arena) {
			grown := make([]uint64, len(l.arena)-start, max(block, 2*(len(l.arena)-start)))
			copy(grown, l.arena[start:])
			l.arena, start = grown, 0
		}
		l.arena = append(l.arena, n)
		i = j
	}
	return l.arena[start:len(l.arena):len(l.arena)], nil
}

// finish makes the request of what the row had.
func (l *layout) finish(it *item) error {
	if l.has&(1<<roleTime|1<<roleEnd) == 0 {
		return fmt.Errorf("no time, which the rows above have; mend or remove the row")
	}
	l.rows++
	for r := roleService; r < nRoles; r++ {
		if l.has&(1<<r) != 0 {
			l.filled[r]++
		} else if l.missing[r] == 0 {
			l.missing[r] = it.Line
		}
	}
	has := func(r role) bool { return l.has&(1<<r) != 0 }
	l.tick(it.Line)
	it.Wait, it.Service = l.wait, l.service
	switch {
	case has(roleService) || l.weir && has(roleAttempts) && l.attempts == 0: // no target worked on it
	case has(roleTotal):
		it.Service = max(l.total-l.wait, 0)
	case has(roleTime) && has(roleEnd):
		if l.ends < l.begins || l.ends-l.begins > int64(maxService) {
			return fmt.Errorf("it ends %v after it begins; mend or remove the row", time.Duration(l.ends-l.begins))
		}
		it.Service = max(time.Duration(l.ends-l.begins)-l.wait, 0)
	}
	switch {
	case has(roleTime):
		it.at = l.begins
	case has(roleTotal):
		it.at = l.ends - int64(l.total)
	default:
		it.at = l.ends - int64(it.Service+it.Wait)
	}
	if l.query != "" && !strings.Contains(it.Path, "?") {
		it.Path += "?" + l.query
	}
	if it.Status >= 400 {
		l.failed++
	}
	return nil
}

// tick looks at how fine the trace's times are, and spreads those that are not.
func (l *layout) tick(line int32) {
	at := &l.begins
	if l.has&(1<<roleTime) == 0 {
		at = &l.ends
	}
	switch {
	case *at%int64(time.Second) != 0:
		l.fine = true
	case l.rows > 1 && *at == l.second:
		l.shared++
	}
	l.second = *at
	if l.t.o.Spread && l.second%int64(time.Second) == 0 {
		*at += int64(chance(l.t.o.Seed, uint64(line), 1<<32) * float64(time.Second))
	}
}

// trim removes the spaces around a value.
func trim(v []byte) []byte {
	for len(v) > 0 && (v[0] == ' ' || v[0] == '\t') {
		v = v[1:]
	}
	for len(v) > 0 && (v[len(v)-1] == ' ' || v[len(v)-1] == '\t') {
		v = v[:len(v)-1]
	}
	return v
}
