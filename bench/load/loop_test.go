package load

import (
	"bufio"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"
)

// fake is a server that admits a WebSocket and then sends frames, and ends.
func fake(t *testing.T, frames ...string) netip.AddrPort {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { ln.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			r := bufio.NewReader(c)
			if _, err := http.ReadRequest(r); err == nil {
				out := []byte("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: " + string(accept) + "\r\n\r\n")
				for _, f := range frames {
					out = append(out, serverFrame(Text, []byte(f))...)
				}
				c.Write(out)
			}
			c.Close()
		}
	}()
	return netip.MustParseAddrPort(ln.Addr().String())
}

// Faults are what the benchmark is trusted for: each kind must be noticed.
func TestFaults(t *testing.T) {
	const open, joined = `0{"sid":"x"}`, `40{"sid":"y"}`
	for name, tt := range map[string]struct {
		frames []string
		want   Faults
		got    int // messages
	}{
		"refused":           {nil, Faults{Handshakes: 1}, 0},
		"never joined":      {[]string{open}, Faults{Handshakes: 1}, 0},
		"refused namespace": {[]string{open, `44{"message":"no"}`}, Faults{Handshakes: 1}, 0},
		"lost":              {[]string{open, joined, `42["a"]`}, Faults{Lost: 1}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := New()
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			got, ended := 0, false
			_, err = l.Dial(fake(t, tt.frames...), 0, &Events{
				Message: func(*Socket, []byte, bool) { got++ },
				Ended:   func(*Socket) { ended = true },
			})
			if err != nil {
				t.Fatal(err)
			}
			if !l.Run(time.Now().Add(10*time.Second), func() bool { return ended }) {
				t.Fatal("the end was not noticed")
			}
			if l.Faults.First == "" {
				t.Error("the fault has no description")
			}
			l.Faults.First = ""
			if l.Faults != tt.want || got != tt.got {
				t.Errorf("%+v and %d messages, want %+v and %d", l.Faults, got, tt.want, tt.got)
			}
		})
	}
}

// TestVersion2: a client of version 2 joins without asking, and packets that end
// in a line break are the same without it.
func TestVersion2(t *testing.T) {
	l, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.Version2 = true
	var got []string
	_, err = l.Dial(fake(t, `0{"sid":"x"}`, "40", "3", "42[\"a\"]\n"), 0, &Events{
		Message: func(s *Socket, data []byte, _ bool) {
			s.Expected = true
			got = append(got, string(data))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !l.Run(time.Now().Add(10*time.Second), func() bool { return len(got) > 0 }) || got[0] != `2["a"]` || l.Faults.Total() > 0 {
		t.Errorf("%q, %+v", got, l.Faults)
	}
}
