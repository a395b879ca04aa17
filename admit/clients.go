package admit

import (
	"errors"
	"fmt"
	"hash/maphash"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
)

// Keys turns what identifies a client into the keys of Rates and Clients. Keys of two Keys, and so of two processes, have nothing to
// do with each other: nobody can look for values that share a key.
type Keys struct {
	ipv4, ipv6 int
	seed       maphash.Seed
}

// NewKeys returns keys that take clients of one network as one: networks of ipv4 bits (0 means 32, every address for itself) and of
// ipv6 bits (0 means 64, as one customer has at least that many addresses).
func NewKeys(ipv4, ipv6 int) (*Keys, error) {
	if ipv4 == 0 {
		ipv4 = 32
	}
	if ipv6 == 0 {
		ipv6 = 64
	}
	if ipv4 < 8 || ipv4 > 32 {
		return nil, fmt.Errorf("IPv4 networks of %d bits: it must be from 8 to 32", ipv4)
	}
	if ipv6 < 16 || ipv6 > 128 {
		return nil, fmt.Errorf("IPv6 networks of %d bits: it must be from 16 to 128", ipv6)
	}
	return &Keys{ipv4, ipv6, maphash.MakeSeed()}, nil
}

// Network is the key of the network that a client is in.
func (k *Keys) Network(client netip.Addr) uint64 {
	client = client.Unmap()
	b, n := client.As16(), k.ipv6
	if client.Is4() {
		n = 96 + k.ipv4
	}
	for i := range b {
		if keep := n - 8*i; keep < 8 {
			b[i] &= ^byte(0) << min(8-keep, 8)
		}
	}
	return maphash.Bytes(k.seed, b[:])
}

// Value is the key of a header's value or an API key. An empty value is one key for all who have none.
func (k *Keys) Value(v []byte) uint64 { return maphash.Bytes(k.seed, v) }

// APIKey is the credential in an Authorization header: what follows "Bearer", or the whole value of another scheme.
func APIKey(authorization []byte) []byte {
	const bearer = "Bearer "
	if len(authorization) > len(bearer) && strings.EqualFold(string(authorization[:len(bearer)]), bearer) {
		authorization = authorization[len(bearer):]
		for len(authorization) > 0 && authorization[0] == ' ' {
			authorization = authorization[1:]
		}
	}
	return authorization
}

// Clients counts what each client has under way, requests or connections, and bounds it. It remembers only who has any, so that
// its size is bounded by whatever bounds the sum.
type Clients struct {
	limit  atomic.Int64
	shards [64]clientShard
}

type clientShard struct {
	mu sync.Mutex
	n  map[uint64]int64 // guarded by mu; without zeros
	_  [48]byte         // so that two shards share no cache line
}

// NewClients bounds what each client may have under way.
func NewClients(limit int) (*Clients, error) {
	c := &Clients{}
	for i := range c.shards {
		c.shards[i].n = map[uint64]int64{}
	}
	return c, c.SetLimit(limit)
}

// SetLimit changes the limit. Who has more under way keeps it.
func (c *Clients) SetLimit(limit int) error {
	if limit < 1 {
		return errors.New("a limit per client must be at least 1; leave it out to have none")
	}
	c.limit.Store(int64(limit))
	return nil
}

// Enter counts one more for a client, or refuses it at the limit. Who is let in must Leave.
func (c *Clients) Enter(key uint64) bool {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.n[key]
	if n >= c.limit.Load() {
		return false
	}
	s.n[key] = n + 1
	return true
}

// Leave counts one less for a client that was let in.
func (c *Clients) Leave(key uint64) {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n[key]--; s.n[key] <= 0 {
		delete(s.n, key)
	}
}

// Count returns what a client has under way.
func (c *Clients) Count(key uint64) int {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.n[key])
}

func (c *Clients) shard(key uint64) *clientShard { return &c.shards[scatter(key)>>58] }

// TooMany is the refusal of a client that has n things under way and may have no more; what says which, "requests" or "connections".
// limit is its config key, such as "limits.per_client".
func TooMany(limit string, n int, what string) *Refusal {
	return &Refusal{
		Limit:      limit,
		Message:    fmt.Sprintf("this client has %d %s under way and may have no more", n, what),
		RetryAfter: wholeSeconds(0),
		Status:     429,
	}
}
