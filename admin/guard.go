package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// cookieName holds the token in a browser that opened the page with ?token= once.
const cookieName = "weir_token"

// guard lets in whom it should, and nobody else: with a token, those that present it; without, those that speak to Weir under a
// loopback name, so that no page of the web can reach it by pointing its own name at 127.0.0.1. It refuses writes
// that a foreign page sent with the reader's cookie.
func (s *Server) guard(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusForbidden, "cross_origin", "a page of another site sent this; open the dashboard itself or use the API without a browser")
	}))
	next = cross.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		switch {
		case s.o.Token == "":
			if !s.o.Known && !loopbackHost(r.Host) {
				refuse(w, http.StatusForbidden, "host", "without a token Weir answers only under a loopback name such as 127.0.0.1 or localhost; set admin.token, or admin.tls.client_ca, to be reached as "+quoted(r.Host))
				return
			}
		case s.enter(w, r):
			return
		case !s.presented(r):
			h.Set("WWW-Authenticate", `Bearer realm="weir"`)
			refuse(w, http.StatusUnauthorized, "token", "this needs the token: send Authorization: Bearer <token>, or open the page once with ?token=<token>")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// enter turns ?token= on the page into a cookie, so that the token leaves the address bar and the browser's history.
func (s *Server) enter(w http.ResponseWriter, r *http.Request) bool {
	token := r.URL.Query().Get("token")
	if r.Method != http.MethodGet || r.URL.Path != "/" || !same(token, s.o.Token) {
		return false
	}
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: cookieValue(token), Path: "/", MaxAge: 30 * 24 * 3600,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	})
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return true
}

func (s *Server) presented(r *http.Request) bool {
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return same(strings.TrimSpace(token), s.o.Token)
	}
	c, err := r.Cookie(cookieName)
	return err == nil && same(c.Value, cookieValue(s.o.Token))
}

// cookieValue stands for the token in a cookie: any token can be one, and the browser's files do not hold the token itself.
func cookieValue(token string) string {
	sum := sha256.Sum256([]byte("weir dashboard\x00" + token))
	const hex = "0123456789abcdef"
	var b strings.Builder
	for _, c := range sum {
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}

// same compares in constant time, also of the length.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// loopbackHost reports whether a Host header names this machine to itself, with or without a port.
func loopbackHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	if name = strings.ToLower(strings.TrimSuffix(name, ".")); name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.Unmap().IsLoopback()
}
