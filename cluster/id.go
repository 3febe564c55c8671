package cluster

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/http"
)

// ID names a node: 48 random bits, drawn anew at every start, so that what was
// said to an earlier process at the same address isn't meant for this one.
type ID uint64

const idBytes = 6

func newNodeID() ID {
	var b [8]byte
	for {
		rand.Read(b[2:])
		if id := ID(binary.BigEndian.Uint64(b[:])); id != 0 {
			return id
		}
	}
}

// String returns 12 hexadecimal digits.
func (id ID) String() string {
	b := id.bytes()
	return hex.EncodeToString(b[:])
}

func (id ID) bytes() (b [idBytes]byte) {
	var all [8]byte
	binary.BigEndian.PutUint64(all[:], uint64(id))
	copy(b[:], all[2:])
	return b
}

// ParseID parses what String returns.
func ParseID(s string) (ID, error) {
	var b [8]byte
	if len(s) != 2*idBytes {
		return 0, fmt.Errorf("cluster: %q is no node's id", s)
	}
	if _, err := hex.Decode(b[2:], []byte(s)); err != nil {
		return 0, fmt.Errorf("cluster: %q is no node's id", s)
	}
	return ID(binary.BigEndian.Uint64(b[:])), nil
}

// MarshalText makes an ID text wherever it is encoded.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (id *ID) UnmarshalText(b []byte) (err error) {
	*id, err = ParseID(string(b))
	return err
}

// keys are what is derived from the cluster's secret.
type keys struct {
	ids  cipher.Block // hides nodes in session ids
	seal []byte       // of what nodes say to each other
}

func newKeys(secret []byte) *keys {
	derive := func(use string, size int) []byte {
		key, err := hkdf.Key(sha256.New, secret, nil, "roomcast "+use, size)
		if err != nil {
			panic(err) // sizes are constants within its limits
		}
		return key
	}
	block, err := aes.NewCipher(derive("session ids", 16))
	if err != nil {
		panic(err)
	}
	return &keys{ids: block, seal: derive("seals", 32)}
}

// A session id is 15 random bytes, and behind them the node's id under a mask
// that only those can make who have the secret: so ids tell others neither the node
// nor that two of them have the same one. There is no need of a check: 48
// bits that were not masked by us hit no node.
const (
	randomBytes  = 15
	sessionBytes = randomBytes + idBytes
)

var sessionEncoding = base64.RawURLEncoding.Strict()

// mask hides a node's id, or shows it, in b: sessionBytes long.
func (k *keys) mask(b []byte) {
	var block [aes.BlockSize]byte
	copy(block[:], b[:randomBytes])
	k.ids.Encrypt(block[:], block[:])
	for i := range idBytes {
		b[randomBytes+i] ^= block[i]
	}
}

// sessionID makes the id of a new session on a node: 28 characters of base64url.
func (k *keys) sessionID(node ID) string {
	var b [sessionBytes]byte
	rand.Read(b[:randomBytes])
	id := node.bytes()
	copy(b[randomBytes:], id[:])
	k.mask(b[:])
	return sessionEncoding.EncodeToString(b[:])
}

// owner returns the node that a session id names. What was not made by
// sessionID gives some node's id that there isn't, or none.
func (k *keys) owner(session string) (node ID, ok bool) {
	var b [sessionBytes]byte
	if len(session) != sessionEncoding.EncodedLen(sessionBytes) {
		return 0, false
	}
	if n, err := sessionEncoding.Decode(b[:], []byte(session)); err != nil || n != sessionBytes { // it skips line breaks
		return 0, false
	}
	k.mask(b[:])
	var all [8]byte
	copy(all[2:], b[randomBytes:])
	return ID(binary.BigEndian.Uint64(all[:])), true
}

// NewID makes the id of a session on this node. It is meant for engine.Config.NewID.
func (n *Node) NewID(*http.Request) (string, error) { return n.keys.sessionID(n.id), nil }
