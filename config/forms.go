package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// form is a value that a file writes as text in a form of its own. Errors
// of parse continue the sentence that begins with the quoted text; what was
// there before stays then.
type form interface{ parse(text string) error }

// shorthand is a struct that a file may also write as one value, which is
// then that of the key it names.
type shorthand interface{ short() string }

func (*Target) short() string   { return "address" }
func (*Match) short() string    { return "exact" }
func (*Redirect) short() string { return "to" }
func (*Respond) short() string  { return "status" }
func (*Mirror) short() string   { return "pool" }
func (*Priority) short() string { return "default" }
func (*Deadline) short() string { return "after" }
func (*Hedge) short() string    { return "after" }

func (d *Duration) parse(text string) error {
	parsed, err := parseDuration(text)
	if err == nil {
		*d = parsed
	}
	return err
}

func (s *Size) parse(text string) error {
	parsed, err := parseSize(text)
	if err == nil {
		*s = parsed
	}
	return err
}

// StringList is a list of text. The file may give a single one without
// brackets.
type StringList []string

// Key is what of a request tells one from another. The zero Key is none.
type Key struct {
	Kind string // one of the constants below; empty for none
	Name string // of the header, the cookie or the parameter; path of the field, with dots
}

// The kinds of a Key.
const (
	KeyClient  = "client"  // the address of the client
	KeyNetwork = "network" // the network of the client, as wide as limits.clients says
	KeyHeader  = "header"  // the value of a header
	KeyCookie  = "cookie"  // the value of a cookie
	KeyQuery   = "query"   // the value of a parameter of the query
	KeyJSON    = "json"    // the value of a field of a JSON body
	KeyAll     = "all"     // every request has the same
)

var (
	keyNouns    = map[string]string{KeyHeader: "header", KeyCookie: "cookie", KeyQuery: "parameter", KeyJSON: "field"}
	keyExamples = map[string]string{KeyHeader: "header:X-User", KeyCookie: "cookie:session", KeyQuery: "query:user", KeyJSON: "json:model"}
)

// keyPattern is the form of a Key, for the schema.
const keyPattern = `^(client|network|all|(header|cookie|query|json):.+)$`

// needsName reports whether a key of that kind names something.
func needsName(kind string) bool { return keyNouns[kind] != "" }

// String formats k as a file writes it.
func (k Key) String() string {
	if needsName(k.Kind) {
		return k.Kind + ":" + k.Name
	}
	return k.Kind
}

// isFieldPath reports whether s leads to a field of a JSON body: names, or
// numbers of items of a list, with dots between them.
func isFieldPath(s string) bool {
	for part := range strings.SplitSeq(s, ".") {
		if !isName(part) {
			return false
		}
	}
	return true
}

// Rate is how often something happens, in times per second. A file writes
// it as in "10/s", "600/m" or "5/h".
type Rate float64

const ratePattern = `^[0-9]+(\.[0-9]+)?/(s|m|h)$`

var rateUnits = map[string]float64{"s": 1, "m": 60, "h": 3600}

// String formats r in the shortest of the units that leaves a whole number,
// such as "600/m", or else per second.
func (r Rate) String() string {
	for _, unit := range []string{"s", "m", "h"} {
		if n := float64(r) * rateUnits[unit]; n == float64(int64(n)) {
			return strconv.FormatInt(int64(n), 10) + "/" + unit
		}
	}
	return strconv.FormatFloat(float64(r), 'g', -1, 64) + "/s"
}

func (r *Rate) parse(text string) error {
	number, unit, hasUnit := strings.Cut(text, "/")
	n, letters, rest := cutQuantity(number)
	switch {
	case n == "" || letters != "" || rest != "" || hasUnit && rateUnits[unit] == 0:
		return errors.New(`is not a rate; write one such as "10/s", "600/m" or "5/h"`)
	case !hasUnit:
		return fmt.Errorf(`has no unit; write one such as "%[1]s/s" or "%[1]s/m"`, n)
	}
	f, err := strconv.ParseFloat(n, 64)
	switch f /= rateUnits[unit]; {
	case err != nil || f > 1e9:
		return fmt.Errorf("%w; the highest rate is 1000000000/s", errTooLarge)
	case f == 0:
		return errors.New(`lets nothing through; write one such as "10/s"`)
	}
	*r = Rate(f)
	return nil
}

// Network is a range of IP addresses. A file writes it as in "10.0.0.0/8",
// or as a single address.
type Network struct{ netip.Prefix }

const networkPattern = `^[0-9a-fA-F.:]+(/[0-9]+)?$`

func (n *Network) parse(text string) error {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		n.Prefix = netip.PrefixFrom(a, a.BitLen())
		return nil
	}
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return errors.New(`is not a network; write one such as "10.0.0.0/8", "2001:db8::/32" or "192.0.2.7"`)
	case p != p.Masked():
		return fmt.Errorf("has bits beyond the /%d; write %q for the network, or %q for the one address", p.Bits(), p.Masked(), p.Addr())
	}
	n.Prefix = p
	return nil
}
