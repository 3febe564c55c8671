package server_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/roomcast/roomcast/server"
)

// heard is a Waiter that notes what it is told.
type heard struct {
	name string
	list *[]string
}

func (h *heard) Acked(s *server.Socket, args server.Args, err error) {
	var n int
	if err == nil {
		err = args.Decode(0, &n)
	}
	switch {
	case errors.Is(err, server.ErrDisconnected):
		*h.list = append(*h.list, h.name+" gone")
	case err != nil:
		*h.list = append(*h.list, err.Error())
	case n < 0:
		panic("boom")
	default:
		*h.list = append(*h.list, fmt.Sprint(h.name, " ", n))
	}
}

// Who expects an ack hears of it at once, unless the client sent something before the ack that is not handled yet.
func TestExpect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		io, ts := serve(t, server.Config{Limits: server.Limits{PendingAcks: 2}})
		ns := io.Of("/")
		gate := make(chan struct{})
		var list []string
		server.On(ns, "hold", func(context.Context, *server.Socket, any) error {
			<-gate
			list = append(list, "held")
			return nil
		})
		panics := 0
		ns.OnError(func(context.Context, *server.Socket, error) { panics++ })
		c := ts.Connect("/")
		s := ns.Socket(c.ID())
		expect := func(name string) (int64, *heard) {
			h := &heard{name, &list}
			id, err := s.Expect(h, "q")
			if err != nil {
				t.Fatal(err)
			}
			return id, h
		}
		told := func(want ...string) {
			t.Helper()
			synctest.Wait()
			if !slices.Equal(list, want) {
				t.Errorf("told %q, want %q", list, want)
			}
			list = nil
		}
		expect("a")
		c.Expect("q").Ack(1)
		told("a 1")

		expect("b")
		c.Emit("hold")
		c.Expect("q").Ack(2)
		told()
		expect("c")
		if _, err := s.Expect(&heard{}, "q"); !errors.Is(err, server.ErrTooManyAcks) {
			t.Errorf("%v, though one is expected and one waits for its turn", err)
		}
		close(gate)
		told("held", "b 2")

		q := c.Expect("q")
		id, d := expect("d")
		s.Unexpect(id, &heard{}) // somebody else's
		s.Unexpect(id, d)
		c.Expect("q").Ack(4)
		q.Ack(-1)
		told()
		if panics != 1 {
			t.Errorf("%d panics were reported", panics)
		}

		expect("e")
		if _, err := s.Expect(&heard{}, "connect"); err == nil {
			t.Error("a reserved name was sent")
		}
		c.Close()
		told("e gone")
		if _, err := s.Expect(&heard{}, "q"); !errors.Is(err, server.ErrDisconnected) {
			t.Error(err)
		}
	})
}
