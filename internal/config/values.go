package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// off is what switches a setting off, in every source. Its value is negative,
// as in the libraries that the settings go to.
const off = "off"

// Duration is a time span such as "25s", or off.
type Duration time.Duration

// UnmarshalText parses a span of [time.ParseDuration], or off.
func (d *Duration) UnmarshalText(b []byte) error {
	s := string(b)
	if s == off {
		*d = -1
		return nil
	}
	v, err := time.ParseDuration(s)
	if err != nil || v <= 0 {
		return fmt.Errorf("%q is no time span; write a number with a unit, such as 500ms, 25s or 2m", s)
	}
	*d = Duration(v)
	return nil
}

// MarshalText is the inverse of UnmarshalText.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

func (d Duration) String() string {
	if d < 0 {
		return off
	}
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Std returns d for the libraries: negative is off.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// Count is a number of things, at least 1, or off.
type Count int

// UnmarshalText parses a decimal number, or off.
func (c *Count) UnmarshalText(b []byte) error {
	s := string(b)
	if s == off {
		*c = -1
		return nil
	}
	v, err := strconv.Atoi(s)
	if err != nil || v <= 0 {
		return fmt.Errorf("%q is no number of at least 1", s)
	}
	*c = Count(v)
	return nil
}

// MarshalText is the inverse of UnmarshalText.
func (c Count) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// MarshalYAML writes a number without quotes.
func (c Count) MarshalYAML() (any, error) {
	if c < 0 {
		return off, nil
	}
	return int(c), nil
}

func (c Count) String() string {
	if c < 0 {
		return off
	}
	return strconv.Itoa(int(c))
}

// Size is a number of bytes, such as 65536, "64KiB" or "1MB", or off.
type Size int64

var units = []struct {
	name string
	n    int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}}

// UnmarshalText parses a number with or without a unit, or off.
func (z *Size) UnmarshalText(b []byte) error {
	s := string(b)
	if s == off {
		*z = -1
		return nil
	}
	digits, factor := s, int64(1)
	for _, u := range units {
		if d, ok := strings.CutSuffix(s, u.name); ok {
			digits, factor = strings.TrimSpace(d), u.n
			break
		}
	}
	v, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || v <= 0 || v > math.MaxInt64/factor {
		return fmt.Errorf("%q is no size; write bytes, or a number with a unit such as 64KiB or 1MB", s)
	}
	*z = Size(v * factor)
	return nil
}

// MarshalText is the inverse of UnmarshalText.
func (z Size) MarshalText() ([]byte, error) { return []byte(z.String()), nil }

// MarshalYAML writes plain bytes without quotes.
func (z Size) MarshalYAML() (any, error) {
	s := z.String()
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, nil
	}
	return s, nil
}

func (z Size) String() string {
	if z < 0 {
		return off
	}
	for _, name := range []string{"GiB", "MiB", "KiB", "GB", "MB", "kB"} {
		for _, u := range units {
			if u.name == name && int64(z)%u.n == 0 {
				return strconv.FormatInt(int64(z)/u.n, 10) + name
			}
		}
	}
	return strconv.FormatInt(int64(z), 10)
}
