package telemetry

import "time"

// AppendServerTiming appends the value of a Server-Timing header (https://www.w3.org/TR/server-timing/): where the time to the first
// byte went, in milliseconds. The durations are those of [Access]: target, the time from the slot to the head of the target's answer,
// has connect in it. What did not happen is left out, so the value may be empty.
func AppendServerTiming(dst []byte, queue, connect, firstByte time.Duration) []byte {
	begin := len(dst)
	dst = appendPart(dst, begin, "queue", queue)
	dst = appendPart(dst, begin, "connect", connect)
	return appendPart(dst, begin, "target", firstByte)
}

func appendPart(dst []byte, begin int, name string, d time.Duration) []byte {
	if d < time.Microsecond {
		return dst
	}
	if len(dst) > begin {
		dst = append(dst, ", "...)
	}
	dst = append(append(dst, name...), ";dur="...)
	dst = appendMillis(dst, d)
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	if dst[len(dst)-1] == '.' {
		dst = dst[:len(dst)-1]
	}
	return dst
}
