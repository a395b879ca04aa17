package session

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Cookie says how a pool's cookie looks.
type Cookie struct {
	Name     string        // default "WEIR"
	Duration time.Duration // from MinDuration to MaxDuration, in whole seconds; renewed by each answer; 0 means DefaultDuration
	SameSite string        // "Lax" (default), "Strict", or "None" for pages of other sites, which browsers only take over TLS
}

// Check fills in defaults and says what is wrong.
func (c *Cookie) Check() error {
	if c.Name == "" {
		c.Name = "WEIR"
	}
	if c.Duration == 0 {
		c.Duration = DefaultDuration
	}
	if c.SameSite == "" {
		c.SameSite = "Lax"
	}
	for i := range len(c.Name) {
		if b := c.Name[i]; b <= ' ' || b >= 0x7f || strings.IndexByte("()<>@,;:\\\"/[]?={}", b) >= 0 {
			return fmt.Errorf("the cookie's name %q has a %q; use letters, digits, - and _", c.Name, b)
		}
	}
	switch {
	case strings.HasPrefix(strings.ToLower(c.Name), "__host-") || strings.HasPrefix(strings.ToLower(c.Name), "__secure-"):
		return fmt.Errorf("the cookie's name %q begins with a prefix that browsers refuse without TLS; choose another", c.Name)
	case c.Duration < MinDuration || c.Duration > MaxDuration:
		return fmt.Errorf("the session's duration %v is out of bounds; it must be from %v to %v", c.Duration, MinDuration, MaxDuration)
	case c.Duration%time.Second != 0:
		return errors.New("the session's duration must be in whole seconds")
	case c.SameSite != "Lax" && c.SameSite != "Strict" && c.SameSite != "None":
		return fmt.Errorf("same_site %q: there are Lax, Strict and None", c.SameSite)
	}
	return nil
}

// Append appends the value of a Set-Cookie header that binds a client to a target, for a cookie that passed Check. Over TLS it is Secure;
// without, SameSite=None is left out, as browsers drop such cookies. Scripts do not see it.
func (c *Cookie) Append(dst []byte, r *Ring, pool, target string, now time.Time, tls bool) []byte {
	dst = append(append(dst, c.Name...), '=')
	dst = r.Seal(dst, pool, target, now, c.Duration)
	dst = append(dst, "; Path=/; Max-Age="...)
	dst = strconv.AppendInt(dst, int64(c.Duration/time.Second), 10)
	dst = append(dst, "; HttpOnly"...)
	if tls || c.SameSite != "None" {
		dst = append(append(dst, "; SameSite="...), c.SameSite...)
	}
	if tls {
		dst = append(dst, "; Secure"...)
	}
	return dst
}
