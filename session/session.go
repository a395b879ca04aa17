// Package session makes a client return to the target that it was first sent to, by a cookie that carries all there is to know:
// several Weirs with the same keys understand each other's cookies, and none remembers anything.
package session

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"sync"
	"time"
)

// How long a session may last without a request (the bounds and the default of AWS's load balancers).
const (
	MinDuration     = time.Second
	MaxDuration     = 604_800 * time.Second
	DefaultDuration = 86_400 * time.Second
)

// The reasons why a cookie says nothing. In either case another target is chosen, and the cookie written anew.
var (
	ErrInvalid = errors.New("session: the cookie was not made by one of the ring's keys for this pool")
	ErrExpired = errors.New("session: the cookie has expired")
)

// Ring makes cookies with its first key and understands those of all. To rotate without losing a session, first give every Weir
// the new key as the second one, then as the first, and remove the old one when the longest duration has passed. It may be used
// concurrently.
type Ring struct {
	keys []*key
}

// key seals by SIV (RFC 5297 2.6 with HMAC-SHA256 as the pseudorandom function): the code that authenticates pool, expiry and target is
// also the nonce that encrypts the latter two. Nothing random is needed, so no number of cookies wears a key out, which at thousands a
// second the random nonces of GCM would.
type key struct {
	id    byte // tells most foreign cookies apart at once
	block cipher.Block
	macs  sync.Pool // of *mac
}

// mac is what one computation needs, kept so that none allocates.
type mac struct {
	hash.Hash
	in      []byte
	sum     []byte
	counter [aes.BlockSize]byte
	stream  [aes.BlockSize]byte
}

// MinKey is the least length of a key in bytes.
const MinKey = 16

// NewRing returns a ring of secrets: random bytes, at least MinKey, 32 are best ("openssl rand -base64 32").
func NewRing(secrets ...[]byte) (*Ring, error) {
	if len(secrets) == 0 {
		return nil, errors.New("session: there is no key; give one, for example of openssl rand -base64 32")
	}
	r := &Ring{}
	for i, s := range secrets {
		if len(s) < MinKey {
			return nil, fmt.Errorf("session: key %d has %d bytes; at least %d are needed, as openssl rand -base64 32 makes them", i+1, len(s), MinKey)
		}
		derived, err := hkdf.Key(sha256.New, s, nil, "weir session cookie v1", 1+32+32)
		if err != nil {
			return nil, fmt.Errorf("session: derive key %d: %w", i+1, err)
		}
		block, err := aes.NewCipher(derived[33:])
		if err != nil {
			return nil, fmt.Errorf("session: key %d: %w", i+1, err)
		}
		k := &key{id: derived[0], block: block}
		k.macs.New = func() any { return &mac{Hash: hmac.New(sha256.New, derived[1:33])} }
		r.keys = append(r.keys, k)
	}
	return r, nil
}

// A cookie's value is base64url without padding of: version, key id, tag, and encrypted: expiry in seconds since the epoch, target.
const (
	version    = 1
	tagStart   = 2
	tagSize    = aes.BlockSize
	textStart  = tagStart + tagSize
	expirySize = 8
	maxTarget  = 255
	maxRaw     = textStart + expirySize + maxTarget
)

var encoding = base64.RawURLEncoding.Strict()

// Seal appends the value of a cookie that binds a client of a pool to a target until now+duration, in whole seconds. It is not
// for targets of more than 255 bytes: nothing is appended for these.
func (r *Ring) Seal(dst []byte, pool, target string, now time.Time, duration time.Duration) []byte {
	if len(target) > maxTarget {
		return dst
	}
	var b [maxRaw]byte
	raw := b[:textStart+expirySize+len(target)]
	k := r.keys[0]
	raw[0], raw[1] = version, k.id
	text := raw[textStart:]
	binary.BigEndian.PutUint64(text, uint64(now.Add(duration).Unix()))
	copy(text[expirySize:], target)

	m := k.macs.Get().(*mac)
	defer k.macs.Put(m)
	tag := raw[tagStart:textStart]
	copy(tag, m.tag(pool, text))
	m.crypt(k.block, tag, text)
	return encoding.AppendEncode(dst, raw)
}

// Open returns the target that a cookie's value names and for how long it does, at most MaxDuration. The error is ErrInvalid or
// ErrExpired.
func (r *Ring) Open(value []byte, pool string, now time.Time) (target string, remaining time.Duration, err error) {
	var b [maxRaw]byte
	if n := encoding.DecodedLen(len(value)); n < textStart+expirySize || n > maxRaw {
		return "", 0, ErrInvalid
	}
	n, err := encoding.Decode(b[:], value)
	if err != nil || encoding.EncodedLen(n) != len(value) || b[0] != version { // the decoder skips line ends
		return "", 0, ErrInvalid
	}
	for _, k := range r.keys {
		if k.id != b[1] {
			continue
		}
		if text := k.open(b[:n], pool); text != nil {
			return expiry(text, now)
		}
	}
	return "", 0, ErrInvalid
}

// open decrypts raw in place and returns the text, nil when it is not one of the key's.
func (k *key) open(raw []byte, pool string) []byte {
	m := k.macs.Get().(*mac)
	defer k.macs.Put(m)
	tag, text := raw[tagStart:textStart], raw[textStart:]
	m.crypt(k.block, tag, text)
	if subtle.ConstantTimeCompare(tag, m.tag(pool, text)) != 1 {
		m.crypt(k.block, tag, text) // as it was, for the next key
		return nil
	}
	return text
}

func expiry(text []byte, now time.Time) (string, time.Duration, error) {
	until := int64(binary.BigEndian.Uint64(text))
	seconds := until - now.Unix()
	if seconds <= 0 {
		return "", 0, ErrExpired
	}
	return string(text[expirySize:]), min(time.Duration(seconds), MaxDuration/time.Second) * time.Second, nil
}

// tag authenticates a pool and a text. What it returns is overwritten by the next call.
func (m *mac) tag(pool string, text []byte) []byte {
	m.in = append(m.in[:0], version, byte(len(pool)>>8), byte(len(pool)))
	m.in = append(append(m.in, pool...), text...)
	m.Reset()
	m.Write(m.in) // never fails
	m.sum = m.Sum(m.sum[:0])
	return m.sum[:tagSize]
}

// crypt encrypts or decrypts text in place, in counter mode from the tag on. A text has at most 17 blocks.
func (m *mac) crypt(block cipher.Block, tag, text []byte) {
	for i := byte(0); len(text) > 0; i++ {
		copy(m.counter[:], tag)
		m.counter[len(m.counter)-1] ^= i
		block.Encrypt(m.stream[:], m.counter[:])
		text = text[subtle.XORBytes(text, text, m.stream[:]):]
	}
}
