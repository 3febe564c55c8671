package cluster

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
)

var testSecret = bytes.Repeat([]byte("s"), minSecret)

func TestSessionIDs(t *testing.T) {
	k, other := newKeys(testSecret), newKeys(bytes.Repeat([]byte("t"), minSecret))
	node := newNodeID()
	seen := make(map[string]bool)
	tails := make(map[string]bool)
	for range 10_000 {
		id := k.sessionID(node)
		if len(id) != 28 || seen[id] {
			t.Fatalf("the id %q", id)
		}
		seen[id] = true
		tails[id[20:]] = true // where the node's id is
		if got, ok := k.owner(id); !ok || got != node {
			t.Fatalf("the owner of %q is %s", id, got)
		}
		if got, _ := other.owner(id); got == node {
			t.Fatal("another secret shows the node")
		}
	}
	if len(tails) < 9_990 {
		t.Errorf("the node shows: %d different ends", len(tails))
	}
}

func TestSessionIDsOfOthers(t *testing.T) {
	k := newKeys(testSecret)
	node := newNodeID()
	id := k.sessionID(node)
	raw, _ := base64.RawURLEncoding.DecodeString(id)
	for i := range raw { // any change hits another node
		changed := bytes.Clone(raw)
		changed[i] ^= 1
		if got, _ := k.owner(base64.RawURLEncoding.EncodeToString(changed)); got == node {
			t.Errorf("byte %d may be changed", i)
		}
	}
	for _, id := range []string{"", "x", id[:26] + "\r\n", id[:27], id + "A", id[:27] + "=", strings.Repeat("!", 28), strings.Repeat("é", 14)} {
		if _, ok := k.owner(id); ok {
			t.Errorf("%q is taken for an id", id)
		}
	}
}

func TestNodeIDs(t *testing.T) {
	id := newNodeID()
	if got, err := ParseID(id.String()); err != nil || got != id {
		t.Errorf("%s came back as %s, %v", id, got, err)
	}
	for _, s := range []string{"", "0", "00000000000", "0000000000000", "00000000000g"} {
		if _, err := ParseID(s); err == nil {
			t.Errorf("%q is taken for a node's id", s)
		}
	}
}

func FuzzOwner(f *testing.F) {
	k := newKeys(testSecret)
	f.Add(k.sessionID(1))
	f.Add("")
	f.Fuzz(func(t *testing.T, id string) {
		node, ok := k.owner(id)
		if !ok {
			return
		}
		raw, err := sessionEncoding.DecodeString(id)
		if err != nil {
			t.Fatal(err)
		}
		b := node.bytes()
		copy(raw[randomBytes:], b[:])
		if k.mask(raw); sessionEncoding.EncodeToString(raw) != id {
			t.Errorf("%q comes back as another", id)
		}
	})
}
