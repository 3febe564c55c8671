package config

import (
	"encoding"
	"testing"
)

func TestValues(t *testing.T) {
	for _, tt := range []struct {
		into encoding.TextUnmarshaler
		in   string
		out  string // as it is printed; "" if refused
	}{
		{new(Duration), "25s", "25s"},
		{new(Duration), "120s", "2m"},
		{new(Duration), "60m", "1h"},
		{new(Duration), "1h0m5s", "1h0m5s"},
		{new(Duration), "10m", "10m"},
		{new(Duration), "off", "off"},
		{new(Duration), "-1s", ""},
		{new(Duration), "", ""},
		{new(Count), "1", "1"},
		{new(Count), "off", "off"},
		{new(Count), "0", ""},
		{new(Count), "-1", ""},
		{new(Count), "1e3", ""},
		{new(Size), "1", "1"},
		{new(Size), "1000000", "1MB"},
		{new(Size), "1048576", "1MiB"},
		{new(Size), "64 KiB", "64KiB"},
		{new(Size), "10kB", "10kB"},
		{new(Size), "5B", "5"},
		{new(Size), "off", "off"},
		{new(Size), "9223372036854775807", "9223372036854775807"},
		{new(Size), "9223372036854775807KiB", ""},
		{new(Size), "KiB", ""},
		{new(Size), "-1", ""},
	} {
		err := tt.into.UnmarshalText([]byte(tt.in))
		if tt.out == "" {
			if err == nil {
				t.Errorf("%T took %q", tt.into, tt.in)
			}
			continue
		}
		if err != nil {
			t.Errorf("%T refused %q: %v", tt.into, tt.in, err)
			continue
		}
		if out, _ := tt.into.(encoding.TextMarshaler).MarshalText(); string(out) != tt.out {
			t.Errorf("%T: %q came back as %q, want %q", tt.into, tt.in, out, tt.out)
		}
	}
}

func TestAllows(t *testing.T) {
	for _, tt := range []struct {
		pattern, room, user string
		want                bool
	}{
		{"lobby", "lobby", "", true},
		{"lobby", "lobby2", "", false},
		{"lobby", "Lobby", "", false},
		{"*", "", "", true},
		{"*", "anything", "", true},
		{"game-*", "game-", "", true},
		{"game-*", "game-1", "", true},
		{"game-*", "a game-1", "", false},
		{"*-a", "x-a", "", true},
		{"*-a", "x-a-b", "", false},
		{"a*b*c", "abc", "", true},
		{"a*b*c", "a1b2b3c", "", true},
		{"a*b*c", "acb", "", false},
		{"a*a", "a", "", false},
		{"[a-z]?", "b1", "", false},
		{"user:{user}", "user:ann", "ann", true},
		{"user:{user}", "user:ann", "bob", false},
		{"user:{user}", "user:", "", false},
		{"user:{user}", "user:{user}", "", false},
		{"user:{user}", "user:*", "*", true}, // the user's name is no pattern
		{"user:{user}", "user:ann", "*", false},
		{"{user}/notes", "ann/notes", "ann", true},
	} {
		a := Access{Patterns: []string{tt.pattern}}
		if got := a.Allows(tt.room, tt.user); got != tt.want {
			t.Errorf("%q for user %q allows %q: %v", tt.pattern, tt.user, tt.room, got)
		}
	}
	if (Access{}).Allows("lobby", "ann") {
		t.Error("the zero Access allows something")
	}
	if !(Access{All: true}).Allows("lobby", "") {
		t.Error("allow doesn't")
	}
}
