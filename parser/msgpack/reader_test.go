package msgpack

import (
	"encoding/hex"
	"errors"
	"testing"

	"github.com/roomcast/roomcast/parser"
)

func reading(t *testing.T, digits string) *Reader {
	t.Helper()
	b, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return NewReader(b, parser.Limits{MaxAttachments: -1})
}

func TestReaderValues(t *testing.T) {
	for digits, want := range map[string]string{"a3616263": "abc", "2a": "42", "ff": "-1", "cb3ff8000000000000": "1.5", "cfffffffffffffffff": "18446744073709551615", "c0": "", "d40000": ""} {
		r := reading(t, digits)
		if got, err := r.Text(); err != nil || got != want || r.End() != nil {
			t.Errorf("%s: %q, %v", digits, got, err)
		}
	}
	for digits, want := range map[string]int64{"2a": 42, "d1ff00": -256, "cb4010000000000000": 4, "c0": 0} {
		if got, err := reading(t, digits).Int(); err != nil || got != want {
			t.Errorf("%s: %d, %v", digits, got, err)
		}
	}
	// Dates of MessagePack's own extension, in its three forms.
	for digits, want := range map[string]string{
		"d6ff00000000": `"1970-01-01T00:00:00.000Z"`, "d7ff1d4fbc006553f100": `"2023-11-14T22:13:20.122Z"`,
		"c70cff3b023380ffffffffffffffff": `"1969-12-31T23:59:59.990Z"`, "c70cff000000007fffffffffffffff": `null`,
	} {
		if got, err := reading(t, digits).Payload(); err != nil || string(got.JSON) != want {
			t.Errorf("%s: %s, %v", digits, got.JSON, err)
		}
	}
}

func TestReaderErrors(t *testing.T) {
	for digits, f := range map[string]func(*Reader) error{
		"a1":                 func(r *Reader) error { _, err := r.Text(); return err },
		"90":                 func(r *Reader) error { _, err := r.Text(); return err },
		"a161":               func(r *Reader) error { _, err := r.Int(); return err },
		"cb7ff0000000000000": func(r *Reader) error { _, err := r.Int(); return err },
		"ddffffffff":         func(r *Reader) error { _, err := r.Array(); return err },
		"dfffffffff":         func(r *Reader) error { _, err := r.Map(); return err },
		"91":                 func(r *Reader) error { _, err := r.Map(); return err },
		"01":                 func(r *Reader) error { _, err := r.Key(); return err },
		"d6ff0000":           func(r *Reader) error { _, err := r.Payload(); return err },
	} {
		if err := f(reading(t, digits)); !errors.Is(err, ErrParse) {
			t.Errorf("%s: %v", digits, err)
		}
	}
	if err := reading(t, "c0").End(); !errors.Is(err, ErrTrailing) {
		t.Error(err)
	}
}
