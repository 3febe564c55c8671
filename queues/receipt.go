package queues

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"sync"
)

// signer makes receipts: the queue and the hand-out, signed, so that only who was given a message can
// settle it. They hold at every node, since all share the store's secret.
type signer struct{ hashes sync.Pool } // of *signing

// signing is what it takes to sign: a hash has what it is given on the heap.
type signing struct {
	hash.Hash
	buf  [2*binary.MaxVarintLen64 + maxName + sha256.Size]byte
	text [2 * (2*binary.MaxVarintLen64 + maxName + signature)]byte
}

// signature is how many bytes of the HMAC are in a receipt.
const signature = 12

func newSigner(secret []byte) *signer {
	return &signer{sync.Pool{New: func() any { return &signing{Hash: hmac.New(sha256.New, secret)} }}}
}

// sign appends the signature of data, which may be a part of h.buf.
func (h *signing) sign(data []byte) []byte {
	h.Reset()
	h.Write(data)
	return h.Sum(data)[:len(data)+signature]
}

// receipt returns the receipt of a hand-out.
func (s *signer) receipt(queue string, r Ref) string {
	h := s.hashes.Get().(*signing)
	defer s.hashes.Put(h)
	b := binary.AppendUvarint(h.buf[:0], r.Seq)
	b = binary.AppendUvarint(b, r.Fence)
	b = append(b, queue...)
	return string(base64.RawURLEncoding.AppendEncode(h.text[:0], h.sign(b)))
}

// parse returns what a receipt is of.
func (s *signer) parse(receipt string) (queue string, r Ref, err error) {
	bad := Refuse(CodeBadRequest, "not a receipt")
	data, mac, ok := split(receipt)
	if !ok {
		return "", Ref{}, bad
	}
	h := s.hashes.Get().(*signing)
	defer s.hashes.Put(h)
	if !hmac.Equal(mac, h.sign(append(h.buf[:0], data...))[len(data):]) {
		return "", Ref{}, bad
	}
	r, rest, ok := readRef(data)
	if !ok {
		return "", Ref{}, bad
	}
	return string(rest), r, nil
}

// ReceiptRef returns the hand-out that a receipt says it is of. Whether it is genuine only the broker knows.
func ReceiptRef(receipt string) (r Ref, ok bool) {
	data, _, ok := split(receipt)
	if ok {
		r, _, ok = readRef(data)
	}
	return r, ok
}

// split returns what is signed in a receipt, and the signature.
func split(receipt string) (data, mac []byte, ok bool) {
	if len(receipt) > 2*(2*binary.MaxVarintLen64+maxName+signature) {
		return nil, nil, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(receipt)
	if err != nil || len(b) < signature {
		return nil, nil, false
	}
	return b[:len(b)-signature], b[len(b)-signature:], true
}

func readRef(data []byte) (r Ref, rest []byte, ok bool) {
	seq, n := binary.Uvarint(data)
	fence, m := binary.Uvarint(data[max(n, 0):])
	if n <= 0 || m <= 0 {
		return Ref{}, nil, false
	}
	return Ref{seq, fence}, data[n+m:], true
}
