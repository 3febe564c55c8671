package main

import (
	"fmt"
	"testing"

	"github.com/roomcast/roomcast/bench/load"
)

func TestDeliveredChecksEachMessage(t *testing.T) {
	packet := func(ack, number, attempt int, rest string) string {
		return fmt.Sprintf(`2%d["queue:message",{"attempt":%d,"data":"%020d%012d%s","id":"a"}]`, ack, attempt, 5, number, rest)
	}
	for name, c := range map[string]struct {
		packets []string
		wrong   int
		acks    string
	}{
		"each once":      {[]string{packet(7, 0, 1, filler), packet(8, 1, 1, filler)}, 0, "437[]438[]"},
		"twice":          {[]string{packet(7, 0, 1, filler), packet(8, 0, 1, filler)}, 1, "437[]"},
		"again":          {[]string{packet(7, 0, 2, filler)}, 1, ""},
		"never sent":     {[]string{packet(7, 2, 1, filler)}, 1, ""},
		"changed":        {[]string{packet(7, 0, 1, "y"+filler[1:])}, 1, ""},
		"cut":            {[]string{packet(7, 0, 1, "")}, 1, ""},
		"another event":  {[]string{`27["queue:revoked",{"receipts":[]}]`}, 1, ""},
		"refused worker": {[]string{`30[{"ok":false,"code":"unauthorized"}]`}, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := &sockets{loop: &load.Loop{}, next: 2}
			for _, p := range c.packets {
				l.delivered(&load.Socket{}, []byte(p), false)
			}
			var want []byte
			for i := 0; i < len(c.acks); i += 5 {
				want = load.AppendFrame(want, load.Text, c.acks[i:i+5])
			}
			if got := l.loop.Faults.Wrong; got != c.wrong {
				t.Errorf("%d faults, want %d: %s", got, c.wrong, l.loop.Faults.First)
			}
			if string(l.acks) != string(want) {
				t.Errorf("the acks are %q, want those of %q", l.acks, c.acks)
			}
		})
	}
}
