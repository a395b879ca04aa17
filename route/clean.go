package route

import "bytes"

// isClean says whether clean would leave a path as it is. Few paths have what the loop looks for.
func isClean(path []byte) bool {
	last := byte(0)
	for i, c := range path {
		if c == '%' || last == '/' && (c == '/' || c == '.' && dots(path[i:]) > 0) {
			return false
		}
		last = c
	}
	return true
}

// dots returns the length of a leading dot segment, "." or "..", 0 when there is none.
func dots(b []byte) int {
	n := 0
	for n < len(b) && n < 3 && b[n] == '.' {
		n++
	}
	if n == 0 || n > 2 || n < len(b) && b[n] != '/' {
		return 0
	}
	return n
}

// clean appends a path's normal form: percent-encoding undone, then runs of slashes made one and the segments "." and ".."
// resolved, never above the root, as nginx compares locations. With all every byte is decoded, which is right for comparing; without,
// only bytes that mean the same either way (RFC 3986 6.2.2.2), so that the result can be sent on. It works for patterns too.
func clean(dst, path []byte, all bool) []byte {
	start := len(dst)
	dst = unescape(dst, path, all)
	b := dst[start:]
	if len(b) == 0 || b[0] != '/' {
		return dst // "*"
	}
	out := b[:0] // never longer than what was read
	for i := 0; i < len(b); {
		switch n := 0; {
		case b[i] != '/':
			out = append(out, b[i])
			i++
		case i+1 < len(b) && b[i+1] == '/':
			i++
		default:
			if n = dots(b[i+1:]); n == 0 {
				out = append(out, '/')
				i++
				continue
			}
			if n == 2 {
				out = out[:max(0, bytes.LastIndexByte(out, '/'))]
			}
			if i += 1 + n; i == len(b) {
				out = append(out, '/') // "/a/.." is the folder "/"
			}
		}
	}
	return dst[:start+len(out)]
}

// unescape appends b with every %XX decoded, or without all those whose byte is unreserved. Then it stops at a % that begins no %XX, as
// what is decoded behind it could make it one.
func unescape(dst, b []byte, all bool) []byte {
	for i := 0; i < len(b); i++ {
		if b[i] != '%' {
			dst = append(dst, b[i])
			continue
		}
		hi, lo := -1, -1
		if i+2 < len(b) {
			hi, lo = unhex(b[i+1]), unhex(b[i+2])
		}
		switch valid := hi >= 0 && lo >= 0; {
		case valid && (all || unreserved(byte(hi<<4|lo))):
			dst = append(dst, byte(hi<<4|lo))
			i += 2
		case valid || all:
			dst = append(dst, '%')
		default:
			return append(dst, b[i:]...)
		}
	}
	return dst
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// unreserved bytes mean the same percent-encoded or not (RFC 3986 2.3).
func unreserved(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '-' || c == '.' || c == '_' || c == '~'
}
