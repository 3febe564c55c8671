package ledger

import (
	"bytes"
	"slices"
)

// Memory is a KV that lasts as long as the process.
type Memory map[string][]byte

// Set does KV.Set.
func (m Memory) Set(key, value []byte) { m[string(key)] = value }

// Delete does KV.Delete.
func (m Memory) Delete(key []byte) { delete(m, string(key)) }

// Get does KV.Get.
func (m Memory) Get(key []byte) []byte { return m[string(key)] }

// DeleteRange does KV.DeleteRange.
func (m Memory) DeleteRange(from, to []byte) {
	for _, key := range m.keys(from, to) {
		delete(m, key)
	}
}

// Scan does KV.Scan.
func (m Memory) Scan(from, to []byte, f func(key, value []byte) error) error {
	for _, key := range m.keys(from, to) {
		if err := f([]byte(key), m[key]); err != nil {
			return err
		}
	}
	return nil
}

func (m Memory) keys(from, to []byte) (keys []string) {
	for key := range m {
		if bytes.Compare([]byte(key), from) >= 0 && bytes.Compare([]byte(key), to) < 0 {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}
