package balance

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// Hash is what keys are hashed by: XXH64, never 0, as that means that there is no key.
func Hash(b []byte) uint64 { return max(1, xxhash.Sum64(b)) }

// The defaults of PrefixHashes.
const (
	PrefixBlock = 256 // bytes, about 64 tokens of English
	MaxPrefixes = 64  // so with PrefixBlock the first 16 KiB of a prompt tell
)

// PrefixHashes appends to dst the hash of each prefix of prompt that is a whole number of blocks long, shortest first and at most
// MaxPrefixes: two prompts have the same i-th hash exactly when their first i blocks are equal. A prompt without a whole block has
// none. Block is in bytes, PrefixBlock when it is not positive. It does not allocate when dst has room.
func PrefixHashes(dst []uint64, prompt []byte, block int) []uint64 {
	if block <= 0 {
		block = PrefixBlock
	}
	var link [16]byte // the hash so far and that of the next block
	h := uint64(0)
	for n := 0; n < MaxPrefixes && len(prompt) >= block; n++ {
		binary.LittleEndian.PutUint64(link[:8], h)
		binary.LittleEndian.PutUint64(link[8:], xxhash.Sum64(prompt[:block]))
		h = Hash(link[:])
		dst = append(dst, h)
		prompt = prompt[block:]
	}
	return dst
}
