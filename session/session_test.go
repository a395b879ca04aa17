package session

import (
	"bytes"
	"crypto/aes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"
)

var (
	now    = time.Date(2026, 3, 1, 12, 0, 0, 400e6, time.UTC)
	oldKey = bytes.Repeat([]byte("o"), 32)
	newKey = bytes.Repeat([]byte("n"), 32)
)

func ring(t testing.TB, keys ...[]byte) *Ring {
	t.Helper()
	r, err := NewRing(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAnotherWeirUnderstandsTheCookie(t *testing.T) {
	v := ring(t, oldKey).Seal(nil, "api", "10.0.0.1:9001", now, time.Hour)
	target, left, err := ring(t, oldKey).Open(v, "api", now.Add(10*time.Minute))
	if target != "10.0.0.1:9001" || left != 50*time.Minute || err != nil {
		t.Errorf("%q %v %v", target, left, err)
	}
}

func TestTheCookieShowsNothing(t *testing.T) {
	r := ring(t, oldKey)
	a, b := r.Seal(nil, "api", "10.0.0.1:9001", now, time.Hour), r.Seal(nil, "api", "10.0.0.1:9002", now, time.Hour)
	raw, err := encoding.AppendDecode(nil, a)
	if err != nil || bytes.Contains(raw, []byte("10.0")) || bytes.Equal(a[len(a)-4:], b[len(b)-4:]) {
		t.Errorf("%q %q %v", a, b, err)
	}
	if strings.Trim(string(a), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		t.Errorf("%q does not fit a cookie", a)
	}
}

func TestKeysRotateWithoutLosingASession(t *testing.T) {
	before, during, switched, after := ring(t, oldKey), ring(t, oldKey, newKey), ring(t, newKey, oldKey), ring(t, newKey)
	for _, c := range []struct {
		name string
		by   *Ring
		at   *Ring
		want error
	}{
		{"before, during", before, during, nil},
		{"during, before", during, before, nil},
		{"during, switched", during, switched, nil},
		{"switched, during", switched, during, nil},
		{"switched, after", switched, after, nil},
		{"before, after", before, after, ErrInvalid},
	} {
		if _, _, err := c.at.Open(c.by.Seal(nil, "api", "t", now, time.Hour), "api", now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestACookieEndsAndRenews(t *testing.T) {
	r := ring(t, oldKey)
	v := r.Seal(nil, "api", "t", now, 10*time.Second)
	for after, want := range map[time.Duration]error{
		0: nil, 9 * time.Second: nil, 10 * time.Second: ErrExpired, time.Hour: ErrExpired,
	} {
		if _, _, err := r.Open(v, "api", now.Add(after)); !errors.Is(err, want) {
			t.Errorf("after %v: %v, want %v", after, err, want)
		}
	}
	renewed := r.Seal(nil, "api", "t", now.Add(9*time.Second), 10*time.Second)
	if _, left, err := r.Open(renewed, "api", now.Add(18*time.Second)); left != time.Second || err != nil {
		t.Errorf("%v %v", left, err)
	}
	// A clock that was ahead when the cookie was made does not make it last longer than any may.
	if _, left, _ := r.Open(r.Seal(nil, "api", "t", now.Add(10*365*24*time.Hour), time.Hour), "api", now); left != MaxDuration {
		t.Errorf("%v left", left)
	}
}

func TestForgeriesAreRefused(t *testing.T) {
	r := ring(t, oldKey, newKey)
	v := r.Seal(nil, "api", "10.0.0.1:9001", now, time.Hour)
	if _, _, err := r.Open(v, "other", now); !errors.Is(err, ErrInvalid) {
		t.Errorf("another pool's: %v", err)
	}
	raw, _ := encoding.AppendDecode(nil, v)
	for i := range raw {
		for bit := range 8 {
			forged := bytes.Clone(raw)
			forged[i] ^= 1 << bit
			if _, _, err := r.Open(encoding.AppendEncode(nil, forged), "api", now); !errors.Is(err, ErrInvalid) {
				t.Fatalf("byte %d bit %d: %v", i, bit, err)
			}
		}
	}
	for i := range v {
		if _, _, err := r.Open(v[:i], "api", now); !errors.Is(err, ErrInvalid) {
			t.Errorf("cut to %d: %v", i, err)
		}
	}
	for _, s := range []string{"", "x", "a b", strings.Repeat("A", 4000), string(v) + "=", string(v) + "\n", string(v[:20]) + "\n" + string(v[20:])} {
		if _, _, err := r.Open([]byte(s), "api", now); !errors.Is(err, ErrInvalid) {
			t.Errorf("%.40q: %v", s, err)
		}
	}
}

// The construction is computed here a second time, in the plainest way.
func TestTheConstructionIsSIV(t *testing.T) {
	derived, _ := hkdf.Key(sha256.New, oldKey, nil, "weir session cookie v1", 65)
	text := append(binary.BigEndian.AppendUint64(nil, uint64(now.Unix()+60)), "a target of more than one block"...)
	h := hmac.New(sha256.New, derived[1:33])
	h.Write(append(append([]byte{1, 0, 3}, "api"...), text...))
	tag := h.Sum(nil)[:16]
	block, _ := aes.NewCipher(derived[33:])
	sealed := append([]byte{1, derived[0]}, tag...)
	for i := 0; i < len(text); i += 16 {
		counter, stream := bytes.Clone(tag), make([]byte, 16)
		counter[15] ^= byte(i / 16)
		block.Encrypt(stream, counter)
		for j := i; j < min(i+16, len(text)); j++ {
			sealed = append(sealed, text[j]^stream[j-i])
		}
	}
	want := encoding.EncodeToString(sealed)
	if got := ring(t, oldKey).Seal([]byte("x="), "api", string(text[8:]), now, time.Minute); string(got) != "x="+want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestLongTargets(t *testing.T) {
	r := ring(t, oldKey)
	long := strings.Repeat("t", maxTarget)
	if got, _, err := r.Open(r.Seal(nil, "api", long, now, time.Hour), "api", now); got != long || err != nil {
		t.Errorf("%q %v", got, err)
	}
	if v := r.Seal([]byte("x"), "api", long+"t", now, time.Hour); string(v) != "x" {
		t.Errorf("%q", v)
	}
}

func TestBadKeys(t *testing.T) {
	if _, err := NewRing(); err == nil {
		t.Error("no key is taken")
	}
	if _, err := NewRing(oldKey, []byte("short")); err == nil || !strings.Contains(err.Error(), "key 2") {
		t.Error(err)
	}
}

func TestSetCookie(t *testing.T) {
	r := ring(t, oldKey)
	for _, c := range []struct {
		cookie Cookie
		tls    bool
		want   string
	}{
		{Cookie{}, false, "WEIR=*; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax"},
		{Cookie{}, true, "WEIR=*; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax; Secure"},
		{Cookie{Name: "s", Duration: time.Second, SameSite: "Strict"}, true, "s=*; Path=/; Max-Age=1; HttpOnly; SameSite=Strict; Secure"},
		{Cookie{Duration: MaxDuration, SameSite: "None"}, true, "WEIR=*; Path=/; Max-Age=604800; HttpOnly; SameSite=None; Secure"},
		{Cookie{SameSite: "None"}, false, "WEIR=*; Path=/; Max-Age=86400; HttpOnly"},
	} {
		if err := c.cookie.Check(); err != nil {
			t.Fatal(err)
		}
		value := string(r.Seal(nil, "api", "t", now, c.cookie.Duration))
		want := strings.Replace(c.want, "*", value, 1)
		if got := string(c.cookie.Append(nil, r, "api", "t", now, c.tls)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestBadCookies(t *testing.T) {
	for _, c := range []Cookie{
		{Name: "a b"}, {Name: "a;b"}, {Name: "a=b"}, {Name: "a\r\nb"}, {Name: "ü"}, {Name: "__Host-a"},
		{Duration: time.Millisecond}, {Duration: 1500 * time.Millisecond}, {Duration: MaxDuration + time.Second}, {Duration: -time.Second},
		{SameSite: "lax"}, {SameSite: "Lax; Domain=x"},
	} {
		if err := c.Check(); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

func FuzzOpen(f *testing.F) {
	r := ring(f, oldKey, newKey)
	v := r.Seal(nil, "api", "10.0.0.1:9001", now, time.Hour)
	f.Add(string(v), "api")
	f.Add(string(v[:len(v)-2]), "api")
	f.Add("AQAA", "")
	f.Fuzz(func(t *testing.T, value, pool string) {
		target, _, err := r.Open([]byte(value), pool, now)
		if err != nil {
			return
		}
		if again := r.Seal(nil, pool, target, now, time.Hour); value != string(again) {
			t.Errorf("%q was taken for %q of pool %q", value, target, pool)
		}
	})
}

func BenchmarkSealOpen(b *testing.B) {
	r := ring(b, newKey, oldKey)
	dst := make([]byte, 0, 128)
	b.ReportAllocs()
	for b.Loop() {
		v := r.Seal(dst, "inference", "10.0.12.1:9001", now, time.Hour)
		if _, _, err := r.Open(v, "inference", now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenForged(b *testing.B) {
	r := ring(b, newKey, oldKey)
	v := r.Seal(nil, "other", "10.0.12.1:9001", now, time.Hour)
	b.ReportAllocs()
	for b.Loop() {
		_, _, _ = r.Open(v, "inference", now)
	}
}
