package redisadapter

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
)

// newNodeID returns an id for this process.
func newNodeID() string { return randomHex() }

// newRequestID returns an id for a request: 16 hexadecimal digits, as officially.
func newRequestID() string { return randomHex() }

func randomHex() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// uidOf returns the uid of a node's adapter for a namespace: 16 hexadecimal
// digits, as officially, that follow from the node's id. So whoever knows which
// nodes there are also knows the channels on which they would be answered, and
// finds out which of them have a namespace open.
func uidOf(node, namespace string) string {
	sum := sha256.Sum256([]byte(node + "\x00" + namespace))
	return hex.EncodeToString(sum[:8])
}

// classicUID is uidOf in the form of the classic adapter: 6 characters.
func classicUID(node, namespace string) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	sum := sha256.Sum256([]byte(node + "\x00" + namespace))
	var id [6]byte
	for i := range id {
		id[i] = letters[sum[i]%64]
	}
	return string(id[:])
}
